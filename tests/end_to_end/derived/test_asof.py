"""siltstone asof: each row with the row of another table, or measurement, in force at its time; worked by hand."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from siltstone.cli.main import main
from siltstone.dataframes.asof import joined_rows
from siltstone.derived import asof as asof_job
from siltstone.derived.asof_tasks import AsofTask
from siltstone.engine.codec import encode
from siltstone.engine.local import LocalEngine
from siltstone.engine.plan_files import plan_of, result_of, run_plan
from siltstone.storage import Storage
from siltstone.timeseries.asof import asof
from support.commands import run_tasks_here
from support.fleet import InProcess
from support.readings_table import Readings, reading


@pytest.fixture(autouse=True)
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    run_tasks_here(monkeypatch)


def room(measurement: str, at: str, value: float, device: str = "D1", **more: Any) -> Any:
    return reading(f"{device}/{measurement}", f"2015-01-{at}", value, device_id=device, measurement=measurement, **more)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Temperatures, and set points that were set days before; D2 has none before its temperature. Nobody changes it."""
    lake = tmp_path_factory.mktemp("asof") / "lake"
    readings = Readings(str(lake))
    readings.add([room("set", "01T08:00", 20.0), room("set", "04T12:00", 21.0)])
    readings.add([room("temp", at, v) for at, v in (("03T00:00", 19.0), ("04T11:00", 19.5), ("04T12:00", 20.5))])
    readings.add([room("temp", "05T00:00", 21.5), room("temp", "03T06:00", 17.0, "D2"), room("hum", "03T06:00", 50.0)])
    readings.add([room("set", "03T09:00", 18.0, "D2")])
    return str(lake / "readings")


def run(left: str, right: str, out: Path, *args: str) -> pl.DataFrame:
    assert main(["asof", left, right, str(out), "--engine", "local", "--debug", *args]) == 0
    return pl.scan_delta(str(out)).collect().sort("series_id", "ts")


SIDES = ["--left-measurement", "temp", "--right-measurement", "set"]


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        # temperatures of D1 at 3rd 00:00, 4th 11:00, 4th 12:00, 5th 00:00, of D2 at 3rd 06:00
        # set points of D1 on the 1st 08:00 (20) and 4th 12:00 (21), of D2 on the 3rd 09:00 (18)
        ([], [20, 20, 21, 21, None]),
        (["--strict"], [20, 20, 20, 21, None]),
        (["--direction", "forward"], [21, 21, 21, None, 18]),
        (["--direction", "nearest"], [21, 21, 21, 21, 18]),  # the first: 36 hours to the 4th, 40 to the 1st
        (["--direction", "nearest", "--tolerance", "3h"], [None, 21, 21, None, 18]),
        (["--tolerance", "12h"], [None, None, 21, 21, None]),
        (["--how", "inner"], [20, 20, 21, 21]),
        (["--by", "site"], [20, 18, 21, 21, 20]),
        (["--by", "site", "--by", "device_id", "--left-device", "D2", "--direction", "forward"], [18]),
    ],
)
def test_two_measurements_of_one_table(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], expected: list[float]
) -> None:
    monkeypatch.setattr(asof_job, "_TASK_ROWS", 1)  # windows that begin anywhere in a day
    found = run(source, source, tmp_path / "out", *SIDES, *args)
    assert found["value_right"].to_list() == expected


def test_the_columns_of_both_and_the_account(source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run(source, source, tmp_path / "out", *SIDES, "--json")
    assert {"series_id", "value", "site", "ts_right", "series_id_right", "measurement_right", "date"} <= {
        *found.columns
    }
    assert "device_id_right" not in found.columns
    assert found["value_right"].to_list() == [20, 20, 21, 21, None]
    assert found.row(1, named=True)["ts_right"] == datetime(2015, 1, 1, 8, tzinfo=UTC)
    assert sorted(found["date"].unique().cast(pl.String()).to_list()) == ["2015-01-03", "2015-01-04", "2015-01-05"]
    said = capsys.readouterr()
    assert "left         9 rows: 4 matched + 1 without a match + 4 left out" in said.err
    summary = json.loads(said.out)
    assert (summary["rows_in"], summary["rows_out"], summary["rows_matched"]) == (9, 5, 4)
    run(source, source, tmp_path / "out", *SIDES)
    assert "nothing to do" in capsys.readouterr().out


def test_readings_meet_the_aggregate_that_was_finished_before_them(source: str, tmp_path: Path) -> None:
    daily, plain = str(tmp_path / "daily"), tmp_path / "plain"
    args = ["--every", "1d", "--measure", "mean", "--measurement", "temp", "--engine", "local"]
    assert main(["aggregate", source, daily, *args]) == 0
    command = ["asof", source, daily, str(plain), "--left-measurement", "temp", "--format", "parquet"]
    assert main([*command, "--tolerance", "1d", "--strict", "--engine", "local"]) == 0
    found = pl.read_parquet(f"{plain}/**/*.parquet").sort("series_id", "ts")
    # strict: the 3rd at 00:00 has no bucket before it; the 4th has its own begin; the 5th at 00:00 that of the 4th
    assert found["mean"].to_list() == [None, 20.0, 20.0, 20.0, 17.0]
    assert found["bucket_end"][1] == datetime(2015, 1, 5, tzinfo=UTC)


def test_an_irregular_measurement_meets_the_grid_of_another(source: str, tmp_path: Path) -> None:
    grid = str(tmp_path / "grid")
    assert main(["resample", source, grid, "--every", "1d", "--measurement", "set", "--engine", "local"]) == 0
    found = run(source, grid, tmp_path / "out", "--left-measurement", "temp", "--by", "device_id")
    # D1's set point at the midnights of the 2nd, 3rd, 4th: 20, of the 5th: 21; D2's first one is that of the 4th
    assert found["value_right"].to_list() == [20, 20, 20, 21, None]
    assert found["known"].to_list() == [True, True, True, True, None]


def test_a_task_travels_as_json(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    plans = Storage(str(tmp_path / "plans"))
    plans.make()

    class Traveling(InProcess):
        def run(self, tasks: Any, done: Any) -> list[Any]:
            return [self.travel(task) for task in tasks]

        def travel(self, task: Any) -> Any:
            name = f"{len(given)}.json"
            given.append(type(task))
            assert plans.put(name, plan_of(task))
            return result_of(task, run_plan(encode(plans), name))

    run_tasks_here(monkeypatch, Traveling())
    monkeypatch.setattr(asof_job, "_TASK_ROWS", 4)
    assert run(source, source, tmp_path / "out", *SIDES)["value_right"].to_list() == [20, 20, 21, 21, None]
    assert AsofTask in given
    args = ["resample", source, str(tmp_path / "grid"), "--every", "1d", "--engine", "local"]
    assert main(args) == 0
    assert {kind.__name__ for kind in given} == {"BoundaryTask", "AsofTask", "ResampleTask"}


def test_in_processes_of_the_pool_too(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_tasks_here(monkeypatch, LocalEngine(1))
    assert run(source, source, tmp_path / "out", *SIDES)["value_right"].to_list() == [20, 20, 21, 21, None]


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--by", "floor"], "the left table has no column floor"),
        (["--suffix", ""], "would stand twice in the result"),
        (["--tolerance", "5"], "--tolerance '5' is no length of time. Give one such as 90s, 15m, 1h or 2d."),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_read(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], args: list[str], told: str
) -> None:
    assert main(["asof", source, source, str(tmp_path / "out"), "--engine", "local", *args]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_is_no_table_of_rows_in_time_is_refused(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["asof", source, str(tmp_path / "none"), str(tmp_path / "out"), "--engine", "local"]) == 2
    assert "Give LAKE/readings, a wide table, or a table that siltstone aggregate" in capsys.readouterr().err


@pytest.mark.parametrize("direction", ["backward", "forward", "nearest"])
@pytest.mark.parametrize("allow_exact", [True, False])
def test_a_stream_of_sorted_batches_gives_what_the_whole_tables_do(direction: Any, allow_exact: bool) -> None:
    random = np.random.default_rng(3)
    schema = {"series_id": pl.String(), "ts": pl.Int64(), "value": pl.Int64()}
    sides = []
    for count in (300, 120):
        keys = random.choice(["a", "b", "c"], count, p=[0.1, 0.8, 0.1])
        rows = pl.DataFrame([keys.tolist(), random.integers(0, 400, count).tolist(), list(range(count))], schema=schema)
        sides.append(rows.unique(["series_id", "ts"], keep="first"))
    left, right = sides[0].vstack(pl.DataFrame([[None, "b"], [5, None], [-1, -2]], schema=schema)), sides[1]
    options = {"direction": direction, "tolerance_us": 9, "allow_exact": allow_exact, "how": "left"}
    expected = asof(left, right, **options)
    tagged = [
        side.select(
            pl.col("series_id").alias("#0"),
            pl.col("ts").alias("#ts"),
            pl.lit(is_right).alias("#is_right"),
            (pl.lit(None, pl.Struct(schema)) if is_right else pl.struct(*schema)).alias("#left"),
            (pl.struct(*schema) if is_right else pl.lit(None, pl.Struct(schema))).alias("#right"),
        ).with_columns(pl.col("#right").struct.rename_fields(["own", "ts_right", "value_right"]))
        for side, is_right in ((left, False), (right, True))
    ]
    stream = pl.concat(tagged).sort("#0", "#ts").to_arrow(compat_level=pl.CompatLevel.oldest()).to_batches(11)
    names = [*schema, "own", "ts_right", "value_right"]
    found = pl.DataFrame(pa.Table.from_batches(joined_rows(stream, ["#0"], names, options))).drop("own")
    assert found.sort("value").equals(expected.sort("value"))
    assert 20 < expected["ts_right"].null_count() < 290
