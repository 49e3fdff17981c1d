"""A vacuum between the last check of a run and its commit: the run is refused, and writes again what may be gone."""

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from polars.testing import assert_frame_equal

from siltstone.ingest import table_run
from siltstone.maintenance import vacuum as vacuum_module
from siltstone.storage import Storage
from siltstone.table.parquet_table import PlainTable
from support.fleet import MIDNIGHT, NOON, World, every_kind, record
from support.races import Once, between, together
from support.rounds import rounds

PUTS: dict[str, tuple[Any, str]] = {
    "delta": (DeltaTable, "create_write_transaction"),
    "parquet": (PlainTable, "_append"),
}
"""The last call before the log of each kind of table is written to."""
ONE, TWO = "BRCB/DEV1/2025121012", "BRCG/DEV2/2025121012"
ONE_LATER, TWO_LATER = f"{ONE[:-2]}13", f"{TWO[:-2]}13"
HERE = "optimize.closed_after_hours=0"


@pytest.fixture(params=PUTS)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def stopped(patch: pytest.MonkeyPatch, kind: str, act: Callable[[], Any], times: int = 1) -> Once:
    """Let `act` happen while a run is stopped after its last check, right before it puts its commit into the log."""
    once = Once(act, times)
    between(patch, *PUTS[kind], once)
    return once


def weeks_pass(world: World) -> list[str]:
    """All files of the lake are old, and a vacuum comes; what it deletes."""
    world.age(1000)
    return world.vacuum()


def leftovers(world: World, count: int = 1) -> None:
    """Old files of runs that died, so that a vacuum has something to delete."""
    for number in range(count):
        path = world.table / f"_siltstone/plans/{number}"
        path.parent.mkdir(exist_ok=True)
        path.write_text("of a run that died")
        os.utime(path, (NOON, NOON))


def sources_read(patch: pytest.MonkeyPatch, world: World) -> list[str]:
    """Fills with the source files as they are read, by their place."""
    found: list[str] = []
    real, root = Storage.read, f"{world.input.resolve()}/"

    def noted(storage: Storage, path: str) -> Any:
        if (uri := storage.uri(path)).startswith(root):
            found.append(uri.removeprefix(root).rpartition("/")[0])
        return real(storage, path)

    patch.setattr(Storage, "read", noted)
    return found


def test_a_run_that_sleeps_through_a_vacuum_reads_again(
    world: World, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    world.deliver({ONE: [record(NOON, a=1), record(NOON + 1, a=2)], TWO: [record(NOON, a=3)]})
    world.compact(f"compaction.format={kind}")
    world.deliver({ONE: [record(NOON, a=4), "{"], ONE_LATER: [record(NOON + 3600, a=5), "["]})
    gone: list[str] = []
    with monkeypatch.context() as patch:
        once = stopped(patch, kind, lambda: gone.extend(weeks_pass(world)), times=2)
        summary = world.compact()
    # its data file and its refused lines, and its manifest
    data = "parquet" if kind == "delta" else "staged"
    assert (once.left, sorted(name.rpartition(".")[2] for name in gone)) == (
        0,
        sorted([data, "manifest", "quarantine"] * 2),
    )
    assert (summary["rows_superseded"], summary["rows_out"], summary["records_quarantined"]) == (2, 2, 2)
    assert world.verify()["problems"] == []
    assert kind == "parquet" or len(world.quarantine()) == 2
    assert world.compact()["files_skipped"] == 3


def test_an_optimize_that_sleeps_through_a_vacuum_merges_again(
    world: World, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    for n in range(3):
        world.deliver({f"BRCB/DEV1/2025121{n}12": [record(NOON + n)]})
        world.compact("optimize.after_compact=false", f"compaction.format={kind}")
    with monkeypatch.context() as patch:
        once = stopped(patch, kind, lambda: weeks_pass(world))
        assert world.settle(HERE)["files_removed"] == 3
    assert once.left == 0
    assert world.verify()["problems"] == []
    assert world.settle(HERE)["files_removed"] == 0


def test_a_run_that_takes_longer_than_many_vacuums_reads_each_file_once(
    world: World, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    world.deliver({ONE: [record(NOON, a=1)]})
    deleted: list[str] = []

    def act() -> None:
        leftovers(world)
        deleted.extend(world.vacuum())

    once = stopped(monkeypatch, kind, act, times=8)  # six commits of other runs would end it
    read = sources_read(monkeypatch, world)
    assert world.compact(f"compaction.format={kind}")["rows_out"] == 1
    assert (once.left, deleted) == (0, ["0"] * 8)
    assert read == [ONE, ONE]  # once by the survey, once by the task
    assert world.verify()["problems"] == []


def test_only_what_is_older_than_the_horizon_is_read_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.deliver({ONE: [record(NOON, a=1)], TWO: [record(NOON, a=2)]})
    world.compact()
    world.deliver({ONE_LATER: [record(NOON, a=3)], TWO_LATER: [record(NOON, a=4)]})
    vacuums: list[list[str]] = []

    def act() -> None:
        leftovers(world)
        for path in world.table.glob("*/dstrct_code=BRCG/data_*"):
            os.utime(path, (NOON, NOON))
        with monkeypatch.context() as patch:
            patch.setattr(Storage, "delete", lambda *_, **__: None)  # the vacuum is stopped before it deletes
            vacuums.append(world.vacuum())

    stopped(monkeypatch, "delta", act)
    read = sources_read(monkeypatch, world)
    assert world.compact()["rows_out"] == 2
    assert sorted(read) == [ONE_LATER, TWO_LATER, TWO_LATER]
    for path in [p for p in world.table.rglob("data_*") if p.name in vacuums[0]]:
        path.unlink()  # now it goes on
    assert world.rows("a") == [(1.0,), (2.0,), (3.0,), (4.0,)]
    assert world.verify()["problems"] == []


def test_a_file_that_is_gone_before_the_commit_is_written_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def act() -> None:
        for path in world.table.rglob("data_*"):
            path.unlink()

    world.deliver({ONE: [record(NOON, a=1)]})
    between(monkeypatch, table_run, "check_footers", Once(act))
    assert world.compact()["rows_out"] == 1
    assert world.rows("a") == [(1.0,)]


def test_a_file_that_a_vacuum_deletes_before_the_check_is_written_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.deliver({ONE: [record(NOON, a=1)]})
    between(monkeypatch, table_run, "check_footers", Once(lambda: weeks_pass(world), times=8))
    assert world.compact()["rows_out"] == 1
    assert world.rows("a") == [(1.0,)]


def test_a_host_with_a_clock_ahead_deletes_no_young_file(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.deliver({ONE: [record(NOON, a=1)]})
    gone: list[list[str]] = []
    real = vacuum_module.datetime

    class Ahead(real):  # type: ignore[misc, valid-type]
        @classmethod
        def now(cls, zone: Any = None) -> Any:
            return real.now(zone) + timedelta(days=8)

    def act() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(vacuum_module, "datetime", Ahead)
            patch.setattr(vacuum_module.time, "time", lambda: MIDNIGHT * 2.0)
            gone.append(world.vacuum())

    once = stopped(monkeypatch, "delta", act)
    assert world.compact()["rows_out"] == 1
    assert (once.left, gone) == (0, [[]])
    assert world.version() == 2  # created, one new column, one run: a vacuum that deletes nothing commits nothing


def test_a_fence_leaves_the_newest_run_what_it_is(world: World, kind: str) -> None:
    world.deliver({ONE: [record(NOON, a=1)]})
    run = world.compact(f"compaction.format={kind}")["run"]
    leftovers(world, 2)
    assert world.vacuum(dry_run=True) == ["0", "1"]
    assert world.vacuum() == ["0", "1"]
    world.deliver({TWO: [record(NOON, a=2)]})
    later = world.compact()
    assert (run[:8], later["run"][:8], later["files_skipped"]) == ("00000001", "00000002", 1)
    assert world.verify()["problems"] == []


@pytest.mark.part("races")
@pytest.mark.parametrize("number", rounds(1))
def test_vacuums_without_grace_beside_a_run_harm_nothing(world: World, number: int, kind: str) -> None:
    world.deliver({f"BRCB/DEV1/20251210{12 + hour}": [record(NOON + 3600 * hour, n=hour)] for hour in range(3)})
    world.compact(f"compaction.format={kind}", "optimize.after_compact=false")
    world.deliver({f"BRCB/DEV1/20251210{12 + hour}": [record(NOON + 3600 * hour, n=hour + 10)] for hour in range(2, 5)})

    def vacuums() -> None:
        for _ in range(5 + number % 5):
            world.vacuum("vacuum.grace_hours=0", force=True)

    together(world.compact, vacuums)
    assert world.compact()["rows_out"] in (0, 3)
    assert world.verify()["problems"] == []
    if kind == "delta":
        assert world.rows("n") == [(0.0,), (1.0,), (12.0,), (13.0,), (14.0,)]


def test_the_table_is_the_same_with_and_without_a_vacuum_in_between(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = World(tmp_path / "undisturbed")
    for one in (undisturbed, world):
        one.deliver(every_kind())
    undisturbed.compact()
    stopped(monkeypatch, "delta", lambda: weeks_pass(world), times=2)
    world.compact()
    assert_frame_equal(world.frame(), undisturbed.frame())
