"""Makes the published files of one stream say what they should: what is new, and what must be written anew."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq

from siltstone.errors import StorageError
from siltstone.model.arrow import to_numpy
from siltstone.publishing.editions import StreamFile, staged_by
from siltstone.publishing.mortar_layout import (
    FIRST_US,
    LAST_US,
    Piece,
    Windows,
    encoded,
    file_path,
    footer_of,
    in_files,
    revised,
    stream_of,
)
from siltstone.storage import Storage

MOST_ROWS = 2 << 20
"""Rows of a published file: 5 to 20 MB of a sensor's readings, and some 400 MB of memory while it is made."""


@dataclass(frozen=True)
class StreamTask:
    """Rows that a stream should have within the windows, and its files that hold rows of them now."""

    collection: str
    piece: Piece
    windows: Windows
    existing: Sequence[StreamFile]
    firsts: Sequence[int]

    @property
    def bytes(self) -> int:
        return int(self.piece.rows.nbytes) + sum(f.size for f in self.existing)


@dataclass(frozen=True)
class StreamResult:
    """What a task did: files that go, files that come, rows that came and went."""

    collection: str
    series: str
    dropped: Sequence[StreamFile]
    written: Sequence[StreamFile]
    added: int
    removed: int


@dataclass(frozen=True)
class StreamWriter:
    """Writes files of at most about `most_rows` to a published folder, under the staged names of a run: those that they
    get later are none of `leaving`. `written` are these, also of files that another one has replaced since."""

    out: Storage
    token: str
    leaving: frozenset[str]
    keys_in_files: bool
    most_rows: int
    written: set[str] = field(default_factory=set)

    def run(self, task: StreamTask) -> StreamResult:
        """Write the files that a task asks for."""
        rows = task.piece.rows
        dropped: Sequence[StreamFile] = ()
        added, removed, wanted = len(rows), 0, [rows]
        if task.existing:
            there = [self._read(f) for f in task.existing]
            revision = revised(rows, there, task.windows, task.firsts)
            dropped = [task.existing[i] for i in revision.dropped]
            added, removed, wanted = revision.added, revision.removed, list(revision.written)
        parts = [part for table in wanted for part in in_files(table, self.most_rows)]
        written = [self._write(task.collection, task.piece.series, part) for part in parts]
        return StreamResult(task.collection, task.piece.series, dropped, written, added, removed)

    def _read(self, file: StreamFile) -> pa.Table:
        path = staged_by(self.token, file.path) if file.path in self.written else file.path
        fetched = self.out.read(path)
        if fetched is None:
            uri = self.out.uri(path)
            raise StorageError(f"{uri} is missing", "Restore it from a backup, or publish to another folder.")
        parquet = pq.ParquetFile(pa.BufferReader(fetched.data), read_dictionary=["uri", "label"])
        table = parquet.read(columns=["time", "value", "uri", "label"])
        return table.set_column(0, "time", table.column("time").cast(pa.int64()))

    def _write(self, collection: str, series: str, rows: pa.Table) -> StreamFile:
        """Put a file under its staged name; one that this run has put there before has the same content."""
        stream = stream_of(series)
        times = to_numpy(rows.column("time"))
        first, last = int(times[0]), int(times[-1])
        data = encoded(rows, collection, stream, keys_in_files=self.keys_in_files)
        path = file_path(collection, stream, first, data, self.leaving.__contains__)
        self.written.add(path)
        self.out.put(staged_by(self.token, path), data, is_kept=False)  # all are synced at once, before the commit
        sha256 = hashlib.sha256(data).hexdigest()
        return StreamFile(collection, stream, series, path, len(rows), len(data), sha256, first, last, footer_of(data))


def task_of(collection: str, piece: Piece, windows: Windows, published: Sequence[StreamFile]) -> StreamTask:
    """The task of a piece of a stream, whose published files are in order of time."""
    existing = [f for f in published if windows.touch(f.first_us, f.last_us)]
    return StreamTask(collection, piece, windows, existing, [f.first_us for f in published])


def no_rows(series: str) -> Piece:
    """The piece of a series that has no rows any more."""
    texts = pa.DictionaryArray.from_arrays(pa.array([], pa.int32()), pa.array([], pa.large_string()))
    columns = [pa.array([], pa.int64()), pa.array([], pa.float64()), texts, texts]
    return Piece(series, pa.table(columns, names=["time", "value", "uri", "label"]), FIRST_US, LAST_US)
