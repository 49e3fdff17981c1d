"""Three systems by configuration alone, on real inputs, against numbers that were computed apart from siltstone."""

import math
import shutil
from typing import Any

import polars as pl
import pytest

from siltstone.errors import RepeatedKeyError, UsageError
from support.places import ROOT, SAMPLES
from support.plant import Plant

EXAMPLES = ROOT / "conf/examples"


def conf(name: str) -> list[str]:
    return [str(EXAMPLES / f"{name}.yaml")]


@pytest.fixture
def plant(tmp_path: Any) -> Plant:
    return Plant(tmp_path)


def given(plant: Plant, sample: str, *names: str) -> None:
    folder = plant.input("records")
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(SAMPLES / sample / name, folder / name)


def mean(frame: pl.DataFrame) -> float:
    values = frame["value"].drop_nulls().to_list()
    return math.fsum(values) / len(values)


def test_openxc_with_values_of_every_kind(plant: Plant) -> None:
    given(plant, "openxc", "austator-driving.json")
    summary = plant.compact("records.openxc", conf=conf("openxc"))
    assert (summary["records_in"], summary["records_quarantined"]) == (19_438, 0)
    assert summary["rows_out"] + summary["duplicates_dropped"] == 19_438
    frame = plant.frame()
    assert frame["measurement"].n_unique() == 19
    for name, rows, expected in (
        ("vehicle_speed", 1228, 20.12368850081437),
        ("engine_speed", 2103, 1363.5672848311935),
    ):
        series = frame.filter(measurement=name)
        assert series.height == rows
        assert mean(series) == pytest.approx(expected, rel=1e-9)
    brake = frame.filter(measurement="brake_pedal_status")
    assert set(brake["kind"]) == {"boolean"}
    assert set(brake["value"]) == {0.0, 1.0}
    assert set(frame.filter(measurement="ignition_status")["text"]) == {"run", "start", "accessory"}
    assert frame["_rescued"].count() == 572  # the key `event`, which the block does not name
    assert plant.problems("readings", conf=conf("openxc")) == []


def test_air_quality_with_decimal_commas_sentinels_and_empty_rows(plant: Plant) -> None:
    given(plant, "air-quality-uci", "AirQualityUCI.csv")
    summary = plant.compact("records.air_quality", conf=conf("air_quality"))
    assert (summary["records_in"], summary["records_empty"]) == (9_357 + 114, 114)
    assert summary["rows_out"] == 9_357 * 13
    assert summary["rows_split"] == 9_357 * 12
    frame = plant.frame()
    missing = dict(frame.filter(pl.col("value").is_null())["measurement"].value_counts().iter_rows())
    odd = {"CO(GT)": 1683, "NMHC(GT)": 8443, "NOx(GT)": 1639, "NO2(GT)": 1642}
    assert {name: n for name, n in missing.items() if n != 366} == odd
    assert len(missing) == 13
    temperature = frame.filter(measurement="T")
    assert temperature["value"].count() == 8_991
    assert mean(temperature) == pytest.approx(18.317828940051164, rel=1e-12)
    assert set(frame.filter(pl.col("value").is_null())["quality"]) == {"bad"}
    assert plant.problems("readings", conf=conf("air_quality")) == []


def test_series_of_a_benchmark_with_repeated_times(plant: Plant) -> None:
    names = [str(p.relative_to(SAMPLES / "nab")) for p in sorted((SAMPLES / "nab").rglob("*.csv"))]
    given(plant, "nab", *names)
    summary = plant.compact("records.nab", conf=conf("nab"))
    assert summary["records_in"] == summary["rows_out"]
    frame = plant.frame()
    machine = frame.filter(measurement="machine_temperature_system_failure")
    assert machine.height == 22_695
    assert machine.height - machine["ts"].n_unique() == 12
    assert mean(machine) == pytest.approx(85.92649821068021, rel=1e-9)
    assert plant.problems("readings", conf=conf("nab")) == []


@pytest.mark.parametrize(("policy", "at_two"), [("first", 94.42340604), ("last", 94.13972336)])
def test_which_of_two_values_at_one_time_stays(plant: Plant, policy: str, at_two: float) -> None:
    name = "realKnownCause/machine_temperature_system_failure.csv"
    given(plant, "nab", name)
    setting = f"sources.records.nab.duplicates={policy}"
    summary = plant.compact("records.nab", setting, conf=conf("nab"))
    assert (summary["rows_out"], summary["keys_superseded"] + summary["duplicates_dropped"]) == (22_683, 12)
    two = pl.datetime(2014, 1, 7, 2, 0, time_zone="UTC")
    assert plant.frame().filter(pl.col("ts") == two)["value"].to_list() == [at_two]
    assert plant.problems("readings", setting, conf=conf("nab")) == []


def test_where_repeated_times_are_an_error_nothing_is_committed(plant: Plant) -> None:
    given(plant, "nab", "realKnownCause/machine_temperature_system_failure.csv")
    with pytest.raises(RepeatedKeyError, match=r"machine_temperature_system_failure.*policy for duplicates is error"):
        plant.compact("records.nab", "sources.records.nab.duplicates=error", conf=conf("nab"))
    assert plant.frame().height == 0


def test_a_block_that_is_not_there_is_named(plant: Plant) -> None:
    plant.input("records").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"no block sources.records.nub .*There are: nab"):
        plant.compact("records.nub", conf=conf("nab"))
    with pytest.raises(UsageError, match=r"no block sources.records.NAME"):
        plant.compact("records")
