"""How a table is read at one version and committed: planned, checked, recorded in a manifest, and tried again where
another run committed first."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from siltstone.engine.tasks import Progress
from siltstone.errors import AccountsError, LostRaceError, PartlyError, StorageError, UsageError
from siltstone.model.data_files import DataFile, NewFile
from siltstone.model.run_header import RunHeader
from siltstone.table import ledger as ledgers
from siltstone.table.delta_table import Change, Refused, Snapshot, Table
from siltstone.table.footers import check_output
from siltstone.table.ledger import Head, Ledger
from siltstone.version import __version__

if TYPE_CHECKING:
    from siltstone.model.derived_summary import DerivedSummary

_ATTEMPTS = 6

T = TypeVar("T")
Made = TypeVar("Made", bound="DerivedSummary")


@dataclass(frozen=True)
class TableVersion:
    """A table at its newest version, and what its runs said."""

    table: Table
    snapshot: Snapshot
    ledger: Ledger

    @classmethod
    def newest(cls, table: Table) -> "TableVersion":
        """What the table is now; it must have been created."""
        table.recover()
        snapshot = table.snapshot()
        if snapshot is None:
            raise StorageError(f"the table {table.storage.root} is gone", "Run again to create it anew.")
        return cls(table, snapshot, ledgers.load(table.storage, snapshot.head))

    def files(self) -> Sequence[DataFile]:
        """The data files. Raises Refused where the table has moved on."""
        return self.table.files(self.snapshot)


@dataclass(frozen=True)
class PlannedTable:
    """A table as it is before a run: its newest version, what its runs said, and its data files."""

    table: Table
    snapshot: Snapshot
    ledger: Ledger
    stored: Sequence[DataFile]

    @classmethod
    def of(cls, table: Table) -> "PlannedTable":
        """The table now, made first where there is none. Raises Refused where another run commits meanwhile."""
        table = table.for_writing()
        if table.snapshot() is None:
            table.create()
        version = TableVersion.newest(table)
        return cls(table, version.snapshot, version.ledger, version.files())

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

    Raises LostRaceError when that happens six times; `table` and `outcome` are for its message.
    """
    for _ in range(_ATTEMPTS):
        try:
            return attempt()
        except Refused:
            if progress is not None:
                progress("another run committed first: planning again", 0, 0, 0)
    raise LostRaceError(
        f"{_ATTEMPTS} times another run committed to {table} first; {outcome}",
        "Run again when fewer runs write to it.",
    )


@contextmanager
def reading_at(table: Table, snapshot: Snapshot) -> Iterator[None]:
    """Inside, data files of the table at this version are read: a StorageError becomes Refused where a later commit may
    have deleted them."""
    try:
        yield
    except StorageError as error:
        if not table.lost_files(snapshot):
            raise
        raise Refused(f"a later commit than version {snapshot.version} may have deleted its data files") from error


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
