"""Thrift's compact protocol: the encodings of its specification, footers of Parquet byte for byte, and what is none."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siltstone.formats.parquet.thrift import decoded, encoded
from support.rounds import examples

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)


def footer(table: pa.Table, **options: Any) -> bytes:
    """The footer that pyarrow writes for a table."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **options)
    data = bytes(sink.getvalue())
    return data[-8 - int.from_bytes(data[-8:-4], "little") : -8]


FOOTERS = {
    "one column": footer(pa.table({"a": [1, 2]})),
    "no row": footer(pa.table({"a": pa.array([], pa.int8()), "b": pa.array([], pa.string())})),
    "no column": footer(pa.table({})),
    "20 columns": footer(pa.table({f"c{n}": [n, -n] for n in range(20)})),
    "20 row groups": footer(pa.table({"a": range(-20, 0)}), row_group_size=1),
    "every kind": footer(
        pa.table(
            {
                "flag": [True, None],
                "half": [0.5, -1e300],
                "exact": [Decimal("-1.50"), Decimal("99.99")],
                "at": [datetime(1969, 1, 1, tzinfo=UTC), None],
                "text": ["", "é" * 300],
                "raw": [b"\x00\xff", b""],
                "list": [[1, None], []],
                "deep": [{"x": {"y": -1}}, None],
                "map": pa.array([[("k", 1.5)], None], pa.map_(pa.string(), pa.float32())),
            }
        )
    ),
    "all options": footer(
        pa.table({"a": [3, 1, 2], "b": ["x", "y", "z"]}).replace_schema_metadata({"key": "value"}),
        sorting_columns=[pq.SortingColumn(0, descending=True, nulls_first=False)],
        write_page_index=True,
        write_page_checksum=True,
        column_encoding={"a": "DELTA_BINARY_PACKED", "b": "DELTA_BYTE_ARRAY"},
        use_dictionary=False,
        data_page_version="2.0",
    ),
}


@pytest.mark.parametrize("data", FOOTERS.values(), ids=FOOTERS)
def test_a_footer_comes_back_byte_for_byte(data: bytes) -> None:
    struct, end = decoded(data)
    assert end == len(data)
    assert encoded(struct) == data


def test_a_footer_says_what_pyarrow_reads_in_it() -> None:
    struct, _ = decoded(FOOTERS["20 row groups"])
    assert struct[3] == (I64, 20)  # rows
    kind, (of, groups) = struct[4]
    assert (kind, of, len(groups)) == (LIST, STRUCT, 20)
    metadata = groups[19][1][1][1][0][3][1]  # of the last group's only column
    assert metadata[3] == (LIST, (BINARY, [b"a"]))
    statistics = metadata[12][1]
    assert (statistics[5], statistics[6]) == ((BINARY, (-1).to_bytes(8, "little", signed=True)),) * 2
    assert statistics[7] == (TRUE, True)


ENCODINGS: list[tuple[str, dict[int, tuple[int, Any]], str]] = [
    # what, the struct, its bytes: each field is (step << 4 | type) and a value, each struct ends with 00
    ("nothing", {}, "00"),
    ("true", {1: (TRUE, True)}, "11 00"),
    ("false", {2: (FALSE, False)}, "22 00"),
    ("a flag that was changed", {1: (TRUE, False), 2: (FALSE, True)}, "12 11 00"),
    ("a byte", {1: (BYTE, 200)}, "13 c8 00"),
    ("zigzag: 0, -1, 1, -2", {n + 1: (I16, v) for n, v in enumerate((0, -1, 1, -2))}, "14 00 14 01 14 02 14 03 00"),
    ("two bytes from 64 on: 128 is 80 01", {1: (I32, 63), 2: (I32, 64), 3: (I32, -65)}, "15 7e 15 80 01 15 81 01 00"),
    # the specification's varint 50399 is df 89 03; as the length of a text
    ("50399", {1: (BINARY, b"x" * 50399)}, "18 df 89 03" + " 78" * 50399 + " 00"),
    ("the least int", {1: (I64, -(2**63))}, "16 ff ff ff ff ff ff ff ff ff 01 00"),
    ("the greatest int", {1: (I64, 2**63 - 1)}, "16 fe ff ff ff ff ff ff ff ff 01 00"),
    ("a double, little-endian", {1: (DOUBLE, bytes.fromhex("000000000000f03f"))}, "17 00 00 00 00 00 00 f0 3f 00"),
    ("an empty text", {1: (BINARY, b"")}, "18 00 00"),
    ("15 fields further", {15: (TRUE, True)}, "f1 00"),
    ("16 fields further: the id as zigzag", {16: (TRUE, True), 17: (TRUE, True)}, "01 20 11 00"),
    ("fields in the order of their ids", {2: (BYTE, 2), 1: (BYTE, 1)}, "13 01 13 02 00"),
    ("a negative field id", {-1: (BYTE, 5), 1: (BYTE, 6)}, "03 01 05 23 06 00"),
    ("an empty list", {1: (LIST, (I32, []))}, "19 05 00"),
    ("14 values", {1: (LIST, (BYTE, [7] * 14))}, "19 e3" + " 07" * 14 + " 00"),
    ("15 values: the length as a varint", {1: (LIST, (BYTE, [7] * 15))}, "19 f3 0f" + " 07" * 15 + " 00"),
    ("a set of flags", {1: (SET, (TRUE, [1, 2]))}, "1a 21 01 02 00"),
    ("a list of lists", {1: (LIST, (LIST, [(I16, [1]), (BYTE, [])]))}, "19 29 14 02 03 00"),
    ("a struct in a struct", {1: (STRUCT, {1: (STRUCT, {})}), 2: (BYTE, 1)}, "1c 1c 00 00 13 01 00"),
]


@pytest.mark.parametrize(("struct", "hexadecimal"), [e[1:] for e in ENCODINGS], ids=[e[0] for e in ENCODINGS])
def test_the_specification_s_encodings(struct: dict[int, tuple[int, Any]], hexadecimal: str) -> None:
    data = bytes.fromhex(hexadecimal)
    assert encoded(struct) == data
    read, end = decoded(b"before" + data + b"after", 6)
    assert end == 6 + len(data)
    # a flag has no value of its own: its type is its value
    assert read == {
        field: (TRUE if value else FALSE, value) if kind in (TRUE, FALSE) else (kind, value)
        for field, (kind, value) in struct.items()
    }


@pytest.mark.parametrize(
    ("hexadecimal", "reason"),
    [
        ("", "cut off"),
        ("15", "cut off"),
        ("15 80", "cut off"),
        ("18 05 61 62 63 64", "cut off"),
        ("18 05 61 62 63 64 00 ", "cut off"),  # five bytes are there, but no end of the struct
        ("17 00 00 00 00 00 00 00", "cut off"),
        ("19 27 00 00 00 00 00 00 00 00", "cut off"),  # one double of two
        ("19 f7 ff ff ff ff ff ff ff ff 7f", "cut off"),  # 2^63 doubles
        ("19 fc ff ff ff ff ff ff ff ff 7f 00", "cut off"),  # 2^63 structs
        ("1c 00", "cut off"),
        ("10 00", "of type 0"),
        ("1b 01 55 01 01 00", "of type 11"),  # a map, which Parquet has none of
        ("1d 00", "of type 13"),
        ("19 1f 00 00", "of type 15"),
        ("15 ff ff ff ff ff ff ff ff ff ff 01 00", "more than 64 bits"),
        ("15" + " 80" * 100_000, "more than 64 bits"),
        ("1c" * 33 + " 00" * 34, "nested too deep"),
        ("19 " + "19" * 100_000, "nested too deep"),
        ("1c 19" * 50_000, "nested too deep"),
    ],
)
def test_what_is_no_struct_is_refused(hexadecimal: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"a Thrift struct .*{reason}"):
        decoded(bytes.fromhex(hexadecimal))


@pytest.mark.parametrize(
    ("hexadecimal", "reason"),
    [
        ("15 82 00 00", "not as short as it can be"),  # 1 as two bytes; one is enough: 15 02 00
        ("05 02 02 00", "not as short as it can be"),  # field 1 with its id in full; 15 02 00 as its distance from 0
        ("25 02 05 04 02 00", "in two places"),  # field 2 twice
    ],
)
def test_of_each_struct_there_is_one_spelling(hexadecimal: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        decoded(bytes.fromhex(hexadecimal))


def test_32_structs_in_one_another_are_not_too_deep() -> None:
    data = b"\x1c" * 32 + b"\x00" * 33
    assert encoded(decoded(data)[0]) == data


def values(kind: int) -> st.SearchStrategy[Any]:
    """Values of a type as a list holds them."""
    if kind in (TRUE, FALSE):
        return st.sampled_from([1, 2])
    return {
        BYTE: st.integers(0, 255),
        DOUBLE: st.binary(min_size=8, max_size=8),
        BINARY: st.binary(max_size=20),
        STRUCT: STRUCTS,
        LIST: LISTS,
    }.get(kind, st.integers(-(2**63), 2**63 - 1))


def fields() -> st.SearchStrategy[tuple[int, Any]]:
    flags = st.booleans().map(lambda flag: (TRUE if flag else FALSE, flag))
    others = st.sampled_from([BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, STRUCT])
    return flags | others.flatmap(lambda kind: st.tuples(st.just(kind), values(kind)))


LISTS: st.SearchStrategy[Any] = st.deferred(
    lambda: st.sampled_from([TRUE, BYTE, I16, I64, DOUBLE, BINARY, STRUCT]).flatmap(
        lambda kind: st.tuples(st.just(kind), st.lists(values(kind), max_size=20))
    )
)
STRUCTS: st.SearchStrategy[Any] = st.deferred(lambda: st.dictionaries(st.integers(-40, 4000), fields(), max_size=4))


@settings(deadline=None, max_examples=examples(150))
@given(STRUCTS)
def test_every_struct_comes_back(struct: Any) -> None:
    data = encoded(struct)
    assert decoded(data) == (struct, len(data))


def prefixes(data: bytes) -> Iterator[bytes]:
    yield from (data[:end] for end in range(len(data)))


@pytest.mark.parametrize("name", ["one column", "every kind"])
def test_a_footer_cut_off_anywhere_is_refused(name: str) -> None:
    for data in prefixes(FOOTERS[name]):
        with pytest.raises(ValueError, match="a Thrift struct is cut off"):
            decoded(data)


@settings(deadline=None, max_examples=examples(300))
@given(st.sampled_from(sorted(FOOTERS)), st.integers(0, 5_000), st.binary(max_size=12), st.booleans())
def test_damage_anywhere_gives_a_struct_or_is_refused(name: str, at: int, new: bytes, cut: bool) -> None:
    data = FOOTERS[name]
    at %= len(data)
    damaged = data[:at] + new + (b"" if cut else data[at + len(new) :])
    try:
        struct, end = decoded(damaged)
    except ValueError:
        return
    assert end <= len(damaged)
    assert decoded(encoded(struct))[0] == struct
