"""Manifests, their chain, and the snapshot that stands for the chain before it."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from siltstone.errors import StorageError
from siltstone.model.accounts import Account, FileAccount
from siltstone.model.layout import FOLDER
from siltstone.model.run_header import RunHeader
from siltstone.storage import Storage
from siltstone.table import ledger as ledger_module
from siltstone.table.ledger import LEDGER, SNAPSHOT_EVERY, Head, headers, load, write_manifest


@pytest.fixture
def table(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path))


def done(path: str, etag: str = "e1", rows: int = 1, state: str = "ingested") -> FileAccount:
    return FileAccount(path, 10, etag, "ff", state, account=Account(records_in=rows, rows_out=rows))


def commit(table: Storage, head: Head | None, *files: FileAccount, **header: object) -> Head:
    """One run after `head`, as if its commit had succeeded."""
    new = Head.after(head)
    write_manifest(table, new, load(table, head), RunHeader.from_dict(header), files, "datalog")
    return new


def entries(*rows: tuple[str, str, int, str, str, int]) -> pl.DataFrame:
    """Ledger rows of files of which nothing was quarantined or dropped, and whose rows are nowhere."""
    return pl.DataFrame([(*row, 0, 0, 0, [], "datalog") for row in rows], schema=LEDGER, orient="row")


def test_run_and_token_travel_in_the_version_of_the_transaction() -> None:
    head = Head(run=3, token=0xDEADBEEF)
    assert (head.version, head.name) == (3 * 2**32 + 0xDEADBEEF, "00000003-deadbeef")
    assert Head.of_version(head.version) == head
    assert Head.after(head).run == 4
    assert Head.after(None).run == 1


def test_before_the_first_run_the_ledger_is_empty(table: Storage) -> None:
    ledger = load(table, None)
    assert_frame_equal(ledger.entries, entries())
    assert (ledger.head, ledger.newest, headers(table, None)) == (None, None, [])


def test_a_manifest_is_read_back_whole(table: Storage) -> None:
    account = Account(
        records_in=9, rows_out=4, records_quarantined=3, duplicates_dropped=2, keys_superseded=4, rows_split=6,
        records_empty=2, keys_seen=20, cells_stored=15, nulls=4, values_rescued=1,
    )  # fmt: skip
    file = FileAccount(
        "BRCB/é 1.gz", 10, "e", "ff", "ingested", "careful", "cut", {"s": 3, "ns": 1}, ["p/a", "q/b"], account=account
    )
    head = commit(table, None, file, shift_hours=8)
    (runs,) = ledger_module.chain(table, head)
    header, rows = runs.headers[0], runs.files.drop("at")
    format_1 = {
        "version": 1, "min_reader_version": 1, "min_writer_version": 1,
        "min_reader_release": "0.1.0", "min_writer_release": "0.1.0",
    }  # fmt: skip
    assert header == RunHeader(run=1, name=head.name, more={"shift_hours": 8, "format": format_1})
    assert rows.rows(named=True) == [
        {
            "path": "BRCB/é 1.gz",
            "size": 10,
            "etag": "e",
            "sha256": "ff",
            "state": "ingested",
            "lane": "careful",
            "reason": "cut",
            "time_units": '{"s": 3, "ns": 1}',
            "outputs": ["p/a", "q/b"],
            "folders": ["p", "q"],
            "rows_kept": 0,
            "duplicates_kept": 0,
            "modified_us": 0,
            "records_in": 9,
            "rows_out": 4,
            "records_quarantined": 3,
            "duplicates_dropped": 2,
            "keys_superseded": 4,
            "rows_split": 6,
            "records_empty": 2,
            "deferred": 0,
            "keys_seen": 20,
            "cells_stored": 15,
            "nulls": 4,
            "values_rescued": 1,
            "rows_adopted": 0,
            "cells_adopted": 0,
            "dataset": "datalog",
        }
    ]


def test_the_ledger_is_the_chain_and_the_newest_entry_of_a_path_counts(table: Storage) -> None:
    first = commit(table, None, done("a"), done("b", state="quarantined", rows=0), ratio=0.5)
    second = commit(table, first, done("b", "e2", 7), done("c"), ratio=0.25)
    ledger = load(table, second)
    expected = entries(
        ("b", "e2", 10, "ff", "ingested", 7), ("c", "e1", 10, "ff", "ingested", 1), ("a", "e1", 10, "ff", "ingested", 1)
    )
    assert_frame_equal(ledger.entries, expected, check_row_order=False)
    assert ledger.newest is not None
    assert (ledger.head, ledger.newest.more["ratio"], ledger.newest.parent) == (second, 0.25, first.version)
    assert [h.name for h in headers(table, second)] == [second.name, first.name]
    # the head of an older commit still gives the older ledger
    assert load(table, first).entries.filter(path="b")["state"].to_list() == ["quarantined"]


def test_a_manifest_that_no_commit_names_is_no_part_of_the_ledger(table: Storage) -> None:
    head = commit(table, None, done("a"))
    commit(table, head, done("never committed"))
    assert load(table, head).entries["path"].to_list() == ["a"]


def test_every_50_runs_a_snapshot_stands_for_the_chain_before(table: Storage) -> None:
    head = None
    for run in range(SNAPSHOT_EVERY + 1):
        head = commit(table, head, done(f"f{run:02d}"))
    assert head is not None
    assert head.run == 51
    expected = sorted(f"f{run:02d}" for run in range(51))
    assert sorted(load(table, head).entries["path"]) == expected
    snapshots = [p for p in table.objects(FOLDER)["path"] if p.endswith(".ledger")]
    assert len(snapshots) == 1
    # the older manifests are not needed any more, but their headers are history
    for path in table.objects(f"{FOLDER}/runs")["path"]:
        if not path.startswith((f"{FOLDER}/runs/00000050", f"{FOLDER}/runs/00000051")):
            table.delete(path)
    assert sorted(load(table, head).entries["path"]) == expected


def test_no_file_of_the_chain_is_taken_for_data(table: Storage) -> None:
    commit(table, None, done("a"))
    assert [p for p in table.objects()["path"] if p.endswith(".parquet")] == []


def test_a_missing_manifest_is_told_with_the_way_back(table: Storage) -> None:
    with pytest.raises(StorageError, match=r"00000001-00000001\.manifest is missing, though the table's log names it"):
        load(table, Head(1, 1))


def test_two_runs_that_drew_one_token_do_not_overwrite_each_other(table: Storage) -> None:
    head = Head(1, 5)
    write_manifest(table, head, load(table, None), RunHeader(), [done("a")], "datalog")
    with pytest.raises(StorageError, match="exists already"):
        write_manifest(table, head, load(table, None), RunHeader(), [done("b")], "datalog")
    assert load(table, head).entries["path"].to_list() == ["a"]


def test_a_damaged_manifest_says_so(table: Storage) -> None:
    head = commit(table, None, done("a"))
    (path,) = [p for p in table.objects()["path"] if p.endswith(".manifest")]
    (Path(table.root) / path).write_bytes(b"PAR1 cut")
    with pytest.raises(StorageError, match=r"manifest is damaged: .*Restore it from a backup"):
        load(table, head)


def counted(table: Storage, head: Head) -> list[tuple[str, str, int]]:
    """Each version of a file that counts today: path, etag, the run that read it."""
    headers_found, files = ledger_module.history(table, head)
    numbers = {h.name: h.run for h in headers_found}
    return sorted((path, etag, numbers[run]) for path, etag, run in files.select("path", "etag", "run").iter_rows())


def test_the_newest_version_of_a_file_counts_and_one_whose_rows_stay(table: Storage) -> None:
    empty = FileAccount("a", 10, "e2", "f2", "quarantined", reason="cut", rows_kept=4)
    head = commit(table, None, done("a", rows=4), done("b"), done("c"))
    head = commit(table, head, done("b", "e2"))
    head = commit(table, head, empty)
    assert counted(table, head) == [("a", "e1", 1), ("a", "e2", 3), ("b", "e2", 2), ("c", "e1", 1)]
    head = commit(table, head, FileAccount("a", 10, "e3", "f3", "quarantined", reason="cut", rows_kept=4))
    assert counted(table, head)[:2] == [("a", "e1", 1), ("a", "e3", 4)]
    head = commit(table, head, done("a", "e4"))
    assert counted(table, head) == [("a", "e4", 5), ("b", "e2", 2), ("c", "e1", 1)]


def test_copies_under_a_new_etag_do_not_count(table: Storage) -> None:
    bad = FileAccount("b", 10, "e1", "ff", "quarantined", reason="cut")
    head = commit(table, None, done("a"), bad)
    copies = done("a", "e2", state="noted"), done("b", "e2", rows=0, state="quarantined")
    head = commit(table, head, *(replace(copy, lane="noted") for copy in copies))
    assert counted(table, head) == [("a", "e1", 1), ("b", "e1", 1)]


def test_without_runs_there_is_no_history(table: Storage) -> None:
    found, files = ledger_module.history(table, None)
    assert (found, files.height) == ([], 0)


def test_manifests_and_headers_of_before_the_sources_are_those_of_the_datalogs(
    table: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = ("dataset", "keys_superseded", "rows_split", "records_empty")
    real = ledger_module._manifest
    with monkeypatch.context() as patch:
        patch.setattr(ledger_module, "_manifest", lambda *given: real(*given).drop(later))
        old = commit(table, None, done("a"), source="datalog", zone="UTC", shift_hours=8, ratio=0.5)
    new = commit(table, old, done("b"), learned={})
    assert load(table, new).of("datalog").entries["path"].to_list() == ["b", "a"]
    assert load(table, old).learned("datalog")["shift_hours"] == 8
    assert dict(load(table, old).learned("mortar")) == {}
