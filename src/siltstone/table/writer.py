"""Sorted rows to Parquet files of the right size: measured while writing, rolled over before they grow too large."""

import math
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from siltstone.kernels.bin_packing import should_roll
from siltstone.model.arrow import CODED, texts
from siltstone.model.contracts import Contract
from siltstone.model.data_files import NewFile, Partition, Sizes, staged
from siltstone.model.schema import Schema
from siltstone.model.statistics import Bounds, delta_statistics, merged
from siltstone.storage import Sink, Storage, join

DOCUMENT = "{document}"  # conform replaces braces in names, so no key of a record can be called so
_CHUNK_FOOTER_BYTES = 160  # what a footer says of one column of one row group; measured 115 to 150
_MOST_COLUMN_CHUNKS = 1 << 17  # of a file: each takes more than a kilobyte of memory when the footer is written or read
_SPARSE = 16  # cells to one that is filled, and times its memory that a row group may seem to have
_DICTIONARY_BYTES = 16 << 10  # by default a megabyte: half as fast, and larger, where values seldom repeat
_TEXTS_BYTES = 1 << 20
_PAGE_BYTES = 128 << 10  # a merge of many files holds some pages of each column of each
_OVER = 1.01  # aims a little over the target, since only what has reached it is rolled
_SMALLEST_GROUP = 1 / 16  # of the usual rows: a smaller row group is not worth hitting the target


def parquet_options() -> dict[str, Any]:
    """How pyarrow writes columns: values that repeat get a dictionary, which a column with many gives up early."""
    return {
        "compression": "zstd",
        "compression_level": 1,
        "use_dictionary": True,
        "dictionary_pagesize_limit": _DICTIONARY_BYTES,
        "data_page_size": _PAGE_BYTES,
        "store_schema": False,
        "write_statistics": True,
        "write_page_checksum": True,  # so that `optimize` never takes over a damaged page; no time to be measured
    }


def coded_options(schema: pa.Schema) -> dict[str, Any]:
    """The same for rows of which many have the same texts: these alone get dictionaries, and large ones."""
    names = [f.name for f in schema if pa.types.is_dictionary(f.type)]
    flat = [f.name for f in schema if not pa.types.is_nested(f.type)]  # nobody looks for a state by its fields
    more = {"use_dictionary": names, "dictionary_pagesize_limit": _TEXTS_BYTES, "write_statistics": flat}
    return parquet_options() | more


def file_schema(contract: Contract, schema: Schema) -> pa.Schema:
    """The columns of a data file in order; texts of keyed rows are coded."""
    fields = [(contract.time.name, contract.time.type), *schema.arrow(), *((f.name, f.type) for f in contract.added)]
    plain = pa.schema(fields)
    if not contract.key:
        return plain
    return pa.schema([(f.name, CODED if pa.types.is_large_string(f.type) else f.type) for f in plain])


def folder_of(contract: Contract, partition: Partition) -> str:
    """Where a partition's data files are, below the table ("": in the table itself); UsageError for values that would
    lead out of it."""
    return join(*(f"{f.name}={value}" for f, value in zip(contract.partition_by, partition, strict=True)))


def path_for(contract: Contract, partition: Partition) -> str:
    """Where a new data file of a partition goes."""
    folder = [folder_of(contract, partition)] if partition else []
    return join(*folder, f"data_{uuid.uuid4().hex}.parquet")


@dataclass(frozen=True)
class WriterSettings:
    """Where data files go and how large they become: their sizes, and the bytes of Arrow data in a row group.
    `is_staged`: they wait under other names until they are committed."""

    table: Storage
    sizes: Sizes
    group_bytes: int
    is_staged: bool = False


class PartitionWriter:
    """Writes the sorted rows of one partition into as many files as their size asks for.

    `schema` gives the record columns known so far, `expected` the bytes that are still to come by the plan's guess,
    `sources` the path of each document index, for the column `source_file` (None: the rows have it already).
    """

    def __init__(
        self,
        settings: WriterSettings,
        contract: Contract,
        partition: Partition,
        *,
        schema: Callable[[], Schema],
        expected: Callable[[], float] = lambda: 0.0,
        sources: Sequence[str] | None = None,
    ) -> None:
        self._settings, self._contract, self._partition = settings, contract, partition
        self._schema, self._expected = schema, expected
        self._sources = None if sources is None else texts(sources)
        self._file: _OpenFile | None = None
        self.outputs: list[NewFile] = []
        self.outputs_of: dict[int, set[str]] = {}

    @property
    def at_start(self) -> bool:
        """Whether the next rows begin a file."""
        return self._file is None

    def write(self, table: pa.Table, *, breaks: bool) -> None:
        """Append rows sorted by the contract's key; `breaks` begins a new file first."""
        if breaks:
            self.close()
        schema, group_bytes = self._schema(), self._settings.group_bytes
        row_bytes = _held_bytes(table) / max(table.num_rows, 1)
        groups = max(1, math.ceil(table.num_rows * row_bytes / (group_bytes * 4 / 3)))  # each 2/3 to 4/3 of it
        edges = np.linspace(0, table.num_rows, groups + 1).astype(int).tolist()
        start = 0
        while start < table.num_rows:
            if self._file is not None and self._file.schema != schema:
                self.close()
            if self._file is None:
                self._file = self._open(schema)
            end = self._cut(start, next(edge for edge in edges if edge > start), table.num_rows, row_bytes)
            if self._file.bytes + self._file.ratio * (end - start) * row_bytes > self._settings.sizes.largest:
                self.close()
                continue
            part = table.slice(start, end - start)
            self._file.write(self._complete(part, schema), (end - start) * row_bytes)
            if self._sources is not None:
                for document in pc.unique(part.column(DOCUMENT)).to_pylist():
                    self.outputs_of.setdefault(document, set()).add(self._file.path)
            rest = self._file.ratio * (table.num_rows - end) * row_bytes
            if should_roll(self._file.bytes, rest + self._expected(), self._settings.sizes) or self._file.is_crowded:
                self.close()
            start = end

    def _cut(self, start: int, end: int, rows: int, row_bytes: float) -> int:
        """Where the next row group ends: at `end`, or before it where the file reaches its target and must roll."""
        assert self._file is not None
        written, ratio = self._file.bytes, self._file.ratio
        to_come = ratio * (rows - start) * row_bytes + self._expected()
        if not ratio or written + to_come <= self._settings.sizes.largest:
            return end
        room = math.ceil((self._settings.sizes.target * _OVER - written) / (ratio * row_bytes))
        return start + room if _SMALLEST_GROUP * (end - start) <= room < end - start else end

    def close(self) -> None:
        """Finish the file that is open, if any."""
        if self._file is not None:
            self.outputs.append(replace(self._file.finish(self._partition), is_staged=self._settings.is_staged))
            self._file = None

    def _open(self, schema: Schema) -> "_OpenFile":
        contract = self._contract
        path = path_for(contract, self._partition)
        arrow = file_schema(contract, schema)
        sink = self._settings.table.sink(staged(path) if self._settings.is_staged else path)
        return _OpenFile(sink, path, schema, arrow, contract)

    def _complete(self, table: pa.Table, schema: Schema) -> pa.Table:
        """The rows with every column of the file, in its order."""
        assert self._file is not None
        if self._sources is not None:
            table = table.append_column("source_file", self._paths(table.column(DOCUMENT).combine_chunks()))
        known = set(table.column_names)
        missing = {f.type for f in self._file.arrow if f.name not in known}
        nulls = {kind: pa.nulls(len(table), kind) for kind in missing}  # one for all columns: they may be thousands
        columns = [table.column(f.name) if f.name in known else nulls[f.type] for f in self._file.arrow]
        return pa.table(columns, schema=self._file.arrow)

    def _paths(self, document: pa.Array) -> pa.Array:
        """The path of each row's source file."""
        assert self._sources is not None
        if self._contract.key:
            return pa.DictionaryArray.from_arrays(document, self._sources.cast(pa.string()))
        return self._sources.take(document)


def _held_bytes(table: pa.Table) -> int:
    """Bytes of memory that the rows take, which may be a slice of far larger buffers. Where there is next to nothing
    but nulls, these share their memory, and count little."""
    size: int = table.nbytes
    filled = sum(table.num_rows - column.null_count for column in table.columns)
    if filled * _SPARSE > table.num_rows * table.num_columns:
        return size
    chunks = (chunk for column in table.columns for chunk in column.chunks if chunk.null_count < len(chunk))
    return min(size, _SPARSE * sum(int(chunk.nbytes) for chunk in chunks))


class _OpenFile:
    def __init__(self, sink: Sink, path: str, schema: Schema, arrow: pa.Schema, contract: Contract) -> None:
        self.path, self.schema, self.arrow = path, schema, arrow
        self._sink, self._contract = sink, contract
        self._rows, self._groups = 0, 0
        self._arrow_bytes = 0.0
        self._bounds: dict[str, Bounds] = {}
        self._writer = pq.ParquetWriter(
            pa.PythonFile(sink, "w"),
            arrow,
            **(coded_options(arrow) if contract.key else parquet_options()),
            sorting_columns=pq.SortingColumn.from_ordering(
                arrow, [(name, "ascending") for name in contract.sort_by], null_placement="at_start"
            ),
        )

    @property
    def bytes(self) -> int:
        """Bytes written so far, and the footer that their row groups will have."""
        return self._sink.bytes_written + self._groups * len(self.arrow) * _CHUNK_FOOTER_BYTES

    @property
    def is_crowded(self) -> bool:
        """Whether its footer has grown so large that to write and read it takes memory."""
        return self._groups * len(self.arrow) >= _MOST_COLUMN_CHUNKS

    @property
    def ratio(self) -> float:
        """Bytes written per byte of Arrow data."""
        return self.bytes / self._arrow_bytes if self._arrow_bytes else 0.0

    def write(self, table: pa.Table, arrow_bytes: float) -> None:
        self._writer.write_table(table, row_group_size=max(table.num_rows, 1))
        self._groups += 1
        self._rows += table.num_rows
        self._arrow_bytes += arrow_bytes
        for name in self._contract.statistics:
            self._bounds[name] = merged(self._bounds.get(name), table.column(name))

    def finish(self, partition: Partition) -> NewFile:
        self._writer.close()
        self._sink.close()
        written, now_ms = self._sink.bytes_written, int(time.time() * 1000)
        return NewFile(
            self.path,
            partition,
            written,
            self._rows,
            now_ms,
            delta_statistics(self._rows, self._bounds),
            self._sink.sha256,
        )
