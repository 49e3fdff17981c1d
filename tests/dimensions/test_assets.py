"""Readings with their assets, properties and paths: no reading lost, none twice."""

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from siltstone.dimensions.assets import asset_paths, asset_properties, with_assets
from siltstone.model.contracts import Contract
from siltstone.sources.sitewise import ASSETS, HIERARCHY

THEN, NOW = datetime(2021, 1, 1, tzinfo=UTC), datetime(2023, 1, 1, tzinfo=UTC)
TYPES = {"string": pl.String(), "timestamp": pl.Datetime("us", "UTC")}


def history(contract: Contract, *rows: dict[str, Any]) -> pl.DataFrame:
    """A table of the contract as it is read; a row needs only what matters."""
    columns = {c.name: TYPES[c.kind] for c in (*contract.leading, *contract.record)}
    times = {"valid_from": TYPES["timestamp"], "valid_to": TYPES["timestamp"]}
    whole = [dict.fromkeys((*columns, *times)) | {"valid_from": THEN} | row for row in rows]
    return pl.DataFrame(whole, schema={**columns, **times})


def asset(name: str, series: str, **more: Any) -> dict[str, Any]:
    return {"asset_id": name.lower(), "asset_name": name, "time_series_id": series, **more}


def child(source: str, target: str, hierarchy: str = "h", **more: Any) -> dict[str, Any]:
    ids = {"source_asset_id": source, "target_asset_id": target, "hierarchy_id": hierarchy}
    return {**ids, "association_type": "CHILD", **more}


ASSET_TABLE = history(
    ASSETS,
    asset("Plant", "plant_p"),
    asset("Turbine", "turbine_t", asset_property_name="Temperature", asset_property_unit="Celsius"),
    asset("Turbine", "turbine_p", asset_property_name="Pressure", asset_property_alias="/wt/2/p"),
    asset("Turbin", "turbine_t", valid_to=NOW, asset_property_unit="Fahrenheit"),
    asset("Spare", "spare_t"),
)
TREE_TABLE = history(
    HIERARCHY,
    child("plant", "turbine"),
    child("plant", "turbine", "h2"),
    child("gone", "spare"),
    child("plant", "spare", valid_to=NOW),
)


def test_a_series_has_the_current_names_of_its_asset_and_property() -> None:
    found = asset_properties(ASSET_TABLE, TREE_TABLE)
    assert found["series_id"].to_list() == ["plant_p", "spare_t", "turbine_p", "turbine_t"]
    temperature = found.row(3, named=True)
    assert {name: value for name, value in temperature.items() if value is not None} == {
        "series_id": "turbine_t",
        "asset_id": "turbine",
        "asset_name": "Turbine",
        "property_name": "Temperature",
        "property_unit": "Celsius",
        "asset_path": "Plant/Turbine",  # two hierarchies, but one parent
        "asset_path_ids": ["plant", "turbine"],
        "asset_depth": 1,
        "root_asset_id": "plant",
        "asset_paths": ["Plant/Turbine"],
    }


def test_an_unknown_parent_is_reported() -> None:
    spare = asset_properties(ASSET_TABLE, TREE_TABLE).row(1, named=True)
    assert (spare["asset_path"], spare["asset_path_problem"]) == ("Spare", "unknown parent gone")


def test_assets_that_only_the_hierarchy_knows_have_a_place() -> None:
    found = asset_paths(ASSET_TABLE, history(HIERARCHY, child("plant", "x"), child("x", "y")))
    places = dict(found.select("asset_id", "asset_path").iter_rows())
    assert places == {"plant": "Plant", "spare": "Spare", "turbine": "Turbine", "x": "Plant/x", "y": "Plant/x/y"}


def test_of_two_current_rows_of_a_series_the_newest_counts() -> None:
    rows = history(ASSETS, asset("New", "s", valid_from=NOW), asset("Old", "s"), {"time_series_id": "alone"})
    found = asset_properties(rows, history(HIERARCHY))
    names = dict(found.select("series_id", "asset_name").iter_rows())
    assert names == {"alone": None, "s": "New"}


READINGS = pl.DataFrame(
    {"series_id": ["turbine_t", "nobody", "turbine_t", None, "turbine_p"], "value": [1.0, 2.0, 3.0, 4.0, 5.0]}
)


def test_every_reading_stays_once_and_in_order() -> None:
    found = with_assets(READINGS, asset_properties(ASSET_TABLE, TREE_TABLE))
    assert found["value"].to_list() == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert found["asset_path"].to_list() == ["Plant/Turbine", None, "Plant/Turbine", None, "Plant/Turbine"]
    assert found["property_alias"].to_list() == [None, None, None, None, "/wt/2/p"]
    lazy = with_assets(READINGS.lazy(), asset_properties(ASSET_TABLE, TREE_TABLE))
    assert_frame_equal(lazy.collect(), found)


def test_a_series_twice_would_multiply_readings_and_is_refused() -> None:
    twice = pl.DataFrame({"series_id": ["turbine_t", "turbine_t"], "asset_name": ["a", "b"]})
    with pytest.raises(pl.exceptions.ComputeError, match="m:1"):
        with_assets(READINGS, twice)
