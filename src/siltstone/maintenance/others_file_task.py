"""A task that writes a data file of another engine anew: the same rows as siltstone's own files have them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from siltstone import sources
from siltstone.errors import AccountsError
from siltstone.maintenance.rewrite_task import Rewritten
from siltstone.model.arrow import DIGESTS, row_digest
from siltstone.model.data_files import LoggedFile, Partition
from siltstone.model.schema import Schema
from siltstone.storage import Storage
from siltstone.table.reader import DataFileReader, OthersFileReader, naming, opened, sorted_places
from siltstone.table.writer import PartitionWriter, WriterSettings, file_schema

_BATCH_ROWS = 1 << 16
_SHARE_OF_MEMORY = 4  # of the rows that are sorted at a time, which are held twice


@dataclass(frozen=True)
class OthersFileTask:
    """A data file to write anew; `contract` is named by its table. A file that is larger than the memory allows becomes
    several, each sorted; optimize merges them."""

    contract: str
    writing: WriterSettings
    partition: Partition
    file: LoggedFile
    schema: Schema
    memory_bytes: int

    @property
    def table(self) -> Storage:
        return self.writing.table

    def run(self) -> Rewritten:
        """Write the file's rows anew; their rows and cells are checked."""
        contract = sources.contracts()[self.contract]
        arrow = file_schema(contract, self.schema)
        coded = [f.name for f in arrow if pa.types.is_dictionary(f.type)]
        writer = PartitionWriter(self.writing, contract, self.partition, schema=lambda: self.schema)
        read = written = cells = 0
        unit, time = contract.sort_by
        with opened(self.writing.table, self.file.path, rows=self.file.rows, coded=coded) as file:
            beside = {f.name for f in contract.partition_by}  # which some engines write into the files as well
            for part in _parts(file, arrow, beside, self.memory_bytes // _SHARE_OF_MEMORY):
                with naming(file.uri):
                    rows = part.take(sorted_places(part, time, unit))
                read, written = read + row_digest(part), written + row_digest(rows)
                cells += sum(len(part) - part.column(c.name).null_count for c in self.schema.columns)
                writer.write(rows, breaks=True)
        writer.close()
        if read % DIGESTS != written % DIGESTS:
            raise AccountsError("/".join(self.partition), ["the rows written are not those that were read"])
        return Rewritten(writer.outputs, cells, {})


def _parts(file: DataFileReader, arrow: pa.Schema, beside: set[str], most_bytes: int) -> Iterator[pa.Table]:
    """The rows with every column of the table, and without those `beside`, so many bytes at a time."""
    batches = (
        file.as_stored(_BATCH_ROWS) if isinstance(file, OthersFileReader) else file.batches(batch_rows=_BATCH_ROWS)
    )
    waiting: list[pa.Table] = []
    for batch in batches:
        with naming(file.uri):
            waiting.append(_complete(batch, arrow, beside))
        if sum(table.get_total_buffer_size() for table in waiting) >= most_bytes:
            yield _united(waiting)
            waiting = []
    if waiting:
        yield _united(waiting)


def _complete(table: pa.Table, arrow: pa.Schema, beside: set[str]) -> pa.Table:
    """The rows in the table's types; null in columns that the file does not have."""
    if unknown := set(table.column_names) - set(arrow.names) - beside:
        raise ValueError(f"it has columns that the table has not: {', '.join(sorted(unknown))}")
    known = set(table.column_names)
    columns = []
    for field in arrow:
        column = table.column(field.name) if field.name in known else pa.nulls(len(table), field.type)
        columns.append(column if column.type == field.type else column.cast(field.type))
    return pa.table(columns, schema=arrow)


def _united(tables: Sequence[pa.Table]) -> pa.Table:
    return pa.concat_tables(tables).unify_dictionaries().combine_chunks()
