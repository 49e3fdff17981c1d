"""Files in order that become one by copying: the same rows and statistics as merging gives, and when they are merged.

Joined files keep their row groups; merged ones get new ones, which is how the tests tell the one from the other.
"""

import hashlib
from collections.abc import Callable, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from siltstone.errors import StorageError
from siltstone.formats.parquet.thrift import Struct, decoded, encoded
from siltstone.maintenance.rewrite_task import RewriteTask, Rewritten
from siltstone.model.contracts import READINGS
from siltstone.model.data_files import NewFile, Sizes
from siltstone.model.schema import base_schema
from siltstone.table.writer import WriterSettings
from support.data_files import NOON_US, ONE_FILE, WIDE, Rig, Row
from support.parsing import assert_same
from support.readings_table import Readings, quarters, reading

SMALL_GROUPS = 100
"""Bytes of usual row groups, beside which those of the tests are worth keeping."""

YEAR_US = 366 * 86_400_000_000


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def rows(*units: str, source: str = "a") -> list[Row]:
    return [(unit, n, source) for n, unit in enumerate(units)]


def plain_bytes(root: Path, path: str) -> int:
    """What the row groups of a file have before they are compressed."""
    footer = pq.read_metadata(root / path)
    return sum(footer.row_group(g).total_byte_size for g in range(footer.num_row_groups))


def one_group(rig: Rig, *paths: str) -> int:
    """A size of row groups by which files with a group each may just be joined, and merging makes a single one."""
    return int(3.9 * min(plain_bytes(rig.root, path) for path in paths))


def groups(root: Path, output: NewFile) -> list[int]:
    """Rows of each row group."""
    footer = pq.read_metadata(root / output.written_to)
    return [footer.row_group(g).num_rows for g in range(footer.num_row_groups)]


def assert_is_as_told(root: Path, output: NewFile) -> None:
    """The file is what its output says, so are its pages what their checksums say, and its parts follow each other."""
    data = (root / output.written_to).read_bytes()
    assert (output.bytes, output.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
    assert (file.metadata.num_rows, file.read().num_rows) == (output.rows, output.rows)
    begin = 4
    for group in footer_of(data)[4][1][1]:
        assert group[5][1] == begin
        begin += group[6][1]


def footer_of(data: bytes) -> Struct:
    return decoded(data, len(data) - 8 - int.from_bytes(data[-8:-4], "little"))[0]


@pytest.fixture
def three(rig: Rig) -> tuple[Rig, list[str]]:
    """Files of A to C in two row groups, of D, and of E to F; times and sources are in no such order."""
    stored = [
        rig.store([("A", 9, "x"), ("A", 9, "w"), ("B", -YEAR_US * 60, "x")], [("B", 1, "x"), ("C", 0, "x")]),
        rig.store([("D", 3, "b")]),
        rig.store([("E", 5, "a"), ("F", YEAR_US, "a")]),
    ]
    return rig, stored


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_files_of_different_units_become_one_in_whatever_order_they_are_given(
    three: tuple[Rig, list[str]], order: Sequence[int]
) -> None:
    rig, paths = three
    result = rig.run(*(paths[n] for n in order), group_bytes=SMALL_GROUPS)
    (output,) = result.outputs
    assert groups(rig.root, output) == [3, 2, 1, 2]
    assert rig.rows(result) == [
        ("A", 9, "x"),
        ("A", 9, "w"),
        ("B", -YEAR_US * 60, "x"),
        ("B", 1, "x"),
        ("C", 0, "x"),
        ("D", 3, "b"),
        ("E", 5, "a"),
        ("F", YEAR_US, "a"),
    ]
    # cells of the record columns: eight heartbeats, eight units; no device
    assert (result.rows, result.cells, result.dropped, result.is_untouched) == (8, 16, {}, False)
    assert output.statistics == {
        "numRecords": 8,
        "minValues": {"ts": "1965-10-26T04:00:00.000000Z", "unitno": "A"},  # 60 x 366 days before 2025-12-10
        "maxValues": {"ts": "2026-12-11T04:00:00.000000Z", "unitno": "F"},
        "nullCount": {"ts": 0, "unitno": 0, "deviceid": 8},
    }
    assert_is_as_told(rig.root, output)
    assert rig.files() == {*paths, output.path}  # what it read stays until somebody commits


def test_polars_and_duckdb_read_what_pyarrow_reads(three: tuple[Rig, list[str]]) -> None:
    rig, paths = three
    result = rig.run(*paths, group_bytes=SMALL_GROUPS)
    file = rig.root / result.outputs[0].path
    expected = [(unit, NOON_US + time, NOON_US + time, source) for unit, time, source in rig.rows(result)]
    asked = pl.scan_parquet(file).select("unitno", pl.col("ts").to_physical(), "heartbeat", "source_file")
    assert asked.collect().rows() == expected
    assert asked.filter(pl.col("unitno") == "D").collect().rows() == expected[5:6]
    columns = "unitno, epoch_us(ts), heartbeat, source_file"
    with duckdb.connect() as connection:
        assert connection.execute(f"SELECT {columns} FROM '{file}'").fetchall() == expected
        assert connection.execute(f"SELECT {columns} FROM '{file}' WHERE unitno = 'D'").fetchall() == expected[5:6]


# In the order of their UTF-8, which is not that of UTF-16.
UNITS = ["", "Z", "a", "a\0", "ä", "日本", "\uffff", "😀"]


def every_type(rig: Rig) -> list[str]:
    """Two files with all kinds of columns, nulls in each but the units, and many pages."""
    paths = []
    for half in (UNITS[:4], UNITS[4:]):
        count = 1500 * len(half)
        paths.append(
            rig.store(
                [(unit, n - 700, f"s{n % 3}") for unit in half for n in range(1500)],
                schema=WIDE,
                deviceid=pa.array([None if n % 2 else f"d{n % 5}" for n in range(count)], pa.large_string()),
                speed=pa.array([None if n % 7 == 0 else n / 3 for n in range(count)]),
                on=pa.array([[True, False, None][n % 3] for n in range(count)]),
                gear=pa.array([None if n % 11 == 0 else n - 500 for n in range(count)], pa.int32()),
                deep=pa.array([None if n % 2 else f'{{"é":[{n}]}}' for n in range(count)], pa.large_string()),
            )
        )
    return paths


def test_joining_and_merging_give_the_same(rig: Rig) -> None:
    paths = every_type(rig)
    joined, merged = (rig.run(*paths, schema=WIDE, group_bytes=size) for size in (SMALL_GROUPS, 1 << 30))
    assert [groups(rig.root, result.outputs[0]) for result in (joined, merged)] == [[6000, 6000], [12_000]]
    assert_same(rig.read(joined.outputs[0]), rig.read(merged.outputs[0]))
    assert told(joined) == told(merged)
    # units and heartbeats; devices: every second; speed: not 1,715 sevenths (858 + 857 of 6,000, 0 included); on: two
    # of three; gear: not 1,092 elevenths; deep: every second
    assert joined.cells == 24_000 + 6_000 + (12_000 - 2 * 858) + 8_000 + (12_000 - 2 * 546) + 6_000
    assert_is_as_told(rig.root, joined.outputs[0])


def told(result: Rewritten) -> list[Any]:
    """All that a result tells, but for the names, bytes and times of its files."""
    outputs = [(o.partition, o.rows, o.statistics, o.is_staged) for o in result.outputs]
    return [outputs, result.cells, result.dropped, result.replaced, result.is_untouched]


def test_readings_with_their_coded_texts_are_joined_too(tmp_path: Path) -> None:
    lake = Readings(str(tmp_path))
    lake.add([*quarters("aaaa1", "2015-01-01", 90), reading("bbbb1", "2015-01-01T01:00", None, text="x")])
    lake.add([*quarters("cccc1", "2015-01-01", 50, site="bldg1"), *quarters("dddd1", "2015-01-01", 20)])
    snapshot = lake.table.snapshot()
    assert snapshot is not None
    files = lake.table.files(snapshot)
    joined, merged = (
        RewriteTask(
            contract="readings",
            writing=WriterSettings(lake.table.storage, ONE_FILE, size),
            partition=files[0].partition,
            files=tuple(f.logged for f in files),
            drop=(),
            schema=base_schema(READINGS),
            memory_bytes=1 << 30,
        ).run()
        for size in (SMALL_GROUPS, 1 << 30)
    )
    root = tmp_path / "readings"
    assert [groups(root, result.outputs[0]) for result in (joined, merged)] == [[91, 70], [161]]
    one, other = (pq.ParquetFile(root / result.outputs[0].path).read() for result in (joined, merged))
    assert_same(one, other)
    assert told(joined) == told(merged)
    assert joined.outputs[0].statistics["maxValues"] == {
        "ts": "2015-01-01T22:15:00.000000Z",  # the 90th quarter of an hour
        "series_id": "dddd1",
        "source": "mortar",
    }


def test_a_staged_file_has_a_name_that_no_reader_matches(three: tuple[Rig, list[str]]) -> None:
    rig, paths = three
    result = rig.run(*paths, group_bytes=SMALL_GROUPS, is_staged=True)
    (output,) = result.outputs
    assert output.is_staged
    assert groups(rig.root, output) == [3, 2, 1, 2]
    assert_is_as_told(rig.root, output)
    assert rig.files() == set(paths)
    assert {str(p.relative_to(rig.root)) for p in rig.root.rglob("*.staged")} == {output.written_to}


# When files are merged after all

MERGED: dict[str, tuple[Callable[[Rig], list[str]], list[str | None]]] = {
    "they overlap": (lambda rig: [rig.store(rows("A", "C")), rig.store(rows("B", "D"))], ["A", "B", "C", "D"]),
    "one lies within the other": (
        lambda rig: [rig.store(rows("A", "B", "E", "F")), rig.store(rows("C", "D"))],
        ["A", "B", "C", "D", "E", "F"],
    ),
    "one lies between the row groups of the other": (
        lambda rig: [rig.store(rows("A", "B"), rows("E", "F")), rig.store(rows("C", "D"))],
        ["A", "B", "C", "D", "E", "F"],
    ),
    "the last two of three overlap": (
        lambda rig: [rig.store(rows("A", "B")), rig.store(rows("C", "E")), rig.store(rows("D", "F"))],
        ["A", "B", "C", "D", "E", "F"],
    ),
    "they share a unit at the seam": (
        lambda rig: [rig.store([("A", 0, "a"), ("B", 5, "a")]), rig.store([("B", 1, "b"), ("C", 0, "b")])],
        ["A", "B", "B", "C"],
    ),
    "a unit is null": (
        lambda rig: [rig.store(rows("A", "B")), rig.store([(None, 0, "a"), ("C", 0, "b"), ("D", 0, "b")])],
        [None, "A", "B", "C", "D"],
    ),
    "all units are null": (
        lambda rig: [rig.store([("A", 0, "a"), ("B", 1, "a")]), rig.store([(None, 0, "b"), (None, 1, "b")])],
        [None, None, "A", "B"],
    ),
    "units are too long for a footer": (
        lambda rig: [rig.store(rows("A" * 5000, "A" * 5000 + "B")), rig.store(rows("B" * 5000, "B" * 5000 + "C"))],
        ["A" * 5000, "A" * 5000 + "B", "B" * 5000, "B" * 5000 + "C"],
    ),
}


@pytest.mark.parametrize(("store", "units"), MERGED.values(), ids=MERGED)
def test_files_that_do_not_follow_one_another_are_merged(
    rig: Rig, store: Callable[[Rig], list[str]], units: list[str | None]
) -> None:
    paths = store(rig)
    result = rig.run(*paths, group_bytes=one_group(rig, *paths))
    assert [unit for unit, _, _ in rig.rows(result)] == units
    assert groups(rig.root, result.outputs[0]) == [len(units)]


def test_the_same_files_without_what_hinders_are_joined(rig: Rig) -> None:
    paths = [rig.store(rows("A", "B")), rig.store(rows("C", "D"))]
    result = rig.run(*paths, group_bytes=one_group(rig, *paths))
    assert groups(rig.root, result.outputs[0]) == [2, 2]


def test_a_text_that_a_footer_has_no_bounds_for_is_in_the_statistics(rig: Rig) -> None:
    # parquet keeps no bounds of more than 4,096 bytes; to tell only those of the other file would hide this one's rows
    devices = [pa.array([text * 5000, "m"], pa.large_string()) for text in ("a", "z")]
    paths = [rig.store(rows(*units), deviceid=ids) for units, ids in zip(("AB", "CD"), devices, strict=True)]
    paths.append(rig.store(rows("E", "F"), deviceid=pa.array(["k", "l"], pa.large_string())))
    result = rig.run(*paths, group_bytes=SMALL_GROUPS)
    statistics = result.outputs[0].statistics
    assert (statistics["minValues"]["deviceid"], statistics["maxValues"]["deviceid"]) == ("a" * 5000, "z" * 5000)


def test_files_older_than_a_column_are_merged_and_completed(rig: Rig) -> None:
    older = rig.store(rows("A", "B"))
    newer = rig.store(rows("C", "D"), schema=WIDE, speed=pa.array([1.5, None]))
    result = rig.run(older, newer, schema=WIDE, group_bytes=SMALL_GROUPS)
    assert rig.read(result.outputs[0]).column("speed").to_pylist() == [None, None, 1.5, None]
    both_older = rig.run(older, rig.store(rows("X", "Y")), schema=WIDE, group_bytes=SMALL_GROUPS)
    assert rig.read(both_older.outputs[0]).column_names == rig.read(result.outputs[0]).column_names


def backwards(table: pa.Table) -> pa.Table:
    return table.select(table.column_names[::-1])


def small_heartbeats(table: pa.Table) -> pa.Table:
    return table.set_column(3, "heartbeat", pa.array([1] * len(table), pa.int32()))


@pytest.mark.parametrize("change", [backwards, small_heartbeats])
def test_files_with_other_columns_are_merged(rig: Rig, change: Callable[[pa.Table], pa.Table]) -> None:
    paths = [rig.store(rows("A", "B")), rig.store(rows("C", "D"))]
    table = pq.ParquetFile(rig.root / paths[1]).read()
    plain: dict[str, Any] = {"store_schema": False, "compression": "zstd", "write_page_checksum": True}
    pq.write_table(change(table), rig.root / paths[1], **plain)
    result = rig.run(*paths, group_bytes=SMALL_GROUPS)
    assert rig.read(result.outputs[0]).schema == table.schema
    assert [unit for unit, _, _ in rig.rows(result)] == ["A", "B", "C", "D"]


@pytest.mark.parametrize(
    "options", [{"write_page_index": True}, {"write_statistics": False}, {"write_page_checksum": False}]
)
def test_files_with_more_or_less_in_them_than_siltstone_writes_are_merged(rig: Rig, options: dict[str, Any]) -> None:
    paths = [rig.store(rows("A", "B")), rig.store(rows("C", "D"))]
    table = pq.ParquetFile(rig.root / paths[1]).read()
    plain: dict[str, Any] = {"store_schema": False, "compression": "zstd", "write_page_checksum": True}
    pq.write_table(table, rig.root / paths[1], **(plain | options))
    result = rig.run(*paths, group_bytes=one_group(rig, *paths))
    assert groups(rig.root, result.outputs[0]) == [4]
    assert [unit for unit, _, _ in rig.rows(result)] == ["A", "B", "C", "D"]
    assert rig.files() == {*paths, result.outputs[0].path}  # nothing is left of what was begun


def test_row_groups_are_kept_from_a_quarter_of_the_usual_size_on(rig: Rig) -> None:
    paths = [rig.store(rows("A", "B"), rows("C", "D")), rig.store(rows("E", "F", "G", "H", "I"))]
    least = plain_bytes(rig.root, paths[0]) // 2  # of a group
    assert plain_bytes(rig.root, paths[1]) > least
    kept, grown = (rig.run(*paths, group_bytes=size).outputs[0] for size in (4 * least, 4 * least + 4))
    assert (groups(rig.root, kept), len(groups(rig.root, grown))) == ([2, 2, 5], 1)


def test_row_groups_of_50_000_rows_are_kept_however_small_they_are(rig: Rig) -> None:
    one, other, fewer = (
        rig.store([(unit, 0, "a")] * count) for unit, count in (("A", 50_000), ("B", 50_000), ("C", 49_999))
    )
    kept, grown = (rig.run(one, path).outputs[0] for path in (other, fewer))
    assert (groups(rig.root, kept), groups(rig.root, grown)) == ([50_000, 50_000], [99_999])


def test_no_file_larger_than_the_largest_is_made_by_joining(three: tuple[Rig, list[str]]) -> None:
    rig, paths = three
    stored = sum((rig.root / path).stat().st_size for path in paths)
    just = rig.run(*paths, group_bytes=SMALL_GROUPS, sizes=Sizes(1, 1, stored))
    assert [groups(rig.root, output) for output in just.outputs] == [[3, 2, 1, 2]]
    assert just.outputs[0].bytes <= stored
    over = rig.run(*paths, group_bytes=SMALL_GROUPS, sizes=Sizes(1, 1, stored - 1))
    assert groups(rig.root, over.outputs[0]) != [3, 2, 1, 2]
    assert rig.rows(over) == rig.rows(just)


def test_rows_that_go_are_left_out_of_files_that_could_be_joined(three: tuple[Rig, list[str]]) -> None:
    rig, paths = three
    dropped = rig.run(*paths, group_bytes=SMALL_GROUPS, drop=("x",))
    assert [unit for unit, _, _ in rig.rows(dropped)] == ["A", "D", "E", "F"]
    without = rig.run(paths[0], group_bytes=SMALL_GROUPS, positions=(0, 4))
    assert rig.rows(without) == [("A", 9, "w"), ("B", -YEAR_US * 60, "x"), ("B", 1, "x")]


# Damage


def outcome(rig: Rig, paths: Sequence[str], bad: str) -> list[Row] | str:
    """The rows of what was made of the files, "named" where only the bad one was and nothing is left."""
    try:
        result = rig.run(*paths, group_bytes=SMALL_GROUPS)
    except StorageError as error:
        named = [path for path in paths if path in str(error)]
        return (
            "named" if named == [bad] and "siltstone verify" in str(error) and rig.files() == set(paths) else str(error)
        )
    assert_is_as_told(rig.root, result.outputs[0])
    found = rig.rows(result)
    (rig.root / result.outputs[0].path).unlink()
    return found


@pytest.mark.parametrize("place", [0, 1, 2], ids=["first", "middle", "last"])
def test_no_damaged_page_is_taken_over_and_its_file_is_named(three: tuple[Rig, list[str]], place: int) -> None:
    rig, paths = three
    file, whole = rig.root / paths[place], outcome(rig, paths, "")
    data = file.read_bytes()
    column = pq.read_metadata(file).row_group(0).column(1)  # unitno
    begin, end = column.dictionary_page_offset, column.dictionary_page_offset + column.total_compressed_size
    first_content = begin + decoded(data[begin:])[1]

    def flipped(at: int, bit: int) -> list[Row] | str:
        file.write_bytes(data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :])
        return outcome(rig, paths, paths[place])

    assert [flipped(at, 4) for at in (first_content, column.data_page_offset - 1, end - 1)] == ["named"] * 3
    # What readers don't go by is healed by merging: the bits of the checksum beyond 32, or whether there is one.
    headers = [flipped(at, bit) for at in range(begin, first_content) for bit in (1, 6)]
    assert [found for found in headers if found not in ("named", whole)] == []
    assert headers.count("named") > 0.8 * len(headers)


def test_a_file_whose_footer_names_another_place_is_named(three: tuple[Rig, list[str]]) -> None:
    rig, paths = three
    file = rig.root / paths[1]
    data = file.read_bytes()
    footer = footer_of(data)
    column = footer[4][1][1][0][1][1][1][1][3][1]  # unitno of the only row group
    for field in (9, 11):  # pages of values, dictionary
        column[field] = column[field][0], column[field][1] + 1
    text = encoded(footer)
    file.write_bytes(
        data[: -8 - int.from_bytes(data[-8:-4], "little")] + text + len(text).to_bytes(4, "little") + b"PAR1"
    )
    assert outcome(rig, paths, paths[1]) == "named"


def test_a_file_cut_off_between_pages_and_footer_is_named(three: tuple[Rig, list[str]]) -> None:
    rig, paths = three
    file = rig.root / paths[1]
    data = file.read_bytes()
    file.write_bytes(data[:200] + data[300:])  # the footer is whole, but its places are 100 bytes off
    assert outcome(rig, paths, paths[1]) == "named"
