"""Sorted runs to one sorted stream: every row once, order kept between breaks, whatever the bounds and the memory."""

from collections import Counter
from collections.abc import Iterable, Sequence

import pyarrow as pa
from builders import assert_same
from hypothesis import given, settings
from hypothesis import strategies as st

from siltstone.merging import Run, SortedMerge

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


@settings(deadline=None, max_examples=200)
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
