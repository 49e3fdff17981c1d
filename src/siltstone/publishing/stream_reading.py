"""Reads the data files of the readings table as what can be published of them, row by row accounted for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from siltstone.errors import StorageError
from siltstone.kernels.sorted_merge import merge_sorted
from siltstone.model.contracts import READINGS
from siltstone.model.data_files import DataFile
from siltstone.storage import Storage
from siltstone.table.reader import NEXT_MOVE, naming, opened

EVERY_SOURCE = "all"
_PUBLISHED = ("series_id", "ts", "device_id", "measurement", "value")
_READ = (*_PUBLISHED, "source", "text", "kind", "ts_nanos", "quality")
_TYPES = {c.name: pa.int32() if c.kind == "int" else pa.string() for c in (*READINGS.leading, *READINGS.record)}
_TYPES |= {"ts": READINGS.time.type, "value": pa.float64()}
_CHUNK_BYTES = 16 << 20
_FEWEST_ROWS, _MOST_ROWS, _ROW_BYTES = 512, 65_536, 400
_BUFFER_BYTES = 64 << 10


@dataclass
class ReadingCounts:
    """What became of the readings of a source in one partition.

    rows: published; not_published: text and JSON, for which Mortar has no place; nanoseconds_cut: published with a
    time between two microseconds; not_good: published with a quality other than good, which Mortar does not tell.
    """

    rows: int = 0
    not_published: int = 0
    nanoseconds_cut: int = 0
    not_good: int = 0


@dataclass(frozen=True)
class StreamReader:
    """Reads data files of a table for one source (or EVERY_SOURCE), and counts by (date, site)."""

    table: Storage
    source: str
    memory_bytes: int
    counted: dict[tuple[str, ...], ReadingCounts] = field(default_factory=dict)

    def merged(self, files: Sequence[DataFile]) -> Iterator[pa.Table]:
        """The rows to publish of all files, sorted by series_id and ts. Raises StorageError for a damaged file."""
        at_once = self.memory_bytes // 4 // max(len(files), 1) // _ROW_BYTES
        batch_rows = min(max(at_once, _FEWEST_ROWS), _MOST_ROWS)
        runs = (self._tables(stored, batch_rows) for stored in files)
        try:
            yield from merge_sorted(runs, READINGS.sort_by, _CHUNK_BYTES)
        except ValueError as error:
            raise StorageError(f"data files of {self.table.root} can't be merged: {error}", NEXT_MOVE) from error

    def _tables(self, stored: DataFile, batch_rows: int) -> Iterator[pa.Table]:
        counted = self.counted.setdefault(stored.partition, ReadingCounts())
        with (
            opened(self.table, stored.path, rows=stored.rows, buffer_bytes=_BUFFER_BYTES) as file,
            naming(file.uri),
        ):
            for batch in file.batches(_READ, batch_rows=batch_rows):
                table = _complete(batch)
                if self.source != EVERY_SOURCE:
                    table = table.filter(pc.equal(table.column("source"), self.source))
                yield _published(table, counted)


def _complete(table: pa.Table) -> pa.Table:
    """The rows with every column: a file may be older than one."""
    known = set(table.column_names)
    columns = [table.column(n).cast(_TYPES[n]) if n in known else pa.nulls(len(table), _TYPES[n]) for n in _READ]
    return pa.table(columns, names=list(_READ))


def _published(table: pa.Table, counted: ReadingCounts) -> pa.Table:
    """The rows that hold a number, or nothing at all."""
    is_text = pc.or_(
        pc.is_valid(table.column("text")), pc.is_in(table.column("kind"), pa.array(["string", "json"], pa.string()))
    )
    is_out = pc.and_(pc.is_null(table.column("value")), is_text)
    rows = table.filter(pc.invert(is_out))
    counted.rows += len(rows)
    counted.not_published += len(table) - len(rows)
    counted.nanoseconds_cut += _count(pc.greater(rows.column("ts_nanos"), 0))
    counted.not_good += _count(pc.not_equal(rows.column("quality"), "good"))
    return rows.select(list(_PUBLISHED))


def _count(mask: pa.ChunkedArray) -> int:
    return pc.sum(mask).as_py() or 0
