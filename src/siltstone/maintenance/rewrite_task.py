"""A task that rewrites data files of one partition as one sorted run: to optimize them, or to drop replaced rows."""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from siltstone import sources
from siltstone.errors import AccountsError, StorageError
from siltstone.kernels.sorted_merge import merge_sorted
from siltstone.maintenance.row_group_copy import joined
from siltstone.model.arrow import DIGESTS, row_digest, texts, to_arrow
from siltstone.model.contracts import Contract
from siltstone.model.data_files import LoggedFile, NewFile, Partition
from siltstone.model.schema import Schema
from siltstone.storage import Storage
from siltstone.table.reader import NEXT_MOVE, DataFileReader, naming, opened
from siltstone.table.writer import PartitionWriter, WriterSettings, file_schema

_FEWEST_ROWS, _MOST_ROWS = 256, 65_536
_BUFFER_BYTES = 64 << 10


@dataclass(frozen=True)
class RewriteTask:
    """Data files to rewrite, without the rows of the source files in `drop` and without those at `positions`, which
    others with their key replace and which are of a single file; `contract` is named by its table."""

    contract: str
    writing: WriterSettings
    partition: Partition
    files: tuple[LoggedFile, ...]
    drop: tuple[str, ...]
    schema: Schema
    memory_bytes: int
    positions: tuple[int, ...] = ()

    @property
    def table(self) -> Storage:
        return self.writing.table

    def run(self) -> "Rewritten":
        return _rewritten(self)


@dataclass(frozen=True)
class Rewritten:
    """The new files and the cells of their record columns; rows dropped per source.

    `replaced` has for each source file what the rows at the positions had: rows, cells stored, nulls and values
    rescued. `is_untouched`: there was nothing to drop, so the files stay.
    """

    outputs: list[NewFile]
    cells: int
    dropped: dict[str, int]
    replaced: dict[str, list[int]] = field(default_factory=dict)
    is_untouched: bool = False

    @property
    def rows(self) -> int:
        return sum(o.rows for o in self.outputs)


def _rewritten(task: RewriteTask) -> Rewritten:
    """Merge the task's files. Raises StorageError when one is not what siltstone writes."""
    table, contract = task.table, sources.contracts()[task.contract]
    if not task.drop and not task.positions and (whole_groups := _joined(task, contract)):
        return whole_groups
    if task.drop and not task.positions and not any(_holds(table, file, task.drop) for file in task.files):
        return Rewritten([], 0, {}, is_untouched=True)
    texts_of = [f.name for f in file_schema(contract, task.schema) if pa.types.is_dictionary(f.type)]
    with ExitStack() as open_files:
        given = [
            opened(table, file.path, rows=file.rows, coded=texts_of, buffer_bytes=_BUFFER_BYTES) for file in task.files
        ]
        whole = _Whole(task, contract, [open_files.enter_context(file) for file in given])
        writer = PartitionWriter(
            task.writing, contract, task.partition, schema=lambda: task.schema, expected=lambda: whole.unread_bytes
        )
        try:
            written = 0
            for chunk in merge_sorted(whole.runs(), contract.sort_by, task.writing.group_bytes):
                written += row_digest(chunk)
                writer.write(chunk, breaks=False)
        except ValueError as error:
            shown = f"{', '.join(file.path for file in task.files[:3])}{' ...' if len(task.files) > 3 else ''}"
            where = f"a data file of {table.root} can't be merged: {error}; it is one of {shown}"
            raise StorageError(where, NEXT_MOVE) from error
        writer.close()
    if written % DIGESTS != whole.digest % DIGESTS:
        raise AccountsError("/".join(task.partition), ["the rows merged are not those that were read"])
    return Rewritten(writer.outputs, whole.cells, whole.dropped, whole.replaced)


def _joined(task: RewriteTask, contract: Contract) -> Rewritten | None:
    """The task done without decoding, where that can be."""
    found = joined(task.writing, task.files, contract, task.partition, task.schema)
    return Rewritten([found[0]], found[1], {}) if found else None


def _holds(table: Storage, data: LoggedFile, drop: tuple[str, ...]) -> bool:
    """Whether a file has a row from one of the sources."""
    with opened(table, data.path, rows=data.rows, coded=["source_file"]) as file, naming(file.uri):
        if "source_file" not in file.schema.names:
            raise ValueError("it has no column source_file")
        place = file.metadata.schema.names.index("source_file")
        for group in range(file.groups):
            statistics = file.metadata.row_group(group).column(place).statistics
            is_bounded = statistics is not None and statistics.has_min_max
            if is_bounded and (statistics.max < min(drop) or statistics.min > max(drop)):
                continue
            found = file.table(["source_file"], [group]).column(0).unique()
            if not set(drop).isdisjoint(found.to_pylist()):
                return True
    return False


class _Whole:
    """All files of a task as runs of equal columns, and what has passed: cells kept and their rows' digest, rows
    dropped, bytes to come."""

    def __init__(self, task: RewriteTask, contract: Contract, files: Sequence[DataFileReader]) -> None:
        self._files, self._schema = files, task.schema
        self._drop = texts(task.drop)
        self._positions = np.array(task.positions, np.int64)
        self._read_rows = 0
        self._own = {contract.time.name, *(f.name for f in contract.added)}
        self._arrow = file_schema(contract, task.schema)
        self._unread_rows = self._rows = sum(f.rows for f in files)
        self._bytes = sum(_stored_bytes(f.metadata) for f in files)
        plain = sum(f.metadata.row_group(g).total_byte_size for f in files for g in range(f.groups))
        row_bytes = max(plain / max(self._rows, 1), 8.0 * len(self._arrow))
        at_once = task.memory_bytes / 4 / max(len(files), 1) / row_bytes
        self._batch_rows = int(min(max(at_once, _FEWEST_ROWS), _MOST_ROWS))
        self.cells = self.digest = 0
        self.dropped: dict[str, int] = {}
        self.replaced: dict[str, list[int]] = {}

    @property
    def unread_bytes(self) -> float:
        """Stored bytes of the rows that are still to come."""
        return float(self._bytes * self._unread_rows / max(self._rows, 1))

    def runs(self) -> Iterator[Iterator[pa.Table]]:
        for file in self._files:
            yield self._tables(file)

    def _tables(self, file: DataFileReader) -> Iterator[pa.Table]:
        with naming(file.uri):
            for batch in file.batches(batch_rows=self._batch_rows):
                self._unread_rows -= batch.num_rows
                table = self._kept(self._complete(batch))
                for column in self._schema.columns:
                    values = table.column(column.name)
                    self.cells += len(values) - values.null_count
                self.digest += row_digest(table)
                yield table

    def _complete(self, table: pa.Table) -> pa.Table:
        """The rows with every column of the table, in its types: a file may be older than a record column."""
        known = set(table.column_names)
        if absent := self._own - known:
            raise ValueError(f"it has no column {', '.join(sorted(absent))}")
        if unknown := known - set(self._arrow.names):
            raise ValueError(f"it has columns that the table has not: {', '.join(sorted(unknown))}")
        columns = [
            _as(table.column(f.name), f.type) if f.name in known else pa.nulls(len(table), f.type) for f in self._arrow
        ]
        return pa.table(columns, schema=self._arrow)

    def _kept(self, table: pa.Table) -> pa.Table:
        table = self._standing(table)
        if not len(self._drop):
            return table
        files = table.column("source_file").cast(pa.large_string())
        gone = pc.is_in(files, self._drop)
        for found in files.filter(gone).value_counts().to_pylist():
            self.dropped[found["values"]] = self.dropped.get(found["values"], 0) + found["counts"]
        return table.filter(pc.invert(gone))

    def _standing(self, table: pa.Table) -> pa.Table:
        """The rows without those at the positions, which are accounted for by source file."""
        if not len(self._positions):
            return table
        begin, self._read_rows = self._read_rows, self._read_rows + table.num_rows
        inside = (self._positions >= begin) & (self._positions < self._read_rows)
        if not inside.any():
            return table
        gone = np.zeros(table.num_rows, bool)
        gone[self._positions[inside] - begin] = True
        names = [c.name for c in self._schema.columns]
        for row in table.filter(to_arrow(gone)).select([*names, "source_file", "_rescued"]).to_pylist():
            cells = sum(row[name] is not None for name in names)
            rescued = len(json.loads(row["_rescued"])) if row["_rescued"] else 0
            counts = self.replaced.setdefault(row["source_file"] or "", [0, 0, 0, 0])
            for place, count in enumerate((1, cells, len(names) - cells, rescued)):
                counts[place] += count
        return table.filter(to_arrow(~gone))


def _as(column: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray:
    """The column in the wanted type; a cast of coded texts to their own type takes longer than to read them."""
    return column if column.type == wanted else column.cast(wanted)


def _stored_bytes(metadata: pq.FileMetaData) -> int:
    groups = [metadata.row_group(g) for g in range(metadata.num_row_groups)]
    return sum(g.column(c).total_compressed_size for g in groups for c in range(metadata.num_columns))
