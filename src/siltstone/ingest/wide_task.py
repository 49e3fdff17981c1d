"""The task of a table without a key: its source files become sorted Parquet files of one partition."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from siltstone import sources
from siltstone.errors import AccountsError, Unreadable
from siltstone.formats.documents import Document, row_cells
from siltstone.ingest.defects import Defect, netted, without_late_refusals
from siltstone.ingest.reader import SourceReader
from siltstone.ingest.task_spec import IngestReport, IngestTask
from siltstone.kernels.line_dedup import Duplicates
from siltstone.kernels.sorted_merge import Run, SortedMerge
from siltstone.mapping.dataset import Wide, WideDataset
from siltstone.model.accounts import FileAccount
from siltstone.model.arrays import Ints, Mask
from siltstone.model.arrow import to_arrow
from siltstone.model.contracts import Contract
from siltstone.model.time_zones import day_text
from siltstone.table.quarantine import QuarantineWriter
from siltstone.table.writer import DOCUMENT, PartitionWriter, folder_of


class WideReader(SourceReader):
    """Reads the rows of the task's partition. `deferred` counts, by identity and date, rows of other partitions."""

    def __init__(self, task: IngestTask, quarantine: QuarantineWriter, known: Mapping[int, Unreadable]) -> None:
        super().__init__(task, quarantine, known)
        assert task.partition is not None
        self._day = task.partition[0]
        self._documents: Mapping[int, Document] = {}
        self._again: Document | None = None
        self._duplicates = Duplicates(self._line)
        places = [self.dataset.locate(f.identity) for f in task.files]
        codes = {device: i for i, device in enumerate(dict.fromkeys((p.site, p.device) for p in places if p))}
        self._device = np.array([codes[p.site, p.device] for p in places if p], np.int64)
        self._is_reference = np.array([f.role == "reference" for f in task.files])
        self.deferred: dict[str, dict[str, int]] = {}

    def first_units(self, indices: Sequence[int]) -> list[str]:
        """The unit of each file's first record, "" where its head does not tell; a guess that only orders reading."""
        return [self._first_unit(head) for head in self.fetching.heads(indices)]

    def _first_unit(self, head: bytes) -> str:
        try:
            with netted():
                return cast(WideDataset, self.dataset).first_unit(head)
        except Defect:
            return ""

    def read(self, indices: Sequence[int]) -> Iterator[pa.Table]:
        """The wanted rows of some files, in batches of bounded text."""
        for documents, parts in self.rows(indices):
            self._documents = documents
            for part in parts:
                table = self._wanted(cast(Wide, part))
                if table.num_rows:
                    yield table
            self._documents, self._again = {}, None

    def _line(self, index: int, line: int) -> bytes:
        """A row's bytes, from the batch at hand or from its file, read again."""
        document = self._documents.get(index)
        if document is None or not document.has_line(line):
            if self._again is None or self._again.index != index:
                self._again = self._read_again(index)
            document = self._again
        return b"" if document is None else document.record(line)[1]

    def _read_again(self, index: int) -> Document | None:
        """The document of a file that was read before, None if that file has changed or is gone."""
        fetched = self.fetching.take(index)
        if fetched is None or fetched.etag != self.files[index].etag:
            return None
        document: Document = self.open(index, fetched.data).document
        return document

    def _wanted(self, part: Wide) -> pa.Table:
        """The part's rows for this partition with their time; every other row is accounted for."""
        document, counters = part.document, self.counters
        days = {int(d): day_text(int(d)) for d in np.unique(part.day)}
        here = np.isin(part.day, [d for d, text in days.items() if text == self._day])
        repeated = self._repeated(part, here)
        home, written = self._is_home[document], here & ~repeated & ~self._is_reference[document]
        elsewhere = home & ~here
        self._defer(document, part.day, elsewhere, days)
        counters.add("records_in", document[home | here & ~self._is_reference[document]])
        counters.add("duplicates_dropped", document[repeated & ~self._is_reference[document]])
        counters.add("deferred", document[elsewhere])
        counters.add("rows_out", document[written])
        counters.add_units(document[home], part.unit[home])
        self._count_cells(part, written)
        time = self.dataset.contract.time
        table = part.table.append_column(time.name, to_arrow(part.ts_us).cast(time.type))
        table = table.append_column(DOCUMENT, to_arrow(document.astype(np.int32)))
        return table if written.all() else table.filter(to_arrow(written))

    def _repeated(self, part: Wide, here: Mask) -> Mask:
        repeated = np.zeros(len(here), bool)
        rows = np.flatnonzero(here)
        document = part.document[rows]
        repeated[rows] = self._duplicates.repeated(self._device[document], part.ts_us[rows], document, part.line[rows])
        return repeated

    def _defer(self, document: Ints, day: npt.NDArray[Any], elsewhere: Mask, days: Mapping[int, str]) -> None:
        pairs, counts = np.unique(
            np.stack([document[elsewhere], day[elsewhere].astype(np.int64)]), axis=1, return_counts=True
        )
        for index, there, rows in zip(*pairs, counts, strict=True):
            by_day = self.deferred.setdefault(self.files[index].identity, {})
            by_day[days[int(there)]] = by_day.get(days[int(there)], 0) + int(rows)

    def _count_cells(self, part: Wide, written: Mask) -> None:
        """Cells of the rows out: counted by row in the careful lane, else the documents' sums less the other rows."""
        if part.cells is not None:
            self.counters.add_cells(part.document[written], part.cells[written])
            return
        wanted = {int(i) for i in np.unique(part.document[written])}
        indices = np.array(sorted(wanted), np.int64)
        keys = np.array([part.keys[i] for i in indices], np.int64)
        nulls = np.array([part.nulls[i] for i in indices], np.int64)
        self.counters.add_cells(indices, np.stack([keys, keys - nulls, nulls, np.zeros_like(keys)], axis=1))
        others = np.flatnonzero(~written & np.isin(part.document, indices))
        self.counters.add_cells(part.document[others], -row_cells(part, others, self._documents))


_ALL_AT_ONCE_BYTES = 4 << 20
_SEGMENT_BYTES = 512 << 10


@dataclass(frozen=True)
class WideTask(IngestTask):
    """Appends the rows of some files of a wide dataset to one partition."""

    def run(self) -> IngestReport:
        contract = sources.dataset(self.dataset, self.options).contract
        return without_late_refusals(lambda known: _run(self, contract, known))


def _run(task: IngestTask, contract: Contract, known: Mapping[int, Unreadable]) -> IngestReport:
    settings, partition = task.settings, task.partition
    assert partition is not None
    quarantine = QuarantineWriter(task.table, settings.raw_bytes)
    reader = WideReader(task, quarantine, known)
    merge = SortedMerge(
        list(_runs(task, reader)),
        sort_by=contract.sort_by,
        chunk_bytes=settings.group_bytes,
        memory_bytes=settings.memory_bytes,
    )
    writer = PartitionWriter(
        task.writing,
        contract,
        partition,
        schema=lambda: reader.schema,
        expected=lambda: reader.unread_share * task.expected_bytes,
        sources=[f.identity for f in task.files],
    )
    while (chunk := merge.next_chunk(fresh_file=writer.at_start)) is not None:
        writer.write(chunk.table, breaks=chunk.breaks)
    writer.close()
    return IngestReport(
        files=list(_closed(task, reader, writer, folder_of(contract, partition))),
        outputs=writer.outputs,
        new_columns=list(reader.schema.columns[len(task.schema.columns) :]),
        deferred=reader.deferred,
        quarantine=quarantine.close(),
    )


def _closed(task: IngestTask, reader: WideReader, writer: PartitionWriter, folder: str) -> Iterator[FileAccount]:
    for index, (file, account) in enumerate(zip(task.files, reader.accounts(), strict=True)):
        if file.role == "reference" and account.state != "deferred":
            continue
        if problems := account.account.problems():
            raise AccountsError(file.identity, problems)
        account.outputs = sorted(writer.outputs_of.get(index, ()))
        if account.account.duplicates_dropped:
            account.folders = [folder]
        yield account


def _runs(task: IngestTask, reader: WideReader) -> Iterator[Run]:
    """The task's files in segments, each opened when the merge reaches the first unit of its files."""
    references = [i for i, f in enumerate(task.files) if f.role == "reference"]
    files = [i for i, f in enumerate(task.files) if f.role != "reference"]
    yield Run("", partial(reader.read, references))
    if sum(task.files[i].size for i in files) <= _ALL_AT_ONCE_BYTES:
        reader.fetching.expect([*references, *files])
        yield Run("", partial(reader.read, files))
        return
    peeked = sorted(zip(reader.first_units(files), files, strict=True))
    reader.fetching.expect([*references, *(i for _, i in peeked)])
    segment: list[tuple[str, int]] = []
    for place, unit_and_file in enumerate(peeked, 1):
        segment.append(unit_and_file)
        if sum(task.files[i].size for _, i in segment) >= _SEGMENT_BYTES or place == len(peeked):
            yield Run(segment[0][0], partial(reader.read, [i for _, i in segment]))
            segment = []
