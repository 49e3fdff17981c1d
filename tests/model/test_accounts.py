"""The two sums of an account, and what a second task adds to a file's account; counts per file, added in bulk."""

import pickle

import numpy as np

from siltstone.ingest.task_spec import SourceFile
from siltstone.model.accounts import Account, Counters, FileAccount, total


def test_an_account_closes_when_both_sums_hold() -> None:
    # records: 10 = 6 + 2 + 1 + 1; cells: 20 = 15 + 4 + 1
    account = Account(
        records_in=10, rows_out=6, records_quarantined=2, duplicates_dropped=1, deferred=1,
        keys_seen=20, cells_stored=15, nulls=4, values_rescued=1,
    )  # fmt: skip
    assert account.problems() == []
    assert Account().problems() == []


def test_a_lost_record_and_a_lost_cell_are_told_with_their_numbers() -> None:
    account = Account(records_in=1_000, rows_out=999, keys_seen=7, cells_stored=5, nulls=1)
    assert account.problems() == [
        "1,000 records in, but 999 rows out + 0 quarantined + 0 duplicates + 0 deferred",
        "7 keys seen, but 5 cells stored + 1 nulls + 0 rescued",
    ]


def test_accounts_add_field_by_field() -> None:
    account = Account(records_in=1, rows_out=1, keys_seen=3, cells_stored=2, nulls=1)
    account.add(Account(records_in=2, records_quarantined=2, keys_seen=1, values_rescued=1))
    assert account == Account(
        records_in=3, rows_out=1, records_quarantined=2, keys_seen=4, cells_stored=2, nulls=1, values_rescued=1
    )


def test_a_second_task_settles_what_the_first_deferred() -> None:
    # the first task wrote 3 of 5 records and deferred 2; the second wrote 1 of them and dropped 1 as a duplicate
    first = FileAccount("p", 9, "e", outputs=["b"], account=Account(records_in=5, rows_out=3, deferred=2))
    second = FileAccount(
        "p", 9, "e", outputs=["a", "b"], account=Account(records_in=2, rows_out=1, duplicates_dropped=1)
    )
    first.add(second)
    assert first == FileAccount(
        "p", 9, "e", outputs=["a", "b"], account=Account(records_in=5, rows_out=4, duplicates_dropped=1)
    )
    assert first.account.problems() == []


def test_a_copy_has_an_account_of_its_own() -> None:
    original = FileAccount("p", 1, "e", account=Account(records_in=1, rows_out=1))
    original.copy().account.add(Account(records_in=5))
    assert original.account == Account(records_in=1, rows_out=1)


def test_total_adds_all_files() -> None:
    files = [FileAccount("a", 1, "", account=Account(rows_out=2)), FileAccount("b", 1, "", account=Account(rows_out=3))]
    assert total(files) == Account(rows_out=5)


def test_accounts_and_files_travel_between_processes() -> None:
    account = FileAccount(
        "p",
        1,
        "e",
        "ff",
        "quarantined",
        "salvaged",
        "cut",
        {"s": 2},
        ["o"],
        ["f"],
        7,
        account=Account(3, 1, deferred=2),
    )
    file = SourceFile("a/b", "b", 5, "e", 9, "late")
    assert pickle.loads(pickle.dumps([account, file])) == [account, file]


def test_counts_repeat_for_a_file_named_twice() -> None:
    tally = Counters(3)
    tally.add("records_in", np.array([0, 2, 2]))
    tally.add("rows_out", np.array([2]))
    assert tally.accounts() == [
        Account(records_in=1),
        Account(),
        Account(records_in=2, rows_out=1),
    ]


def test_cells_are_added_and_taken_away_by_row() -> None:
    tally = Counters(2)
    # keys, stored, nulls, rescued; file 1 has two rows, the second is taken away again
    cells = np.array([[5, 3, 1, 1], [4, 4, 0, 0], [2, 1, 1, 0]])
    tally.add_cells(np.array([0, 1, 1]), cells)
    tally.add_cells(np.array([1]), -cells[2:])
    assert tally.accounts() == [
        Account(keys_seen=5, cells_stored=3, nulls=1, values_rescued=1),
        Account(keys_seen=4, cells_stored=4),
    ]


def test_units_are_named_and_zeros_left_out() -> None:
    tally = Counters(3)
    tally.add_units(np.array([0, 0, 0, 2]), np.array([0, 3, 0, 1], np.int8))
    assert tally.units(("s", "ms", "us", "ns")) == [{"s": 2, "ns": 1}, {}, {"ms": 1}]
