"""The rig's aggregates: their inputs are what they say, their truth is right, and its check sees what is wrong."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parent / "bench"))

import aggregate_late
import check_aggregates
from aggregate_readings import HOUR_US, Spec, made
from aggregate_tables import write_readings, write_wide
from aggregate_truth import START_US, Sums, counted, load_sums, problems_of, save_sums
from aggregate_wide import WideSpec, made_units, seconds_of

MINUTE = 60_000_000
SMALL = Spec("small", series=20, readings=300, span_s=86_400 * 16, gaps=True)


def test_the_truth_of_two_series_is_that_worked_by_hand() -> None:
    # a: 8 from 0:10 to 0:40, 16 from then to 3:30; hours 1 and 2 have no reading and no row; 24 to the latest, 3:50.
    # b: 4 from 3:20 to its last reading at 3:50, the latest of all, which holds for no time.
    ts = START_US + np.array([10, 40, 210, 200, 230]) * MINUTE
    sums = counted(["a", "b"], np.array([0, 3, 5]), ts, np.array([8, 16, 24, 4, 4]) * 8, HOUR_US)
    assert sums.rows.tolist() == [2, 1]
    # a: hour 0 knows 50 minutes; hour 3 knows 30 carried in, and 20.
    assert sums.covered_s.tolist() == [60 * (50 + 50), 60 * 30]
    first, last = 60 * (8 * 30 + 16 * 20), 60 * (16 * 30 + 24 * 20)
    assert sums.integral.tolist() == [first + last, 60 * 4 * 30]
    assert sums.moment.tolist() == [3 * last, 3 * 60 * 4 * 30]


def test_readings_are_irregular_hold_whole_eighths_and_some_series_fall_silent() -> None:
    readings = made(replace(SMALL, readings=3_000))
    ts = readings.ts.reshape(20, 3_000)
    between = np.diff(ts, axis=1)
    assert between.min() > 0
    assert len(np.unique(between[1])) > 1_500
    assert [int((row > 3 * HOUR_US).sum()) for row in between[:11]] == [6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6]
    assert ts.min() > START_US
    assert ts.max() < START_US + 17 * 24 * HOUR_US
    assert (readings.eighths.min() >= 0, readings.eighths.max() <= 800) == (True, True)
    assert readings.series_ids == sorted(readings.series_ids)
    assert SMALL.scaled(0.25).series == 5
    assert Spec("hot", 1, 1_000, span_s=100).scaled(0.1) == Spec("hot-0.1", 1, 100, span_s=10)


def test_a_lake_of_readings_holds_them_sorted_and_a_late_file_changes_its_truth(tmp_path: Path) -> None:
    write_readings(tmp_path, SMALL)
    table = tmp_path / "input" / "readings"
    rows = pl.scan_delta(str(table)).collect()
    assert rows.height == 6_000
    files = sorted(table.glob("date=*/site=plant/*.parquet"))
    assert len(files) == 17
    first = pl.read_parquet(files[0], hive_partitioning=False)
    assert first.equals(first.sort("series_id", "ts"))
    made_ts = pl.Series(made(SMALL).ts).cast(pl.Datetime("us", "UTC"))
    assert rows.sort("series_id", "ts")["ts"].equals(made_ts, check_names=False)
    aggregate_late.add_late(tmp_path / "input", SMALL)
    assert pl.scan_delta(str(table)).collect().height == 6_000 + 400
    before, after = load_sums(tmp_path / "truth.parquet"), load_sums(tmp_path / "input" / "truth.parquet")
    assert (before.integral != after.integral).sum() == 10
    assert load_sums(tmp_path / "truth.parquet", first=3).series_id == before.series_id[:3]


def test_a_wide_table_has_gaps_cells_without_values_and_a_truth_for_each_column(tmp_path: Path) -> None:
    spec = WideSpec("wide", units=6, hours=3, columns=4)
    assert seconds_of(spec, 5)[3_599:3_601].tolist() == [3_599, 9_000]
    write_wide(tmp_path, spec)
    rows = pl.scan_delta(str(tmp_path / "input" / "datalog")).collect()
    assert rows.height == spec.rows == 6 * 3 * 3_600
    assert rows["dstrct_code"].unique().sort().to_list() == ["north", "south"]
    assert rows["hiveperiod"].n_unique() == 2
    assert rows["sensor_00"].null_count() == rows["sensor_02"].null_count() == 0
    assert 0 < rows["sensor_01"].null_count() < rows.height / 20 < rows["sensor_03"].null_count()
    unit = made_units(spec)[5]
    own = rows.filter(pl.col("unitno") == unit.name).sort("ts")
    assert own["sensor_00"].to_list() == (unit.eighths[:, 0] / 8).tolist()
    truth = load_sums(tmp_path / "truth.parquet")
    assert truth.series_id[-4:] == [f"unit-005/sensor_0{n}" for n in range(4)]
    # From 22:00 on an hour, then silent until 00:30, then two hours, to the latest reading: rows of 22, 0, 1 and 2 h.
    assert truth.rows[-4] == 4
    assert truth.covered_s[-4] == 3_600 + 3_600 + 3_600 + 1_800 - 1


@pytest.fixture
def right(tmp_path: Path) -> tuple[Path, Path]:
    """A result with two rows of one series, and its truth."""
    starts = [START_US, START_US + 2 * HOUR_US]
    rows = pl.DataFrame({"series_id": "a", "bucket_start": starts, "time_weighted_average": [2.0, 5.0]})
    rows = rows.with_columns(pl.from_epoch("bucket_start", "us").dt.replace_time_zone("UTC"), covered_s=3_600.0)
    out, truth = tmp_path / "out", tmp_path / "truth.parquet"
    out.mkdir()
    rows.write_parquet(out / "hours.parquet")
    one = [np.array([float(n)]) for n in (7_200, 3_600 * 7, 3_600 * 10)]
    save_sums(truth, Sums(["a"], np.array([2]), *one))
    return out, truth


def test_the_check_sees_a_wrong_average_a_row_in_another_place_and_a_lost_one(
    right: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, truth = right
    file = out / "hours.parquet"
    rows = pl.read_parquet(file)

    def problems(changed: pl.DataFrame) -> list[str]:
        changed.write_parquet(file)
        monkeypatch.setattr(sys, "argv", ["check", str(out), str(truth)])
        check_aggregates.main()
        return json.loads(capsys.readouterr().out)["problems"]

    assert problems(rows) == []
    off = problems(rows.with_columns(pl.col("time_weighted_average") * (1 + 1e-8)))
    assert [p.split(", ")[0] for p in off] == [f"1 series have another sum of {n}" for n in ("integral", "moment")]
    swapped = problems(rows.with_columns(pl.col("time_weighted_average").reverse()))
    assert [p.split(", ")[0] for p in swapped] == ["1 series have another sum of moment"]
    assert "1 series have another sum of rows, such as a: 1 instead of 2" in problems(rows.head(1))
    assert problems(rows.head(0)) == ["0 series, and not the 1 that there are"]
    assert problems_of(load_sums(truth), load_sums(truth)) == []
