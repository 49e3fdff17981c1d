"""Counts per file, added in bulk."""

import numpy as np

from siltstone.model.accounts import Account, Counters


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
