"""The fast lane for Avro: polars reads the blocks of many files at once, and a proof by counting shows that it read
what they hold.

polars takes more than the specification allows, and its reader need not use up a block: of a block that says it has too
few records the rest is passed over, 2^40 becomes the int 0, a union's branch 2 stands for the first that is not null, a
byte of 2 for false. It is never given logical types, enums (their numbers are read), names, nulls or empty blocks, with
some of which it panics or stops early.

Write *canonical* for the fewest bytes that a decoded value can be coded in. No value is read from fewer bytes than its
canonical ones, since decoding only ever drops leading zeros or high bits. So if the canonical bytes of a block's rows
add up to its length, every value took its canonical bytes, the block is used up, and the place of every byte is known.
Then only these can be wrong, and are looked at where they lie: the branch of a union, the byte of a boolean, the fifth
byte of an int and the tenth of a long (high bits dropped). Text is checked by polars, enums by the range of their
numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import orjson
import polars as pl
import pyarrow as pa

from siltstone.formats.avro_container import AvroDocument
from siltstone.formats.avro_schema import Type, column_type, is_decimal, resolved
from siltstone.formats.avro_values import long_bytes
from siltstone.formats.documents import Ints, Records

_SYNC = b"\0" * 16
_REFUSALS = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)
_SIMPLE = ("boolean", "int", "long", "float", "double", "bytes", "string", "fixed", "enum")
_BRANCH = (0, 2)  # a union's first and second branch as bytes

Bytes = npt.NDArray[np.uint8]
Lengths = int | npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Field:
    """A field that polars can read: `null` is which branch of its union is null, None where it is no union."""

    name: str
    kind: Type
    null: int | None


@dataclass(frozen=True, slots=True)
class _Joined:
    """The blocks of some documents as one container: where each begins in it, its length, records and document (its
    place in the list)."""

    container: bytes
    starts: Ints
    sizes: Ints
    counts: Ints
    owners: Ints


@lru_cache(maxsize=256)
def plan(writer: bytes) -> list[Field] | None:
    """The fields of a writer schema as the fast lane reads them; None where it can't."""
    fields = []
    for name, kind in resolved(writer).parts:
        branches = kind.branches
        is_union = kind.shape == "union"
        if len(branches) != 1 or (is_union and len(kind.parts) != 2):
            return None
        if branches[0].shape not in _SIMPLE or not branches[0].least or is_decimal(branches[0]):
            return None
        null = 1 - kind.parts.index(("", branches[0])) if is_union else None
        fields.append(Field(name, branches[0], null))
    return fields or None


def read_fast(documents: Sequence[AvroDocument]) -> tuple[Records | None, list[AvroDocument]]:
    """The rows of documents with one writer schema that could be proven to be what their blocks hold, and the documents
    for which they could not."""
    fields = plan(documents[0].writer)
    if fields is None:
        return None, list(documents)
    joined = _joined(documents, fields)
    frame = _decoded(joined)
    if frame is None:
        return _halved(documents)
    lost = {int(owner) for owner in joined.owners[~_proven(joined, frame, fields)]}
    if lost:
        kept, more = [d for i, d in enumerate(documents) if i not in lost], [documents[i] for i in sorted(lost)]
        return _merged([read_fast(kept)] if kept else [], more)
    counts = np.array([d.count for d in documents], np.int64)
    records = Records(
        lane="typed",
        frame=_columns(frame, fields),
        document=np.repeat(np.array([d.index for d in documents], np.int64), counts),
        line=np.arange(frame.height, dtype=np.int64) - np.repeat(np.cumsum(counts) - counts, counts),
    )
    return records, []


def _halved(documents: Sequence[AvroDocument]) -> tuple[Records | None, list[AvroDocument]]:
    """The same for documents one of which polars refused: it does not say which."""
    if len(documents) == 1:
        return None, list(documents)
    half = len(documents) // 2
    return _merged([read_fast(documents[:half]), read_fast(documents[half:])], [])


def _merged(
    found: Sequence[tuple[Records | None, list[AvroDocument]]], lost: list[AvroDocument]
) -> tuple[Records | None, list[AvroDocument]]:
    """Results for some documents, and others that were lost before, as one."""
    records = [r for r, _ in found if r is not None]
    return (_together(records) if records else None), [d for _, more in found for d in more] + lost


def _together(records: Sequence[Records]) -> Records:
    if len(records) == 1:
        return records[0]
    return Records(
        lane="typed",
        frame=pl.concat([r.frame for r in records]),
        document=np.concatenate([r.document for r in records]),
        line=np.concatenate([r.line for r in records]),
    )


def _joined(documents: Sequence[AvroDocument], fields: Sequence[Field]) -> _Joined:
    head = _head(fields)
    parts, starts, sizes, counts, owners = [head], [], [], [], []
    at = len(head)
    for owner, document in enumerate(documents):
        for count, payload in document.blocks:
            size = len(payload)
            sizes.append(size)
            counts.append(count)
            owners.append(owner)
            if not count:  # polars takes it for the end
                starts.append(at)
                continue
            lead = long_bytes(count) + long_bytes(size)
            at += len(lead)
            starts.append(at)
            parts += (lead, payload, _SYNC)
            at += size + len(_SYNC)
    return _Joined(b"".join(parts), *(np.array(n, np.int64) for n in (starts, sizes, counts, owners)))


def _head(fields: Sequence[Field]) -> bytes:
    """The header of a container whose blocks polars reads as the fields: their numbers for names, no logical types."""
    named = []
    for i, field in enumerate(fields):
        shape: object = "int" if field.kind.shape == "enum" else field.kind.shape
        if shape == "fixed":
            shape = {"type": "fixed", "name": f"f{i}", "size": field.kind.size}
        if field.null is not None:
            shape = ["null", shape] if field.null == 0 else [shape, "null"]
        named.append({"name": f"c{i}", "type": shape})
    schema = orjson.dumps({"type": "record", "name": "r", "fields": named})
    texts = (b"avro.schema", schema, b"avro.codec", b"null")
    return b"Obj\x01" + long_bytes(2) + b"".join(long_bytes(len(t)) + t for t in texts) + b"\0" + _SYNC


def _decoded(joined: _Joined) -> pl.DataFrame | None:
    """What polars reads, or None if it refuses it or finds another number of rows than the blocks say."""
    try:
        frame = pl.read_avro(pa.BufferReader(joined.container))
    except _REFUSALS:
        return None
    return frame if frame.height == joined.counts.sum() else None


def _columns(frame: pl.DataFrame, fields: Sequence[Field]) -> pl.DataFrame:
    """The columns under their names, with the types that they mean."""
    found = []
    for series, field in zip(frame.get_columns(), fields, strict=True):
        if field.kind.shape == "enum":
            symbols = pl.Series(field.kind.symbols, dtype=pl.String())
            series = symbols.gather(series) if field.kind.symbols else series.cast(pl.String())
        elif series.dtype == pl.Binary:
            series = series.bin.encode("base64")
        found.append(series.cast(column_type(field.kind) or series.dtype).alias(field.name))
    return pl.DataFrame(found)


def _proven(joined: _Joined, frame: pl.DataFrame, fields: Sequence[Field]) -> npt.NDArray[np.bool_]:
    """Which blocks hold exactly what was read from them."""
    cells = [_Cells.of(series, field) for series, field in zip(frame.get_columns(), fields, strict=True)]
    ends = np.cumsum(_total([c.lengths for c in cells], frame.height))
    sums = np.diff(np.concatenate((np.zeros(1, np.int64), ends))[np.concatenate(([0], np.cumsum(joined.counts)))])
    is_proven: npt.NDArray[np.bool_] = sums == joined.sizes
    if not is_proven.all() or not frame.height:
        return is_proven
    octets = np.frombuffer(joined.container, np.uint8)
    lengths = _total([c.lengths for c in cells], frame.height)
    places = ends - lengths + np.repeat(joined.starts - np.cumsum(joined.sizes) + joined.sizes, joined.counts)
    is_sound = np.ones(frame.height, np.bool_)
    for cell in cells:
        cell.check(octets, places, is_sound)
        places += cell.lengths
    if not is_sound.all():
        owners = np.repeat(np.arange(len(joined.counts)), joined.counts)
        is_proven[owners[~is_sound]] = False
    return is_proven


@dataclass(frozen=True, slots=True)
class _Cells:
    """The cells of a column: which are null (None: none are), the canonical length of each value (of a null: any) and
    of each cell, the branch of its union included. A length that all have is one number."""

    field: Field
    series: pl.Series
    nulls: npt.NDArray[np.bool_] | None
    values: Lengths
    lengths: Lengths

    @classmethod
    def of(cls, series: pl.Series, field: Field) -> "_Cells":
        """The cells of a column that polars read as the field."""
        if not len(series):
            return cls(field, series, None, 0, 0)
        branch, count = int(field.null is not None), series.null_count()
        if count == len(series):
            return cls(field, series, np.ones(1, np.bool_), 0, branch)
        values = _value_lengths(series, field.kind)
        if not count:
            return cls(field, series, None, values, values + branch)
        nulls = series.is_null().to_numpy()
        return cls(field, series, nulls, values, np.where(nulls, branch, values + branch))

    def check(self, octets: Bytes, places: Ints, is_sound: npt.NDArray[np.bool_]) -> None:
        """Clear the rows whose cell, at its place, holds a byte that does not mean what was read."""
        if self.field.null is not None:
            value, null = _BRANCH[1 - self.field.null], _BRANCH[self.field.null]
            expected = value if self.nulls is None else np.where(self.nulls, np.uint8(null), np.uint8(value))
            is_sound &= octets[places] == expected
            places = places + 1
        if self.nulls is not None and len(self.nulls) == 1 < len(places):
            return
        shape = self.field.kind.shape
        if shape == "boolean":
            read = octets[places] == self.series.fill_null(value=False).cast(pl.UInt8()).to_numpy()
            is_sound &= read if self.nulls is None else read | self.nulls
        elif shape == "enum":
            is_symbol = self.series.is_between(0, len(self.field.kind.symbols) - 1)
            is_sound &= is_symbol.fill_null(value=True).to_numpy()
        elif shape in _LONGEST:
            longest, most = _LONGEST[shape]
            rows = np.flatnonzero(np.broadcast_to(self.values, places.shape) == longest)
            is_sound[rows] &= octets[places[rows] + longest - 1] <= most


_LONGEST = {"int": (5, 0x0F), "long": (10, 0x01)}  # bytes of the longest numbers, and what the last can be


def _value_lengths(series: pl.Series, kind: Type) -> Lengths:
    """The canonical bytes of a column's values, of nulls any number."""
    match kind.shape:
        case "boolean":
            return 1
        case "float":
            return 4
        case "double":
            return 8
        case "fixed":
            return kind.size
        case "bytes" | "string":
            sizes = series.bin.size() if kind.shape == "bytes" else series.str.len_bytes()
            least, most = _bounds(sizes)
            if least == most and not series.null_count():
                return len(long_bytes(least)) + least
            size = sizes.fill_null(0).to_numpy().astype(np.int64)
            return size + _varint_lengths(size.view(np.uint64) << np.uint64(1))
    values = series.fill_null(0).to_numpy().astype(np.int64, copy=False)
    return _varint_lengths(((values << 1) ^ (values >> 63)).view(np.uint64))


def _bounds(numbers: pl.Series) -> tuple[int, int]:
    return int(numbers.min()), int(numbers.max())  # type: ignore[arg-type]


def _varint_lengths(numbers: npt.NDArray[np.uint64]) -> Lengths:
    """How many groups of seven bits each number has."""
    least, most = (max(int(n).bit_length() + 6, 7) // 7 for n in (numbers.min(), numbers.max()))
    if least == most:
        return least
    lengths = np.full(len(numbers), least, np.uint8)
    for groups in range(least, most):
        lengths += (numbers >= np.uint64(1 << (7 * groups))).view(np.uint8)
    return lengths.astype(np.int64)


def _total(lengths: Sequence[Lengths], rows: int) -> Ints:
    total = np.full(rows, sum(n for n in lengths if isinstance(n, int)), np.int64)
    for length in lengths:
        if not isinstance(length, int):
            total += length
    return total
