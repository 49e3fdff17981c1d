"""Folded runs: what the chain says stays the same, in few files."""

import io
import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from siltstone.errors import StorageError, TableFormatError
from siltstone.maintenance.fold import fold
from siltstone.model import table_format
from siltstone.model.accounts import Account, FileAccount
from siltstone.model.layout import FOLDER
from siltstone.model.run_header import RunHeader
from siltstone.storage import Storage
from siltstone.table import ledger
from siltstone.table.folded_runs import folded_paths, read_folded
from siltstone.table.ledger import Head, check_head, load, with_manifest

EVERY = 4
START = datetime(2025, 12, 10, tzinfo=UTC)
NEVER_OLD = START - timedelta(days=1)


@pytest.fixture(autouse=True)
def _snapshots_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "SNAPSHOT_EVERY", EVERY)


@pytest.fixture
def table(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path))


def commit(table: Storage, runs: int, head: Head | None = None) -> Head:
    """So many runs after a head, an hour apart: each reads a new file and replaces or notes the one before."""
    for _ in range(runs):
        new = Head.after(head)
        read = FileAccount(f"f{new.run}", 10, "e", "ff", outputs=[f"p/d{new.run}"], account=Account(3, rows_out=2))
        read.account.records_quarantined = 1
        before = replace(read, path=f"f{new.run - 1}", etag="e2", lane="noted" if new.run % 3 else "fast")
        header = RunHeader(
            kind="compact",
            committed=(START + timedelta(hours=new.run)).isoformat(timespec="seconds"),
            outputs=[{"path": f"p/d{new.run}", "bytes": 5}],
            removed=[f"p/d{new.run - 1}"],
            quarantine=[f"q{new.run}"],
            more={"rows_out": 2, "digest": f"d{new.run}"},
        )
        ledger.write_manifest(table, new, load(table, head), header, [read, before], "datalog")
        head = new
    assert head is not None
    return head


def old(run: int) -> datetime:
    """When runs up to this one are old."""
    return START + timedelta(hours=run, minutes=30)


def folded(table: Storage, head: Head, horizon: datetime) -> list[str]:
    """Fold, and delete what is not needed any more; what that was, by kind."""
    kept = fold(table, head, horizon, dry_run=False)
    gone = [path for path in table.objects(FOLDER)["path"] if path not in kept]
    for path in gone:
        table.delete(path)
    return sorted(f"{int(p.rpartition('/')[2].partition('-')[0])}{os.path.splitext(p)[1]}" for p in gone)


def said(table: Storage, head: Head) -> tuple[Any, ...]:
    """All that the chain says."""
    headers, files = ledger.history(table, head)
    known = load(table, head)
    return headers, ledger.headers(table, head), files, ledger.accounts(table, head), known.entries.sort("path")


def assert_same(found: Sequence[Any], expected: Sequence[Any]) -> None:
    assert found[:2] == expected[:2]
    for frame, other in zip(found[2:], expected[2:], strict=True):
        assert_frame_equal(frame, other)


def test_manifests_behind_a_ledger_snapshot_go_once_older_releases_are_told_and_nothing_changes(table: Storage) -> None:
    head = commit(table, 9)
    # snapshots with runs 4 and 8: runs 1 to 7 are behind the newest; of these six are old
    assert folded(table, head, old(6)) == []
    (path,) = folded_paths(table)
    assert read_folded(table, path).names == [h.name for h in ledger.headers(table, head)[3:]]
    head = commit(table, 3, head)  # run 12 writes a ledger snapshot, and says format 2
    expected = said(table, head)
    assert folded(table, head, old(6)) == sorted([*(f"{run}.manifest" for run in range(1, 7)), "4.ledger"])
    assert_same(said(table, head), expected)


def test_a_run_within_the_grace_period_or_after_the_newest_snapshot_is_not_folded(table: Storage) -> None:
    head = commit(table, 7)
    assert folded(table, head, NEVER_OLD) == []
    assert folded(table, head, old(99)) == []  # of those behind the snapshot of run 4 only three: too few
    assert folded_paths(table) == []
    with_dry_run = fold(table, commit(table, 5, head), old(99), dry_run=True)
    assert (len(with_dry_run), folded_paths(table)) == (12 + 3, [])  # manifests, and three ledger snapshots


@pytest.mark.slow("laws")
def test_few_files_are_left_after_many_runs(table: Storage) -> None:
    head = commit(table, 8)
    counts = []
    for _ in range(24):
        head = commit(table, EVERY, head)
        folded(table, head, old(head.run))
        counts.append(len(table.objects(FOLDER)))
    # 104 runs: at most two manifests of four, two ledger snapshots, and one file for each doubling of the folded ones
    assert max(counts[3:]) <= 2 * EVERY + 2 + 6
    assert [h.run for h in ledger.headers(table, head)] == list(range(104, 0, -1))


def test_who_was_reading_meanwhile_finds_the_rest_in_the_folded_runs(table: Storage) -> None:
    head = commit(table, 9)
    folded(table, head, old(6))
    head = commit(table, 3, head)
    chain = ledger.chain(table, head)
    names = [next(chain).names for _ in range(8)]  # down to run 5, which is in the file with six
    folded(table, head, old(6))
    names += [runs.names for runs in chain]
    assert [name for found in names for name in found] == [h.name for h in ledger.headers(table, head)]


def test_a_folded_run_can_be_the_newest_again(table: Storage) -> None:
    """As after a RESTORE."""
    former = commit(table, 6)
    expected = said(table, former)
    head = commit(table, 3, former)
    folded(table, head, old(6))
    folded(table, commit(table, 3, head), old(6))
    assert not (Path(table.root) / FOLDER / "runs" / f"{former.name}.manifest").exists()
    again = with_manifest(table, Head.of_version(former.version))
    check_head(table, again, writes=True)
    assert_same(said(table, again), expected)


def without_last_row(data: bytes) -> bytes:
    """The file of folded runs without the account of one file."""
    frame, metadata = pl.read_parquet(io.BytesIO(data)), pl.read_parquet_metadata(io.BytesIO(data))
    shorter = io.BytesIO()
    frame.head(-1).write_parquet(shorter, metadata={"siltstone": metadata["siltstone"]})
    return shorter.getvalue()


def test_a_fold_that_does_not_read_back_deletes_nothing(table: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    head = commit(table, 9)
    real = Storage.put
    for damaged in (lambda data: data[: len(data) // 2], without_last_row):
        with monkeypatch.context() as patch:
            patch.setattr(Storage, "put", lambda *given, damaged=damaged: real(*given[:2], damaged(given[2])))
            with pytest.raises(StorageError, match=r"\.runs (is damaged|does not say what)"):
                fold(table, head, old(6), dry_run=False)
        table.delete(folded_paths(table)[0])
    assert len(ledger.headers(table, head)) == 9


def test_older_releases_are_told_that_they_can_not_read_it(table: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    head = commit(table, 9)
    folded(table, head, old(6))
    head = commit(table, 3, head)
    monkeypatch.setattr(table_format, "KNOWN", 1)
    with pytest.raises(TableFormatError, match=r"has format 2, and reading it needs siltstone 0\.1\.0 or newer"):
        check_head(table, with_manifest(table, head), writes=False)
