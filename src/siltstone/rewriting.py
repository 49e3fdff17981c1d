"""A task that writes data files of one partition anew as one sorted run: to settle them, or to drop superseded rows."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from siltstone.conform import Schema
from siltstone.contracts import CONTRACTS, Contract
from siltstone.errors import StorageError
from siltstone.merging import merge_sorted
from siltstone.planning import Sizes
from siltstone.storage import Storage
from siltstone.writing import Output, PartitionWriter

_FEWEST_ROWS, _MOST_ROWS = 256, 65_536
_BUFFER_BYTES = 64 << 10


@dataclass(frozen=True)
class Rewrite:
    """Data files to write anew, without the rows of the source files in `drop`; `contract` is named by its table."""

    contract: str
    table: Storage
    partition: tuple[str, str]
    files: tuple[str, ...]
    drop: tuple[str, ...]
    schema: Schema
    sizes: Sizes
    group_bytes: int
    memory_bytes: int
    is_staged: bool = False

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "schema": self.schema.as_dict()}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> "Rewrite":
        plain = {name: tuple(row[name]) for name in ("partition", "files", "drop")}
        table, schema, sizes = Storage.from_dict(row["table"]), Schema.from_dict(row["schema"]), Sizes(**row["sizes"])
        return cls(**{**row, **plain, "table": table, "schema": schema, "sizes": sizes})

    def run(self) -> "Rewritten":
        return _rewritten(self)

    def result(self, row: Mapping[str, Any]) -> "Rewritten":
        return Rewritten(**{**row, "outputs": [Output.from_dict(o) for o in row["outputs"]]})


@dataclass(frozen=True)
class Rewritten:
    """The new files and the cells of their record columns; rows dropped per source.

    `is_untouched`: there was nothing to drop, so the files stay.
    """

    outputs: list[Output]
    cells: int
    dropped: dict[str, int]
    is_untouched: bool = False

    @property
    def rows(self) -> int:
        return sum(o.rows for o in self.outputs)

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "outputs": [o.as_dict() for o in self.outputs]}


def _rewritten(task: Rewrite) -> Rewritten:
    """Merge the task's files. Raises StorageError when one is not what siltstone writes."""
    table, contract = task.table, CONTRACTS[task.contract]
    with ExitStack() as opened:
        handles = [opened.enter_context(table.open(path)) for path in task.files]
        if task.drop and not any(_holds(handle, task.drop) for handle in handles):
            return Rewritten([], 0, {}, is_untouched=True)
        files = [pq.ParquetFile(handle, buffer_size=_BUFFER_BYTES, pre_buffer=False) for handle in handles]
        whole = _Whole(task, contract, files)
        writer = PartitionWriter(
            table,
            contract,
            task.partition,
            None,
            sizes=task.sizes,
            group_bytes=task.group_bytes,
            schema=lambda: task.schema,
            expected=lambda: whole.unread_bytes,
            is_staged=task.is_staged,
        )
        try:
            for chunk in merge_sorted(whole.runs(), contract.sort_by, task.group_bytes):
                writer.write(chunk, breaks=False)
        except (ValueError, pa.ArrowException) as error:
            raise StorageError(
                f"a data file of {table.root} can't be merged: {error}; it is one of {', '.join(task.files)}",
                "siltstone verify tells which files are damaged.",
            ) from error
        writer.close()
    return Rewritten(writer.outputs, whole.cells, whole.dropped)


def _holds(handle: BinaryIO, drop: tuple[str, ...]) -> bool:
    """Whether a file has a row from one of the sources."""
    file = pq.ParquetFile(handle, read_dictionary=["source_file"])
    place = file.schema_arrow.get_field_index("source_file")
    low_and_high = min(drop), max(drop)
    for group in range(file.num_row_groups):
        statistics = file.metadata.row_group(group).column(place).statistics
        if statistics is not None and statistics.has_min_max:
            low, high = statistics.min, statistics.max
            if high < low_and_high[0] or low > low_and_high[1]:
                continue
        found = file.read_row_group(group, columns=["source_file"]).column(0).unique()
        if not set(drop).isdisjoint(found.to_pylist()):
            return True
    return False


class _Whole:
    """All files of a task as runs of equal columns, and what has passed: cells kept, rows dropped, bytes to come."""

    def __init__(self, task: Rewrite, contract: Contract, files: list[pq.ParquetFile]) -> None:
        self._files, self._schema = files, task.schema
        self._drop = pa.array(task.drop, pa.large_string())
        added = [(f.name, f.type) for f in contract.added]
        self._arrow = pa.schema([(contract.time.name, contract.time.type), *task.schema.arrow(), *added])
        self._unread_rows = self._rows = sum(f.metadata.num_rows for f in files)
        self._bytes = sum(_stored_bytes(f.metadata) for f in files)
        plain = sum(f.metadata.row_group(g).total_byte_size for f in files for g in range(f.num_row_groups))
        row_bytes = max(plain / max(self._rows, 1), 8.0 * len(self._arrow))
        at_once = task.memory_bytes / 4 / max(len(files), 1) / row_bytes
        self._batch_rows = int(min(max(at_once, _FEWEST_ROWS), _MOST_ROWS))
        self.cells = 0
        self.dropped: dict[str, int] = {}

    @property
    def unread_bytes(self) -> float:
        """Stored bytes of the rows that are still to come."""
        return float(self._bytes * self._unread_rows / max(self._rows, 1))

    def runs(self) -> Iterator[Iterator[pa.Table]]:
        for file in self._files:
            yield self._tables(file)

    def _tables(self, file: pq.ParquetFile) -> Iterator[pa.Table]:
        for batch in file.iter_batches(self._batch_rows, use_threads=False):
            self._unread_rows -= batch.num_rows
            table = self._kept(self._complete(pa.Table.from_batches([batch])))
            for column in self._schema.columns:
                values = table.column(column.name)
                self.cells += len(values) - values.null_count
            yield table

    def _complete(self, table: pa.Table) -> pa.Table:
        """The rows with every column of the table, in its types: a file may be older than a column."""
        known = set(table.column_names)
        if unknown := known - set(self._arrow.names):
            raise ValueError(f"it has columns that the table has not: {', '.join(sorted(unknown))}")
        columns = [
            table.column(f.name).cast(f.type) if f.name in known else pa.nulls(len(table), f.type) for f in self._arrow
        ]
        return pa.table(columns, schema=self._arrow)

    def _kept(self, table: pa.Table) -> pa.Table:
        if not len(self._drop):
            return table
        gone = pc.is_in(table.column("source_file"), self._drop)
        for found in table.column("source_file").filter(gone).value_counts().to_pylist():
            self.dropped[found["values"]] = self.dropped.get(found["values"], 0) + found["counts"]
        return table.filter(pc.invert(gone))


def _stored_bytes(metadata: pq.FileMetaData) -> int:
    groups = [metadata.row_group(g) for g in range(metadata.num_row_groups)]
    return sum(g.column(c).total_compressed_size for g in groups for c in range(metadata.num_columns))
