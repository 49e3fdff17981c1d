"""How a table is read at one version and committed: planned, checked, recorded in a manifest, and tried again where
another run committed first."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from siltstone.engine.tasks import Progress
from siltstone.errors import AccountsError, LostRaceError, PartlyError, StorageError, UsageError
from siltstone.model.data_files import DataFile, NewFile
from siltstone.model.run_header import RunHeader
from siltstone.table import ledger as ledgers
from siltstone.table.delta_table import Change, Snapshot, Table
from siltstone.table.footers import check_output
from siltstone.table.ledger import Head, Ledger
from siltstone.table.other_writers import OtherWriters, changes_by_others, with_digest
from siltstone.table.refusals import Fenced, FilesGone, Refused
from siltstone.version import __version__

if TYPE_CHECKING:
    from siltstone.model.derived_summary import DerivedSummary

_ATTEMPTS = 6
_FENCES = 30

T = TypeVar("T")
Made = TypeVar("Made", bound="DerivedSummary")


@dataclass(frozen=True)
class TableVersion:
    """A table at its newest version, what its runs said, and what others did to its data files since."""

    table: Table
    snapshot: Snapshot
    ledger: Ledger
    others: OtherWriters | None = None

    @classmethod
    def newest(cls, table: Table) -> "TableVersion":
        """What the table is now; it must have been created."""
        table.recover()
        snapshot = table.snapshot()
        if snapshot is None:
            raise StorageError(f"the table {table.storage.root} is gone", "Run again to create it anew.")
        return cls.at(table, snapshot)

    @classmethod
    def at(cls, table: Table, snapshot: Snapshot) -> "TableVersion":
        """What the table is at its newest version. Raises Refused where it has moved on."""
        ledger = ledgers.load(table.storage, snapshot.head)
        return cls(table, snapshot, ledger, changes_by_others(table, snapshot, ledger))

    def files(self) -> Sequence[DataFile]:
        """The data files. Raises Refused where the table has moved on."""
        return self.table.files(self.snapshot)


@dataclass(frozen=True)
class PlannedTable:
    """A table as it is before a run: its newest version, what its runs said, its data files, and what others did to
    these since."""

    table: Table
    snapshot: Snapshot
    ledger: Ledger
    stored: Sequence[DataFile]
    others: OtherWriters | None = None

    @classmethod
    def of(cls, table: Table) -> "PlannedTable":
        """The table now, made first where there is none. Raises Refused where another run commits meanwhile."""
        table = table.for_writing()
        if table.snapshot() is None:
            table.create()
        version = TableVersion.newest(table)
        return cls(table, version.snapshot, version.ledger, version.files(), version.others)

    @property
    def newest(self) -> RunHeader | None:
        """What the newest run said of itself; None before the first."""
        return self.ledger.newest


def commit(
    planned: PlannedTable,
    kind: str,
    summary: Made,
    terms: Mapping[str, Any],
    outputs: Sequence[NewFile],
    removed: Sequence[DataFile],
    extras: Mapping[str, Any],
    problems: Sequence[str] = (),
) -> Made:
    """Make `outputs` data files of the table in the place of `removed` ones; the summary, with what was written and the
    run's name. `extras` stand in the manifest alone.

    Raises AccountsError where there are `problems`, or files are not what was written; Refused where another run
    committed first.
    """
    table = planned.table
    if found := [*problems, *check_output(table, outputs, planned.snapshot.schema)]:
        raise AccountsError(f"this {kind}", found)
    rows = sum(o.rows for o in outputs)
    head = Head.after(planned.snapshot.head)
    whole = replace(
        summary,
        run=head.name,
        rows_out=rows,
        rows=rows + sum(s.rows for s in planned.stored) - sum(s.rows for s in removed),
        files_written=len(outputs),
        files_removed=len(removed),
        bytes_written=sum(o.bytes for o in outputs),
    )
    header = replace(
        RunHeader.from_dict({"files": [], **whole.counts, **extras}),
        kind=kind,
        siltstone=__version__,
        terms=dict(terms),
        committed=datetime.now(UTC).isoformat(timespec="seconds"),
        removed=[s.path for s in removed],
        outputs=[o.as_dict() for o in outputs],
        quarantine=[],
        columns=[],
    )
    known = None if planned.others else planned.newest
    header = with_digest(header, table, planned.snapshot, known, outputs, removed)
    ledgers.write_manifest(table.storage, head, planned.ledger, header, [], dataset=kind)
    try:
        table.commit(Change(head, outputs, {"run": head.name, "rows": rows}, removed=removed), planned.snapshot)
    except PartlyError as error:
        error.summary = whole
        raise
    return whole


def retry(
    attempt: Callable[[], T],
    table: str,
    progress: Progress | None = None,
    *,
    outcome: str = "what this one had ready is not part of it",
) -> T:
    """What `attempt` returns. It looks at the tables itself each time, and is called again where it raises Refused:
    another run committed first. Every other error goes through.

    Raises LostRaceError when that happens six times, or where vacuums alone came first thirty times; `table` and
    `outcome` are for its message.
    """
    refusals: list[type[Refused]] = []
    while refusals.count(Fenced) < _FENCES and len(refusals) - refusals.count(Fenced) < _ATTEMPTS:
        try:
            return attempt()
        except Refused as error:
            refusals.append(type(error))
            if progress is not None:
                progress(f"{_WHY.get(type(error), _WHY[Refused])}: planning again", 0, 0, 0)
    if refusals.count(Fenced) == _FENCES:
        raise LostRaceError(
            f"{_FENCES} times a vacuum of {table} came before the commit of this run; {outcome}",
            "Raise vacuum.grace_hours above what the run takes, or vacuum less often; then run again.",
        )
    if Refused not in refusals:
        raise LostRaceError(
            f"{_ATTEMPTS} times files that this run had written to {table} were gone before its commit; {outcome}",
            "Find out what deletes files there (siltstone vacuum commits before it does), then run again.",
        )
    raise LostRaceError(
        f"{_ATTEMPTS} times another run committed to {table} first; {outcome}",
        "Run again when fewer runs write to it.",
    )


_WHY = {
    Refused: "another run committed first",
    Fenced: "a vacuum came first",
    FilesGone: "files of this run are gone",
}


class WrittenFiles:
    """Which of the files that earlier attempts of a run have written it may not commit any more."""

    def __init__(self, table: Table) -> None:
        self._storage = table.storage
        self._fence: int | None = None

    def lost(self, planned: Snapshot, paths: Iterable[str]) -> set[str]:
        """Those that are gone, or that a vacuum may still delete: with a fence between them and this version, and older
        than its horizon by the store's clock.

        All files that are to be used again must be given at every attempt.
        """
        horizon_us = planned.fence if self._fence not in (None, planned.fence) else 0
        self._fence = planned.fence
        paths = list(paths)
        times = self._storage.ahead(self._storage.modified_us, paths)
        return {path for path, at in zip(paths, times, strict=True) if at is None or at < horizon_us}


@contextmanager
def reading_at(table: Table, snapshot: Snapshot) -> Iterator[None]:
    """Inside, a run reads data files of the table at this version, and files that it has written: a StorageError, or
    FilesGone, becomes Refused where the table has moved on, so that a commit or a vacuum may have deleted them."""
    try:
        yield
    except (StorageError, FilesGone) as error:
        if not table.lost_files(snapshot):
            raise
        what = f"a later commit than version {snapshot.version} may have deleted its data files"
        raise table.overtaken(snapshot, what) from error


def newest_files(table: Table) -> tuple[Snapshot, list[DataFile]]:
    """The newest version of the table and its data files. Raises UsageError where there is no table."""
    while True:
        snapshot = table.snapshot()
        if snapshot is None:
            raise UsageError(f"{table.storage.root} holds no table", "siltstone compact makes it.")
        try:
            return snapshot, table.files(snapshot)
        except Refused:
            continue
