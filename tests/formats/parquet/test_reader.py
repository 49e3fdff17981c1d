"""Parquet documents: exact types, files of one schema in one frame, and what is refused and why."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from siltstone.errors import Unreadable
from siltstone.formats.documents import Item, ParseRules
from siltstone.formats.parquet.reader import ParquetDocument, open_parquet, read_parquet

NOON = datetime(2026, 1, 28, 12, tzinfo=UTC)
IN_DECEMBER = datetime(2025, 12, 10, 2, 10, 18, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TYPES = {
    "name": pa.string(), "node": pa.uint32(), "status": pa.int8(), "distance": pa.decimal128(10, 0),
    "at": pa.timestamp("ms", tz="UTC"), "north": pa.float32(),
}  # fmt: skip
ROW = {"name": "door", "node": 4_294_967_295, "status": -1, "distance": Decimal(7), "at": NOON, "north": 0.5}


def written(*rows: dict[str, Any], **more: pa.DataType) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(list(rows), schema=pa.schema(list({**TYPES, **more}.items()))), sink)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def opened(*files: bytes, rules: ParseRules | None = None) -> list[ParquetDocument]:
    return [open_parquet(Item(n, f"f{n}", 0, data), rules or ParseRules()).document for n, data in enumerate(files)]


def test_types_stay_exactly_what_they_are() -> None:
    (records,) = read_parquet(opened(written(ROW)))
    assert records.frame.row(0, named=True) == ROW
    assert list(records.frame.dtypes) == [
        pl.String(), pl.UInt32(), pl.Int8(), pl.Decimal(10, 0), pl.Datetime("ms", "UTC"), pl.Float32(),
    ]  # fmt: skip


def test_files_of_one_schema_are_one_frame_and_rows_know_their_file() -> None:
    files = opened(written(ROW, ROW), written(), written(ROW), written({**ROW, "new": "x"}, new=pa.string()))
    first, second = read_parquet(files)
    assert (first.document.tolist(), first.line.tolist()) == ([0, 0, 2], [0, 1, 0])
    assert (second.document.tolist(), second.frame["new"].to_list()) == ([3], ["x"])


def test_texts_can_come_as_categories() -> None:
    (records,) = read_parquet(opened(written(ROW), written({**ROW, "name": None})), coded=True)
    assert records.frame["name"].dtype == pl.Categorical()
    assert records.frame["name"].cast(pl.String()).to_list() == ["door", None]


def test_a_row_for_the_quarantine_is_json() -> None:
    (document,) = opened(written(ROW))
    offset, raw = document.record(0)
    assert (offset, raw) == (
        0,
        b'{"name":"door","node":4294967295,"status":-1,"distance":"7","at":1769601600000,"north":0.5}',
    )


WHOLE = written(*[ROW] * 100)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "0 bytes"),
        (b"not at all", "no Parquet: begins with b'not at a'"),
        (WHOLE[:-9], "cut short"),
        (b"PARE" + WHOLE[4:-4] + b"PARE", "encrypted"),
        (WHOLE[:-40] + b"\xff" * 30 + WHOLE[-10:], "its footer can't be read"),
        (WHOLE[:4] + b"\xff" * 60 + WHOLE[64:], "can't be decoded"),
    ],
)
def test_what_can_not_be_read_is_refused_with_its_reason(data: bytes, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        opened(data)


def test_a_file_that_would_grow_without_bounds_is_refused_and_a_large_usual_one_is_not() -> None:
    table = pa.table({"x": pa.array(range(2_000), pa.int64()), "y": pa.array(["a" * 1_000] * 2_000)})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, use_dictionary=False, compression="zstd")
    data = sink.getvalue().to_pybytes()
    with pytest.raises(Unreadable, match=r"limits\.max_decompressed_mb"):
        opened(data, rules=ParseRules(max_text_bytes=1 << 20))
    assert opened(WHOLE, rules=ParseRules(max_text_bytes=100))[0].table.num_rows == 100


def test_a_byte_that_changed_on_the_way_is_found_by_the_checksum_of_its_page() -> None:
    sink = pa.BufferOutputStream()
    table = pa.table({"x": pa.array([1.0, 1.5, 2.0])})
    pq.write_table(table, sink, compression="none", use_dictionary=False, write_page_checksum=True)
    data = bytearray(sink.getvalue().to_pybytes())
    data[data.index(b"\x00\x00\xf8\x3f")] ^= 1  # of the 1.5, which no statistics have
    with pytest.raises(Unreadable, match="can't be decoded"):
        opened(bytes(data))


def test_text_that_is_no_utf_8_refuses_the_file() -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"s": ["abcdef"]}), sink, compression="none", use_dictionary=False)
    with pytest.raises(Unreadable, match="can't be decoded"):
        opened(sink.getvalue().to_pybytes().replace(b"abcdef", b"abc\xff\xfef"))


def test_rows_of_nothing_without_end_are_refused() -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"x": pa.nulls(3_000_000, pa.int64())}), sink)
    with pytest.raises(Unreadable, match="3,000,000 rows, more than"):
        opened(sink.getvalue().to_pybytes(), rules=ParseRules(max_text_bytes=256 << 10))


ODD_TYPES: dict[str, tuple[pa.Array, Any]] = {
    "a zone that is an offset": (pa.array([1_765_332_618_000], pa.timestamp("ms", "+05:30")), IN_DECEMBER),
    "the zone Z": (pa.array([1_765_332_618_000], pa.timestamp("ms", "Z")), IN_DECEMBER),
    "a zone of no planet of ours": (pa.array([1_765_332_618_000], pa.timestamp("ms", "Mars/Phobos")), IN_DECEMBER),
    "such zones in lists": (pa.array([[0]], pa.list_(pa.timestamp("us", "-03:30"))), [EPOCH]),
    "such zones in objects": (pa.array([{"at": 0}], pa.struct([("at", pa.timestamp("us", "Z"))])), {"at": EPOCH}),
    "such zones in maps": (pa.array([[("a", 0)]], pa.map_(pa.string(), pa.timestamp("us", "Z"))), {"a": EPOCH}),
    "a decimal of many digits": (pa.array([Decimal("1.25")], pa.decimal256(60, 5)), "1.25000"),
    "such decimals in lists": (pa.array([[Decimal("1.25")]], pa.list_(pa.decimal256(60, 5))), ["1.25000"]),
    "seconds that no milliseconds hold": (pa.array([(1 << 63) - 1], pa.duration("s")), (1 << 63) - 1),
}


@pytest.mark.parametrize("case", list(ODD_TYPES))
def test_types_that_polars_lacks_become_ones_that_it_has(case: str) -> None:
    column, value = ODD_TYPES[case]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"odd": column}), sink)
    (records,) = read_parquet(opened(sink.getvalue().to_pybytes()))
    assert records.frame["odd"].to_list() == [value]


def test_two_fields_of_one_name_in_a_value_are_refused() -> None:
    kind = pa.struct([("a", pa.int64()), ("a", pa.int64())])
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"twice": pa.StructArray.from_arrays([pa.array([1])] * 2, fields=list(kind))}), sink)
    with pytest.raises(Unreadable, match="two fields of one value have one name: a, a"):
        opened(sink.getvalue().to_pybytes())


def test_metadata_that_is_no_text_does_no_harm() -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"n": [1]}).replace_schema_metadata({"pandas": "{}"}), sink)
    damaged = sink.getvalue().to_pybytes().replace(b"pandas", b"p\xe1ndas")
    (records,) = read_parquet(opened(damaged))
    assert records.frame["n"].to_list() == [1]


def test_a_row_with_instants_beyond_the_calendar_is_json_too() -> None:
    dates = pa.array([[(1 << 31) - 1]], pa.list_(pa.int32())).cast(pa.list_(pa.date32()))
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"dates": dates, "n": [float("nan")]}), sink)
    (document,) = opened(sink.getvalue().to_pybytes())
    assert document.record(0) == (0, b'{"dates":["2147483647"],"n":"NaN"}')
