"""siltstone resample: values at the instants of a grid, worked by hand, and the same however the work is cut."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from siltstone.cli.main import main
from siltstone.derived import resample
from siltstone.timeseries.buckets import buckets_of
from siltstone.timeseries.fill import fill, grid
from siltstone.timeseries.points import GOOD, Points
from support.commands import run_tasks_here
from support.fleet import World, record
from support.readings_table import Readings, Row, reading

RULES = """
measurements:
  - match: {measurement: temp}
    kind: linear
    max_gap: 20m
    max_hold: 10m
  - match: {measurement: flow}
    kind: next
  - match: {measurement: batt}
    kind: bucketed
    sentinels: [-1]
"""


@pytest.fixture(autouse=True)
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    run_tasks_here(monkeypatch)


def lake_of(root: Path, *days: Sequence[Row]) -> str:
    """The table LAKE/readings, a file for each date of each delivery."""
    for rows in days:
        Readings(str(root / "lake")).add(rows)
    return str(root / "lake" / "readings")


def run(source: str, out: Path, *args: str) -> dict[str, list[Any]]:
    """The values of each series at its instants, as the command line gives them; None where nothing is known."""
    assert main(["resample", source, str(out), "--engine", "local", "--debug", *args]) == 0
    return values(out)


def values(out: Path) -> dict[str, list[Any]]:
    found = pl.scan_delta(str(out)).collect().sort("series_id", "ts")
    told = found.with_columns(pl.coalesce(pl.col("text"), pl.col("value").cast(pl.String())).alias("told"))
    assert (told["told"].is_not_null() == told["known"]).all()
    return {
        str(series): [text if text is None or text.isalpha() else float(text) for text in part["told"].to_list()]
        for (series,), part in told.partition_by("series_id", as_dict=True).items()
    }


def test_each_series_is_read_as_its_rule_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    day = "2015-01-01T00:"
    source = lake_of(
        tmp_path,
        [
            *(reading("door", f"{day}{m}", v) for m, v in (("01", 1.0), ("12", 2.0))),
            *(reading("temp", f"{day}{m}", v) for m, v in (("00", 0.0), ("10", 10.0), ("35", 20.0))),
            *(reading("flow", f"{day}{m}", v) for m, v in (("02", 5.0), ("11", 6.0))),
            *(reading("batt", f"{day}{m}", v) for m, v in (("05", 7.0), ("10", -1.0), ("12", 8.0))),
            reading("mood", f"{day}03", None, text="calm", kind="string"),
            reading("mood", f"{day}17", None, text="wild", kind="string"),
        ],
    )
    (tmp_path / "rules.yaml").write_text(RULES)
    out = tmp_path / "out"
    found = run(source, out, "--every", "5m", "--measurements", str(tmp_path / "rules.yaml"), "--json")
    # instants 00:00 to 00:35, where the table's latest reading is; each series from its first point on
    assert found == {
        "door": [1, 1, 2, 2, 2, 2, 2],  # 05 10 15 ..., held
        # 00 05 10: the line; no line over 25 minutes, but 10 held for 10 minutes: 15, 20; the point at 35
        "temp": [0, 5, 10, 10, 10, None, None, 20],
        "flow": [6, 6, None, None, None, None, None],  # 05 and 10 belong to the point at 11
        "batt": [7, None, None, None, None, None, None],  # at its own time alone; -1 is none
        "mood": ["calm", "calm", "calm", "wild", "wild", "wild", "wild"],
    }
    rows = pl.scan_delta(str(out)).collect()
    assert rows.columns == [
        *("ts", "series_id", "date", "site", "source", "device_id", "measurement", "value", "text", "known")
    ]
    first = rows.filter(pl.col("series_id") == "door").sort("ts").row(0, named=True)
    assert first["ts"] == datetime(2015, 1, 1, 0, 5, tzinfo=UTC)
    assert (first["site"], first["source"], first["device_id"]) == ("bldg1", "mortar", "urn:bldg1/door")
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["rows_in"], told["points"], told["rows_out"], told["repeated"]) == (12, 12, 36, 0)


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        # points at 00:02 (1), 00:12 (3, bad), 00:22 (5), 00:32 (6); instants 00:10 20 30
        (["--fill", "previous"], [1, None, 5]),
        (["--fill", "nearest"], [None, 5, 6]),  # 10 and 20 are 2 minutes off 12 and 22
        (["--fill", "linear"], [1, None, pytest.approx(5.8)]),  # 30: 0.8 of the way from 22 to 32
        (["--fill", "previous", "--limit", "5m"], [None, None, None]),
        (["--fill", "previous", "--limit", "8m"], [1, None, 5]),
        (["--fill", "linear", "--limit", "9m"], [1, None, 5]),  # no line over 10 minutes, but held for 8
    ],
)
def test_a_fill_and_its_limit_can_be_asked_for(tmp_path: Path, args: list[str], expected: list[Any]) -> None:
    points = [("00:02", 1.0, "good"), ("00:12", 3.0, "bad"), ("00:22", 5.0, "good"), ("00:32", 6.0, "good")]
    source = lake_of(tmp_path, [reading("temp", f"2015-01-01T{t}", v, quality=q) for t, v, q in points])
    assert run(source, tmp_path / "out", "--every", "10m", *args) == {"temp": expected}


def test_the_value_in_force_is_found_however_long_ago_and_later_points_count_too(tmp_path: Path) -> None:
    source = lake_of(
        tmp_path,
        [reading("door", "2015-01-01T08:00", 1.0), reading("temp", "2015-01-03T00:00", 0.0)],
        [reading("temp", "2015-01-04T00:00", 24.0), reading("wind", "2015-01-09T00:00", 3.0)],
    )
    (tmp_path / "rules.yaml").write_text("measurements: [{match: {measurement: temp}, kind: linear}]")
    args = ["--every", "6h", "--from", "2015-01-03T06:00:00Z", "--to", "2015-01-03T19:00:00Z"]
    found = run(source, tmp_path / "out", *args, "--measurements", str(tmp_path / "rules.yaml"))
    # 06:00, 12:00, 18:00 between files that are all outside; wind comes later, nothing is known of it
    assert found == {"door": [1, 1, 1], "temp": [6, 12, 18], "wind": [None, None, None]}


@pytest.mark.parametrize("how", ["previous", "linear", "nearest"])
def test_cut_into_windows_the_values_are_those_of_all_points_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: Any
) -> None:
    random = np.random.default_rng(7)
    start = datetime(2015, 1, 1)
    minutes = {f"s{n}": np.sort(random.choice(6 * 1440, 12, replace=False)) for n in range(5)}
    rows = [
        reading(series, (start + timedelta(minutes=int(m))).isoformat(), float(m % 97))
        for series, own in minutes.items()
        for m in own
    ]
    source = lake_of(tmp_path, rows)
    monkeypatch.setattr(resample, "_TASK_ROWS", 1)  # a window for each date
    monkeypatch.setattr("siltstone.derived.resample_tasks._FILLED_AT_ONCE", 7)
    monkeypatch.setattr("siltstone.derived.resample_tasks._HELD_ROWS", 50)
    found = run(source, tmp_path / "out", "--every", "90m", "--fill", how)
    latest = max(int(own[-1]) for own in minutes.values())
    us = int(start.replace(tzinfo=UTC).timestamp()) * 1_000_000
    for series, own in minutes.items():
        points = Points(np.array([0, 12]), us + own * 60_000_000, (own % 97).astype(float), np.full(12, GOOD, np.int8))
        at = grid(points, buckets_of("90m"), last_us=us + latest * 60_000_000)
        assert found[series] == fill(points, at, how).value.tolist()


def test_columns_of_a_wide_table_are_series_each_with_its_own_last_value(world: World) -> None:
    minute = 60
    world.deliver(
        {
            "BRCB/SLS30I009/2025121004": [record(speed=10.0, gear=1), record(1_765_339_200 + 6 * minute, speed=20.0)],
            "BRCB/SLS30I009/2025121204": [record(1_765_339_200 + 2 * 86_400, speed=30.0)],
        }
    )
    world.compact()
    args = [
        "--every",
        "5m",
        "--columns",
        "speed,gear",
        "--from",
        "2025-12-10T04:00:00Z",
        "--to",
        "2025-12-10T04:15:00Z",
    ]
    found = run(str(world.table), world.root / "first", *args)
    assert found == {"LD772/speed": [10, 10, 20], "LD772/gear": [1, 1, 1]}
    later = ["--every", "1d", "--columns", "speed,gear", "--from", "2025-12-12", "--to", "2025-12-13"]
    # both were last set two days before, in rows of their own
    assert run(str(world.table), world.root / "second", *later) == {"LD772/speed": [20], "LD772/gear": [1]}


def test_a_second_run_does_nothing_new_rows_make_it_anew_and_other_terms_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = lake_of(tmp_path, [reading("door", "2015-01-01T00:00", 1.0)]), tmp_path / "out"
    assert run(source, out, "--every", "1h") == {"door": [1]}
    run(source, out, "--every", "1h")
    assert "nothing to do" in capsys.readouterr().out
    lake_of(tmp_path, [reading("door", "2015-01-01T01:30", 2.0)])
    assert run(source, out, "--every", "1h") == {"door": [1, 1]}
    assert main(["resample", source, str(out), "--every", "2h", "--engine", "local"]) == 2
    assert "was made with other terms: every" in capsys.readouterr().err
    hourly = str(tmp_path / "hourly")
    assert main(["aggregate", source, hourly, "--every", "1h", "--engine", "local"]) == 0
    assert main(["resample", source, hourly, "--every", "1h", "--engine", "local"]) == 2
    assert "is no table that siltstone resample has made" in capsys.readouterr().err
    assert main(["resample", source, str(tmp_path / "x"), "--every", "1h", "--limit", "soon"]) == 2
    assert "--limit 'soon' is no length of time. Give one such as 90s" in capsys.readouterr().err
