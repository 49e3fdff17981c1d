"""How tables that are made of others are committed: planned at a version, checked, told in a manifest; and tried again
when another run committed first."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from siltstone.engine.tasks import Progress
from siltstone.errors import AccountsError, LostRaceError, StorageError
from siltstone.model.data_files import DataFile, NewFile
from siltstone.model.run_header import RunHeader
from siltstone.model.run_summary import DerivedSummary
from siltstone.table import ledger as ledgers
from siltstone.table.delta_table import Change, Refused, Snapshot, Table
from siltstone.table.footers import check_output
from siltstone.table.ledger import Head, Ledger
from siltstone.version import __version__

ATTEMPTS = 6
Made = TypeVar("Made", bound=DerivedSummary)


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
        table.recover()
        snapshot = table.snapshot()
        if snapshot is None:
            raise StorageError(f"the table {table.storage.root} is gone", "Run again to create it anew.")
        return cls(table, snapshot, ledgers.load(table.storage, snapshot.head), table.files(snapshot))

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
    run's name. `extras` has what the manifest says beside that.

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
    table.commit(Change(head, outputs, {"run": head.name, "rows": rows}, removed=removed), planned.snapshot)
    return whole


def attempted(attempt: Callable[[], Made], output_uri: str, progress: Progress) -> Made:
    """What an attempt says, which looks at the tables anew each time: again where another run committed first.

    Raises LostRaceError when that happened again and again.
    """
    for _ in range(ATTEMPTS):
        try:
            return attempt()
        except Refused:
            progress("another run committed first: planning again", 0, 0, 0)
    raise LostRaceError(
        f"{ATTEMPTS} times another run committed to {output_uri} first; this one committed nothing",
        "Run again when fewer runs write to it.",
    )
