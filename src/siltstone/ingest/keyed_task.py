"""The task of a table with a key: of rows with one key, its own and those of the table, one stays; the new ones go to a
file of each partition that they name."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, cast

import numpy as np
import orjson
import polars as pl
import pyarrow as pa

from siltstone.errors import AccountsError
from siltstone.ingest.reader import SourceReader
from siltstone.ingest.stored_keys import StoredKeys
from siltstone.ingest.task_spec import IngestReport, IngestTask
from siltstone.kernels.key_dedup import DUPLICATE, KEPT, SUPERSEDED, deduplicate_keys
from siltstone.mapping.dataset import REPEATED, Keyed
from siltstone.model.accounts import Counters, FileAccount
from siltstone.model.arrays import Ints
from siltstone.model.arrow import coded_texts, to_arrow
from siltstone.model.contracts import RESCUED, Contract
from siltstone.model.data_files import NewFile, Partition
from siltstone.model.time_zones import day_text
from siltstone.table.quarantine import QuarantineWriter
from siltstone.table.writer import DOCUMENT, PartitionWriter, folder_of

_ROW_BYTES = 160  # of Arrow data for a reading, about
_GROUP_BYTES = 8 << 20  # of source files, at least, whose rows are deduplicated at a time
_TEXT = pl.String()


@dataclass(frozen=True)
class KeyedTask(IngestTask):
    """Upserts the rows of some files of a keyed dataset, into whatever partitions they name."""

    def run(self) -> IngestReport:
        return _run(self)


def _run(task: IngestTask) -> IngestReport:
    quarantine = QuarantineWriter(task.table, task.settings.raw_bytes)
    reader = SourceReader(task, quarantine)
    keys = KeyDedup(task, reader)
    writers = _Writers(task, reader)
    for frame, repeated in _groups(task, reader):
        keys.begin(frame, repeated)
        for partition, part in by_partition(frame):
            writers.add(partition, keys.deduplicated(part, partition))
    writers.close()
    return IngestReport(
        files=list(_closed(task, reader, keys, writers)),
        outputs=writers.outputs,
        new_columns=[],
        quarantine=quarantine.close(),
        replaced={path: sorted(places) for path, places in keys.replaced.items()},
        kept_by=sorted(keys.kept_by),
    )


def complete(frame: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """The frame with every column of the contract, in its types."""
    types = {c.name: _POLARS[c.kind] for c in (*contract.leading, *contract.record)} | {RESCUED.name: _TEXT}
    there = set(frame.columns)
    columns = [pl.col(n).cast(t) if n in there else pl.lit(None, t).alias(n) for n, t in types.items()]
    return frame.with_columns(columns)


_POLARS: Mapping[str, pl.DataType] = {
    "double": pl.Float64(),
    "bigint": pl.Int64(),
    "int": pl.Int32(),
    "boolean": pl.Boolean(),
    "string": _TEXT,
    "json": _TEXT,
    "float": pl.Float32(),
    "timestamp": pl.Datetime("us", "UTC"),
}


def count_rows(parts: Sequence[Keyed], counters: Counters) -> None:
    """Count the records of parts, and how many more or fewer rows they gave."""
    for part in parts:
        documents = np.array(list(part.records), np.int64)
        records = np.array(list(part.records.values()), np.int64)
        document, line = (part.frame[name].to_numpy() for name in ("document", "line"))
        begins = np.ones(len(document), bool)
        begins[1:] = (document[1:] != document[:-1]) | (line[1:] != line[:-1])
        most = int(max(documents, default=0)) + 1
        rows, gave = np.bincount(document, minlength=most), np.bincount(document[begins], minlength=most)
        left_out = part.repeated.group_by("document").agg(pl.col("records").sum(), pl.col("rows").sum())
        repeated, repeated_rows = np.zeros(most, np.int64), np.zeros(most, np.int64)
        repeated[left_out["document"].to_numpy()] = left_out["records"].to_numpy()
        repeated_rows[left_out["document"].to_numpy()] = left_out["rows"].to_numpy()
        rows, gave = (rows + repeated_rows)[documents], (gave + repeated)[documents]
        counters.add_counts("records_in", documents, records)
        counters.add_counts("rows_split", documents, rows - gave)
        counters.add_counts("records_empty", documents, records - gave)
        counters.add_counts("duplicates_dropped", documents, repeated_rows[documents])


def count_cells(frame: pl.DataFrame, contract: Contract, counters: Counters) -> None:
    """Count the rows out and their cells: one for each record column, and those that were rescued."""
    names = [c.name for c in (*contract.leading, *contract.record)]
    stored = pl.sum_horizontal(pl.col(n).is_not_null().cast(pl.Int64) for n in names)
    sums = frame.select("document", stored=stored, rescued=keys_in(frame[RESCUED.name])).group_by("document")
    found = sums.agg(pl.len().cast(pl.Int64).alias("rows"), pl.col("stored").sum(), pl.col("rescued").sum())
    documents, rows, cells, more = (found[n].to_numpy() for n in ("document", "rows", "stored", "rescued"))
    all_cells = rows * len(names)
    counters.add_counts("rows_out", documents, rows)
    counters.add_cells(documents, np.stack([all_cells + more, cells, all_cells - cells, more], axis=1))


def keys_in(rescued: pl.Series) -> pl.Series:
    """The number of keys in each JSON object; 0 for null."""
    if rescued.null_count() == len(rescued):
        return pl.zeros(len(rescued), pl.Int64(), eager=True)
    counts = {text: len(orjson.loads(text)) for text in rescued.unique() if text is not None}
    return rescued.replace_strict(counts, default=0, return_dtype=pl.Int64())


def _groups(task: IngestTask, reader: SourceReader) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """The rows of all files of some devices at a time, and what they repeat."""
    dataset, contract = reader.dataset, reader.dataset.contract
    devices = [place.device for f in task.files if (place := dataset.locate(f.identity)) is not None]
    order = sorted(range(len(task.files)), key=lambda i: (devices[i], task.files[i].identity))
    reader.fetching.expect(order)
    group: list[int] = []
    size = 0
    for _, indices in groupby(order, key=lambda i: devices[i]):
        for index in indices:
            group.append(index)
            size += task.files[index].size
        if size >= _GROUP_BYTES:
            yield from _frame(reader, group, contract)
            group, size = [], 0
    if group:
        yield from _frame(reader, group, contract)


def _frame(
    reader: SourceReader, indices: Sequence[int], contract: Contract
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    frames, repeated = [], []
    for _, parts in reader.rows(indices):
        keyed = cast(Sequence[Keyed], parts)
        count_rows(keyed, reader.counters)
        frames += [complete(part.frame, contract).select(_columns(contract)) for part in keyed if part.frame.height]
        repeated += [part.repeated for part in keyed if part.repeated.height]
    if frames:
        frame = pl.concat(frames)
        in_place = frame if _is_grouped(frame, contract) else in_order(frame, contract)
        yield in_place, pl.concat([pl.DataFrame(schema=REPEATED), *repeated])


def _is_grouped(frame: pl.DataFrame, contract: Contract) -> bool:
    """Whether the rows of each unit are together and in order of time, so that equal keys are side by side."""
    unit, time = contract.key[0], "ts"
    if contract.key[1:2] != (contract.time.name,):
        return False
    runs = frame[unit].rle().struct.unnest()
    if runs["value"].n_unique() < runs.height:
        return False
    begins = np.zeros(frame.height, bool)
    begins[np.cumsum(runs["len"].to_numpy())[:-1]] = True
    instant, nanos = frame[time].to_numpy(), frame["ts_nanos"].fill_null(0).to_numpy()
    step = np.diff(instant, prepend=instant[:1])
    behind = (step < 0) | (step == 0) & (np.diff(nanos, prepend=nanos[:1]) < 0)
    return not (behind & ~begins).any()


def in_order(frame: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """The rows sorted as data files have them; mostly they are so already."""
    unit, *rest = [*contract.sort_by, *(name for name in contract.key if name not in contract.sort_by)]
    runs = frame[unit].rle().struct.unnest()
    ranks = runs["value"].rank("dense").cast(pl.Int64()).to_numpy()
    codes = pl.Series("{unit}", np.repeat(ranks, runs["len"].to_numpy()))
    keys = pl.DataFrame([codes, *(frame[name] for name in rest)])
    falls = pl.lit(value=False)
    for name in reversed(keys.columns):
        now, before = pl.col(name), pl.col(name).shift(1)
        falls = (now < before) | ((now == before) & falls)
    if not keys.select(falls.any()).item():
        return frame
    return frame[keys.select(pl.arg_sort_by(keys.columns, maintain_order=True)).to_series()]


def _columns(contract: Contract) -> list[str]:
    names = [c.name for c in (*contract.leading, *contract.record)]
    return [*names, RESCUED.name, "ts", "date", "site", "document", "line"]


class KeyDedup:
    """Decides which of the rows with one key stays; `replaced` and `kept_by` are as in `IngestReport`. The site is part
    of the key."""

    def __init__(self, task: IngestTask, reader: SourceReader) -> None:
        dataset = reader.dataset
        self._contract, self._policy, self._counters = dataset.contract, dataset.policy, reader.counters
        self._replacing = {index for index, file in enumerate(task.files) if file.former and file.former.rows}
        self._stored = StoredKeys(task.table, dataset, task.stored if dataset.policy != "all" else ())
        self._files = pl.Series([f.identity for f in task.files], dtype=pl.String())
        self._rewritten: list[str] = []
        self.replaced: dict[str, set[int]] = {}
        self.kept_by: set[str] = set()
        self.folders_of: dict[int, set[Partition]] = {}

    def begin(self, frame: pl.DataFrame, repeated: pl.DataFrame) -> None:
        """Start with the rows of some devices, and what their files repeat: rows of former versions of these files
        don't count any more."""
        gave = {*frame["document"].unique(), *repeated["document"].unique()}
        self._rewritten = [self._files[index] for index in sorted(gave & self._replacing)]
        for index, date, site in repeated.select("document", "date", "site").unique().iter_rows():
            self.folders_of.setdefault(index, set()).add((day_text(date), site))

    def deduplicated(self, frame: pl.DataFrame, partition: Partition) -> pl.DataFrame:
        """The rows of a partition that are to be written, counted; so are all others, by the reason."""
        key = self._contract.key
        old = self._stored.like(frame, partition, self._rewritten)
        content = [c for c in frame.columns if c not in ("source", "document", "line", *key)]
        new = frame.select(*key, *content, "line", source_file=self._files.gather(frame["document"]))
        result = deduplicate_keys(new, old.select(new.columns), key, self._policy)
        self._note(old, result.replaced, result.kept_by)
        document = frame["document"].to_numpy()
        for fate, name in ((DUPLICATE, "duplicates_dropped"), (SUPERSEDED, "keys_superseded")):
            self._counters.add(name, document[result.fate == fate])
        kept = frame
        if (result.fate != KEPT).any():
            for index in np.unique(document[result.fate != KEPT]).tolist():
                self.folders_of.setdefault(index, set()).add(partition)
            kept = frame.filter(pl.Series(result.fate == KEPT))
        count_cells(kept, self._contract, self._counters)
        return kept

    def _note(self, old: pl.DataFrame, replaced: Ints, kept_by: Ints) -> None:
        for path, position in old[replaced].select("file", "position").iter_rows():
            self.replaced.setdefault(path, set()).add(position)
        self.kept_by.update(old[kept_by]["file"].unique())


def by_partition(frame: pl.DataFrame) -> Iterator[tuple[Partition, pl.DataFrame]]:
    """The rows of each date and site, without these columns; mostly there is one of them."""
    keys = ("date", "site")
    if all(frame[key].min() == frame[key].max() for key in keys):
        date, site = frame.row(0, named=True)["date"], frame.row(0, named=True)["site"]
        yield (day_text(date), site), frame.drop(keys)
        return
    for (date, site), part in frame.partition_by(keys, include_key=False, as_dict=True).items():
        yield (day_text(cast(int, date)), cast(str, site)), part


@dataclass
class _Waiting:
    """Rows of one partition that are not written yet, and the key of the last one that is."""

    writer: PartitionWriter
    frames: list[pl.DataFrame] = field(default_factory=list)
    last: tuple[Any, ...] | None = None


class _Writers:
    """A writer for each partition; rows wait until they are many enough to be sorted and written."""

    def __init__(self, task: IngestTask, reader: SourceReader) -> None:
        self._task, self._reader = task, reader
        self._contract = reader.dataset.contract
        self._waiting: dict[Partition, _Waiting] = {}
        self._rows = 0

    def add(self, partition: Partition, frame: pl.DataFrame) -> None:
        if not frame.height:
            return
        self._of(partition).frames.append(frame)
        self._rows += frame.height
        if self._rows * _ROW_BYTES > self._task.settings.memory_bytes / 2:
            self._flush()

    def close(self) -> None:
        self._flush()
        for waiting in self._waiting.values():
            waiting.writer.close()

    @property
    def outputs(self) -> list[NewFile]:
        return [o for w in self._waiting.values() for o in w.writer.outputs]

    def outputs_of(self, index: int) -> list[str]:
        """The files with rows of a source file."""
        return sorted({path for w in self._waiting.values() for path in w.writer.outputs_of.get(index, ())})

    def _of(self, partition: Partition) -> _Waiting:
        if partition not in self._waiting:
            task = self._task
            writer = PartitionWriter(
                task.writing,
                self._contract,
                partition,
                schema=lambda: self._reader.schema,
                expected=lambda: self._reader.unread_share * task.expected_bytes / len(self._waiting),
                sources=[f.identity for f in task.files],
            )
            self._waiting[partition] = _Waiting(writer)
        return self._waiting[partition]

    def _flush(self) -> None:
        for waiting in self._waiting.values():
            if waiting.frames:
                frame = in_order(pl.concat(waiting.frames), self._contract)
                waiting.frames = []
                begin, end = (frame.row(n, named=True) for n in (0, -1))
                first, last = (tuple(row[c] for c in self._contract.sort_by) for row in (begin, end))
                waiting.writer.write(self._arrow(frame), breaks=waiting.last is not None and first < waiting.last)
                waiting.last = last
        self._rows = 0

    def _arrow(self, frame: pl.DataFrame) -> pa.Table:
        time = self._contract.time
        columns = {name: column_of(frame[name]) for name in frame.columns if name not in ("ts", "line", "document")}
        instants = to_arrow(frame["ts"].to_numpy()).cast(time.type)
        return pa.table({time.name: instants, **columns, DOCUMENT: column_of(frame["document"].cast(pl.Int32()))})


def column_of(values: pl.Series) -> pa.Array:
    """A column as data files have it."""
    return coded_texts(values) if values.dtype == pl.String() else values.to_arrow()


def _closed(task: IngestTask, reader: SourceReader, keys: KeyDedup, writers: _Writers) -> Iterator[FileAccount]:
    contract = reader.dataset.contract
    for index, (file, account) in enumerate(zip(task.files, reader.accounts(), strict=True)):
        if problems := account.account.problems():
            raise AccountsError(file.identity, problems)
        account.outputs = writers.outputs_of(index)
        account.folders = sorted(folder_of(contract, p) for p in keys.folders_of.get(index, ()))
        yield account
