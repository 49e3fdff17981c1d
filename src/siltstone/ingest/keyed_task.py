"""The task of a table with a key: of rows with one key, its own and those of the table, one stays; the new ones go to a
file of each partition that they name."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import polars as pl
import pyarrow as pa

from siltstone.errors import AccountsError, Unreadable
from siltstone.ingest.defects import without_late_refusals
from siltstone.ingest.keyed_frames import column_of, count_cells, order_of
from siltstone.ingest.keyed_groups import Group, groups
from siltstone.ingest.reader import SourceReader
from siltstone.ingest.spilled_rows import COPIES
from siltstone.ingest.stored_keys import StoredKeys
from siltstone.ingest.task_spec import IngestReport, IngestTask
from siltstone.kernels.key_dedup import DUPLICATE, KEPT, SUPERSEDED, deduplicate_keys
from siltstone.model.accounts import FileAccount
from siltstone.model.arrays import Ints
from siltstone.model.arrow import to_arrow
from siltstone.model.data_files import NewFile, Partition
from siltstone.model.time_zones import day_text
from siltstone.table.quarantine import QuarantineWriter
from siltstone.table.writer import DOCUMENT, PartitionWriter, folder_of

_ROW_BYTES = 160  # of Arrow data for a reading, about


@dataclass(frozen=True)
class KeyedTask(IngestTask):
    """Upserts the rows of some files of a keyed dataset, into whatever partitions they name."""

    def run(self) -> IngestReport:
        return without_late_refusals(lambda known: _run(self, known))


def _run(task: IngestTask, known: Mapping[int, Unreadable]) -> IngestReport:
    quarantine = QuarantineWriter(task.table, task.settings.raw_bytes)
    reader = SourceReader(task, quarantine, known)
    keys = KeyDedup(task, reader)
    writers = _Writers(task, reader)
    for group in groups(task, reader):
        keys.begin(group)
        for frame in group.frames:
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

    def begin(self, group: Group) -> None:
        """Start with the rows of some devices, and what their files repeat: rows of former versions of these files
        don't count any more."""
        gave = {*group.documents, *group.repeated["document"].unique()}
        self._rewritten = [self._files[index] for index in sorted(gave & self._replacing)]
        for index, date, site in group.repeated.select("document", "date", "site").unique().iter_rows():
            self.folders_of.setdefault(index, set()).add((day_text(date), site))

    def deduplicated(self, frame: pl.DataFrame, partition: Partition) -> pl.DataFrame:
        """The rows of a partition that are to be written, counted; so are all others, by the reason."""
        key = self._contract.key
        copies = (
            frame[COPIES].fill_null(1).to_numpy().astype(np.int64)
            if COPIES in frame.columns
            else np.ones(frame.height, np.int64)
        )
        frame = frame.drop(COPIES, strict=False)
        old = self._stored.like(frame, partition, self._rewritten)
        content = [c for c in frame.columns if c not in ("source", "document", "line", *key)]
        new = frame.select(*key, *content, "line", source_file=self._files.gather(frame["document"]))
        result = deduplicate_keys(new, old.select(new.columns), key, self._policy)
        self._note(old, result.replaced, result.kept_by)
        document, is_kept = frame["document"].to_numpy(), result.fate == KEPT
        for fate, name in ((DUPLICATE, "duplicates_dropped"), (SUPERSEDED, "keys_superseded")):
            is_so = result.fate == fate
            self._counters.add_counts(name, document[is_so], copies[is_so])
        self._counters.add_counts("duplicates_dropped", document[is_kept], copies[is_kept] - 1)
        for index in np.unique(document[~is_kept | (copies > 1)]).tolist():
            self.folders_of.setdefault(index, set()).add(partition)
        kept = frame if is_kept.all() else frame.filter(pl.Series(is_kept))
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
        self._bytes = 0

    def add(self, partition: Partition, frame: pl.DataFrame) -> None:
        if not frame.height:
            return
        self._of(partition).frames.append(frame)
        self._bytes += max(frame.height * _ROW_BYTES, int(frame.estimated_size()))
        if self._bytes > self._task.settings.memory_bytes / 2:
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
                frame = pl.concat(waiting.frames)
                waiting.frames = []
                order = order_of(frame, self._contract)
                begin, end = (0, -1) if order is None else (order[0], order[-1])
                first, last = (frame.row(n, named=True) for n in (begin, end))
                now, then = (tuple(row[c] for c in self._contract.sort_by) for row in (first, last))
                breaks = waiting.last is not None and now < waiting.last
                waiting.writer.write(self._arrow(frame, order), breaks=breaks)
                waiting.last = then
        self._bytes = 0

    def _arrow(self, frame: pl.DataFrame, order: pl.Series | None) -> pa.Table:
        """The rows in an order, as Arrow; one column after the other is copied."""
        time = self._contract.time

        def column(name: str) -> pl.Series:
            return frame[name] if order is None else frame[name].gather(order)

        columns = {name: column_of(column(name)) for name in frame.columns if name not in ("ts", "line", "document")}
        instants = to_arrow(column("ts").to_numpy()).cast(time.type)
        return pa.table({time.name: instants, **columns, DOCUMENT: column_of(column("document").cast(pl.Int32()))})


def _closed(task: IngestTask, reader: SourceReader, keys: KeyDedup, writers: _Writers) -> Iterator[FileAccount]:
    contract = reader.dataset.contract
    for index, (file, account) in enumerate(zip(task.files, reader.accounts(), strict=True)):
        if problems := account.account.problems():
            raise AccountsError(file.identity, problems)
        account.outputs = writers.outputs_of(index)
        account.folders = sorted(folder_of(contract, p) for p in keys.folders_of.get(index, ()))
        yield account
