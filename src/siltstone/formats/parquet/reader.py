"""Parquet files to rows: every file of one schema in one frame, with its exact types."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import polars.selectors as cs
import pyarrow as pa
import pyarrow.parquet as pq

from siltstone.errors import Unreadable
from siltstone.formats.documents import Item, Opened, ParseRules, Records
from siltstone.formats.exact_columns import column_named
from siltstone.formats.parquet.plain_types import as_plain, plain_schema
from siltstone.formats.size_caps import RATIO_FLOOR
from siltstone.formats.typed_texts import json_texts

_MAGIC = b"PAR1"
_ENCRYPTED = b"PARE"
_USUAL_RATIO = 16
_CELLS_A_BYTE = 8  # nulls take a bit each in memory, and next to nothing in the file
_CHECKED: dict[str, Any] = {"pre_buffer": False, "page_checksum_verification": True}
_FOOTER = 12  # the magic at both ends and the footer's length


@dataclass(frozen=True)
class ParquetDocument:
    """A file that was decoded whole; `size` are the bytes of its values."""

    index: int
    path: str
    modified_us: int
    table: pa.Table
    schema: pa.Schema
    size: int

    def record(self, line: int) -> tuple[int, bytes]:
        """A row as JSON; Parquet has no place for a single one, so the offset is 0."""
        row = _frame(self.table.slice(line, 1)).with_columns(cs.temporal().to_physical())
        return 0, json_texts(row.to_struct("row")).item().encode()


def open_parquet(item: Item, rules: ParseRules, *, coded: bool = True) -> Opened:
    """The document of a file, its texts as dictionaries if `coded`: faster where many rows have the same ones.

    Raises Unreadable where it is none, is cut, encrypted, or has a page that can't be decoded; and where it would grow
    beyond the limits: to more than `max_text_bytes` and 16 times its size, or to over 64 MiB and `max_ratio` times.
    """
    data = item.data
    if not data:
        raise Unreadable("empty file: 0 bytes, not even the magic of Parquet")
    if data.startswith(_ENCRYPTED) or data.endswith(_ENCRYPTED):
        raise Unreadable("encrypted Parquet, which needs keys")
    if not data.startswith(_MAGIC):
        raise Unreadable(f"no Parquet: begins with {data[:8]!r}")
    if len(data) < _FOOTER or not data.endswith(_MAGIC):
        raise Unreadable("Parquet cut short: it does not end with a footer")
    try:
        file = pq.ParquetFile(pa.BufferReader(data), **_CHECKED)
        metadata = file.metadata
        schema = metadata.schema.to_arrow_schema()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise Unreadable(f"its footer can't be read: {_sentence(error)}") from None
    size = sum(metadata.row_group(n).total_byte_size for n in range(metadata.num_row_groups))
    if size > rules.max_text_bytes and size > _USUAL_RATIO * len(data):
        raise Unreadable(f"{size:,} bytes of values in {len(data):,}, more than limits.max_decompressed_mb allows")
    if size > RATIO_FLOOR and size > rules.max_ratio * len(data):
        raise Unreadable(f"{size:,} bytes of values in {len(data):,}, more than limits.max_ratio allows")
    if len(set(schema.names)) < len(schema.names):
        raise Unreadable("two of its columns have one name")
    if metadata.num_rows * metadata.num_columns > _CELLS_A_BYTE * rules.max_text_bytes:
        raise Unreadable(f"{metadata.num_rows:,} rows, more than limits.max_decompressed_mb allows")
    texts = [f.name for f in schema if pa.types.is_string(f.type)]
    try:
        if coded and texts:
            file = pq.ParquetFile(pa.BufferReader(data), metadata=metadata, read_dictionary=texts, **_CHECKED)
        given = file.read(use_threads=False)
        given.validate(full=True)  # polars takes text for UTF-8 without a look
        table = as_plain(given)
        schema = schema if table is given else plain_schema(schema)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise Unreadable(f"can't be decoded: {_sentence(error)}") from None
    return Opened(ParquetDocument(item.index, item.path, item.modified_us, table, schema, size))


def read_parquet(documents: Sequence[ParquetDocument], *, coded: bool = False) -> list[Records]:
    """Every row of the documents, by schema, in order of document and row.

    Names and types come from the files (dictionaries as their values; if `coded`, all texts as categories).
    """
    groups: dict[tuple[tuple[str, str], ...], list[ParquetDocument]] = {}
    for document in documents:
        shape = tuple((f.name, str(f.type)) for f in document.schema)
        groups.setdefault(shape, []).append(document)
    return [_records(group, coded=coded) for group in groups.values()]


def _records(documents: Sequence[ParquetDocument], *, coded: bool) -> Records:
    texts = [f.name for f in documents[0].schema if pa.types.is_string(f.type)] if coded else []
    rows = np.array([document.table.num_rows for document in documents], np.int64)
    document_of = np.repeat(np.array([document.index for document in documents], np.int64), rows)
    begins = np.repeat(np.cumsum(rows) - rows, rows)
    table = pa.concat_tables([document.table for document in documents])
    return Records("typed", _frame(table, texts), document_of, np.arange(len(begins)) - begins)


def _frame(table: pa.Table, coded: Sequence[str] = ()) -> pl.DataFrame:
    """The table as polars has it; dictionaries are their values, but for the columns `coded`."""
    names = table.column_names
    frame = pl.DataFrame(table if all(names) else table.rename_columns(list(map(str, range(len(names))))))
    frame.columns = names  # polars has another name for a column without one
    plain = [name for name, dtype in frame.schema.items() if dtype == pl.Categorical and name not in coded]
    categories = [name for name in coded if frame[name].dtype == pl.String()]
    changes = [*(column_named(n).cast(pl.String()) for n in plain)]
    changes += [column_named(n).cast(pl.Categorical()) for n in categories]
    return frame.with_columns(changes) if changes else frame


def _sentence(error: Exception) -> str:
    return str(error).partition("\n")[0]
