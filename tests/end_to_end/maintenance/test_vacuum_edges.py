"""`siltstone vacuum` of a table of aggregates: the edges of input files that are gone go too, once they are old."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from siltstone.aggregation.finish_tasks import FinishTask
from siltstone.config.load import load_config
from siltstone.maintenance import vacuum as vacuum_module
from siltstone.maintenance.describe import open_table
from siltstone.maintenance.vacuum import vacuum
from support.aggregates import Aggregates, assert_same
from support.fleet import quiet
from support.races import Once, between
from support.readings_table import Readings, reading

PERIOD: dict[str, Any] = {"start": "2025-12-03 00:00", "end": "2025-12-05 12:00"}
HOUR = 3600


@pytest.fixture
def lake(tmp_path: Path) -> Readings:
    found = Readings(str(tmp_path / "lake"))
    found.add([reading("a", f"2025-12-0{day}T{hour}:30", float(day)) for day in range(1, 8) for hour in ("08", "17")])
    return found


@pytest.fixture
def output(lake: Readings, tmp_path: Path) -> Aggregates:
    found = Aggregates(tmp_path / "lake" / "hourly", tmp_path / "lake" / "readings")
    found.run("1h", **PERIOD)
    return found


def edges(output: Aggregates) -> set[str]:
    return {path.name for path in (output.root / "_siltstone" / "edges").rglob("*") if path.is_file()}


def vacuumed(output: Aggregates, hours: int = 1, folder: str = "/edges/") -> list[str]:
    config = load_config([], [f"vacuum.grace_hours={hours}"])
    table = open_table(str(output.root.parent), output.root.name, config.storage)
    return [path for path in vacuum(table, config, quiet, dry_run=False, force=True)["files"] if folder in path]


def later(patch: pytest.MonkeyPatch, output: Aggregates, hours: float) -> None:
    """Let vacuum think that so much time has passed since everything was written."""
    for path in output.root.rglob("*"):
        if path.is_file():
            os.utime(path, (path.stat().st_mtime - hours * HOUR,) * 2)
    real = vacuum_module.datetime

    class Later(real):  # type: ignore[misc, valid-type]
        @classmethod
        def fromisoformat(cls, text: str) -> Any:
            return real.fromisoformat(text) - timedelta(hours=hours)

    patch.setattr(vacuum_module, "datetime", Later)


def as_computed_anew(output: Aggregates, name: str) -> None:
    fresh = output.twin(name)
    fresh.run("1h", **PERIOD)
    assert_same(output.frame(), fresh.frame())


def test_edges_of_files_that_are_gone_go_once_no_recent_run_knew_them(
    lake: Readings, output: Aggregates, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = edges(output)
    assert len(before) == 5  # of the 1st, 2nd, 6th, 7th; and of the afternoon of the 5th, cut off by the period's end
    assert sum("_" in name.removeprefix("data_") for name in before) == 1
    lake.add([reading("a", f"2025-12-0{day}T09:30", 9.0) for day in (2, 5)], replaces=[("2025-12-02", "bldg1")])
    lake.add([reading("a", "2025-12-05T18:30", 8.0)], replaces=[("2025-12-05", "bldg1")])
    output.run("1h", **PERIOD)
    now = edges(output)
    gone = before - {name for name in before if any(name.endswith(path.name) for path in present(lake))}
    assert (len(now), len(gone)) == (7, 2)  # of the 2nd and the 5th as they were
    # a reader, or a run that has begun before, may still need them
    assert vacuumed(output) == []
    with monkeypatch.context() as patch:
        later(patch, output, 2)
        assert {path.rpartition("/")[2] for path in vacuumed(output)} == gone
    assert edges(output) == now - gone
    assert output.run("1h", **PERIOD)["run"] == ""
    daily = Aggregates(output.root.parent / "daily", output.root)
    assert daily.roll_up("1d")["rows"] == 2  # it reads the edges that the newest run of its base has named
    as_computed_anew(output, "fresh")


def test_edges_that_a_rollup_wrote_go_when_it_has_written_others(
    lake: Readings, output: Aggregates, monkeypatch: pytest.MonkeyPatch
) -> None:
    quarter, daily = (Aggregates(output.root.parent / name, output.root) for name in ("six", "daily"))
    quarter.roll_up("6h")
    before = edges(quarter)
    lake.add([reading("a", "2025-12-04T20:00", 3.0)])
    output.run("1h", **PERIOD)
    quarter.roll_up("6h")
    assert (len(before), len(edges(quarter))) == (2, 4)
    (quarter.root / "_siltstone" / "edges" / "of_a_run_that_died.edges").write_bytes(b"x")
    with monkeypatch.context() as patch:
        later(patch, quarter, 2)
        gone = {path.rpartition("/")[2] for path in vacuumed(quarter)}
    assert gone == {*before, "of_a_run_that_died.edges"}
    above = Aggregates(output.root.parent / "above", quarter.root)
    daily.roll_up("1d")
    above.roll_up("1d")
    assert_same(above.frame(), daily.frame())


def present(lake: Readings) -> list[Path]:
    snapshot = lake.table.snapshot()
    assert snapshot is not None
    return [Path(file.path) for file in lake.table.files(snapshot)]


def test_edges_that_are_missing_are_made_again(lake: Readings, output: Aggregates) -> None:
    before = edges(output)
    for path in (output.root / "_siltstone" / "edges").rglob("*.parquet"):
        path.unlink()
    lake.add([reading("a", "2025-12-04T20:00", 3.0)])
    output.run("1h", **PERIOD)
    assert edges(output) == before
    as_computed_anew(output, "fresh")


def test_a_run_whose_own_work_files_a_vacuum_deletes_does_it_again(
    lake: Readings, output: Aggregates, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.add([reading("a", "2025-12-04T20:00", 3.0)])

    def act() -> None:
        for path in (output.root / "_siltstone" / "work").iterdir():
            os.utime(path, (HOUR, HOUR))
        gone.extend(vacuumed(output, 168, "/work/"))

    gone: list[str] = []
    between(monkeypatch, FinishTask, "run", Once(act))
    assert output.run("1h", **PERIOD)["rows_out"] > 0
    assert len(gone) == 4  # states of the new and of the touched buckets, and two lists of keys
    as_computed_anew(output, "fresh")


def test_a_run_under_way_keeps_the_edges_that_it_has_found(
    lake: Readings, output: Aggregates, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.add([reading("a", f"2025-12-0{day}T20:00", 3.0) for day in (1, 4)], replaces=[("2025-12-02", "bldg1")])
    found: list[str] = []

    def act() -> None:
        with monkeypatch.context() as patch:
            later(patch, output, 2)
            for path in (output.root / "_siltstone" / "work").iterdir():
                os.utime(path)  # what the run hands to its own tasks is never so old
            found.extend(vacuumed(output))

    with monkeypatch.context() as patch:
        between(patch, FinishTask, "run", once := Once(act))
        assert output.run("1h", **PERIOD)["rows_out"] > 0
    assert (once.left, found) == (0, [])  # the newest run knows all that was there, and no run what is new
    as_computed_anew(output, "fresh")
