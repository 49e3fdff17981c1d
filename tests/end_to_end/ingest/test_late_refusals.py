"""A file that is to be refused when rows of it are on their way already: none of its rows is taken, all others are."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from siltstone.formats.portions import Room
from siltstone.ingest import history_task
from siltstone.sources.datalog import Datalog
from siltstone.sources.mortar import Mortar
from support.fleet import NOON, World, record
from support.haltian import file_of, path_of
from support.plant import Plant

HOUR = datetime(2025, 11, 28, 14, tzinfo=UTC)
DEVICE = {"id": "d1", "name": "door", "model": "m", "installationStatus": "new", "createdTs": HOUR}
BAD, GOOD = (f"b/1234567{n}-1234-1234-1234-123456789abc.csv" for n in range(2))


@pytest.fixture
def fails_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four records are a portion, and siltstone fails, as by a defect, at those of a file from its record 8 on."""
    monkeypatch.setattr("siltstone.ingest.reader.Room", lambda size: Room(size, 4))
    for kind, place in ((Datalog, "line"), (Mortar, "first")):
        monkeypatch.setattr(kind, "rows", _failing(kind.rows, place))


def _failing(rows: Any, place: str) -> Any:
    def failing(self: Any, documents: Any, *more: Any) -> Any:
        if any(getattr(document, place) >= 8 for document in documents):
            raise ZeroDivisionError
        return rows(self, documents, *more)

    return failing


@pytest.mark.usefixtures("fails_late")
def test_of_a_wide_table(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.deliver({"BRCB/A/2025121012": [record(NOON + s, "A", "A", x=s) for s in range(12)]})
    world.deliver({"BRCB/B/2025121012": [record(NOON + s, "B", "B", x=s) for s in range(3)]})
    summary = world.compact()
    assert (summary["files_quarantined"], summary["rows_out"], summary["records_in"]) == (1, 3, 3)
    assert pl.scan_delta(str(world.table)).collect()["unitno"].to_list() == ["B"] * 3


@pytest.mark.usefixtures("fails_late")
def test_of_a_table_with_a_key(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    lines = [f"2025-12-10T00:00:{s:02},{s}\n" for s in range(12)]
    plant.deliver("mortar", {BAD: ("datetime,v\n" + "".join(lines)).encode()})
    plant.deliver("mortar", {GOOD: ("datetime,v\n" + "".join(lines[:3])).encode()})
    summary = plant.compact("mortar")
    assert (summary["files_quarantined"], summary["rows_out"], summary["records_in"]) == (1, 3, 3)
    assert plant.frame()["source_file"].unique().str.ends_with(GOOD).to_list() == [True]
    assert plant.problems() == []


def test_of_a_history_where_its_snapshots_are_more_than_memory_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_task, "_MANY_ROWS", 1)
    plant = Plant(tmp_path)
    for hour, name in enumerate(("a", "x" * 2_000_000, "b")):
        path = path_of("device", HOUR + timedelta(hours=hour))
        plant.deliver("haltian", {path: file_of("device", [{**DEVICE, "name": name}])})
    summary = plant.compact("haltian", "engine.memory_mb=1")["device"]
    assert (summary["files_quarantined"], summary["rows_out"]) == (1, 2)
    assert plant.frame("device").sort("valid_from")["name"].to_list() == ["a", "b"]


def test_equal_rows_of_a_snapshot_are_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plants = []
    for name, many in (("few", 10_000), ("many", 1)):
        monkeypatch.setattr(history_task, "_MANY_ROWS", many)
        plant = Plant(tmp_path / name)
        plant.deliver("haltian", {path_of("device", HOUR): file_of("device", [DEVICE, DEVICE, DEVICE])})
        summary = plant.compact("haltian")["device"]
        plants.append((summary["records_in"], summary["rows_out"], summary["duplicates_dropped"]))
    assert plants == [(3, 1, 2), (3, 1, 2)]
