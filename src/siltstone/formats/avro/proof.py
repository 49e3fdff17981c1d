"""The proof that polars read from the blocks of Avro files what they hold, by counting their bytes.

polars takes more than the specification allows, and its reader need not use up a block: of a block that says it has too
few records the rest is passed over, 2^40 becomes the int 0, a union's branch 2 stands for the first that is not null, a
byte of 2 for false.

Write *canonical* for the fewest bytes that a decoded value can be coded in. No value is read from fewer bytes than its
canonical ones, since decoding only ever drops leading zeros or high bits. So if the canonical bytes of a block's rows
add up to its length, every value took its canonical bytes, the block is used up, and the place of every byte is known.
Then only these can be wrong, and are looked at where they lie: the branch of a union, the byte of a boolean, the fifth
byte of an int and the tenth of a long (high bits dropped). Text is checked by polars, enums by the range of their
numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from siltstone.formats.avro.schema import Type
from siltstone.formats.avro.values import long_bytes
from siltstone.model.arrays import Ints

_ROWS = 16_384  # that are proven at a time: their bytes stay in the cache
_BRANCH = (0, 2)  # a union's first and second branch as bytes
_LONGEST = {"int": (5, 0x0F), "long": (10, 0x01)}  # bytes of the longest numbers, and what the last can be
_SIZES = {"boolean": 1, "float": 4, "double": 8}
_STORED: Mapping[str, type[np.generic]] = {
    "int": np.int32,
    "enum": np.int32,
    "long": np.int64,
    "string": np.uint32,
    "bytes": np.uint32,
}

Array = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]
Lengths = int | Array


@dataclass(frozen=True, slots=True)
class Field:
    """A field that polars can read: `null` is which branch of its union is null, None where it is no union."""

    name: str
    kind: Type
    null: int | None


@dataclass(frozen=True, slots=True)
class Joined:
    """The blocks of some documents as one container: where each begins in it, its length, records and document (its
    place in the list)."""

    container: bytes
    starts: Ints
    sizes: Ints
    counts: Ints
    owners: Ints


def proven(joined: Joined, frame: pl.DataFrame, fields: Sequence[Field]) -> Bools:
    """Which blocks hold exactly the rows that were read from them; `frame` has the rows of all, as polars read them."""
    columns = [_Column.of(series, field) for series, field in zip(frame.get_columns(), fields, strict=True)]
    octets = np.frombuffer(joined.container, np.uint8)
    is_proven = np.ones(len(joined.counts), np.bool_)
    ends = np.cumsum(joined.counts)
    first = 0
    while first < len(ends):
        begin = int(ends[first] - joined.counts[first])
        last = max(int(np.searchsorted(ends, begin + _ROWS, side="right")), first + 1)
        end, blocks = int(ends[last - 1]), slice(first, last)
        if begin == end:
            is_proven[blocks] = joined.sizes[blocks] == 0
        else:
            cells = [column.cells(begin, end) for column in columns]
            is_proven[blocks] = _proven(joined, blocks, octets, cells, end - begin)
        first = last
    return is_proven


def _proven(joined: Joined, blocks: slice, octets: Array, cells: Sequence["_Cells"], rows: int) -> Bools:
    """The same for some blocks and the cells of their rows."""
    starts, sizes, counts = joined.starts[blocks], joined.sizes[blocks], joined.counts[blocks]
    lengths = np.full(rows, sum(c.lengths for c in cells if isinstance(c.lengths, int)), np.int64)
    for cell in cells:
        if not isinstance(cell.lengths, int):
            lengths += cell.lengths
    ends = np.concatenate(([0], np.cumsum(lengths)))
    is_proven: Bools = np.diff(ends[np.concatenate(([0], np.cumsum(counts)))]) == sizes
    if not is_proven.all():
        return is_proven
    places = ends[:-1] + np.repeat(starts - np.cumsum(sizes) + sizes, counts)
    is_sound = np.ones(rows, np.bool_)
    for cell in cells:
        cell.check(octets, places, is_sound)
        places += cell.lengths
    if not is_sound.all():
        is_proven[np.repeat(np.arange(len(counts)), counts)[~is_sound]] = False
    return is_proven


@dataclass(frozen=True, slots=True)
class _Column:
    """A column: which cells are null (None: none, or all if it `is_empty`), and its numbers: those of int, long, enum
    and boolean, and of texts and bytes their sizes; of nulls any."""

    field: Field
    is_empty: bool
    nulls: Bools | None
    numbers: Array | None

    @classmethod
    def of(cls, series: pl.Series, field: Field) -> "_Column":
        """The column that polars read as the field."""
        count, shape = series.null_count(), field.kind.shape
        if count == len(series):
            return cls(field, True, None, None)
        nulls = ~_bits(series, 0) if count else None
        if shape == "boolean":
            return cls(field, False, nulls, _bits(series, 1))
        if shape in ("string", "bytes"):
            series = series.str.len_bytes() if shape == "string" else series.bin.size()
        return cls(field, False, nulls, _numbers(series, _STORED[shape]) if shape in _STORED else None)

    def cells(self, begin: int, end: int) -> "_Cells":
        """The cells of some rows, with their lengths."""
        branch = int(self.field.null is not None)
        if self.is_empty:
            return _Cells(self, None, None, 0, branch)
        nulls = None if self.nulls is None else self.nulls[begin:end]
        numbers = None if self.numbers is None else self.numbers[begin:end]
        values = _value_lengths(self.field.kind, numbers)
        if nulls is None:
            return _Cells(self, None, numbers, values, values + branch)
        lengths = np.asarray(values * ~nulls)
        lengths += lengths.dtype.type(branch)
        return _Cells(self, nulls, numbers, values, lengths)


@dataclass(frozen=True, slots=True)
class _Cells:
    """Cells of a column: the canonical length of each value (of a null: any) and of each cell, the branch of its union
    included. A length that all have is one number."""

    column: _Column
    nulls: Bools | None
    numbers: Array | None
    values: Lengths
    lengths: Lengths

    def check(self, octets: Array, places: Ints, is_sound: Bools) -> None:
        """Clear the rows with a cell in the file that does not encode the value that was read."""
        null, kind = self.column.field.null, self.column.field.kind
        if null is not None:
            expected = _BRANCH[null] if self.column.is_empty else _BRANCH[1 - null]
            if self.nulls is not None:
                is_sound &= octets[places] == np.where(self.nulls, np.uint8(_BRANCH[null]), np.uint8(expected))
            else:
                is_sound &= octets[places] == expected
        if self.numbers is None:
            return
        places = places + int(null is not None)
        if kind.shape == "boolean":
            _clear(is_sound, octets[places] == self.numbers.view(np.uint8), self.nulls)
        elif kind.shape == "enum":
            _clear(is_sound, (self.numbers >= 0) & (self.numbers < len(kind.symbols)), self.nulls)
        elif kind.shape in _LONGEST:
            longest, most = _LONGEST[kind.shape]
            rows = np.flatnonzero(np.broadcast_to(self.values == longest, places.shape))
            if len(rows):
                _clear(is_sound, octets[places[rows] + longest - 1] <= most, self.nulls, rows)


def _clear(is_sound: Bools, is_right: Bools, nulls: Bools | None, rows: Ints | slice = slice(None)) -> None:
    """Clear the rows that are not right and not null."""
    is_sound[rows] &= is_right if nulls is None else is_right | nulls[rows]


def _numbers(series: pl.Series, stored: type[np.generic]) -> Array:
    array = _array(series)
    return np.frombuffer(array.buffers()[1], stored)[array.offset : array.offset + len(series)]


def _bits(series: pl.Series, buffer: int) -> Bools:
    """A bit of each row: of buffer 0 whether it is valid, of a boolean's buffer 1 its value."""
    array = _array(series)
    bits = np.frombuffer(array.buffers()[buffer], np.uint8)
    end = array.offset + len(series)
    return np.unpackbits(bits, count=end, bitorder="little")[array.offset :].view(np.bool_)


def _array(series: pl.Series) -> pa.Array:
    """A column without copying, text neither: it may begin behind the beginning of its buffers."""
    return series.to_arrow(compat_level=pl.CompatLevel.newest())


def _value_lengths(kind: Type, numbers: Array | None) -> Lengths:
    """The canonical bytes of values, of nulls any number."""
    if numbers is None or kind.shape == "boolean":
        return _SIZES.get(kind.shape, kind.size)
    if kind.shape in ("string", "bytes"):
        least, most = int(numbers.min()), int(numbers.max())
        if least == most:
            return len(long_bytes(least)) + least
        sizes: Array = numbers.astype(np.int64)
        return sizes + _varint_lengths(sizes.view(np.uint64) << np.uint64(1))
    bits = 8 * numbers.itemsize
    return _varint_lengths(((numbers << 1) ^ (numbers >> (bits - 1))).view(f"u{numbers.itemsize}"))


def _varint_lengths(numbers: Array) -> Lengths:
    """How many groups of seven bits each number has."""
    least, most = (max(int(n).bit_length() + 6, 7) // 7 for n in (numbers.min(), numbers.max()))
    if least == most:
        return least
    lengths = np.full(len(numbers), least, np.uint8)
    for groups in range(least, most):
        lengths += (numbers >= numbers.dtype.type(1 << (7 * groups))).view(np.uint8)
    return lengths
