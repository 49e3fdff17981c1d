"""Sorted runs to one sorted stream: every row once, order kept between breaks, whatever the bounds and the memory."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siltstone.kernels import sorted_merge
from siltstone.kernels.sorted_merge import Run, SortedMerge, merge_sorted, united
from support.parsing import assert_same
from support.rounds import examples

Row = tuple[str | None, int]


def table(rows: Sequence[Row], payload: str = "") -> pa.Table:
    units, times = [r[0] for r in rows], [r[1] for r in rows]
    return pa.table(
        {
            "unit": pa.array(units, pa.large_string()),
            "ts": pa.array(times, pa.int64()).cast(pa.timestamp("us", tz="UTC")),
            "n": pa.array([f"{payload}{i}" for i in range(len(rows))]),
        }
    )


def run(lower: str, *parts: Sequence[Row]) -> Run:
    return Run(lower, lambda: [table(part) for part in parts])


def merged(runs: Sequence[Run], chunk_bytes: int = 1, memory_bytes: int = 1 << 30) -> list[tuple[bool, list[Row]]]:
    """All chunks as (breaks, rows); one file, so only the first chunk is a fresh one."""
    merge = SortedMerge(runs, sort_by=("unit", "ts"), chunk_bytes=chunk_bytes, memory_bytes=memory_bytes)
    chunks = []
    while (chunk := merge.next_chunk(fresh_file=not chunks)) is not None:
        chunks.append((chunk.breaks, rows_of(chunk.table)))
    return chunks


def rows_of(table: pa.Table) -> list[Row]:
    times = table.column("ts").cast(pa.int64()).to_pylist()
    return list(zip(table.column("unit").to_pylist(), times, strict=True))


def test_runs_are_merged_by_unit_then_time_and_rows_without_a_unit_come_first() -> None:
    runs = [run("B", [("B", 1), ("B", 3)]), run("A", [("A", 9)], [("B", 2)]), run("", [(None, 5)])]
    # bounds: "" is read, then A: only rows below B are safe; at the end the rest
    assert merged(runs) == [
        (False, [(None, 5)]),
        (False, [("A", 9)]),
        (False, [("B", 1), ("B", 2), ("B", 3)]),
    ]


def test_a_run_is_opened_only_when_the_merge_gets_there() -> None:
    opened: list[str] = []

    def spied(unit: str) -> Run:
        def read() -> Iterable[pa.Table]:
            opened.append(unit)
            return [table([(unit, 1)])]

        return Run(unit, read)

    merge = SortedMerge([spied("B"), spied("A"), spied("C")], sort_by=("unit", "ts"), chunk_bytes=1, memory_bytes=1000)
    assert merge.next_chunk(fresh_file=True) is not None
    assert opened == ["A"]


def test_small_chunks_wait_until_they_are_large_enough() -> None:
    runs = [run(unit, [(unit, 1)]) for unit in "ABCD"]
    assert merged(runs, chunk_bytes=1 << 20) == [(False, [("A", 1), ("B", 1), ("C", 1), ("D", 1)])]


def test_a_row_below_its_runs_bound_waits_for_a_break() -> None:
    # B's run holds an A that comes after the A's were given out
    runs = [run("A", [("A", 5)]), run("B", [("A", 1), ("B", 1)])]
    assert merged(runs) == [(False, [("A", 5)]), (False, [("B", 1)]), (True, [("A", 1)])]


def test_a_late_row_comes_first_in_a_fresh_file() -> None:
    runs = [run("A", [("A", 5)]), run("B", [("A", 1), ("B", 1)]), run("C", [("C", 1)])]
    merge = SortedMerge(runs, sort_by=("unit", "ts"), chunk_bytes=1, memory_bytes=1 << 30)
    chunks = [merge.next_chunk(fresh_file=fresh) for fresh in (True, False, True, False)]
    # the first file has given out its A's when the late one is met; the next file begins with it, without a break
    assert [chunk and (chunk.breaks, rows_of(chunk.table)) for chunk in chunks] == [
        (False, [("A", 5)]),
        (False, [("B", 1)]),
        (False, [("A", 1)]),
        (False, [("C", 1)]),
    ]


def test_over_the_memory_all_is_given_out_and_the_next_chunk_breaks() -> None:
    runs = [run("", [("B", 1)]), run("", [("A", 1)])]
    assert merged(runs, memory_bytes=0) == [(False, [("B", 1)]), (True, [("A", 1)])]


def test_columns_that_only_some_runs_have_are_null_elsewhere() -> None:
    with_x = table([("A", 1)]).append_column("x", pa.array([1.5]))
    merge = SortedMerge(
        [Run("", lambda: [table([("A", 2)]), with_x])], sort_by=("unit", "ts"), chunk_bytes=1, memory_bytes=1 << 30
    )
    chunk = merge.next_chunk(fresh_file=True)
    assert chunk is not None
    assert_same(
        chunk.table, table([("A", 1), ("A", 2)]).set_column(2, "n", [["0", "0"]]).append_column("x", [[1.5, None]])
    )


def test_tables_without_the_unit_column_are_rows_without_a_unit() -> None:
    bare = table([(None, 2), (None, 1)]).drop_columns(["unit"])
    merge = SortedMerge([Run("", lambda: [bare])], sort_by=("unit", "ts"), chunk_bytes=1, memory_bytes=1 << 30)
    chunk = merge.next_chunk(fresh_file=True)
    assert chunk is not None
    assert chunk.table.column("n").to_pylist() == ["1", "0"]


def test_equal_keys_keep_the_order_in_which_they_came() -> None:
    merge = SortedMerge(
        [Run("", lambda: [table([("A", 2), ("A", 1), ("A", 1)], "x"), table([("A", 1)], "y")])],
        sort_by=("unit", "ts"),
        chunk_bytes=1,
        memory_bytes=1 << 30,
    )
    chunk = merge.next_chunk(fresh_file=True)
    assert chunk is not None
    assert chunk.table.column("n").to_pylist() == ["x1", "x2", "y0", "x0"]


def test_runs_of_one_bound_are_read_in_the_order_given() -> None:
    assert merged([run("A", [("A", 1)]), run("A", [("A", 0)])], memory_bytes=0) == [
        (False, [("A", 1)]),
        (True, [("A", 0)]),
    ]


def test_no_runs_no_chunks() -> None:
    assert merged([]) == []
    assert merged([run("A"), run("B", [])]) == []


ROWS = st.lists(
    st.tuples(st.one_of(st.none(), st.sampled_from(["", "A", "B", "C", "é"])), st.integers(-3, 3)), max_size=6
)
RUNS = st.lists(st.tuples(st.sampled_from(["", "A", "B", "C", "Z"]), st.lists(ROWS, max_size=3)), max_size=5)


def key(row: Row) -> tuple[bool, str, int]:
    return row[0] is not None, row[0] or "", row[1]


@settings(deadline=None, max_examples=examples(100))
@given(RUNS, st.sampled_from([1, 60, 1 << 20]), st.sampled_from([0, 1, 100, 1 << 20]), st.lists(st.booleans()))
def test_every_row_once_and_each_file_sorted(
    given_runs: list[tuple[str, list[list[Row]]]], chunk_bytes: int, memory_bytes: int, rolls: list[bool]
) -> None:
    # bounds are random, so many are wrong; `rolls` says where the writer happens to begin a new file
    runs = [run(lower, *parts) for lower, parts in given_runs]
    merge = SortedMerge(runs, sort_by=("unit", "ts"), chunk_bytes=chunk_bytes, memory_bytes=memory_bytes)
    files: list[list[Row]] = []
    turns = iter(rolls)
    while True:
        fresh = not files or next(turns, False)
        chunk = merge.next_chunk(fresh_file=fresh)
        if chunk is None:
            break
        assert chunk.table.num_rows > 0
        if fresh or chunk.breaks:
            files.append([])
        files[-1] += rows_of(chunk.table)
    assert Counter(row for rows in files for row in rows) == Counter(
        row for _, parts in given_runs for part in parts for row in part
    )
    for rows in files:
        assert [key(row) for row in rows] == sorted(map(key, rows))
    assert merge.waiting_bytes == 0


def test_one_large_run_does_not_outgrow_the_memory() -> None:
    # eight tables of one run under a budget of less than two: they come out as they are read, each its own file
    tables = [[(unit, 0)] for unit in "HGFEDCBA"]
    merge = SortedMerge([run("", *tables)], sort_by=("unit", "ts"), chunk_bytes=1 << 20, memory_bytes=1)
    chunks = []
    most = 0.0
    while (chunk := merge.next_chunk(fresh_file=not chunks)) is not None:
        most = max(most, merge.waiting_bytes)
        chunks.append(rows_of(chunk.table))
    assert chunks == tables
    assert most == 0


# Sorted runs of data files

SORT_BY = ("unit", "ts")


def in_pieces(rows: Sequence[Row], lengths: Sequence[int], name: str) -> list[pa.Table]:
    """A run's rows as tables of these lengths, the rest in one more; `n` says where each row came from."""
    whole = table(rows, name)
    edges = [0]
    for length in lengths:
        edges.append(min(edges[-1] + length, len(rows)))
    return [whole.slice(a, b - a) for a, b in pairwise([*edges, len(rows)])]


def test_sorted_runs_become_one_and_rows_without_a_unit_come_first() -> None:
    one = [table([(None, 5), ("A", 1), ("A", 3)], "x"), table([("C", 2)], "y")]
    two = [table([("", 9), ("A", 2), ("B", 0)], "z")]
    (found,) = merge_sorted([iter(one), iter(two)], SORT_BY, 1 << 30)
    assert rows_of(found) == [(None, 5), ("", 9), ("A", 1), ("A", 2), ("A", 3), ("B", 0), ("C", 2)]
    assert found.column("n").to_pylist() == ["x0", "z0", "x1", "z1", "x2", "z2", "y0"]


def test_rows_of_one_key_come_in_the_order_of_the_runs() -> None:
    runs = [iter([table([("A", 1), ("A", 1)], name)]) for name in "zyx"]
    (found,) = merge_sorted(runs, SORT_BY, 1 << 30)
    assert found.column("n").to_pylist() == ["z0", "z1", "y0", "y1", "x0", "x1"]


def test_no_rows_no_tables() -> None:
    assert list(merge_sorted([], SORT_BY, 1)) == []
    assert list(merge_sorted([iter([]), iter([table([]), table([])])], SORT_BY, 1)) == []


def test_tables_come_out_as_soon_as_they_are_large_enough() -> None:
    # one byte is reached by each step: A's table up to its last row, then B's, which nothing overlaps
    runs = [iter([table([("A", 1), ("A", 2)])]), iter([table([("B", 1)])])]
    assert [rows_of(t) for t in merge_sorted(runs, SORT_BY, 1)] == [[("A", 1), ("A", 2)], [("B", 1)]]
    runs = [iter([table([("A", 1), ("A", 2)])]), iter([table([("B", 1)])])]
    assert [rows_of(t) for t in merge_sorted(runs, SORT_BY, 1 << 20)] == [[("A", 1), ("A", 2), ("B", 1)]]


@pytest.mark.parametrize(
    "parts",
    [
        [[("A", 2), ("A", 1)]],  # time falls within a unit
        [[("B", 1), ("A", 2)]],  # units fall
        [[("A", 1), ("B", 1), ("A", 2)]],  # a unit comes twice
        [[("A", 1), (None, 1)]],  # no unit comes first
        [[("A", 2)], [("A", 1)]],  # from table to table
        [[("B", 1)], [], [("A", 1)]],
        [[("A", 1)], [(None, 5)]],
        [[("", 1)], [(None, 5)]],  # an empty unit is a unit
    ],
)
def test_a_run_that_is_not_sorted_is_an_error(parts: list[list[Row]]) -> None:
    runs = [iter([table([("A", 0)])]), iter([table(part) for part in parts])]
    with pytest.raises(ValueError, match="not sorted"):
        list(merge_sorted(runs, SORT_BY, 1))


SORTED_RUNS = st.lists(
    st.tuples(
        st.lists(
            st.tuples(st.one_of(st.none(), st.sampled_from(["", "A", "B", "é", "Ω"])), st.integers(-3, 3)),
            max_size=20,
        ).map(lambda rows: sorted(rows, key=key)),
        st.lists(st.integers(0, 5), max_size=8),
    ),
    max_size=6,
)


@settings(deadline=None, max_examples=examples(100))
@given(SORTED_RUNS, st.sampled_from([1, 100, 1 << 20]))
def test_a_merge_is_a_sort(runs: list[tuple[list[Row], list[int]]], chunk_bytes: int) -> None:
    pieces = [in_pieces(rows, lengths, f"{i} ") for i, (rows, lengths) in enumerate(runs)]
    found = list(merge_sorted([iter(p) for p in pieces], SORT_BY, chunk_bytes))
    assert all(t.num_rows for t in found)
    rows = [row for t in found for row in rows_of(t)]
    assert rows == sorted((row for given_rows, _ in runs for row in given_rows), key=key)
    # every row is the one it was, and those of a run with one key keep their order
    origins = [(int(run), int(place)) for t in found for run, place in map(str.split, t.column("n").to_pylist())]
    assert [runs[run][0][place] for run, place in origins] == rows
    assert len(set(origins)) == len(origins)
    for number, (given_rows, _) in enumerate(runs):
        assert [place for run, place in origins if run == number] == list(range(len(given_rows)))


@settings(deadline=None, max_examples=examples(50))
@given(SORTED_RUNS)
def test_of_each_run_one_table_is_held_at_a_time(runs: list[tuple[list[Row], list[int]]]) -> None:
    given_out, taken = 0, [0] * len(runs)
    handed: list[list[int]] = [[] for _ in runs]  # rows of each table that a run has handed over so far

    def spied(number: int, pieces: list[pa.Table]) -> Iterator[pa.Table]:
        for piece in pieces:
            handed[number].append(piece.num_rows)
            yield piece

    pieces = [in_pieces(rows, lengths, f"{i} ") for i, (rows, lengths) in enumerate(runs)]
    for found in merge_sorted([spied(i, p) for i, p in enumerate(pieces)], SORT_BY, 1):
        given_out += found.num_rows
        for text in found.column("n").to_pylist():
            taken[int(text.split()[0])] += 1
        # what waits is of the last table that each run handed over, as far as it is not given out
        for number, rows in enumerate(handed):
            assert sum(rows) - taken[number] <= (rows[-1] if rows else 0)
    assert given_out == sum(len(rows) for rows, _ in runs)


@pytest.mark.parametrize("order", [range(40), [n * 7 % 40 for n in range(40)]], ids=["sorted", "mixed"])
def test_what_takes_more_than_a_part_of_the_memory_comes_in_parts(
    order: Sequence[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two tables of columns of their own: together they have six, of which the parts hold a few rows each."""
    monkeypatch.setattr(sorted_merge, "_SMALLEST_PART", 128)
    monkeypatch.setattr(sorted_merge, "_PARTS_OF_MEMORY", 1 << 20)
    first, second = list(order)[:20], list(order)[20:]
    tables = [
        table([("A", n) for n in times]).append_column(name, pa.array([float(n) for n in times]))
        for name, times in (("x", first), ("y", second))
    ]
    merge = SortedMerge([Run("A", lambda: tables)], sort_by=("unit", "ts"), chunk_bytes=1, memory_bytes=1 << 20)
    chunks = []
    while (chunk := merge.next_chunk(fresh_file=False)) is not None:
        chunks.append(chunk)
    assert len(chunks) > 3
    times = [time for chunk in chunks for _, time in rows_of(chunk.table)]
    rows = [row for chunk in chunks for row in chunk.table.to_pylist()]
    assert times == list(range(40))
    assert [row["x"] if row.get("x") is not None else row["y"] for row in rows] == [float(time) for time in times]


def test_columns_that_tables_lack_share_their_memory() -> None:
    tables = [pa.table({f"c{n}": pa.array([float(n)] * 1_000)}) for n in range(50)]
    found = united(tables)
    assert found.shape == (50_000, 50)
    assert found.column("c7").to_pylist()[6_999:8_001] == [None, *[7.0] * 1_000, None]
    assert found.get_total_buffer_size() < 3 * 50 * 8_000  # dense it would be 50 times as much
