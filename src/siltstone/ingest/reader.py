"""A task's source files to rows of its dataset, with an account of every record on the way."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from siltstone import sources
from siltstone.errors import Unreadable
from siltstone.formats.documents import LANES, BadRecord, Item, Opened
from siltstone.formats.portions import Room, batches
from siltstone.ingest.defects import Defect, LateRefusal, netted, rows_of
from siltstone.ingest.prefetch import Prefetch
from siltstone.ingest.task_spec import IngestTask
from siltstone.mapping.dataset import Keyed, Wide
from siltstone.model.accounts import Counters, FileAccount
from siltstone.table.quarantine import QuarantineWriter

_LANES = ("", *LANES, "salvaged")  # a file that took several is named by the last of them


class SourceReader:
    """Reads the files of one task, each named by its index in the task.

    `schema` grows with the columns that the values bring. `failed` are files that siltstone fails at (see `defects`),
    `known` those that are to be refused, as an earlier attempt has found.
    """

    def __init__(self, task: IngestTask, quarantine: QuarantineWriter, known: Mapping[int, Unreadable]) -> None:
        self.files, self._settings = task.files, task.settings
        self.dataset = sources.dataset(task.dataset, task.options)
        self._quarantine = quarantine
        self.fetching = Prefetch(task.input, task.files)
        self._is_home = np.array([f.role == "home" for f in task.files])
        self._bytes = self._unread = sum(f.size for f in task.files)
        self.counters = Counters(len(task.files))
        self.failed: set[int] = set()
        self._known = known
        self._notes = [FileAccount(f.identity, f.size, f.etag, modified_us=f.modified_us) for f in task.files]
        self.schema = task.schema

    @property
    def unread_share(self) -> float:
        """The share of the task's input bytes that is still to be read."""
        return self._unread / self._bytes if self._bytes else 0.0

    def accounts(self) -> list[FileAccount]:
        """The account of each file of the task, in its order; a damaged file that gave no record is quarantined."""
        counted = zip(self._notes, self.counters.accounts(), self.counters.units(self.dataset.time_units), strict=True)
        for note, account, units in counted:
            note.account, note.time_units = account, units
            if note.lane == "salvaged" and not account.records_in:
                note.state, note.lane = "quarantined", ""
        return self._notes

    def rows(self, indices: Sequence[int]) -> Iterator[tuple[dict[int, Any], Sequence[Wide | Keyed]]]:
        """The documents of some files, in batches of bounded text and records, and their rows; refused records are
        dealt with. A large document comes in portions, each with its own rows."""
        yield from self.parsed(self.documents(indices))

    def documents(self, indices: Sequence[int]) -> Iterator[Any]:
        """The documents of those files that can be opened."""
        for index in indices:
            document = self._document(index)
            self._unread -= self.files[index].size
            if document is not None:
                yield document

    def sha256(self, index: int) -> str:
        """Of a file that has been read."""
        return self._notes[index].sha256

    def parsed(self, documents: Iterable[Any]) -> Iterator[tuple[dict[int, Any], Sequence[Wide | Keyed]]]:
        """The same as `rows`, of documents at hand."""
        for batch, is_portion in batches(documents, Room(self._settings.batch_bytes)):
            yield self._parsed(batch, is_portion=is_portion)

    def _document(self, index: int) -> Any:
        """The opened file, or None when it gives nothing; its account and the quarantine say why."""
        file, note = self.files[index], self._notes[index]
        fetched = self.fetching.take(index)
        if fetched is None or fetched.etag != file.etag:
            note.state = "deferred"
            note.reason = "gone since the listing" if fetched is None else "changed since the listing"
            return None
        note.sha256 = hashlib.sha256(fetched.data).hexdigest()
        try:
            if fetched.refusal:
                raise Unreadable(fetched.refusal)
            if index in self._known:
                raise self._known[index]
            with netted():
                opened = self.open(index, fetched.data)
            former = file.former
            if opened.damage and former and note.sha256 != former.sha256:
                lines = former.rows + former.duplicate_lines
                raise Unreadable(f"{opened.damage}; the {lines:,} lines of its former version stay")
        except Unreadable as error:
            self._refuse_file(index, error, fetched.data)
            return None
        if opened.damage:
            note.lane, note.reason = "salvaged", opened.damage
            if file.role == "home":
                self._quarantine.add_file(file.identity, opened.damage, opened.cut)
        return opened.document

    def open(self, index: int, data: bytes) -> Opened:
        file = self.files[index]
        return self.dataset.open(Item(index, file.identity, file.modified_us, data), self._settings.rules)

    def _refuse_file(self, index: int, why: Unreadable, data: bytes) -> None:
        """Quarantine a file as a whole. One that siltstone fails at in the second pass only is left for the next
        run: its rows of the first must not be taken."""
        file, note = self.files[index], self._notes[index]
        is_defect = isinstance(why, Defect)
        if is_defect:
            self.failed.add(index)
        note.state, note.lane, note.reason = "quarantined", "", str(why)
        if file.role == "home":
            self._quarantine.add_file(file.identity, str(why), data)
        elif is_defect:
            note.state = "deferred"

    def _refuse_document(self, index: int, reason: str) -> None:
        """The same for a file that was opened: its bytes are read again."""
        fetched = self.fetching.take(index)
        if fetched is None or fetched.etag != self.files[index].etag:
            self._notes[index].state, self._notes[index].reason = "deferred", "changed since the listing"
        else:
            self._refuse_file(index, Defect(reason), fetched.data)

    def _parsed(self, batch: Sequence[Any], *, is_portion: bool) -> tuple[dict[int, Any], Sequence[Wide | Keyed]]:
        """The rows of a batch. Raises LateRefusal where siltstone fails at a portion of a file: rows of others may be
        on their way."""
        parts, self.schema, defects = rows_of(self.dataset, batch, self.schema, self._settings.rules)
        if is_portion and defects:
            index, reason = next(iter(defects.items()))
            raise LateRefusal(index, Defect(reason))
        for index, reason in defects.items():
            self._refuse_document(index, reason)
        for part in parts:
            self._refuse(part.bad)
            document = part.document if isinstance(part, Wide) else part.frame["document"].to_numpy()
            for index in np.unique(document):
                note = self._notes[index]
                note.lane = max(note.lane, part.lane, key=_LANES.index)
        return {d.index: d for d in batch}, parts

    def _refuse(self, bad: Sequence[BadRecord]) -> None:
        """Count and quarantine records, each once: where its file is at home."""
        at_home = [record for record in bad if self._is_home[record.document]]
        documents = np.array([record.document for record in at_home], np.int64)
        self.counters.add("records_in", documents)
        self.counters.add("records_quarantined", documents)
        for record in at_home:
            self._quarantine.add_record(self.files[record.document].identity, record)
