"""Parquet files to rows: every file of one schema in one frame, with its exact types."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import polars.selectors as cs
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from siltstone.errors import Unreadable
from siltstone.formats.documents import Item, Opened, ParseRules, Records
from siltstone.formats.exact_columns import column_named
from siltstone.formats.parquet.plain_types import as_plain, plain_schema
from siltstone.formats.portions import Load, Room, over_usual
from siltstone.formats.size_caps import RATIO_FLOOR, SizeCap
from siltstone.formats.typed_texts import json_texts
from siltstone.model.arrays import Ints

_MAGIC = b"PAR1"
_ENCRYPTED = b"PARE"
_USUAL_RATIO = 16
_CELLS_A_BYTE = 8  # nulls take a bit each in memory, and next to nothing in the file
_CHECKED: dict[str, Any] = {"pre_buffer": False, "page_checksum_verification": True}
_BROKEN = (pa.ArrowException, OSError, ValueError)
_FEW_CELLS = 1 << 21  # rows times columns of a file that is decoded at once
_SMALL = 64 << 20  # bytes of such a file's values
_NESTED_VALUE = 20  # bytes of JSON for a number within a list, about
_FOOTER = 12  # the magic at both ends and the footer's length


@dataclass(frozen=True)
class ParquetDocument:
    """Rows of a file, decoded: all of them, or those from row `first` on; `size` are the bytes of their values."""

    index: int
    path: str
    modified_us: int
    table: pa.Table
    schema: pa.Schema
    size: int
    first: int = 0

    @property
    def load(self) -> Load:
        """What it becomes, by its rows and columns."""
        return Load(self.size, self.table.num_rows, self.table.num_rows * len(self.schema))

    def record(self, line: int) -> tuple[int, bytes]:
        """A row as JSON; Parquet has no place for a single one, so the offset is 0."""
        row = _frame(self.table.slice(line - self.first, 1)).with_columns(cs.temporal().to_physical())
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
    except _BROKEN as error:
        raise Unreadable(f"its footer can't be read: {_sentence(error)}") from None
    size = sum(metadata.row_group(n).total_byte_size for n in range(metadata.num_row_groups))
    if size > rules.max_text_bytes and size > _USUAL_RATIO * len(data):
        raise Unreadable(f"{size:,} bytes of values in {len(data):,}, more than limits.max_decompressed_mb allows")
    if size > RATIO_FLOOR and size > rules.max_ratio * len(data):
        raise Unreadable(f"{size:,} bytes of values in {len(data):,}, more than limits.max_ratio allows")
    if len(set(schema.names)) < len(schema.names):
        raise Unreadable("two of its columns have one name")
    values = _Values.of(metadata, schema, size)
    if values.count > _CELLS_A_BYTE * rules.max_text_bytes:
        raise Unreadable(f"{metadata.num_rows:,} rows, more than limits.max_decompressed_mb allows")
    texts = [f.name for f in schema if pa.types.is_string(f.type)]
    is_large = values.count > _FEW_CELLS or size > _SMALL
    if is_large or values.most_text > _SMALL:
        large = LargeParquetDocument(item, metadata, tuple(texts), schema, size, values.count, coded)
        made = large.text_bytes()
        if is_large or made > _SMALL:
            cap = SizeCap("its values are", len(data), rules.max_text_bytes, rules.max_ratio)
            made += _NESTED_VALUE * values.nested
            cap.check_made("its texts, and its columns' names row by row,", made, size)
            return Opened(large)
    try:
        if coded and texts:
            file = pq.ParquetFile(pa.BufferReader(data), metadata=metadata, read_dictionary=texts, **_CHECKED)
        given = file.read(use_threads=False)
        given.validate(full=True)  # polars takes text for UTF-8 without a look
        table = as_plain(given)
        schema = schema if table is given else plain_schema(schema)
    except _BROKEN as error:
        raise Unreadable(f"can't be decoded: {_sentence(error)}") from None
    return Opened(ParquetDocument(item.index, item.path, item.modified_us, table, schema, size))


@dataclass(frozen=True, slots=True)
class _Values:
    """What the footer says of a file's values: how many there are, and how many of them in nested columns; the bytes
    that its texts may have if each is the longest: a file holds a text once, however many rows have it."""

    count: int
    nested: int
    most_text: int

    @classmethod
    def of(cls, metadata: pq.FileMetaData, schema: pa.Schema, size: int) -> "_Values":
        """By the footer of a file whose values have so many bytes."""
        if metadata.num_rows * size <= _SMALL and not any(pa.types.is_nested(f.type) for f in schema):
            return cls(metadata.num_rows * metadata.num_columns, 0, 0)
        flat = {f.name for f in schema if not pa.types.is_nested(f.type)}
        count = nested = most_text = 0
        for n in range(metadata.num_row_groups):
            group = metadata.row_group(n)
            for c in range(group.num_columns):
                column = group.column(c)
                count += column.num_values
                nested += 0 if column.path_in_schema in flat else column.num_values
                if column.physical_type == "BYTE_ARRAY" and column.has_dictionary_page:
                    most_text += column.total_uncompressed_size * column.num_values
        return cls(count, nested, most_text)


@dataclass(frozen=True)
class LargeParquetDocument:
    """A file that is not decoded at once, with what `open_parquet` found; its portions are."""

    item: Item
    metadata: pq.FileMetaData
    texts: tuple[str, ...]
    schema: pa.Schema
    size: int
    values: int
    coded: bool

    @property
    def index(self) -> int:
        return self.item.index

    @property
    def path(self) -> str:
        return self.item.path

    @property
    def modified_us(self) -> int:
        return self.item.modified_us

    @property
    def load(self) -> Load:
        """What it becomes, by its rows and columns: too much at once."""
        return Load(max(self.size, _SMALL), self._rows, self.values)

    def _rows_of(self, values: int) -> int:
        """How many rows have so many values, by their average."""
        return max(values * self._rows // max(self.values, 1), 1)

    @property
    def _rows(self) -> int:
        return int(self.metadata.num_rows)

    def text_bytes(self) -> int:
        """The bytes that its texts, and names of unusual length, have in all rows. Raises Unreadable where a page
        can't be decoded: what is read later, portion by portion, is known to be whole."""
        texts = sum(int(_text_lengths(batch).sum()) for batch in self._decoded(self._rows_of(_FEW_CELLS)))
        return texts + self._rows * over_usual(self.schema.names)

    def portions(self, room: Room) -> Iterator[ParquetDocument]:
        """Its rows as documents that there is room for; a row alone may be too long."""
        first = 0
        for batch in self._decoded(min(room.records, self._rows_of(room.cells))):
            lengths = np.cumsum(_text_lengths(batch) + over_usual(self.schema.names))
            start = 0
            while start < len(lengths):
                before = lengths[start - 1] if start else 0
                end = max(int(np.searchsorted(lengths, before + room.bytes, side="right")), start + 1)
                table = self._table(batch.slice(start, end - start))
                schema, size = plain_schema(self.schema), int(lengths[end - 1] - before)
                yield ParquetDocument(self.index, self.path, self.modified_us, table, schema, size, first)
                first, start = first + end - start, end

    def _table(self, batch: pa.RecordBatch) -> pa.Table:
        """Rows as a document has them."""
        table = pa.Table.from_batches([batch])
        for name in () if self.coded else self.texts:
            place = table.column_names.index(name)
            table = table.set_column(place, name, table.column(place).cast(pa.string()))
        return as_plain(table)

    def _decoded(self, rows: int) -> Iterator[pa.RecordBatch]:
        """The rows in order, at most so many at a time, texts as dictionaries: a file holds each once."""
        data, coded = pa.BufferReader(self.item.data), list(self.texts)
        try:
            file = pq.ParquetFile(data, metadata=self.metadata, read_dictionary=coded, **_CHECKED)
            for batch in file.iter_batches(rows, use_threads=False):
                batch.validate(full=True)
                yield batch
        except _BROKEN as error:
            raise Unreadable(f"can't be decoded: {_sentence(error)}") from None


def _text_lengths(batch: pa.RecordBatch) -> Ints:
    """The bytes of the texts of each row."""
    lengths = np.zeros(batch.num_rows, np.int64)
    for column in batch.columns:
        values = column
        if pa.types.is_dictionary(column.type):
            values = pc.binary_length(column.dictionary) if _is_text(column.type.value_type) else None
            values = values.take(column.indices) if values is not None else None
        else:
            values = pc.binary_length(column) if _is_text(column.type) else None
        if values is not None:
            lengths += pc.fill_null(values, 0).to_numpy(zero_copy_only=False)
    return lengths


def _is_text(kind: pa.DataType) -> bool:
    kinds = pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary
    return any(is_so(kind) for is_so in kinds)


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
    before = np.cumsum(rows) - rows - np.array([document.first for document in documents], np.int64)
    begins = np.repeat(before, rows)
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
