"""The careful lane for Avro: record by record, block by block.

Avro has no marks between records: where one value can't be read, nothing behind it can be trusted, nor what came before
it, as a wrong length may have been read for a value long ago. So a block gives all of its records, if they are as many
as it says and use up its bytes, or none: then it is one bad record, at the line of its first record, with the block's
bytes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from siltstone.formats.avro.container import AvroDocument
from siltstone.formats.avro.schema import column_type, resolved
from siltstone.formats.avro.values import BROKEN, Misread, Value, columns
from siltstone.formats.documents import BadRecord, Records


def read_careful(documents: Sequence[AvroDocument]) -> Records:
    """Every record of documents with one writer schema, and a bad record for each block that can't be read."""
    writer = documents[0].writer
    readers = [column.cell for column in columns(writer) if not column.is_null]
    cells: list[list[Any]] = [[] for _ in readers]
    places: list[tuple[int, int]] = []
    bad: list[BadRecord] = []
    for document in documents:
        line, offset = document.line, document.byte
        for number, (count, payload) in enumerate(document.blocks, document.block):
            try:
                rows = _rows(payload, count, readers)
            except BROKEN as error:
                why = "its bytes end too early" if isinstance(error, IndexError) else str(error)
                reason = f"block {number + 1}, which says it has {count:,} records, can't be decoded: {why}"
                bad.append(BadRecord(document.index, line, offset, reason, payload))
            else:
                for column, values in zip(cells, zip(*rows, strict=True), strict=True) if rows and cells else ():
                    column.extend(values)
                places += [(document.index, line + i) for i in range(count)]
            line, offset = line + count, offset + len(payload)
    document_line = np.array(places, np.int64).reshape(-1, 2)
    return Records(
        lane="careful",
        frame=_frame(writer, cells, len(places)),
        document=document_line[:, 0],
        line=document_line[:, 1],
        bad=bad,
    )


def _rows(payload: bytes, count: int, readers: Sequence[Value]) -> list[tuple[Any, ...]]:
    """The cells of a block's records; Misread unless they use up its bytes."""
    rows = []
    at = 0
    for _ in range(count):
        cells = []
        for read in readers:
            cell, at = read(payload, at)
            cells.append(cell)
        rows.append(tuple(cells))
    if at != len(payload):
        raise Misread(f"{len(payload) - at:,} bytes are left behind its records")
    return rows


def _frame(writer: bytes, cells: Sequence[list[Any]], rows: int) -> pl.DataFrame:
    series = []
    filled = iter(cells)
    for (name, kind), column in zip(resolved(writer).parts, columns(writer), strict=True):
        if column.is_null:
            series.append(pl.repeat(None, rows, dtype=pl.Null(), eager=True).alias(name))
            continue
        dtype = column_type(kind) or pl.String()
        is_instant = dtype == pl.Date or dtype == pl.Datetime
        number = pl.Int32() if dtype == pl.Date else pl.Int64()
        series.append(pl.Series(name, next(filled), dtype=number if is_instant else dtype).cast(dtype))
    return pl.DataFrame(series)
