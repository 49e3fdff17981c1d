"""Pages as they are stored: what pyarrow writes is sound, and any byte that a reader goes by is missed."""

import math
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from siltstone.formats.parquet.page_checks import are_sound
from siltstone.formats.parquet.thrift import Struct, decoded, encoded
from siltstone.model.arrow import CODED
from siltstone.table.writer import coded_options
from support.parquet_bytes import written


def chunks(data: bytes) -> Iterator[tuple[int, bytes, Struct]]:
    """Of each column of each row group: where its pages begin, their bytes, and what the footer tells of it."""
    footer, _ = decoded(data, len(data) - 8 - int.from_bytes(data[-8:-4], "little"))
    for group in footer[4][1][1]:
        for chunk in group[1][1][1]:
            column = chunk[3][1]
            begin = column[11][1] if 11 in column else column[9][1]
            yield begin, data[begin : begin + column[7][1]], column


def pages(stored: bytes) -> list[int]:
    """What kind each page is: 0 data, 2 a dictionary."""
    kinds, at = [], 0
    while at < len(stored):
        header, at = decoded(stored, at)
        kinds.append(header[1][1])
        at += header[3][1]
    return kinds


EVERY_KIND = pa.table(
    {
        "int": pa.array([n % 7 if n % 5 else None for n in range(3000)], pa.int32()),
        "bigint": [(-1) ** n * n**5 for n in range(3000)],
        "double": [[0.0, -0.0, math.nan, math.inf, None, 1.5][n % 6] for n in range(3000)],
        "own doubles": [n / 7 for n in range(3000)],
        "float": pa.array([n % 3 / 2 for n in range(3000)], pa.float32()),
        "flag": [None if n % 3 == 0 else n % 2 == 0 for n in range(3000)],
        "few texts": pa.array(["", "é", "o" * 200][n % 3] for n in range(3000)).cast(pa.large_string()),
        "own texts": pa.array(f"{n * 7919 % 3000:x}" * (n % 4) for n in range(3000)).cast(pa.large_string()),
        "at": pa.array(range(-1500, 1500), pa.int64()).cast(pa.timestamp("us", tz="UTC")),
        "nothing": pa.nulls(3000, pa.large_string()),
    }
)


def test_what_siltstone_writes_is_sound() -> None:
    data = written(
        EVERY_KIND, data_page_size=2 << 10, write_batch_size=100, dictionary_pagesize_limit=4 << 10, row_group_size=2000
    )
    found = {column[3][1][1][0].decode(): pages(stored) for _, stored, column in reversed([*chunks(data)])}
    # a dictionary alone, one that is given up, and none: each with several pages of values
    assert [found["few texts"][:2], found["own texts"][:3]] == [[2, 0], [2, 0, 0]]
    assert max(len(kinds) for kinds in found.values()) >= 5
    assert 2 not in found["flag"]
    assert [are_sound(stored, column) for _, stored, column in chunks(data)] == [True] * 20


def test_coded_texts_are_sound() -> None:
    table = EVERY_KIND.select(["few texts", "own texts", "nothing"])
    coded = table.cast(pa.schema([(name, CODED) for name in table.column_names]))
    data = written(coded, **coded_options(coded.schema))
    assert [pages(stored) for _, stored, _ in chunks(data)] == [[2, 0]] * 3
    assert [are_sound(stored, column) for _, stored, column in chunks(data)] == [True] * 3


def own_bounds(stored: bytes) -> Iterator[int]:
    """Where the statistics of a single page of values are, which no reader goes by."""
    at = 0
    while at < len(stored):
        header, begin = decoded(stored, at)
        if header[1][1] == 0:
            statistics = encoded(header[5][1][5][1])
            yield from range(begin - 2 - len(b"\x1c" + statistics), begin - 2)  # two ends of structs come after it
        at = begin + header[3][1]


def read(data: bytes) -> list[Any] | None:
    try:
        return pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True).read().to_pylist()
    except (OSError, ValueError):
        return None


FEW = pa.table(
    {
        "bigint": [1, 2, 1, 2, None],
        "text": pa.array(["x", "x", None, "yes", "x"], pa.large_string()),
        "flag": [True, None, False, True, True],
    }
)


@pytest.mark.parametrize("place", [0, 1, 2], ids=FEW.column_names)
def test_a_bit_that_a_reader_goes_by_is_missed_wherever_it_is(place: int) -> None:
    data = written(FEW)
    begin, stored, column = list(chunks(data))[place]
    readers_bytes = set(range(len(stored))) - set(own_bounds(stored))
    for at in range(len(stored)):
        for bit in range(8):
            damaged = stored[:at] + bytes([stored[at] ^ 1 << bit]) + stored[at + 1 :]
            if are_sound(damaged, column):
                assert at not in readers_bytes
                assert read(data[:begin] + damaged + data[begin + len(stored) :]) == FEW.to_pylist()


@pytest.mark.parametrize("place", [0, 1, 2], ids=FEW.column_names)
def test_pages_that_are_cut_off_lost_or_more_are_missed(place: int) -> None:
    _, stored, column = list(chunks(written(FEW)))[place]
    assert not any(are_sound(stored[:end], column) for end in range(len(stored)))
    header, begin = decoded(stored)
    first_end = begin + header[3][1]
    assert not are_sound(stored[first_end:], column)
    assert not are_sound(stored + stored[:first_end], column)
    assert not are_sound(stored[first_end:] + stored[:first_end] + b"\0", column)


def test_a_dictionary_elsewhere_than_the_footer_says_is_missed() -> None:
    _, stored, column = next(chunks(written(FEW)))
    header, begin = decoded(stored)
    end = begin + header[3][1]
    assert not are_sound(stored[end:] + stored[:end], column)
    assert not are_sound(stored, {**column, 9: (column[9][0], column[9][1] + 1)})
    assert not are_sound(stored, {field: value for field, value in column.items() if field != 11})


@pytest.mark.parametrize("size", [-1, -17, 2**31 - 1])
def test_a_page_of_no_possible_size_is_missed(size: int) -> None:
    # the checksum of nothing is 0; a page that ends where it begins, or before, would be read for ever
    zigzag = (size << 1) ^ (size >> 63)
    number = bytes((zigzag >> 7 * n & 127) | 128 for n in range(5)) + b"\0"
    assert not are_sound(b"\x15\0\x15\0\x15" + number + b"\x15\0\0", {})


@pytest.mark.parametrize(
    "options",
    [
        {"write_page_checksum": False},
        {"data_page_version": "2.0"},
        {"compression": "snappy", "compression_level": None},
    ],
    ids=["no checksum", "version 2", "snappy"],
)
def test_what_siltstone_does_not_write_is_not_taken_for_sound(options: dict[str, Any]) -> None:
    found = [are_sound(stored, column) for _, stored, column in chunks(written(FEW, **options))]
    assert found[1] is False
