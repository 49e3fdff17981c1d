"""Haltian's export, hour by hour: events once however often they are repeated, entities with their history."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from siltstone.maintenance.adopt import adopt
from siltstone.maintenance.describe import open_table
from support.fleet import quiet
from support.haltian import file_of, path_of
from support.other_writers import delta
from support.plant import Plant

FIRST = datetime(2025, 11, 28, 14, tzinfo=UTC)
DEVICE, OTHER = "0d4a9be2-1111-4d0e-9c9c-000000000001", "0d4a9be2-1111-4d0e-9c9c-000000000002"


def hour(number: int) -> datetime:
    return FIRST + timedelta(hours=number)


def snapshot(number: int, entity: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, bytes]:
    """One file of an entity at an hour."""
    return {path_of(entity, hour(number)): file_of(entity, rows)}


def event(minute: int, status: int, device: str = DEVICE) -> dict[str, Any]:
    return {"deviceId": device, "ts": FIRST + timedelta(minutes=minute), "organizationId": "org-1", "status": status}


def device(name: str, identity: str = DEVICE, node: int | None = 4_294_967_295) -> dict[str, Any]:
    return {
        "id": identity, "name": name, "model": "com.haltian.device.tsar02", "installationStatus": "installed",
        "createdTs": FIRST, "wirepasNodeId": node,
    }  # fmt: skip


@pytest.fixture
def plant(tmp_path: Any) -> Plant:
    return Plant(tmp_path)


def history(plant: Plant, table: str = "device") -> list[tuple[Any, ...]]:
    """(id, name, from hour, to hour or None) of every row."""
    frame = plant.frame(table).sort("id", "valid_from")
    hours = [((pl.col(c).dt.epoch("us") - int(FIRST.timestamp()) * 1_000_000) // 3_600_000_000).alias(c)
             for c in ("valid_from", "valid_to")]  # fmt: skip
    return frame.with_columns(hours).select("id", "name", "valid_from", "valid_to").rows()


def test_repeated_snapshots_of_events_give_each_once_and_late_hours_are_not_lost(plant: Plant) -> None:
    events = [event(5, 1), event(20, 0), event(70, 1)]
    plant.deliver("haltian", snapshot(0, "measurementOccupancyStatus", events[:2]))
    plant.deliver("haltian", snapshot(2, "measurementOccupancyStatus", events))
    first = plant.compact("haltian")["readings"]
    assert (first["records_in"], first["rows_out"], first["duplicates_dropped"]) == (5, 3, 2)
    plant.deliver("haltian", snapshot(1, "measurementOccupancyStatus", [*events, event(40, 1)]))  # comes late
    plant.deliver("haltian", snapshot(3, "measurementOccupancyStatus", []))
    second = plant.compact("haltian")["readings"]
    assert (second["records_in"], second["rows_out"], second["duplicates_dropped"]) == (4, 1, 3)
    frame = plant.frame().sort("ts")
    assert frame["value"].to_list() == [1.0, 0.0, 1.0, 1.0]
    assert frame["kind"].unique().to_list() == ["integer"]
    assert frame["site"].unique().to_list() == ["org-1"]
    assert frame["series_id"].unique().to_list() == [f"{DEVICE}/OccupancyStatus"]
    assert plant.compact("haltian")["readings"]["run"] == ""
    assert plant.problems() == []


def test_a_record_of_several_fields_is_a_reading_of_several_series(plant: Plant) -> None:
    at = {"deviceId": DEVICE, "ts": FIRST, "organizationId": "org-1"}
    plant.deliver("haltian", snapshot(0, "measurementDirectionalMovement", [{**at, "entries": 3, "exits": 1}]))
    plant.deliver("haltian", snapshot(0, "measurementPosition", [{**at, "isStatic": 1, "spaceId": "s-1"}]))
    summary = plant.compact("haltian")["readings"]
    assert (summary["records_in"], summary["rows_split"], summary["rows_out"]) == (2, 2, 4)
    assert plant.rows("measurement", "value", "text", "kind") == [
        ("DirectionalMovement.entries", 3.0, None, "integer"),
        ("DirectionalMovement.exits", 1.0, None, "integer"),
        ("Position.isStatic", 1.0, None, "integer"),
        ("Position.spaceId", None, "s-1", "string"),
    ]
    assert plant.problems() == []


def test_entities_have_a_history_and_deletions_are_seen(plant: Plant) -> None:
    plant.deliver("haltian", snapshot(0, "device", [device("door"), device("desk", OTHER)]))
    plant.deliver("haltian", snapshot(1, "device", [device("door"), device("desk", OTHER)]))
    plant.deliver("haltian", snapshot(2, "device", [device("front door")]))
    summary = plant.compact("haltian")["device"]
    assert (summary["records_in"], summary["rows_out"], summary["duplicates_dropped"]) == (5, 3, 2)
    assert history(plant) == [
        (DEVICE, "door", 0, 2), (DEVICE, "front door", 2, None), (OTHER, "desk", 0, 2),
    ]  # fmt: skip
    assert plant.frame("device")["wirepasNodeId"].to_list() == [4_294_967_295] * 3
    assert plant.problems("device") == []
    plant.deliver("haltian", snapshot(4, "device", [device("front door"), device("desk", OTHER)]))
    assert plant.compact("haltian")["device"]["rows_out"] == 1
    assert history(plant)[-1] == (OTHER, "desk", 4, None)
    assert plant.problems("device") == []


def test_a_late_snapshot_finds_its_place_and_the_accounts_of_others_follow(plant: Plant) -> None:
    plant.deliver("haltian", snapshot(0, "device", [device("a")]))
    plant.deliver("haltian", snapshot(3, "device", [device("b")]))
    plant.compact("haltian")
    assert history(plant) == [(DEVICE, "a", 0, 3), (DEVICE, "b", 3, None)]
    plant.deliver("haltian", snapshot(1, "device", [device("b")]))
    plant.compact("haltian")
    assert history(plant) == [(DEVICE, "a", 0, 1), (DEVICE, "b", 1, None)]
    later = plant.accounts("device")[path_of("device", hour(3)).rpartition("/")[2]]
    assert (later["rows_out"], later["duplicates_dropped"]) == (0, 1)
    assert plant.problems("device") == []
    plant.deliver("haltian", snapshot(2, "device", []))
    plant.compact("haltian")
    assert history(plant) == [(DEVICE, "a", 0, 1), (DEVICE, "b", 1, 2), (DEVICE, "b", 3, None)]
    assert plant.problems("device") == []


def test_the_history_does_not_depend_on_the_order_of_the_runs(tmp_path: Any) -> None:
    names = ["a", "a", "b", "a", None, "a"]
    files = [snapshot(n, "device", [device(name)] if name else []) for n, name in enumerate(names)]
    found = []
    for order in ([0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [3, 0, 5, 1, 4, 2]):
        plant = Plant(tmp_path / str(len(found)))
        for number in order:
            plant.deliver("haltian", files[number])
            plant.compact("haltian")
        assert plant.problems("device") == []
        found.append(history(plant))
    assert found[0] == found[1] == found[2]
    assert found[0] == [(DEVICE, "a", 0, 2), (DEVICE, "b", 2, 3), (DEVICE, "a", 3, 4), (DEVICE, "a", 5, None)]


def test_a_snapshot_that_comes_again_with_other_content_replaces_the_former(plant: Plant) -> None:
    plant.deliver("haltian", snapshot(0, "device", [device("a")]))
    plant.deliver("haltian", snapshot(1, "device", [device("b")]))
    plant.compact("haltian")
    plant.deliver("haltian", snapshot(0, "device", [device("b")]))
    plant.compact("haltian")
    assert history(plant) == [(DEVICE, "b", 0, None)]
    assert plant.problems("device") == []


def test_a_damaged_or_odd_file_is_quarantined_and_is_no_snapshot(plant: Plant) -> None:
    plant.deliver("haltian", snapshot(0, "device", [device("a")]))
    plant.deliver("haltian", {path_of("device", hour(1)): b"PAR1 no parquet"})
    plant.deliver("haltian", {path_of("device", hour(2)): file_of("zone", [])})
    summary = plant.compact("haltian")["device"]
    assert (summary["files_ingested"], summary["files_quarantined"]) == (1, 2)
    assert history(plant) == [(DEVICE, "a", 0, None)]
    assert plant.problems("device") == []


def test_relations_are_compared_as_sets(plant: Plant) -> None:
    def members(*devices: str) -> list[dict[str, Any]]:
        return [{"deviceGroupId": "g", "deviceId": d, "organizationId": "org-1"} for d in devices]

    plant.deliver("haltian", snapshot(0, "deviceGroupDevices", members(DEVICE, OTHER)))
    plant.deliver("haltian", snapshot(1, "deviceGroupDevices", members(OTHER, OTHER)))
    summary = plant.compact("haltian")["device_group_devices"]
    assert (summary["records_in"], summary["rows_out"], summary["duplicates_dropped"]) == (4, 2, 2)
    current = plant.frame("device_group_devices").filter(pl.col("valid_to").is_null())
    assert current["deviceId"].to_list() == [OTHER]
    assert plant.problems("device_group_devices") == []


def test_assets_that_change_keep_what_they_were(plant: Plant) -> None:
    def asset(updated: int, *properties: str) -> dict[str, bytes]:
        rows = "".join(
            f'{{"assetId":"a1","assetName":"n","assetPropertyId":"{p}","timeSeriesId":"a1_{p}",'
            f'"assetLastUpdateDate":{updated}}}\n'
            for p in properties
        )
        return {"asset_metadata/asset_a1.ndjson": rows.encode()}

    plant.deliver("sitewise", asset(1_600_000_000, "p1", "p2"))
    plant.compact("sitewise")
    plant.deliver("sitewise", asset(1_600_003_600, "p2", "p3"))
    plant.compact("sitewise")
    rows = plant.frame("assets").sort("time_series_id", "valid_from").select("time_series_id", "valid_to").rows()
    assert [(series, end is None) for series, end in rows] == [
        ("a1_p1", False), ("a1_p2", False), ("a1_p2", True), ("a1_p3", True),
    ]  # fmt: skip
    assert plant.problems("assets") == []


def test_equal_snapshots_of_one_run_are_snapshots_all_the_same(plant: Plant) -> None:
    for number in (0, 1, 2, 3):
        plant.deliver("haltian", snapshot(number, "device", [device("a"), device("b", OTHER)]))
    summary = plant.compact("haltian")["device"]
    assert (summary["records_in"], summary["rows_out"], summary["duplicates_dropped"]) == (8, 2, 6)
    assert plant.problems("device") == []
    plant.deliver("haltian", snapshot(1, "device", [device("b", OTHER)]))  # one of them comes again, otherwise
    plant.compact("haltian")
    assert history(plant) == [(DEVICE, "a", 0, 1), (DEVICE, "a", 2, None), (OTHER, "b", 0, None)]
    assert plant.problems("device") == []


@pytest.mark.slow("faults")
def test_a_history_that_another_engine_wrote_into_goes_on(plant: Plant) -> None:
    plant.deliver("haltian", snapshot(0, "device", [device("a"), device("x", OTHER)]))
    plant.deliver("haltian", snapshot(1, "device", [device("b"), device("x", OTHER)]))
    plant.compact("haltian")
    root = plant.lake / "device"
    delta(root).optimize.z_order(["name"])
    plant.deliver("haltian", snapshot(2, "device", [device("c"), device("x", OTHER)]))
    assert plant.compact("haltian")["device"]["taken_over"]["what"] == "files"
    expected = [(DEVICE, "a", 0, 1), (DEVICE, "b", 1, 2), (DEVICE, "c", 2, None), (OTHER, "x", 0, None)]
    assert history(plant) == expected
    assert plant.problems("device") == []
    delta(root).delete("name = 'b'")
    config = plant.config()
    adopt(open_table(str(plant.lake), "device", config.storage), config, plant.engine, quiet, does=True)
    assert plant.problems("device") == []
    plant.deliver("haltian", snapshot(3, "device", [device("d"), device("x", OTHER)]))
    plant.compact("haltian")
    assert [row[1] for row in history(plant)] == ["a", "c", "d", "x"]
    assert plant.problems("device") == []
