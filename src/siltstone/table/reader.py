"""The only module that opens data files of tables: all their rows, or one error that names the file.

A data file is a Parquet file below a table's root that the table's log names: rows of readings, of a wide table or of
a history, and aggregates with their states. Source files, manifests, quarantined records, plans, what tasks hand to
each other and the files of a Mortar edition are none.

Before pyarrow sees a file, its footer is held against itself and against the place of its pages; before rows are read,
the headers of their pages against the footer. pyarrow then checks the content of each page by its checksum. Files of
old releases have none in their pages: their rows are validated after decoding instead. The rows are counted.

Files of other engines (an OPTIMIZE, an UPDATE) are known by their names. None of that is held against them; their rows
are given in the types and in the order of siltstone's own.
"""

import struct
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from io import BytesIO
from typing import BinaryIO

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from polars.exceptions import PanicException, PolarsError

from siltstone.errors import DamagedFileError, StorageError
from siltstone.formats.parquet.footer_checks import Footer, checked_footer
from siltstone.formats.parquet.page_checks import check_headers
from siltstone.model.arrow import CODED
from siltstone.model.contracts import TIMESTAMP
from siltstone.model.data_files import is_own_name
from siltstone.storage import Storage

MAGIC = b"PAR1"
NEXT_MOVE = (
    "Restore the file from a backup, or make the table again. Of a table that compact has made, siltstone verify names "
    "every damaged file."
)
"""True of every kind of table: verify takes those of compact only."""
BATCH_ROWS = 1 << 19
_LEAST = 12  # bytes of a Parquet file: the magic at both ends and the length of a footer
_TAIL = 8  # bytes behind a footer: its length and the magic


@contextmanager
def naming(uri: str) -> Iterator[None]:
    """Whatever goes wrong with the content of a data file is a DamagedFileError that names it."""
    try:
        yield
    except MemoryError:
        raise
    except (ValueError, TypeError, LookupError, OSError, pa.ArrowException, PolarsError, PanicException) as error:
        reason = str(error).partition("\n")[0]
        raise DamagedFileError(f"{uri} can't be read: {reason}", NEXT_MOVE) from error


class DataFileReader:
    """An open data file. `coded`: the columns of texts that are read as codes, None for all of them; `rows`: how many
    the table's log says that it has, where that is known.

    Every method raises DamagedFileError for a file that is not as it was written.
    """

    def __init__(
        self,
        uri: str,
        handle: BinaryIO,
        *,
        rows: int | None = None,
        coded: Collection[str] | None = (),
        buffer_bytes: int = 0,
    ) -> None:
        self.uri, self._handle = uri, handle
        self._checked: dict[tuple[int, int], bool] = {}
        with naming(uri):
            size = handle.seek(0, 2)
            text = _footer_text(lambda start, end: self._read(start, end - start), size)
            self.footer: Footer = checked_footer(text, size - len(text) - _TAIL)
            texts = [leaf.name for leaf in self.footer.leaves if leaf.is_text and (coded is None or leaf.name in coded)]
            self._file = pq.ParquetFile(
                handle,
                read_dictionary=texts,
                pre_buffer=False,
                page_checksum_verification=True,
                buffer_size=buffer_bytes,
            )
            self.metadata: pq.FileMetaData = self._file.metadata
            if rows is not None and rows != self.rows:
                raise ValueError(f"the table's log tells of {rows:,} rows, its footer of {self.rows:,}")

    @property
    def rows(self) -> int:
        return int(self.metadata.num_rows)

    @property
    def groups(self) -> int:
        """How many row groups it has."""
        return int(self.metadata.num_row_groups)

    @cached_property
    def schema(self) -> pa.Schema:
        """Names and types as they are read, texts that are read as codes included."""
        with naming(self.uri):
            return self._file.schema_arrow

    def batches(
        self, columns: Sequence[str] | None = None, groups: Sequence[int] | None = None, batch_rows: int = BATCH_ROWS
    ) -> Iterator[pa.Table]:
        """The rows of the columns (None: all), and of the row groups (None: all), some at a time."""
        groups = range(self.groups) if groups is None else groups
        has_checksums = self._check_pages(columns, groups)
        expected, found = sum(self.footer.rows(group) for group in groups), 0
        with naming(self.uri):
            read = self._file.iter_batches(
                batch_rows,
                row_groups=list(groups),
                columns=None if columns is None else list(columns),
                use_threads=False,
            )
            for batch in read:
                table = pa.Table.from_batches([batch])
                found += table.num_rows
                _check_values(table, has_checksums=has_checksums)
                yield table
            _check_count(found, expected)

    def table(self, columns: Sequence[str] | None = None, groups: Sequence[int] | None = None) -> pa.Table:
        """The rows as one table; a field of a struct is a column `struct.field`."""
        groups = range(self.groups) if groups is None else groups
        has_checksums = self._check_pages(columns, groups)
        with naming(self.uri):
            names = None if columns is None else list(columns)
            table = self._file.read_row_groups(list(groups), columns=names, use_threads=False)
            _check_values(table, has_checksums=has_checksums)
            _check_count(table.num_rows, sum(self.footer.rows(group) for group in groups))
            return table

    def frame(self, columns: Sequence[str]) -> pl.DataFrame:
        """The columns as polars has them, in this order."""
        table = self.table(columns)
        with naming(self.uri):
            return pl.DataFrame(table.select(list(columns)))

    def _check_pages(self, columns: Sequence[str] | None, groups: Sequence[int]) -> bool:
        """Hold the headers of all pages that are to be read against the footer; whether all pages have checksums."""
        with naming(self.uri):
            places = self._places(columns)
            for group in groups:
                for place, column in enumerate(self.footer.columns(group)):
                    if place in places and (group, place) not in self._checked:
                        self._checked[group, place] = check_headers(self._read, column)
        return all(self._checked[group, place] for group in groups for place in places)

    def _places(self, columns: Sequence[str] | None) -> set[int]:
        """Which of the file's columns are read; one that it has not is passed over, as pyarrow does."""
        names = [leaf.name for leaf in self.footer.leaves]
        if columns is None:
            return set(range(len(names)))
        found = set[int]()
        for wanted in columns:
            found |= {place for place, name in enumerate(names) if name == wanted or name.startswith(f"{wanted}.")}
        return found

    def _read(self, at: int, length: int) -> bytes:
        self._handle.seek(at)
        return self._handle.read(length)


class OthersFileReader(DataFileReader):
    """A data file that another engine has written. `batches`, `table` and `frame` give its rows with the types and in
    the order of siltstone's files, of which the first two columns are the instant and the unit; for that the columns
    are held in memory. Row groups can't be asked for: the rows of one may be anywhere."""

    def __init__(
        self, uri: str, handle: BinaryIO, *, rows: int | None = None, coded: Collection[str] | None = (), **_: object
    ) -> None:
        self.uri, self._handle, self._coded = uri, handle, coded
        with naming(uri):
            self._file = pq.ParquetFile(handle, pre_buffer=False, coerce_int96_timestamp_unit="us")
            self.metadata = self._file.metadata
            if rows is not None and rows != self.rows:
                raise ValueError(f"the table's log tells of {rows:,} rows, its footer of {self.rows:,}")

    @cached_property
    def schema(self) -> pa.Schema:
        with naming(self.uri):
            return pa.schema([(f.name, self._own_type(f)) for f in self._file.schema_arrow])

    def batches(
        self, columns: Sequence[str] | None = None, groups: Sequence[int] | None = None, batch_rows: int = BATCH_ROWS
    ) -> Iterator[pa.Table]:
        table = self.table(columns, groups)
        for start in range(0, table.num_rows, batch_rows):
            yield table.slice(start, batch_rows)

    def table(self, columns: Sequence[str] | None = None, groups: Sequence[int] | None = None) -> pa.Table:
        assert groups is None or len(groups) == self.groups
        tops = [name.partition(".")[0] for name in columns or self.schema.names]
        order = self.schema.names[:2]
        with naming(self.uri):
            wanted = list(dict.fromkeys([*order, *tops]))
            whole = self._typed(self._file.read(columns=wanted, use_threads=False))
            _check_count(whole.num_rows, self.rows)
            whole = whole.take(sorted_places(whole, *order))
            for name in columns or ():
                top, _, inner = name.partition(".")
                if inner:
                    whole = whole.append_column(name, pc.struct_field(whole.column(top), inner.split(".")))
            known = set(whole.column_names)
            return whole.select([name for name in columns or self.schema.names if name in known])

    def as_stored(self, batch_rows: int) -> Iterator[pa.Table]:
        """All rows in the order in which they are stored, some at a time."""
        with naming(self.uri):
            for batch in self._file.iter_batches(batch_rows, use_threads=False):
                yield self._typed(pa.Table.from_batches([batch]))

    def _typed(self, table: pa.Table) -> pa.Table:
        columns = []
        for name, column in zip(table.column_names, table.columns, strict=True):
            wanted = self.schema.field(name).type
            if column.type != wanted:
                is_coded = pa.types.is_dictionary(wanted)
                column = column.cast(pa.string()).dictionary_encode() if is_coded else column.cast(wanted)
            columns.append(column)
        return pa.table(columns, names=table.column_names)

    def _own_type(self, field: pa.Field) -> pa.DataType:
        found = _type_in_own_files(field.type)
        is_coded = found == pa.string() and (self._coded is None or field.name in self._coded)
        return CODED if is_coded else found


def _type_in_own_files(found: pa.DataType) -> pa.DataType:
    """The type in which pyarrow reads the same values from siltstone's own files."""
    types = pa.types
    if types.is_dictionary(found):
        return _type_in_own_files(found.value_type)
    if types.is_large_string(found) or types.is_string_view(found):
        return pa.string()
    if types.is_timestamp(found):
        return TIMESTAMP
    if types.is_struct(found):
        return pa.struct([f.with_type(_type_in_own_files(f.type)) for f in found])
    if types.is_map(found):
        key, item = found.key_field, found.item_field
        return pa.map_(_type_in_own_files(key.type), item.with_type(_type_in_own_files(item.type)))
    if types.is_list(found) or types.is_large_list(found):
        return pa.list_(found.value_field.with_type(_type_in_own_files(found.value_type)))
    return found


def sorted_places(table: pa.Table, time: str, unit: str) -> pa.Array:
    """The places of the rows in the order of unit and instant, those without a unit first; equal ones as they are."""
    keys = pl.DataFrame({"unit": table.column(unit).cast(pa.string()), "time": table.column(time)})
    return keys.with_row_index("place").sort("unit", "time", maintain_order=True)["place"].to_arrow()


def reader_of(path: str) -> type[DataFileReader]:
    """The reader of siltstone's own data files, or that of other engines' files."""
    return DataFileReader if is_own_name(path) else OthersFileReader


@contextmanager
def opened(
    table: Storage,
    path: str,
    *,
    rows: int | None = None,
    coded: Collection[str] | None = (),
    buffer_bytes: int = 0,
) -> Iterator[DataFileReader]:
    """A data file of a table while it is read, row group by row group; arguments as of DataFileReader.

    Raises StorageError where it is gone."""
    with data_file(table, path) as handle:
        yield reader_of(path)(table.uri(path), handle, rows=rows, coded=coded, buffer_bytes=buffer_bytes)


def data_file(table: Storage, path: str) -> BinaryIO:
    """The bytes of a table's data file, to read and seek in. Raises StorageError where it is gone."""
    try:
        return table.open(path)
    except StorageError as error:
        raise _gone(table, path) if isinstance(error.__cause__, FileNotFoundError) else error from error.__cause__


def fetched(
    table: Storage, path: str, *, rows: int | None = None, coded: Collection[str] | None = ()
) -> DataFileReader:
    """A data file of a table that is held in memory; arguments as of DataFileReader. Raises StorageError where it is
    gone."""
    found = table.read(path)
    if found is None:
        raise _gone(table, path)
    return reader_of(path)(table.uri(path), BytesIO(found.data), rows=rows, coded=coded)


def _gone(table: Storage, path: str) -> StorageError:
    return StorageError(
        f"{table.uri(path)} is gone",
        "Run again. If it is gone then too, restore it from a backup. A table that compact has made can go on without "
        f"it: siltstone repair {table.root} says how; others are made again by their commands.",
    )


def read_footer(table: Storage, path: str, size: int) -> pq.FileMetaData:
    """The Parquet metadata of a data file of known size. Raises DamagedFileError where it is not sound."""
    return stored_footer(table, path, size)[0]


def written_footer(table: Storage, path: str, size: int) -> pq.FileMetaData:
    """The Parquet metadata of a data file that this run has just written: pyarrow reads it a hundred times faster than
    it can be held against itself, and there are no bits yet that time could have changed."""
    with naming(table.uri(path)):
        text = _footer_text(lambda start, end: table.read_range(path, start, end), size)
        return _metadata(text)


def stored_footer(table: Storage, path: str, size: int) -> tuple[pq.FileMetaData, Footer, int]:
    """The metadata of a data file of known size, as pyarrow and as Thrift have it, and where its pages end. Raises
    DamagedFileError where it is not sound."""
    with naming(table.uri(path)):
        text = _footer_text(lambda start, end: table.read_range(path, start, end), size)
        end = size - len(text) - _TAIL
        footer = checked_footer(text, end)
        return _metadata(text), footer, end


def _metadata(footer: bytes) -> pq.FileMetaData:
    return pq.read_metadata(pa.BufferReader(MAGIC + footer + struct.pack("<I", len(footer)) + MAGIC))


def _footer_text(read: Callable[[int, int], bytes], size: int) -> bytes:
    """The footer as it is stored, read by `read(start, end)`."""
    if size < _LEAST:
        raise ValueError(f"it has {size} bytes, which is no Parquet file")
    length, magic = struct.unpack("<I4s", read(size - _TAIL, size))
    if magic != MAGIC or length > size - _LEAST:
        raise ValueError("it does not end with a footer of Parquet")
    return read(size - _TAIL - length, size - _TAIL)


def _check_values(table: pa.Table, *, has_checksums: bool) -> None:
    """A dictionary's page tells its length alone, so codes may point behind it; where pages have no checksum, anything
    may be wrong with values that were decoded."""
    if not has_checksums:
        table.validate(full=True)
    for column in table.columns:
        if pa.types.is_dictionary(column.type):
            for chunk in column.chunks:
                ends = pc.min_max(chunk.indices)
                if ends["max"].is_valid and not 0 <= ends["min"].as_py() <= ends["max"].as_py() < len(chunk.dictionary):
                    raise ValueError("a value is not in the dictionary of its column")


def _check_count(found: int, expected: int) -> None:
    if found != expected:
        raise ValueError(f"its footer tells of {expected:,} rows, {found:,} are there")
