"""Avro containers: what whole, damaged and hostile files give, and that both lanes read what fastavro wrote."""

import base64
import bz2
import datetime
import gzip
import io
import json
import lzma
import math
import pickle
import re
import tracemalloc
import zlib
from decimal import Decimal
from typing import Any

import fastavro
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from siltstone.errors import Unreadable
from siltstone.formats.avro.careful import read_careful
from siltstone.formats.avro.fast import read_fast
from siltstone.formats.avro.lanes import AvroDocument, open_avro, read_avro
from siltstone.formats.avro.values import long_bytes
from siltstone.formats.documents import Item, Opened, ParseRules, Records
from support.places import SAMPLES
from support.rounds import examples

SYNC = b"0123456789abcdef"
MIB = 1 << 20
READING: list[dict[str, Any]] = [
    {"name": "series", "type": "string"},
    {"name": "t", "type": "long"},
    {"name": "v", "type": ["null", "double"]},
    {"name": "flag", "type": ["boolean", "null"]},
]


def snappy(payload: bytes) -> bytes:
    return pa.compress(payload, "snappy", asbytes=True) + zlib.crc32(payload).to_bytes(4, "big")


def deflate(payload: bytes) -> bytes:
    return zlib.compress(payload)[2:-4]


CODECS = {
    "null": bytes,
    "deflate": deflate,
    "snappy": snappy,
    "zstandard": zstandard.ZstdCompressor().compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}


def named(fields: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "record", "name": "r", "fields": fields}


def header(fields: list[dict[str, Any]] | bytes, codec: str = "null", more: dict[bytes, bytes] | None = None) -> bytes:
    schema = fields if isinstance(fields, bytes) else json.dumps(named(fields)).encode()
    entries = {**(more or {}), b"avro.schema": schema, b"avro.codec": codec.encode()}
    coded = b"".join(long_bytes(len(text)) + text for pair in entries.items() for text in pair)
    return b"Obj\x01" + long_bytes(len(entries)) + coded + b"\0" + SYNC


def block(count: int, payload: bytes, codec: str = "null", sync: bytes = SYNC) -> bytes:
    data = CODECS[codec](payload)
    return long_bytes(count) + long_bytes(len(data)) + data + sync


def coded(fields: list[dict[str, Any]], records: list[dict[str, Any]]) -> bytes:
    """Records as fastavro writes them."""
    schema, out = fastavro.parse_schema(named(fields)), io.BytesIO()
    for record in records:
        fastavro.schemaless_writer(out, schema, record)
    return out.getvalue()


def readings(series: str, first: int, count: int) -> list[dict[str, Any]]:
    return [{"series": series, "t": first + i, "v": i / 4, "flag": None} for i in range(count)]


def opened(data: bytes, index: int = 0, **rules: Any) -> Opened:
    return open_avro(Item(index, f"{index}.avro", 7, data), ParseRules(**rules))


def document(data: bytes, index: int = 0) -> AvroDocument:
    found = opened(data, index)
    assert found.damage == ""
    return found.document  # type: ignore[no-any-return]


def only(found: list[Records]) -> Records:
    assert len(found) == 1
    return found[0]


def read(data: bytes) -> Records:
    return only(read_avro([document(data)]))


def read_file(name: str) -> Records:
    return read((SAMPLES / name).read_bytes())


WEATHER = [json.loads(line) for line in (SAMPLES / "avro/weather.json").read_text().splitlines()]


@pytest.mark.parametrize("name", ["weather", "weather-deflate", "weather-snappy", "weather-zstd", "weather-sorted"])
def test_the_avro_projects_table_in_every_codec(name: str) -> None:
    records = read_file(f"avro/{name}.avro")
    expected = sorted(WEATHER, key=lambda r: (r["station"], r["time"])) if name == "weather" else WEATHER
    rows = records.frame.sort("station", "time") if name == "weather-sorted" else records.frame
    assert records.lane == "typed"
    assert rows.schema == {"station": pl.String, "time": pl.Int64, "temp": pl.Int32}
    assert rows.to_dicts() == expected
    assert rows["time"].min() == -655531200000  # 1949-03-24: a time before 1970


def test_metadata_that_are_no_utf8_are_no_harm() -> None:
    records = read_file("avro/syncInMeta.avro")
    first = {"ID": 1, "First": "Dante", "Last": "Hicks", "Phone": "(0)", "Age": 32}
    assert (records.lane, records.frame.height, records.frame.row(0, named=True)) == ("typed", 6_001, first)


def test_the_documentations_rows_of_sitewise() -> None:
    (path,) = (SAMPLES / "sitewise").rglob("*.avro")
    records = read(path.read_bytes())
    assert records.lane == "typed"
    assert records.frame["doubleValue"].to_list() == [0.75, 0.69, 0.66, 0.92, 0.73]
    assert records.frame["timeInSeconds"].to_list() == [1625675887, 1625675889, 1625675890, 1625675891, 1625675892]
    assert records.frame["recordVersion"].to_list() == [None] * 5
    assert records.frame.schema["integerValue"] == pl.Int32


@pytest.mark.parametrize("codec", CODECS)
def test_every_codec_gives_its_records_back(codec: str) -> None:
    payloads = [coded(READING, readings("a", 0, 3)), coded(READING, readings("b", 10, 2))]
    data = header(READING, codec) + block(3, payloads[0], codec) + block(2, payloads[1], codec)
    found = document(data)
    assert (found.count, list(found.blocks)) == (5, [(3, payloads[0]), (2, payloads[1])])
    assert found.size == sum(map(len, payloads))
    assert read(data).frame["t"].to_list() == [0, 1, 2, 10, 11]


@pytest.mark.parametrize("wrap", [gzip.compress, zstandard.ZstdCompressor().compress])
def test_a_compressed_container_is_read(wrap: Any) -> None:
    assert read(wrap((SAMPLES / "avro/weather.avro").read_bytes())).frame.height == 5


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file: 0 bytes, not even an Avro header"),
        ((SAMPLES / "avro/test.avro12").read_bytes(), "Avro container of format 1.2 (magic Obj 0x00), which nothing"),
        (b"Obj\x02abc", "Avro container of an unknown format (magic Obj 0x02)"),
        (b'{"a":1}\n', "no Avro container: begins with b'{\"a\":1}\\n'"),
        (header(READING)[:40], "Avro file cut short or broken inside its header"),
        (header(READING)[:-1], "Avro file cut short or broken inside its header"),
        (b"Obj\x01" + b"\xff" * 40, "Avro file cut short or broken inside its header"),
        (header(READING, "lz4"), "Avro codec 'lz4' is not known: null, deflate, snappy, zstandard, bzip2, xz are read"),
        (header(b"{"), "its Avro schema is no JSON"),
        (header(b'"long"'), "its Avro schema is of type long, not a record"),
        (header(b'{"type":"record","name":"r"}'), "its Avro schema can't be understood: KeyError('fields')"),
        (header([{"name": "a", "type": "sting"}]), "its Avro schema can't be understood: KeyError('sting')"),
        (header([{"name": "a", "type": "int"}] * 2), "its Avro schema names a field twice: a, a"),
        (b"Obj\x01\0" + SYNC, "Avro file without a schema in its header"),
    ],
)
def test_what_is_no_avro_file_is_unreadable(data: bytes, reason: str) -> None:
    with pytest.raises(Unreadable, match=re.escape(reason)):
        opened(data, salvage="all")


@pytest.mark.parametrize("blocks", [b"", block(0, b""), block(0, b"") * 2])
def test_no_records_are_no_error(blocks: bytes) -> None:
    records = read(header(READING) + blocks)
    assert (records.lane, records.frame.height, len(records.document)) == ("typed", 0, 0)
    assert records.frame.columns == ["series", "t", "v", "flag"]
    assert records.frame.schema["v"] == pl.Float64


def test_an_empty_block_does_not_end_a_file() -> None:
    payload = coded(READING, readings("a", 5, 2))
    assert read(header(READING) + block(0, b"") + block(2, payload) + block(0, b"")).frame["t"].to_list() == [5, 6]


def test_blocks_of_many_rows_between_empty_ones() -> None:
    fields = [{"name": "a", "type": "long"}]
    payload = long_bytes(300) * 20_000
    records = read(header(fields) + (block(0, b"") + block(20_000, payload)) * 3 + block(0, b""))
    assert (records.lane, records.frame.height, records.frame["a"].sum()) == ("typed", 60_000, 60_000 * 300)
    left = read(header(fields) + block(20_000, payload) + block(0, b"\2") + block(20_000, payload))
    assert (left.lane, left.frame.height, len(left.bad)) == ("careful", 40_000, 1)


def test_records_count_from_their_own_file() -> None:
    """100 files of 1, 2, 3, ... records in two blocks, every tenth without any."""
    files = []
    for i in range(100):
        rows = readings(f"s{i}", 1000 * i, i) if i % 10 else []
        cut = len(rows) // 2
        parts = [part for part in (rows[:cut], rows[cut:]) if part]
        codec = list(CODECS)[i % 6]
        files.append(header(READING, codec) + b"".join(block(len(p), coded(READING, p), codec) for p in parts))
    documents = [document(data, 500 + i) for i, data in enumerate(files)]
    records = only(read_avro(documents))
    assert records.lane == "typed"
    assert records.frame.height == sum(i for i in range(100) if i % 10)
    assert records.frame["series"].to_list() == [f"s{i - 500}" for i in records.document]
    assert np.array_equal(records.frame["t"].to_numpy(), 1000 * (records.document - 500) + records.line)


def test_a_documents_records_as_json_and_where_they_begin() -> None:
    rows = readings("a", 0, 3)
    parts = [coded(READING, rows[:2]), coded(READING, rows[2:])]
    found = document(header(READING) + block(2, parts[0]) + block(1, parts[1]))
    one = len(coded(READING, rows[:1]))
    assert found.record(1) == (one, b'{"series":"a","t":1,"v":0.25,"flag":null}')
    assert found.record(2) == (len(parts[0]), b'{"series":"a","t":2,"v":0.5,"flag":null}')
    assert pickle.loads(pickle.dumps(found)) == found
    assert (found.index, found.path, found.modified_us, found.schema) == (0, "0.avro", 7, named(READING))


def test_files_are_grouped_by_their_schema() -> None:
    other = [READING[0], READING[2] | {"type": ["double", "null"]}, READING[1], {"name": "more", "type": "int"}]
    row = {"series": "b", "v": 0.5, "t": 9, "more": 1}
    files = [
        header(READING) + block(1, coded(READING, readings("a", 0, 1))),
        header(other) + block(2, coded(other, [row, {**row, "v": None}])),
        header(READING, more={b"zz": b"\xff"}) + block(1, coded(READING, readings("c", 5, 1))),
    ]
    first, second = read_avro([document(data, i) for i, data in enumerate(files)])
    assert (first.document.tolist(), first.frame["series"].to_list()) == ([0, 2], ["a", "c"])
    assert second.document.tolist() == [1, 1]
    assert second.frame.to_dicts() == [row, {**row, "v": None}]
    assert {first.lane, second.lane} == {"typed"}


THREE = [coded(READING, readings("a", 10 * i, 2)) for i in range(3)]
WHOLE = [block(2, payload, "snappy") for payload in THREE]


@pytest.mark.parametrize("lost", [1, 16, 17, 30])
def test_a_file_cut_short_keeps_the_blocks_before_the_cut(lost: int) -> None:
    data = header(READING, "snappy") + b"".join(WHOLE)
    found = opened(data[:-lost])
    assert found.damage == "Avro file cut short; 4 records could be read"
    assert found.cut == WHOLE[2][:-lost]
    assert only(read_avro([found.document])).frame["t"].to_list() == [0, 1, 10, 11]
    with pytest.raises(Unreadable, match="Avro file cut short"):
        opened(data[:-lost], salvage="none")


def test_a_file_cut_inside_its_first_block_gives_nothing() -> None:
    with pytest.raises(Unreadable, match="Avro file cut short; 0 records could be read"):
        opened(header(READING) + block(2, THREE[0])[:-20])


def broken(change: str) -> bytes:
    """A block that is framed, or almost, and can't be read."""
    data = CODECS["snappy"](THREE[1])
    if change == "sync":
        return block(2, THREE[1], "snappy", sync=b"x" * 16) + b""
    if change == "crc":
        data = data[:-1] + bytes([data[-1] ^ 1])
    if change == "text":
        data = data[:5] + bytes([data[5] ^ 0x20]) + data[6:]
    if change == "length":
        data = b"\xff\xff\x7f" + data[2:]
    count = {"negative": -2, "many": 1 << 40}.get(change, 2)
    return long_bytes(count) + long_bytes(len(data)) + data + SYNC


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("sync", "the sync marker behind it is wrong"),
        ("crc", "wrong CRC of a snappy block"),
        ("text", "snappy"),
        ("length", "snappy can't make 2,097,151 bytes of"),
        ("negative", "it says it has -2 records"),
        ("many", "it says it has 1,099,511,627,776 records, too many for its 26 bytes"),
    ],
)
def test_a_damaged_block_is_left_out_only_where_all_is_to_be_saved(change: str, reason: str) -> None:
    bad = broken(change)
    data = header(READING, "snappy") + WHOLE[0] + bad + WHOLE[0] + WHOLE[2]
    with pytest.raises(Unreadable, match=f"broken Avro block: .*{re.escape(reason)}.*; 2 records could be read"):
        opened(data)
    found = opened(data, salvage="all")
    assert reason in found.damage
    assert found.cut.startswith(bad)
    times = only(read_avro([found.document])).frame["t"].to_list()
    # a wrong marker leaves no other place to go on from than the next one: the block behind it is lost as well
    assert times == ([0, 1, 20, 21] if change == "sync" else [0, 1, 0, 1, 20, 21])


def bomb(codec: str, size: int) -> bytes:
    """One long string of blanks."""
    return header([{"name": "s", "type": "string"}], codec) + block(1, long_bytes(size) + b" " * size, codec)


@pytest.mark.parametrize("codec", [c for c in CODECS if c not in ("null", "snappy")])
def test_a_bomb_is_stopped_while_memory_stays_flat(codec: str) -> None:
    data = bomb(codec, 96 * MIB if codec == "zstandard" else 48 * MIB)
    tracemalloc.start()
    with pytest.raises(Unreadable, match=r"its blocks are over limits\.max_decompressed_mb \(8 MiB\)"):
        opened(data, salvage="all", max_text_bytes=8 * MIB)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 * MIB


def test_blocks_of_over_64_mib_are_capped_by_what_is_stored() -> None:
    data = bomb("zstandard", 65 * MIB)
    with pytest.raises(Unreadable, match=r"its blocks are over limits\.max_ratio \(200 times the .* bytes stored\)"):
        opened(data, salvage="all")


@pytest.mark.parametrize("codec", CODECS)
def test_blocks_are_capped_together(codec: str) -> None:
    payload = coded(READING, readings("a", 0, 1))
    data = header(READING, codec) + block(1, payload, codec) * 10
    assert opened(data, max_text_bytes=10 * len(payload)).document.count == 10
    with pytest.raises(Unreadable, match=r"its blocks are over limits\.max_decompressed_mb"):
        opened(data, max_text_bytes=10 * len(payload) - 1)


def test_a_snappy_block_can_not_claim_more_than_it_holds() -> None:
    data = b"\xff\xff\xff\xff\x0f" + b"\0" * 8
    with pytest.raises(Unreadable, match="snappy can't make 4,294,967,295 bytes of 13"):
        opened(header(READING, "snappy") + long_bytes(1) + long_bytes(len(data)) + data + SYNC)


@pytest.mark.parametrize("count", [1, 3, 0])
def test_a_wrong_count_is_found_and_stays_in_its_file(count: int) -> None:
    """The count of a block has no checksum: a lower one would hide records, a higher one reach for the next block's."""
    files = [header(READING) + block(2, THREE[i]) + block(count if i == 1 else 2, THREE[i]) for i in range(3)]
    typed, careful = read_avro([document(data, i) for i, data in enumerate(files)])
    assert (typed.lane, typed.document.tolist()) == ("typed", [0] * 4 + [2] * 4)
    assert typed.frame["t"].to_list() == [0, 1, 0, 1, 20, 21, 20, 21]
    assert (careful.lane, careful.frame["t"].to_list(), careful.line.tolist()) == ("careful", [10, 11], [0, 1])
    (bad,) = careful.bad
    assert (bad.document, bad.line, bad.offset, bad.raw) == (1, 2, len(THREE[1]), THREE[1])
    assert bad.reason.startswith(f"block 2, which says it has {count} records, can't be decoded: ")


@pytest.mark.parametrize(
    ("kind", "payload", "reason"),
    [
        ("boolean", b"\x02", "2 is no boolean"),
        ("int", long_bytes(1 << 31), "2147483648 is no int"),
        ("int", long_bytes(1 << 40), "1099511627776 is no int"),
        ("int", long_bytes(-(1 << 31) - 1), "-2147483649 is no int"),
        ("long", b"\xff" * 9 + b"\x7f", "a number of over 64 bits"),
        ("long", b"\xff" * 10 + b"\x01", "a number of over 64 bits"),
        (["null", "long"], b"\x04\x0e", "branch 2 of a union of 2"),
        (["null", "long"], b"\x01\x0e", "branch -1 of a union of 2"),
        (["long", "null"], b"\x04", "branch 2 of a union of 2"),
        ({"type": "enum", "name": "e", "symbols": ["x", "y"]}, b"\x04", "symbol 2 of an enum of 2"),
        ({"type": "enum", "name": "e", "symbols": ["x", "y"]}, b"\x01", "symbol -1 of an enum of 2"),
        ("string", long_bytes(2) + b"\xff\xfe", "invalid start byte"),
        ("string", long_bytes(-2) + b"ab", "-2 bytes of a value where 2 are left"),
        ("string", long_bytes(9) + b"ab", "9 bytes of a value where 2 are left"),
        ("double", b"\0" * 9, "1 bytes are left behind its records"),
        ({"type": "array", "items": "null"}, long_bytes(1 << 50) + b"\0", "items without a byte"),
        ({"type": "map", "values": "int"}, b"\x04\x02a\x02\x02a\x04\0", "a map with the key 'a' twice"),
        ({"type": "bytes", "logicalType": "decimal", "precision": 2}, b"\x02\x64", "a decimal of over 2 digits"),
    ],
)
def test_bytes_without_a_meaning_are_a_bad_record_in_every_lane(kind: Any, payload: bytes, reason: str) -> None:
    data = header([{"name": "a", "type": kind}]) + block(1, payload)
    found = read(data)
    assert (found.lane, found.frame.height) == ("careful", 0)
    assert [b.reason for b in found.bad] == [
        f"block 1, which says it has 1 records, can't be decoded: {b.reason.partition('decoded: ')[2]}"
        for b in found.bad
    ]
    assert reason in found.bad[0].reason


def test_the_largest_numbers_are_read_by_the_fast_lane() -> None:
    fields = [{"name": "i", "type": "int"}, {"name": "l", "type": ["null", "long"]}]
    rows = [{"i": s * (1 << 31) - (s > 0), "l": s * (1 << 63) - (s > 0)} for s in (-1, 1)]
    records = read(header(fields) + block(2, coded(fields, rows)))
    assert (records.lane, records.frame.to_dicts()) == ("typed", rows)


def test_a_number_in_more_bytes_than_it_needs_is_read_by_the_careful_lane() -> None:
    records = read(header([{"name": "a", "type": "long"}]) + block(1, b"\x82\x80\x00"))
    assert (records.lane, records.frame["a"].to_list(), records.bad) == ("careful", [1], [])


def test_records_of_endless_kind_end() -> None:
    endless = json.dumps(named([{"name": "again", "type": "r"}])).encode()
    assert "recursion" in read(header(endless) + block(1, b"\0")).bad[0].reason
    tree = json.dumps(named([{"name": "next", "type": ["null", "r"]}])).encode()
    found = read(header(tree) + block(1, b"\x02\x02\0") + block(1, b"\x02" * 5_000 + b"\0"))
    assert found.frame["next"].to_list() == ['{"next":{"next":null}}']
    assert len(found.bad) == 1


def test_nested_values_become_json() -> None:
    fields = [
        {"name": "point", "type": {"type": "record", "name": "p", "namespace": "n", "fields": [
            {"name": "x", "type": "double"}, {"name": "raw", "type": "bytes"}]}},
        {"name": "again", "type": ["null", "n.p"]},
        {"name": "list", "type": {"type": "array", "items": ["null", "float"]}},
        {"name": "map", "type": {"type": "map", "values": "long"}},
        {"name": "any", "type": ["null", "double", "string", "boolean"]},
        {"name": "wide", "type": ["int", "null", "long"]},
    ]  # fmt: skip
    point = {"x": 1.5, "raw": b"\xff\x00"}
    rows = [
        {"point": point, "again": None, "list": [None, 0.5], "map": {"ü": -1}, "any": "1.0", "wide": 7},
        {"point": {**point, "x": math.nan}, "again": point, "list": [], "map": {}, "any": 1.0, "wide": None},
    ]
    records = read(header(fields) + block(2, coded(fields, rows)))
    assert records.lane == "careful"
    assert records.frame.to_dicts() == [
        {"point": '{"x":1.5,"raw":"/wA="}', "again": None, "list": "[null,0.5]", "map": '{"ü":-1}',
         "any": '"1.0"', "wide": 7},
        {"point": '{"x":"NaN","raw":"/wA="}', "again": '{"x":1.5,"raw":"/wA="}', "list": "[]", "map": "{}",
         "any": "1.0", "wide": None},
    ]  # fmt: skip
    assert records.frame.schema["wide"] == pl.Int64


def test_logical_types_keep_their_meaning() -> None:
    def logical(kind: str, name: str, **more: Any) -> dict[str, Any]:
        return {"name": name, "type": ["null", {"type": kind, "logicalType": name, **more}]}

    fields = [
        logical("int", "date"),
        logical("long", "timestamp-millis"),
        logical("long", "local-timestamp-micros"),
        logical("long", "timestamp-nanos"),
        logical("int", "time-millis"),
        logical("string", "uuid"),
    ]
    decimal = logical("bytes", "decimal", precision=30, scale=2)
    plain = [f | {"type": ["null", f["type"][1]["type"]]} for f in [*fields, decimal]]
    row = dict(zip([f["name"] for f in fields], (-1, 1_500, -1, 5, 86_400_000, "x"), strict=True))
    expected = {
        "date": datetime.date(1969, 12, 31),
        "timestamp-millis": datetime.datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=datetime.UTC),
        "local-timestamp-micros": datetime.datetime(1969, 12, 31, 23, 59, 59, 999_999),
        "timestamp-nanos": datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC),  # as Python has it, without nanoseconds
        "time-millis": 86_400_000,  # no time of day: kept as its number
        "uuid": "x",
    }
    empty = dict.fromkeys(row)
    typed = read(header(fields) + block(2, coded(plain[:-1], [row, empty])))
    assert (typed.lane, typed.frame.to_dicts()) == ("typed", [expected, empty])
    assert typed.frame["timestamp-nanos"].to_physical().to_list() == [5, None]
    number = -(10**29) - 5
    row["decimal"] = number.to_bytes(13, "big", signed=True)
    careful = read(header([*fields, decimal]) + block(1, coded(plain, [row])))
    assert (careful.lane, careful.frame.schema) == ("careful", {**typed.frame.schema, "decimal": pl.Decimal(30, 2)})
    assert careful.frame.drop("decimal").to_dicts() == [expected]
    assert careful.frame["decimal"].to_list() == [Decimal("-1000000000000000000000000000.05")]


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "boolean": st.booleans(),
    "int": st.integers(-(1 << 31), (1 << 31) - 1) | st.integers(-200, 200),
    "long": st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(-200, 200),
    "float": st.floats(width=32),
    "double": st.floats(),
    "string": st.text(max_size=80),
    "bytes": st.binary(max_size=80),
    "enum": st.sampled_from(["x", "y", "z"]),
    "fixed": st.binary(min_size=3, max_size=3),
}


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[list[dict[str, Any]]]]:
    """Fields of a flat record, and records in some blocks."""
    fields, strategies = [], {}
    for i, shape in enumerate(draw(st.lists(st.sampled_from(list(VALUES)), min_size=1, max_size=6))):
        kind: Any = shape
        if shape == "enum":
            kind = {"type": "enum", "name": f"e{i}", "symbols": ["x", "y", "z"]}
        elif shape == "fixed":
            kind = {"type": "fixed", "name": f"f{i}", "size": 3}
        values = VALUES[shape]
        union = draw(st.sampled_from([None, "first", "last"]))
        if union:
            kind, values = (["null", kind] if union == "first" else [kind, "null"]), st.none() | values
        fields.append({"name": f"field {i}", "type": kind})
        strategies[f"field {i}"] = values
    blocks = draw(st.lists(st.lists(st.fixed_dictionaries(strategies), max_size=5), max_size=5))
    return fields, blocks


def as_column(value: Any) -> Any:
    """What a column holds of a value that fastavro read, NaN as a text."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return "NaN" if isinstance(value, float) and math.isnan(value) else value


@settings(max_examples=examples(60), deadline=None)
@given(tables())
def test_both_lanes_read_what_fastavro_wrote(table: tuple[list[dict[str, Any]], list[list[dict[str, Any]]]]) -> None:
    fields, blocks = table
    file = document(header(fields) + b"".join(block(len(rows), coded(fields, rows)) for rows in blocks))
    schema = fastavro.parse_schema(named(fields))
    expected = []
    for count, payload in file.blocks:
        reader = io.BytesIO(payload)
        expected += [fastavro.schemaless_reader(reader, schema, None) for _ in range(count)]
    typed, unproven = read_fast([file])
    careful = read_careful([file])
    assert typed is not None
    assert unproven == []
    assert typed.frame.schema == careful.frame.schema
    for records in (typed, careful):
        found = [{k: as_column(v) for k, v in row.items()} for row in records.frame.to_dicts()]
        assert found == [{k: as_column(v) for k, v in row.items()} for row in expected]  # type: ignore[union-attr]
        assert records.line.tolist() == list(range(len(expected)))


FLIPPED: list[dict[str, Any]] = [
    *READING,
    {"name": "i", "type": "int"},
    {"name": "e", "type": {"type": "enum", "name": "e", "symbols": ["x", "y"]}},
    {"name": "n", "type": ["null", "long"]},
]
FLIPPED_ROWS = [
    {**row, "i": -(1 << 30) + i, "e": "xy"[i % 2], "flag": i == 1, "n": -(1 << 63) if i else None}
    for i, row in enumerate(readings("ab", 1_600_000_000, 3))
]
FLIPPED_PAYLOAD = coded(FLIPPED, FLIPPED_ROWS)


@settings(max_examples=examples(150), deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(FLIPPED_PAYLOAD) - 1), st.integers(0, 255)), min_size=1, max_size=2))
@example([(3, 2)])
def test_what_the_fast_lane_proves_is_what_the_careful_lane_reads(changes: list[tuple[int, int]]) -> None:
    payload = bytearray(FLIPPED_PAYLOAD)
    for place, byte in changes:
        payload[place] = byte
    file = document(header(FLIPPED) + block(3, bytes(payload)))
    typed, _ = read_fast([file])
    careful = read_careful([file])
    if typed is None:
        return
    assert careful.bad == []
    assert typed.frame.equals(careful.frame)


def test_every_single_byte_changed_is_either_refused_or_read_alike() -> None:
    """Eight values for each byte of a block, as one file each, all read at once."""
    files = []
    for place in range(len(FLIPPED_PAYLOAD)):
        for byte in (0, 1, 2, 4, 0x7F, 0x80, 0x82, 0xFF):
            payload = FLIPPED_PAYLOAD[:place] + bytes([byte]) + FLIPPED_PAYLOAD[place + 1 :]
            files.append(document(header(FLIPPED) + block(3, payload), len(files)))
    by_lane = {records.lane: records for records in read_avro(files)}
    alone = read_careful(files)
    typed, careful = by_lane["typed"], by_lane["careful"]
    is_typed = np.isin(alone.document, typed.document)
    assert typed.frame.equals(alone.frame.filter(is_typed))
    assert careful.frame.equals(alone.frame.filter(~is_typed))
    assert len(careful.bad) == len(alone.bad) > 100
    assert typed.frame.height > 300


def test_deflate_data_may_end_with_a_part_of_its_checksum_and_with_nothing_else() -> None:
    schema = {"type": "record", "name": "r", "fields": [{"name": "x", "type": "long"}]}
    buffer = io.BytesIO()
    fastavro.writer(buffer, schema, [{"x": n} for n in range(50)], codec="deflate")  # leaves three bytes of it
    data = buffer.getvalue()
    (records,) = read_avro([open_avro(Item(0, "a", 0, data), ParseRules()).document])
    assert records.frame["x"].to_list() == list(range(50))
    sync = data[-16:]
    spoiled = data[:-17] + bytes([data[-17] ^ 1]) + sync
    with pytest.raises(Unreadable, match="3 bytes behind the deflate data"):
        open_avro(Item(0, "a", 0, spoiled), ParseRules())


def test_a_header_beyond_all_measure_is_refused() -> None:
    schema = {"type": "record", "name": "r", "doc": "x" * (1 << 20), "fields": [{"name": "x", "type": "long"}]}
    buffer = io.BytesIO()
    fastavro.writer(buffer, schema, [], metadata={"note": "x" * (1 << 20)})
    with pytest.raises(Unreadable, match=r"Avro header of .* bytes is over 1 MiB"):
        open_avro(Item(0, "a", 0, buffer.getvalue()), ParseRules())
