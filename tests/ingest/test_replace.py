"""What replacing rows says of itself: what must match, and the accounts of files that lost rows."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import polars as pl
import pytest

from siltstone.ingest.replace import Replacements, replaced_versions, with_notes
from siltstone.model.accounts import Account, FileAccount
from siltstone.model.data_files import DataFile, NewFile

DAY = ("2025-12-10", "BRCB")


def old(rows: int) -> DataFile:
    return DataFile("old", DAY, 9, rows, "u")


def new(rows: int) -> NewFile:
    return NewFile("new", DAY, 9, rows, 0, {})


def replacements(before: int, after: int, **more: Any) -> Replacements:
    return Replacements([old(before)], [new(after)], **more)


def test_ten_rows_less_two_of_a_former_version_and_one_of_a_key_are_seven() -> None:
    found = replacements(
        10,
        7,
        former_rows={"a": 2},
        dropped={"a": 2},
        expected_replaced=1,
        replaced={"b": [1, 4, 1, 0]},
    )
    assert found.problems() == []
    assert (found.rows_replaced, found.keys_replaced) == (1, 1)


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (
            replacements(10, 9, former_rows={"a": 2}, dropped={"a": 1}),
            "a: 1 rows of its former version were in the table, the ledger says 2",
        ),
        (replacements(10, 9), "10 rows were to be rewritten, 9 were, 0 dropped"),
        (
            replacements(10, 9, expected_replaced=2, replaced={"b": [1, 4, 1, 0]}),
            "2 rows were to be replaced by others with their key, 1 were",
        ),
    ],
)
def test_each_sum_that_does_not_close_is_a_problem(found: Replacements, problem: str) -> None:
    assert found.problems() == [problem]


def accounts(*files: FileAccount) -> pl.DataFrame:
    """Accounts as manifests have them."""
    rows: Sequence[Mapping[str, Any]] = [
        {**{k: v for k, v in asdict(f).items() if k != "account"}, "time_units": "{}", **asdict(f.account)}
        for f in files
    ]
    return pl.DataFrame(rows, schema_overrides={"outputs": pl.List(pl.String), "folders": pl.List(pl.String)})


@pytest.mark.parametrize(
    ("counted_as", "superseded", "duplicates"), [("keys_superseded", 3, 0), ("duplicates_dropped", 1, 2)]
)
def test_a_file_that_loses_two_rows_has_them_in_its_account_and_keeps_its_sums(
    counted_as: Any, superseded: int, duplicates: int
) -> None:
    # of six records five rows with 20 cells, 5 nulls; two of the rows go, with 8 cells and 2 nulls
    before = Account(records_in=6, rows_out=5, keys_superseded=1, keys_seen=25, cells_stored=20, nulls=5)
    found = Replacements(replaced={"a": [2, 8, 2, 0]}, counted_as=counted_as)
    (after,) = found.adjusted(accounts(FileAccount("a", 9, "e", account=before), FileAccount("b", 9, "e")))
    assert (after.path, after.lane) == ("a", "adjusted")
    assert after.account == Account(
        records_in=6,
        rows_out=3,
        keys_superseded=superseded,
        duplicates_dropped=duplicates,
        keys_seen=15,
        cells_stored=12,
        nulls=3,
    )
    assert after.account.problems() == []


def test_rows_of_a_history_that_another_snapshot_shows_are_no_replaced_keys() -> None:
    found = Replacements([old(10)], replaced={"a": [2, 8, 2, 0]}, counted_as="duplicates_dropped", rows_carried=8)
    assert (found.rows_replaced, found.keys_replaced, found.problems()) == (2, 0, [])


def test_only_a_version_that_gave_rows_replaces_the_former_one() -> None:
    files = [
        FileAccount("gave", 9, "e", account=Account(records_in=1, rows_out=1)),
        FileAccount("repeats", 9, "e", account=Account(records_in=1, duplicates_dropped=1)),
        FileAccount("empty", 9, "e"),
        FileAccount("moved", 9, "e", state="deferred"),
        FileAccount("new", 9, "e", account=Account(records_in=1, rows_out=1)),
    ]
    former = {"gave": 5, "repeats": 4, "empty": 3, "moved": 2, "new": 0}
    assert replaced_versions(files, former) == {"gave": 5, "repeats": 4}


def test_a_file_that_is_adjusted_and_noted_has_one_account_with_its_new_etag() -> None:
    adjusted = [FileAccount("a", 1, "old"), FileAccount("b", 1, "old")]
    noted = [FileAccount("a", 2, "new"), FileAccount("c", 2, "new")]
    both = with_notes(adjusted, noted)
    assert [(f.path, f.size, f.etag) for f in both] == [("a", 2, "new"), ("b", 1, "old"), ("c", 2, "new")]
