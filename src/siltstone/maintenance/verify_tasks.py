"""The two halves of a verification, as tasks: source files are read again, and data files; both give sums per source.

A digest is the sum, modulo 2^64, of the hashes of a source file's rows (instant, date, every column): two readings of
the same rows agree in it, whatever their order and however they are spread over files.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from siltstone import sources
from siltstone.config.task_settings import Settings
from siltstone.errors import StorageError, Unreadable
from siltstone.formats.documents import Item
from siltstone.mapping.dataset import Dataset, Keyed, Wide
from siltstone.model.arrays import Ints
from siltstone.model.contracts import RESCUED, Contract
from siltstone.model.data_files import Partition
from siltstone.model.schema import Schema
from siltstone.model.statistics import Bounds, merged
from siltstone.model.time_zones import EPOCH
from siltstone.storage import Storage
from siltstone.table.reader import NEXT_MOVE, naming, reader_of

_BATCH_ROWS = 16_384
_READ_BYTES = 4 << 20
_OLDEST = pl.CompatLevel.oldest()

_Hashes = npt.NDArray[np.uint64]


@dataclass
class Sums:
    """What one reading found of one source file: rows, non-null cells of the record columns, and their digest."""

    rows: int = 0
    cells: int = 0
    digest: int = 0

    def add(self, other: "Sums") -> None:
        self.rows, self.cells = self.rows + other.rows, self.cells + other.cells
        self.digest = (self.digest + other.digest) % (1 << 64)


@dataclass
class SourceFound:
    """A source file read again, with the rows in it that others read along have too; `problem` is empty when it could
    be read as the run had read it."""

    sha256: str = ""
    refused: int = 0
    repeated: int = 0
    sums: Sums = field(default_factory=Sums)
    problem: str = ""
    is_there: bool = True


@dataclass(frozen=True)
class SourceCheck:
    """Source files to read again: (path in the storage `input`, identity, modified_us, size, SHA-256).

    A file whose content has another SHA-256 is not parsed: it is another version, or its rows are not to be compared.
    """

    dataset: str
    options: Mapping[str, Any]
    table: Storage
    input: Storage
    files: tuple[tuple[str, str, int, int, str], ...]
    schema: Schema
    settings: Settings

    def run(self) -> "SourcesFound":
        return SourcesFound(dict(_read_again(self)))


@dataclass
class SourcesFound:
    """What was found, by identity."""

    files: dict[str, SourceFound]


@dataclass(frozen=True)
class DataCheck:
    """A data file to read whole; `sha256` is what its manifest says, "" when none does, `bounds` what the log says of
    its columns."""

    contract: str
    table: Storage
    path: str
    partition: Partition
    bytes: int
    rows: int
    sha256: str
    schema: Schema
    bounds: Mapping[str, Bounds]

    def run(self) -> "DataFound":
        return _read_data(self)


@dataclass
class DataFound:
    """Sums by source file, and what is wrong with the file."""

    sources: dict[str, Sums]
    problems: list[str]


def _read_again(task: SourceCheck) -> Iterator[tuple[str, SourceFound]]:
    store, settings = task.input, task.settings
    dataset = sources.dataset(task.dataset, task.options)
    batch: list[Any] = []
    files: list[SourceFound] = []
    held = 0
    contents = store.ahead(store.read, [path for path, *_ in task.files], [size for *_, size, _ in task.files])
    for (_, identity, modified_us, _, sha256), fetched in zip(task.files, contents, strict=True):
        found = SourceFound()
        yield identity, found
        if fetched is None:
            found.is_there = False
            continue
        found.sha256 = hashlib.sha256(fetched.data).hexdigest()
        if found.sha256 != sha256:
            continue
        try:
            opened = dataset.open(Item(len(batch), identity, modified_us, fetched.data), settings.rules)
        except Unreadable as error:
            found.problem = str(error)
            continue
        batch.append(opened.document)
        files.append(found)
        held += opened.document.size
        if held >= settings.batch_bytes:
            _sum_up(task, dataset, batch, files)
            batch, files, held = [], [], 0
    if batch:
        _sum_up(task, dataset, batch, files)


def _sum_up(task: SourceCheck, dataset: Dataset, batch: Sequence[Any], files: Sequence[SourceFound]) -> None:
    """Parse documents as a run would that knew the whole schema, and add up what they hold."""
    parts, _ = dataset.rows(batch, task.schema, task.settings.rules)
    for part in parts:
        for bad in part.bad:
            files[bad.document].refused += 1
        if isinstance(part, Keyed):
            for index, count in part.repeated.select("document", "rows").iter_rows():
                files[index].repeated += count
        rows = _rows_of(part, dataset.contract)
        hashes = _hashes(rows.table, rows.ts_us, rows.day, task.schema)
        for index, sums in _grouped(rows.document, _cells(rows.table, task.schema), hashes):
            files[index].sums.add(sums)
        for name in (
            set(rows.table.column_names) - task.schema.by_name.keys() - {f.name for f in dataset.contract.added}
        ):
            for index in np.unique(rows.document[rows.table.column(name).is_valid().to_numpy()]):
                files[index].problem = f"the table has no column {name!r} for some of its values"


@dataclass(frozen=True)
class _Rows:
    """Rows of any dataset, as digests need them."""

    table: pa.Table
    document: Ints
    ts_us: Ints
    day: npt.NDArray[np.int32]


def _rows_of(part: Wide | Keyed, contract: Contract) -> _Rows:
    if isinstance(part, Wide):
        return _Rows(part.table, part.document, part.ts_us, part.day)
    frame = part.frame
    if not frame.height:
        return _Rows(pa.table({}), np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int32))
    day = np.zeros(frame.height, np.int32) if contract.is_history else frame["date"].to_numpy()
    names = [c.name for c in (*contract.leading, *contract.record)]
    table = frame.select(c for c in (*names, RESCUED.name) if c in frame.columns).to_arrow(compat_level=_OLDEST)
    return _Rows(table, frame["document"].to_numpy(), frame["ts"].to_numpy(), day)


def _hashes(table: pa.Table, ts_us: Ints, day: npt.NDArray[Any], schema: Schema) -> _Hashes:
    """The hash of each row; a column that is missing counts as null."""
    fields = [*schema.arrow(), pa.field("_rescued", pa.large_string())]
    names = set(table.column_names)
    columns = [table.column(f.name).cast(f.type) if f.name in names else pa.nulls(len(table), f.type) for f in fields]
    frame = pl.DataFrame(pa.table(columns, schema=pa.schema(fields)))
    timed = frame.with_columns(pl.Series("{ts}", ts_us, pl.Int64), pl.Series("{day}", day, pl.Int32))
    return timed.hash_rows(seed=0).to_numpy()


def _cells(table: pa.Table, schema: Schema) -> Ints:
    """The number of non-null record cells of each row."""
    cells = np.zeros(table.num_rows, np.int64)
    for name in table.column_names:
        if name in schema.by_name:
            cells += table.column(name).is_valid().to_numpy()
    return cells


def _grouped(codes: Ints, cells: Ints, hashes: _Hashes) -> Iterator[tuple[int, Sums]]:
    """The sums of the rows of each code that occurs."""
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    if len(starts):
        counts = np.diff(np.append(starts, len(codes)))
        sums = counts, np.add.reduceat(cells[order], starts), np.add.reduceat(hashes[order], starts)
        for code, *numbers in zip(codes[order][starts], *sums, strict=True):
            yield int(code), Sums(*map(int, numbers))


def _read_data(task: DataCheck) -> DataFound:
    """Every row of a data file, added up by source file. What can't be read is a problem, no error."""
    table, contract = task.table, sources.contracts()[task.contract]
    found = DataFound({}, [])
    try:
        with table.open(task.path) as handle:
            size, digest = handle.seek(0, 2), ""
            handle.seek(0)
            if task.sha256:
                digest = _sha256(handle)
            if size != task.bytes:
                found.problems.append(f"{task.path}: {size:,} bytes, the log says {task.bytes:,}")
            if digest != task.sha256:
                found.problems.append(f"{task.path}: its SHA-256 is {digest}, its manifest says {task.sha256}")
            file = reader_of(task.path)(table.uri(task.path), handle)
            if file.rows != task.rows:
                found.problems.append(f"{task.path}: {file.rows:,} rows, the log says {task.rows:,}")
            day = (date.fromisoformat(task.partition[0]) - EPOCH).days if task.partition else 0
            bounds: dict[str, Bounds] = {}
            for rows in file.batches(batch_rows=_BATCH_ROWS):
                with naming(file.uri):
                    _add_up(found, rows, day, task.schema, contract)
                    bounds |= {name: merged(bounds.get(name), rows.column(name)) for name in task.bounds}
            for name, logged in task.bounds.items():
                if (read := bounds.get(name, (None, None, 0))) != logged:
                    found.problems.append(f"{task.path}: {name} is within {read}, the log says {logged}")
    except (StorageError, OSError) as error:
        begin = f"{table.uri(task.path)} can't be read: "
        said = str(error).splitlines()[0].removeprefix(begin).removesuffix(f". {NEXT_MOVE}")
        found.problems.append(f"{task.path}: can't be read: {said}")
    return found


def _sha256(handle: BinaryIO) -> str:
    digest = hashlib.sha256()
    while part := handle.read(_READ_BYTES):
        digest.update(part)
    return digest.hexdigest()


def _add_up(found: DataFound, table: pa.Table, day: int, schema: Schema, contract: Contract) -> None:
    ts_us = table.column(contract.time.name).cast(pa.int64()).to_numpy()
    hashes = _hashes(table, ts_us, np.full(len(ts_us), day, np.int32), schema)
    encoded = table.column("source_file").fill_null("").combine_chunks().dictionary_encode()
    paths = encoded.dictionary.to_pylist()
    for code, sums in _grouped(encoded.indices.to_numpy(), _cells(table, schema), hashes):
        found.sources.setdefault(paths[code], Sums()).add(sums)
