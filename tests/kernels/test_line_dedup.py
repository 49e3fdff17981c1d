"""Byte-equal lines of one device are told from lines that only share an instant."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from siltstone.kernels.line_dedup import Duplicates
from support.rounds import examples

LINES = {(0, 0): b"a", (0, 1): b"b", (0, 2): b"a", (1, 0): b"a", (1, 1): b"c"}


def repeated(finder: Duplicates, rows: Sequence[tuple[int, int, int, int]]) -> list[bool]:
    """Rows are (device, ts, document, line)."""
    marks: list[bool] = finder.repeated(*(np.array(column, np.int64) for column in zip(*rows, strict=True))).tolist()
    return marks


def test_the_later_of_two_equal_lines_at_one_instant_is_repeated() -> None:
    # (0, 2) equals (0, 0) in bytes and time; (0, 1) has the time but other bytes; (1, 0) the bytes but another time
    rows = [(0, 10, 0, 0), (0, 10, 0, 1), (0, 10, 0, 2), (0, 11, 1, 0)]
    assert repeated(Duplicates(lambda d, n: LINES[d, n]), rows) == [False, False, True, False]


def test_equal_lines_of_two_devices_are_two_records() -> None:
    assert repeated(Duplicates(lambda d, n: LINES[d, n]), [(0, 10, 0, 0), (1, 10, 1, 0)]) == [False, False]


def test_rows_of_earlier_calls_are_remembered() -> None:
    finder = Duplicates(lambda d, n: LINES[d, n])
    assert repeated(finder, [(0, 10, 0, 0), (0, 12, 0, 1)]) == [False, False]
    assert repeated(finder, [(0, 10, 1, 0), (0, 12, 1, 1)]) == [True, False]


def test_lines_are_asked_for_candidates_only() -> None:
    asked: list[tuple[int, int]] = []

    def line_of(document: int, line: int) -> bytes:
        asked.append((document, line))
        return LINES[document, line]

    repeated(Duplicates(line_of), [(0, 10, 0, 0), (0, 11, 0, 1), (1, 10, 1, 0)])
    assert asked == []


def test_no_rows_at_all() -> None:
    empty = np.array([], np.int64)
    assert Duplicates(lambda d, n: b"").repeated(empty, empty, empty, empty).tolist() == []


@settings(deadline=None, max_examples=examples(100))
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.sampled_from([b"x", b"y"])), max_size=20),
    st.integers(0, 20),
)
def test_as_many_rows_stay_as_there_are_different_ones(rows: list[tuple[int, int, bytes]], cut: int) -> None:
    finder = Duplicates(lambda d, n: rows[n][2])
    numbered = [(device, ts, 0, number) for number, (device, ts, _) in enumerate(rows)]
    marks = [m for part in (numbered[:cut], numbered[cut:]) if part for m in repeated(finder, part)]
    seen: set[tuple[int, int, bytes]] = set()
    for row, mark in zip(rows, marks, strict=True):
        assert mark == (row in seen)
        seen.add(row)


def test_a_line_is_read_again_once_and_one_document_after_the_other() -> None:
    """Rows of an earlier call that nobody had looked at: two documents, their rows in turn; later calls know them."""
    asked: list[int] = []

    def line_of(document: int, line: int) -> bytes:
        asked.append(document)
        return b"%d" % line

    finder = Duplicates(line_of)
    assert repeated(finder, [(0, 10 + n, n % 2, n) for n in range(4)]) == [False] * 4
    assert repeated(finder, [(0, 10 + n, 7, n) for n in range(4)]) == [True] * 4
    assert asked == [0, 0, 1, 1, 7, 7, 7, 7]
    asked.clear()
    assert repeated(finder, [(0, 10, 8, 99), (0, 10, 8, 0)]) == [False, True]
    assert asked == [8, 8]
