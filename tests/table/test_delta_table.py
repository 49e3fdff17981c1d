"""Commits that meet fences, and logs that are cleaned up meanwhile; tables of plain Parquet files do the same."""

from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from siltstone.model.contracts import DATALOG, Column
from siltstone.model.run_header import RunHeader
from siltstone.storage import open_root
from siltstone.table import delta_table
from siltstone.table import ledger as ledgers
from siltstone.table.delta_table import Change, Snapshot, Table
from siltstone.table.ledger import Head
from siltstone.table.parquet_table import PlainTable
from siltstone.table.refusals import Fenced, Refused
from support.races import Once, between, raising


@pytest.fixture(params=[Table, PlainTable])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Table:
    made: Table = request.param(open_root(str(tmp_path / "table")), DATALOG, writes=True)
    made.create()
    return made


@pytest.fixture
def delta(tmp_path: Path) -> Table:
    made = Table(open_root(str(tmp_path / "table")), DATALOG, writes=True)
    made.create()
    return made


def newest(table: Table) -> Snapshot:
    table.recover()
    snapshot = table.snapshot()
    assert snapshot is not None
    return snapshot


def commit(table: Table, planned: Snapshot) -> Head:
    """A run that brings nothing; its head."""
    head = Head.after(planned.head)
    header = RunHeader(kind="compact", committed="2025-12-10T00:00:00+00:00")
    ledgers.write_manifest(table.storage, head, ledgers.load(table.storage, planned.head), header, [], "datalog")
    table.commit(Change(head, [], {}), planned)
    return head


def test_a_fence_refuses_who_planned_before_it_and_leaves_the_head(table: Table) -> None:
    head = commit(table, newest(table))
    planned = newest(table)
    table.fence(1_000, planned)
    fenced = newest(table)
    assert (fenced.head, fenced.fence, fenced.version) == (head, 1_000, planned.version + 1)
    with pytest.raises(Fenced):
        commit(table, planned)
    commit(table, fenced)
    with pytest.raises(Refused) as refusal:
        commit(table, fenced)
    assert type(refusal.value) is Refused  # a run came first, no vacuum
    table.fence(2_000, newest(table))
    with pytest.raises(Refused) as refusal:
        commit(table, planned)
    assert type(refusal.value) is Refused  # not only vacuums


def test_each_fence_is_higher_than_those_before_it(table: Table) -> None:
    for horizon_us, expected in ((5_000, 5_000), (3_000, 5_001), (5_001, 5_002), (9_000, 9_000)):
        table.fence(horizon_us, newest(table))
        assert newest(table).fence == expected


def test_a_fence_that_is_overtaken_is_none(table: Table) -> None:
    planned = newest(table)
    commit(table, planned)
    with pytest.raises(Refused):
        table.fence(1_000, planned)
    table.fence(1_000, newest(table))
    with pytest.raises(Refused):  # the same fence stands in the log by now, but a run came before it
        table.fence(1_000, planned)


def test_a_fence_of_a_plain_table_outlasts_a_checkpoint(tmp_path: Path) -> None:
    table = PlainTable(open_root(str(tmp_path / "table")), DATALOG, writes=True)
    table.create()
    table.fence(7_000, newest(table))
    for number in range(49):
        table.add_columns([Column(f"c{number}", "double", f"c{number}")], newest(table))
    log = tmp_path / "table/_siltstone/log"
    assert (newest(table).version, newest(table).fence) == (50, 7_000)
    assert [path.name for path in log.glob("*.checkpoint")] == [f"{50:020d}.checkpoint"]
    assert [path.name for path in log.glob("*.fence")] == [f"{7_000:020d}.fence"]


def clean_up_log(table: Table, planned: Snapshot) -> None:
    """Other runs commit, a checkpoint is made, and the log before it is deleted."""
    for _ in range(3):
        commit(table, newest(table))
    DeltaTable(table.storage.root).create_checkpoint()
    for version in range(newest(table).version):
        Path(f"{table.storage.root}/_delta_log/{version:020d}.json").unlink()


def test_a_commit_that_sleeps_until_the_log_is_cleaned_up_is_refused(
    delta: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned, entry = newest(delta), Path(f"{delta.storage.root}/_delta_log/{1:020d}.json")
    real = DeltaTable.create_write_transaction

    def sleeping(*_: Any, **__: Any) -> None:
        monkeypatch.setattr(DeltaTable, "create_write_transaction", real)
        clean_up_log(delta, planned)
        entry.write_text("{}")  # the put that slept creates what has been deleted
        monkeypatch.setattr(delta_table, "_SLEPT_SECONDS", 0)

    monkeypatch.setattr(DeltaTable, "create_write_transaction", sleeping)
    with pytest.raises(Refused, match="the log was cleaned up before version 1 was committed"):
        commit(delta, planned)
    assert newest(delta).version == 3
    commit(delta, newest(delta))


def test_a_commit_without_an_answer_is_found_after_the_log_was_cleaned_up(
    delta: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = newest(delta)

    def act() -> None:
        clean_up_log(delta, planned)
        raise DeltaError("no answer")

    between(monkeypatch, DeltaTable, "create_write_transaction", Once(act), after=True)
    head = commit(delta, planned)
    assert head.name in {header.name for header in ledgers.headers(delta.storage, newest(delta).head)}


def test_a_commit_that_failed_before_the_log_was_cleaned_up_is_refused(
    delta: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned, acts = newest(delta), [lambda: clean_up_log(delta, planned), raising(DeltaError("no answer"))]

    def act() -> Any:
        for one in acts:
            one()

    between(monkeypatch, DeltaTable, "create_write_transaction", Once(act))
    with pytest.raises(Refused, match="version 1 is somebody else's"):
        commit(delta, planned)
