"""A bin's source files to tables of its partition's rows, with an account of every record on the way."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from siltstone import sources
from siltstone.accounts import FileAccount
from siltstone.arrays import to_arrow
from siltstone.bins import Bin
from siltstone.duplicates import Duplicates
from siltstone.errors import Unreadable
from siltstone.fetching import Fetching
from siltstone.formats.documents import LANES, BadRecord, Document, Ints, Parsed, row_cells
from siltstone.formats.inflate import Inflated, inflate, inflate_head
from siltstone.formats.ndjson import parse
from siltstone.quarantine import QuarantineWriter
from siltstone.tally import Tally
from siltstone.writing import DOCUMENT

_LANES = ("", *LANES, "salvaged")  # a file that took several is named by the last of them

Mask = npt.NDArray[np.bool_]


class Reader:
    """Reads files of one bin; files are named by their index in the bin.

    `schema` grows with the columns that the values bring. `deferred` counts, by identity and date, rows that
    belong to other partitions.
    """

    def __init__(self, task: Bin, quarantine: QuarantineWriter) -> None:
        self._files, self._settings = task.files, task.settings
        self._day = task.partition[0]
        self._source = sources.load(task.source)
        self._quarantine = quarantine
        self.fetching = Fetching(task.input, task.files)
        self._window = self._source.Window(task.settings.earliest_us, task.settings.future_us)
        self._documents: dict[int, Document] = {}
        self._duplicates = Duplicates(self._line)
        places = [self._source.locate(f.identity) for f in task.files]
        codes = {device: i for i, device in enumerate(dict.fromkeys((p.site, p.device) for p in places))}
        self._device = np.array([codes[p.site, p.device] for p in places], np.int64)
        self._modified_us = np.array([f.modified_us for f in task.files], np.int64)
        self._is_home = np.array([f.role == "home" for f in task.files])
        self._is_reference = np.array([f.role == "reference" for f in task.files])
        self._bytes = self._unread = sum(f.size for f in task.files)
        self._tally = Tally(len(task.files))
        self._notes = [FileAccount(f.identity, f.size, f.etag, modified_us=f.modified_us) for f in task.files]
        self.schema = task.schema
        self.deferred: dict[str, dict[str, int]] = {}

    @property
    def unread_share(self) -> float:
        """The share of the bin's input bytes that is still to be read."""
        return self._unread / self._bytes if self._bytes else 0.0

    def accounts(self) -> list[FileAccount]:
        """The account of each file of the bin, in its order; a damaged file that gave no record is quarantined."""
        counted = zip(self._notes, self._tally.accounts(), self._tally.units(self._source.UNITS), strict=True)
        for note, account, units in counted:
            note.account, note.time_units = account, units
            if note.lane == "salvaged" and not account.records_in:
                note.state, note.lane = "quarantined", ""
        return self._notes

    def first_units(self, indices: Sequence[int]) -> list[str]:
        """The unit of each file's first record, "" where its head does not tell; a guess that only orders reading."""
        return [self._source.unit_of(inflate_head(head)) for head in self.fetching.heads(indices)]

    def read(self, indices: Sequence[int]) -> Iterator[pa.Table]:
        """The wanted rows of some files, in batches of bounded text."""
        batch: list[Document] = []
        size = 0
        for index in indices:
            document = self._document(index)
            self._unread -= self._files[index].size
            if document is None:
                continue
            if batch and size + len(document.data) > self._settings.batch_bytes:
                yield from self._tables(batch)
                batch, size = [], 0
            batch.append(document)
            size += len(document.data)
        if batch:
            yield from self._tables(batch)

    def _document(self, index: int) -> Document | None:
        """The file's text, or None when it gives none; its account and the quarantine say why."""
        file, note = self._files[index], self._notes[index]
        fetched = self.fetching.take(index)
        if fetched is None or fetched.etag != file.etag:
            note.state = "deferred"
            note.reason = "gone since the listing" if fetched is None else "changed since the listing"
            return None
        note.sha256 = hashlib.sha256(fetched.data).hexdigest()
        try:
            inflated = self._inflated(fetched.data)
            held = file.held_rows + file.held_repeats
            if inflated.damage and held and note.sha256 != file.held_sha256:
                raise Unreadable(f"{inflated.damage}; the {held:,} lines of its former version stay")
        except Unreadable as error:
            note.state, note.reason = "quarantined", str(error)
            if file.role == "home":
                self._quarantine.add_file(file.identity, str(error), fetched.data)
            return None
        document = Document(index, inflated.data, inflated.truncated)
        if inflated.damage:
            note.lane, note.reason = "salvaged", inflated.damage
            if file.role == "home":
                kept = document.cut_record if inflated.data else fetched.data
                self._quarantine.add_file(file.identity, inflated.damage, kept)
        return document

    def _inflated(self, data: bytes) -> Inflated:
        settings = self._settings
        return inflate(data, max_bytes=settings.max_text_bytes, max_ratio=settings.max_ratio, salvage=settings.salvage)

    def _line(self, index: int, line: int) -> bytes:
        """A row's bytes, from the batch at hand or from its file, read again."""
        if index not in self._documents:
            fetched = self.fetching.take(index)
            if fetched is None or fetched.etag != self._files[index].etag:
                return b""
            self._documents[index] = Document(index, self._inflated(fetched.data).data)
        return self._documents[index].lines[line]

    def _tables(self, batch: Sequence[Document]) -> Iterator[pa.Table]:
        self._documents = {d.index: d for d in batch}
        parts, schema = parse(batch, self.schema, self._settings.rules)
        if len(schema.columns) > len(self.schema.columns) and (refused := self._untimed(parts)):
            # A refused record must not shape the table: what is new is found again without it.
            for bad in refused:
                self._refuse(bad)
            lines = groupby(refused, key=lambda bad: bad.document)
            kept = self._documents | {i: self._documents[i].without(b.line for b in group) for i, group in lines}
            parts, schema = parse([kept[d.index] for d in batch], self.schema, self._settings.rules)
        self.schema = schema
        for part in parts:
            for bad in part.bad:
                self._refuse(bad)
            for index in np.unique(part.document):
                note = self._notes[index]
                note.lane = max(note.lane, part.lane, key=_LANES.index)
            table = self._wanted(part)
            if table.num_rows:
                yield table
        self._documents = {}

    def _stamped(self, part: Parsed) -> Any:
        uploaded_us = self._modified_us[part.document]
        return self._source.stamp(part.table, uploaded_us, self._window, self._settings.zone)

    def _untimed(self, parts: Sequence[Parsed]) -> list[BadRecord]:
        """The records without a usable time, in order of document and line."""
        found = []
        for part in parts:
            for row, reason in self._stamped(part).reasons.items():
                index, line = int(part.document[row]), int(part.line[row])
                lines = self._documents[index]
                found.append(BadRecord(index, line, int(lines.offsets[line]), reason, lines.lines[line]))
        return sorted(found, key=lambda bad: (bad.document, bad.line))

    def _wanted(self, part: Parsed) -> pa.Table:
        """The part's rows for this partition with their time; every other row is accounted for."""
        document, stamped = part.document, self._stamped(part)
        for bad in self._untimed([part]) if stamped.reasons else ():
            self._refuse(bad)
        timed = np.ones(len(document), bool)
        timed[list(stamped.reasons)] = False
        days = {int(d): self._source.day_text(int(d)) for d in np.unique(stamped.day[timed])}
        here = timed & np.isin(stamped.day, [d for d, text in days.items() if text == self._day])
        repeated = self._repeated(part, stamped.ts_us, here)
        home, written = self._is_home[document], here & ~repeated & ~self._is_reference[document]
        elsewhere = home & timed & ~here
        self._defer(document, stamped.day, elsewhere, days)
        self._tally.add("records_in", document[timed & home | here & ~self._is_reference[document]])
        self._tally.add("duplicates_dropped", document[repeated & ~self._is_reference[document]])
        self._tally.add("deferred", document[elsewhere])
        self._tally.add("rows_out", document[written])
        self._tally.add_units(document[home & timed], stamped.unit[home & timed])
        self._count_cells(part, written)
        ts = to_arrow(stamped.ts_us).cast(self._source.CONTRACT.time.type)
        table = part.table.append_column(self._source.CONTRACT.time.name, ts)
        table = table.append_column(DOCUMENT, to_arrow(document.astype(np.int32)))
        return table if written.all() else table.filter(to_arrow(written))

    def _repeated(self, part: Parsed, ts_us: Ints, here: Mask) -> Mask:
        repeated = np.zeros(len(here), bool)
        rows = np.flatnonzero(here)
        document = part.document[rows]
        repeated[rows] = self._duplicates.repeated(self._device[document], ts_us[rows], document, part.line[rows])
        return repeated

    def _refuse(self, bad: BadRecord) -> None:
        """Count and quarantine a record, once: where its file is at home."""
        if self._is_home[bad.document]:
            self._tally.add("records_in", np.array([bad.document]))
            self._tally.add("records_quarantined", np.array([bad.document]))
            self._quarantine.add_record(self._files[bad.document].identity, bad)

    def _defer(self, document: Ints, day: npt.NDArray[Any], elsewhere: Mask, days: Mapping[int, str]) -> None:
        pairs, counts = np.unique(
            np.stack([document[elsewhere], day[elsewhere].astype(np.int64)]), axis=1, return_counts=True
        )
        for index, there, rows in zip(*pairs, counts, strict=True):
            by_day = self.deferred.setdefault(self._files[index].identity, {})
            by_day[days[int(there)]] = by_day.get(days[int(there)], 0) + int(rows)

    def _count_cells(self, part: Parsed, written: Mask) -> None:
        """Cells of the rows out: counted by row in the careful lane, else the documents' sums less the other rows."""
        if part.cells is not None:
            self._tally.add_cells(part.document[written], part.cells[written])
            return
        wanted = {int(i) for i in np.unique(part.document[written])}
        indices = np.array(sorted(wanted), np.int64)
        keys = np.array([part.keys[i] for i in indices], np.int64)
        nulls = np.array([part.nulls[i] for i in indices], np.int64)
        self._tally.add_cells(indices, np.stack([keys, keys - nulls, nulls, np.zeros_like(keys)], axis=1))
        others = np.flatnonzero(~written & np.isin(part.document, indices))
        self._tally.add_cells(part.document[others], -row_cells(part, others, self._documents))
