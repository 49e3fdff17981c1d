"""Parquet files with columns of every type, at the edges of these, and damage in pages and footers."""

import io
import math
from collections.abc import Mapping
from decimal import Decimal
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from support.damage import footer_at
from support.fuzzing.damages import NASTY, damaged, some

_MOST, _LEAST = (1 << 63) - 1, -(1 << 63)
_EDGES = (_MOST, _LEAST, 0, None, 1_765_332_618_123_456)
_ZONES = (None, "UTC", "Europe/Rome", "+05:30", "Z", "Mars/Phobos")


def table(chance: Random, columns: Mapping[str, pa.Array]) -> bytes:
    """A file of the columns and up to two odd ones, at times in the place of others; often damaged."""
    rows = len(next(iter(columns.values())))
    columns = dict(columns)
    for _ in range(chance.choice((0, 1, 1, 2))):
        name = chance.choice(list(columns)) if chance.random() < 0.3 else chance.choice(("odd", "o.p", "", "*", "^v$"))
        columns[name] = _odd_column(chance, rows)
    whole = pa.table(columns)
    if chance.random() < 0.2:
        whole = whole.replace_schema_metadata({"pandas": "{}", b"\xff": b"\xfe"})
    buffer = io.BytesIO()
    pq.write_table(
        whole,
        buffer,
        compression=chance.choice(("none", "snappy", "zstd", "gzip", "brotli", "lz4")),
        use_dictionary=chance.random() < 0.5,
        write_page_checksum=chance.random() < 0.3,
        data_page_version=chance.choice(("1.0", "2.0")),
        row_group_size=chance.choice((3, 1000)),
    )
    return _damaged(chance, buffer.getvalue())


def _odd_column(chance: Random, rows: int) -> pa.Array:
    """So many values of one type, drawn from a few."""
    kind, values = chance.choice(_odd_types(chance))
    return pa.array([chance.choice(values) for _ in range(rows)], kind)


def _odd_types(chance: Random) -> list[tuple[pa.DataType, list[Any]]]:
    unit, zone = chance.choice(("ms", "us", "ns")), chance.choice(_ZONES)
    instant = pa.timestamp(unit, zone)
    ticks, days = list(_EDGES), [(1 << 31) - 1, -(1 << 31), 0, None]
    doubles = [math.nan, math.inf, -0.0, None]
    return [
        (instant, ticks),
        (pa.timestamp("s"), [0, 1 << 40]),
        (pa.date32(), days),
        (pa.list_(pa.date32()), [[day] for day in days]),
        (pa.duration(chance.choice(("s", "ms", "us", "ns"))), ticks),
        (pa.time64("ns"), [1, 86_399_999_999_999, None]),
        (pa.time32("ms"), [1, None]),
        (pa.decimal128(38, 5), [Decimal("1.25"), Decimal(10**32), None]),
        (pa.decimal256(60, 5), [Decimal("1.25"), Decimal(10**50), None]),
        (pa.list_(instant), [[1, None], [], None, [_MOST]]),
        (pa.struct([("at", instant), ("n", pa.float64())]), [{"at": _LEAST, "n": math.nan}, {"at": 1, "n": 0.5}]),
        (pa.map_(pa.string(), pa.int64()), [[("a", 1)], [("a", 1), ("a", 2)], None]),
        (pa.map_(pa.int64(), instant), [[(1, 1)], [(1, _MOST), (1, 2)]]),
        (pa.list_(pa.float64()), [doubles]),
        (pa.list_(pa.int64(), 2), [[1, 2]]),
        (pa.binary(), [b"\xff", None]),
        (pa.binary(4), [b"abcd"]),
        (pa.list_(pa.binary()), [[b"\xff"]]),
        (pa.uint64(), [(1 << 64) - 1, 0]),
        (pa.float16(), [np.float16(1.5), np.float16("nan")]),
        (pa.float32(), [1.1, *doubles]),
        (pa.dictionary(pa.int32(), pa.string()), ["a", "b", None]),
        (pa.large_string(), ["a", "\0", "é"]),
        (pa.string_view(), ["a" * 40, None]),
        (pa.bool_(), [True, None]),
        (pa.null(), [None]),
        (pa.list_(pa.null()), [[None]]),
    ]


def _damaged(chance: Random, data: bytes) -> bytes:
    footer = footer_at(data)
    match some(chance, {"no": 12, "any": 1, "footer": 4, "pages": 4, "length": 1}):
        case "any":
            return damaged(chance, data)
        case "footer":
            return _changed(chance, data, range(footer.start, len(data) - 8))
        case "pages":
            return _changed(chance, data, range(4, max(footer.start, 5)))
        case "length":
            length = chance.choice((0, 1, (1 << 31) - 1, (1 << 32) - 1)).to_bytes(4, "little")
            return data[:-8] + length + data[-4:]
    return data


def _changed(chance: Random, data: bytes, places: range) -> bytes:
    """Some bytes changed at the places, the length as it was."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4))):
        at = chance.choice(places)
        if chance.random() < 0.5:
            changed[at] ^= 1 << chance.randrange(8)
        else:
            piece = chance.choice((bytes([chance.randrange(256)]), b"\0", b"\xff", b"\x80", chance.choice(NASTY)))
            piece = piece[: places.stop - at]
            changed[at : at + len(piece)] = piece
    return bytes(changed)
