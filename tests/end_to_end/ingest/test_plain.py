"""Tables of plain Parquet files: the same rows, the same protocol, and no reader of the folder sees what is not
committed."""

import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from siltstone.cli import main as cli
from siltstone.errors import StorageError, UnknownOutcomeError, UsageError
from siltstone.model.contracts import DATALOG
from siltstone.storage import Storage
from siltstone.table.parquet_table import PlainTable
from support.fleet import NOON, World, record
from support.races import between, together

PLAIN = "compaction.format=parquet"
ONE, TWO, THREE = (f"BRCB/DEV{n}/2025121012" for n in (1, 2, 3))


def read(world: World) -> pl.DataFrame:
    """The folder as anybody reads it."""
    frame = pl.read_parquet(f"{world.table}/**/*.parquet", hive_partitioning=True, missing_columns="insert")
    return frame.sort("ts", "unitno")


def rows(world: World, *columns: str) -> list[tuple[Any, ...]]:
    return read(world).select(columns).rows()


def table_of(world: World) -> PlainTable:
    return PlainTable(Storage(os.path.realpath(world.table)), DATALOG)


def test_the_folder_holds_the_same_rows_as_a_delta_table(world: World, tmp_path: Path) -> None:
    tree = {
        ONE: [record(NOON, a=1), record(NOON + 86_400, a=2), "{"],
        "BRCG/DEV2/2025121012": [record(NOON + 1, b="x", a="no number"), record(NOON + 2)],
    }
    world.deliver(tree)
    summary = world.compact(PLAIN)
    assert (summary["rows_out"], summary["files_written"], summary["records_quarantined"]) == (4, 3, 1)
    twin = World(tmp_path / "twin")
    twin.deliver(tree)
    twin.compact()
    names = ["ts", "unitno", "deviceid", "heartbeat", "a", "b", "_rescued"]
    expected = pl.read_delta(str(twin.table)).sort("ts", "unitno")
    assert_frame_equal(read(world).select(names), expected.select(names))
    assert read(world)["hiveperiod"].to_list() == expected["hiveperiod"].to_list()
    assert not (world.table / "_delta_log").exists()
    assert [p for p in world.files() if "staged" in p] == []


def test_later_runs_add_settle_and_supersede_without_being_told_the_format(world: World) -> None:
    world.deliver({ONE: [record(NOON, a=1)]})
    world.compact(PLAIN, "optimize.after_compact=false")
    world.deliver({TWO: [record(NOON + 1, b=1)]})
    world.compact("optimize.after_compact=false")
    world.deliver({ONE: [record(NOON, a=2), record(NOON + 2, a=3)]})
    summary = world.compact()
    assert (summary["rows_superseded"], summary["rows_out"]) == (1, 2)
    # two files of the day, then the replaced one: one file after settling
    assert (summary["settled"]["files_removed"], summary["settled"]["files_written"]) == (2, 1)
    assert rows(world, "heartbeat", "a", "b") == [(NOON, 2.0, None), (NOON + 1, None, 1.0), (NOON + 2, 3.0, None)]
    assert len([p for p in world.files() if p.endswith(".parquet")]) == 1
    assert world.compact()["run"] == ""


def test_a_reader_of_the_folder_sees_nothing_before_the_commit(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.deliver({ONE: [record(NOON)]})
    seen: list[list[str]] = []
    between(
        monkeypatch, PlainTable, "_append", lambda: seen.append(sorted(p.name for p in world.table.rglob("*data_*")))
    )
    world.compact(PLAIN)
    ((staged,),) = seen
    assert staged.startswith("_data_")
    assert staged.endswith(".parquet.staged")
    assert rows(world, "heartbeat") == [(NOON,)]


def test_the_next_run_publishes_what_a_dead_run_has_committed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.deliver({ONE: [record(NOON, a=1)]})

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(PlainTable, "_publish", die)
        table_of(world).create()
        with pytest.raises(KeyboardInterrupt):
            world.compact()
    world.compact(PLAIN)
    with monkeypatch.context() as patch:
        world.deliver({ONE: [record(NOON, a=2)]})
        real = PlainTable._publish
        patch.setattr(PlainTable, "_publish", lambda table, version: real(table, version) if version < 3 else die())
        with pytest.raises(KeyboardInterrupt):
            world.compact()
    assert rows(world, "heartbeat", "a") == [(NOON, 1.0)]  # committed, not yet published
    summary = world.compact()
    assert (summary["run"], summary["files_skipped"]) == ("", 1)
    assert rows(world, "heartbeat", "a") == [(NOON, 2.0)]


def test_runs_at_once_take_every_record_once(world: World) -> None:
    world.deliver({ONE: [record(NOON, a=1)], TWO: [record(NOON, b=2)], THREE: [record(NOON + 86_400, c=3)]})
    summaries = together(*[lambda: world.compact(PLAIN)] * 3)
    assert sorted(s["rows_out"] for s in summaries) == [0, 0, 3]
    assert sorted(rows(world, "a", "b", "c"), key=str) == [(1.0, None, None), (None, 2.0, None), (None, None, 3.0)]


@pytest.mark.parametrize("is_put", [True, False])
def test_an_answer_lost_at_the_commit_is_looked_up(world: World, monkeypatch: pytest.MonkeyPatch, is_put: bool) -> None:
    real = Storage.put

    def put(storage: Storage, path: str, data: bytes) -> bool:
        if path.endswith(f"{2:020d}.json"):
            if is_put:
                real(storage, path, data)
            raise StorageError("connection reset", "Try again.")
        return real(storage, path, data)

    world.deliver({ONE: [record(NOON, a=1)]})  # versions: 0 creation, 1 columns, 2 data
    with monkeypatch.context() as patch:
        patch.setattr(Storage, "put", put)
        if is_put:
            assert world.compact(PLAIN)["rows_out"] == 1
        else:
            with pytest.raises(StorageError, match="connection reset"):
                world.compact(PLAIN)
    assert world.compact(PLAIN)["rows_out"] == (0 if is_put else 1)
    assert rows(world, "heartbeat", "a") == [(NOON, 1.0)]


def test_a_commit_without_an_answer_and_without_a_log_is_unknown(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(storage: Storage, path: str, *_: Any) -> Any:
        raise StorageError("connection reset", "Try again.")

    table = table_of(world)
    table.create()
    snapshot = table.snapshot()
    assert snapshot is not None
    monkeypatch.setattr(Storage, "put", fail)
    monkeypatch.setattr(Storage, "read", fail)
    with pytest.raises(UnknownOutcomeError, match="Nothing was deleted"):
        table.add_columns([], snapshot)


def test_the_log_is_read_from_its_newest_checkpoint(world: World) -> None:
    table = table_of(world)
    table.create()
    for _ in range(51):
        snapshot = table.snapshot()
        assert snapshot is not None
        table.add_columns([], snapshot)
    log = world.table / "_siltstone/log"
    assert (log / f"{50:020d}.checkpoint").exists()
    for version in range(50):
        (log / f"{version:020d}.json").unlink()
    assert (table.snapshot() or snapshot).version == 51


def test_the_format_of_a_table_stays(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.deliver({ONE: [record(NOON)]})
    world.compact()
    with pytest.raises(UsageError, match=r"is a delta table, not parquet.*Leave --format out"):
        world.compact(PLAIN)
    assert cli.main(["compact", "datalog", str(world.input), str(world.lake), "--format", "parquet"]) == 2
    assert "is a delta table" in capsys.readouterr().err
