"""The fast lane for Avro: polars reads the blocks of many files of one schema at once, and a proof (see `avro_proof`)
shows that it read what they hold.

polars is never given what it panics at, or stops at early: logical types, enums (their numbers are read instead),
names, nulls, empty blocks.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import orjson
import polars as pl
import pyarrow as pa

from siltstone.formats.avro.container import AvroDocument
from siltstone.formats.avro.proof import Field, Joined, proven
from siltstone.formats.avro.schema import column_type, is_decimal, resolved
from siltstone.formats.avro.values import long_bytes
from siltstone.formats.documents import Records

_SYNC = b"\0" * 16
_REFUSALS = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)
_SIMPLE = ("boolean", "int", "long", "float", "double", "bytes", "string", "fixed", "enum")


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
    """The rows of documents with one writer schema, where a proof shows that they are what the blocks hold, and the
    documents without such a proof."""
    fields = plan(documents[0].writer)
    if fields is None:
        return None, list(documents)
    joined = _join(documents, fields)
    frame = _decoded(joined)
    if frame is None:
        return _read_by_halves(documents)
    lost = {int(owner) for owner in joined.owners[~proven(joined, frame, fields)]}
    if lost:
        kept, more = [d for i, d in enumerate(documents) if i not in lost], [documents[i] for i in sorted(lost)]
        return _merged([read_fast(kept)] if kept else [], more)
    counts = np.array([d.count for d in documents], np.int64)
    before = np.cumsum(counts) - counts - np.array([d.line for d in documents], np.int64)
    records = Records(
        lane="typed",
        frame=_columns(frame, fields),
        document=np.repeat(np.array([d.index for d in documents], np.int64), counts),
        line=np.arange(frame.height, dtype=np.int64) - np.repeat(before, counts),
    )
    return records, []


def _read_by_halves(documents: Sequence[AvroDocument]) -> tuple[Records | None, list[AvroDocument]]:
    """The same for documents when polars refused one of them: it does not say which, so they are halved."""
    if len(documents) == 1:
        return None, list(documents)
    half = len(documents) // 2
    return _merged([read_fast(documents[:half]), read_fast(documents[half:])], [])


def _merged(
    parts: Sequence[tuple[Records | None, list[AvroDocument]]], lost: list[AvroDocument]
) -> tuple[Records | None, list[AvroDocument]]:
    """Results for some documents, and others that were lost before, as one."""
    records = [r for r, _ in parts if r is not None]
    return (_together(records) if records else None), [d for _, more in parts for d in more] + lost


def _together(records: Sequence[Records]) -> Records:
    if len(records) == 1:
        return records[0]
    return Records(
        lane="typed",
        frame=pl.concat([r.frame for r in records]),
        document=np.concatenate([r.document for r in records]),
        line=np.concatenate([r.line for r in records]),
    )


def _join(documents: Sequence[AvroDocument], fields: Sequence[Field]) -> Joined:
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
    return Joined(b"".join(parts), *(np.array(n, np.int64) for n in (starts, sizes, counts, owners)))


def _head(fields: Sequence[Field]) -> bytes:
    """The header of a container with which polars reads the fields: numbers as their names, no logical types."""
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


def _decoded(joined: Joined) -> pl.DataFrame | None:
    """What polars reads, or None if it refuses it or finds another number of rows than the blocks say."""
    try:
        frame = pl.read_avro(pa.BufferReader(joined.container))
    except _REFUSALS:
        return None
    return frame if frame.height == joined.counts.sum() else None


def _columns(frame: pl.DataFrame, fields: Sequence[Field]) -> pl.DataFrame:
    """The columns under their names, with the types that they mean."""
    columns = []
    for series, field in zip(frame.get_columns(), fields, strict=True):
        if field.kind.shape == "enum":
            symbols = pl.Series(field.kind.symbols, dtype=pl.String())
            series = symbols.gather(series) if field.kind.symbols else series.cast(pl.String())
        elif series.dtype == pl.Binary:
            series = series.bin.encode("base64")
        columns.append(series.cast(column_type(field.kind) or series.dtype).alias(field.name))
    return pl.DataFrame(columns)
