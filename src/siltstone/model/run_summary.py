"""What a run says of itself, a class for each kind: fields are attributes, and `as_dict()` is what `--json` prints.

Of jobs on one table here; `derived_summary` and `survey_summary` have the others, so that a run makes only the classes
that it needs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any


class Summary:
    """What has plain values under the names of its fields."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, by the names that `--json` prints; keys that say nothing in this run are left out."""
        return {name: plain(getattr(self, name)) for name in self._names()}

    def _names(self) -> list[str]:
        return names_of(type(self))

    def __repr__(self) -> str:  # one for all: each that dataclass would write costs time when a command starts
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in names_of(type(self)))})"


class RunSummary(Summary, Mapping[str, Any]):
    """The base of all runs' summaries. It is a mapping too, with the keys that `--json` prints: `summary["rows_out"]`
    reads one, and `dict(summary)` makes a row of a table of runs."""

    def __getitem__(self, key: str) -> Any:
        return self.as_dict()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.as_dict())

    def __len__(self) -> int:
        return len(self.as_dict())


def names_of(kind: type[Summary]) -> list[str]:
    """The fields of a kind of summary, in order."""
    return [f.name for f in fields(kind)]  # type: ignore[arg-type]


def plain(value: Any) -> Any:
    if isinstance(value, Summary):
        return value.as_dict()
    return list(map(plain, value)) if isinstance(value, list | tuple) else value


@dataclass(frozen=True, eq=False, repr=False)
class TakeOverSummary(Summary):
    """What a run did first, since others had changed the table's data files. `what` is `files`, of which the run wrote
    the same rows anew, `restored`, where an older version was put back and so many source files are unknown again, or
    `nothing`; `by` says who had changed them."""

    run: str
    what: str
    by: str
    files_removed: int = 0
    files_written: int = 0
    rows: int = 0
    sources_unknown: int = 0


@dataclass(frozen=True, eq=False, repr=False)
class AdoptSummary(RunSummary):
    """What `adopt` found that other writers had done to a table, and did; `run` is "" where nothing was adopted.

    `what` is `nothing`, `rows` where these were changed, or `files` and `restored`, which any run takes over; `by` says
    who did it. `sources`: the source files with touched rows, each with `path`, `rows_before`, `rows`, and whether it
    is `known`. Where so many `files_missing` can't be compared any more, rows and cells were counted.
    """

    table: str
    engine: str
    run: str = ""
    what: str = "nothing"
    by: str = ""
    sources: Sequence[Mapping[str, Any]] = ()
    files_missing: int = 0
    files_written: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, eq=False, repr=False)
class RepairSummary(RunSummary):
    """What `repair` found, and did; `run` is "" where nothing was repaired.

    `dropped`: the runs of which manifests or data files are gone, newest first; the table goes on from the run
    `back_to`, "" for none. `files_taken_back` data files, which they had removed, are part of it again; `files_lost`
    are gone as well. `sources_again`: source files with rows in what is lost, which the next `compact` reads again;
    `sources_lost`: those of them that are not where they were.
    """

    table: str
    engine: str
    run: str = ""
    dropped: Sequence[str] = ()
    back_to: str = ""
    files_taken_back: int = 0
    files_lost: int = 0
    sources_again: Sequence[str] = ()
    sources_lost: Sequence[str] = ()
    seconds: float = 0.0


@dataclass(frozen=True, eq=False, repr=False)
class Failure(Summary):
    """What a run could not do for a table: why, and with which exit code it would have ended alone."""

    table: str
    error: str
    exit_code: int


@dataclass(frozen=True, eq=False, repr=False)
class OptimizeSummary(RunSummary):
    """What `optimize` merged; with `dry_run` what it would. `runs` are its commits, `run` the last of them.
    `taken_over` is None where nobody else had changed data files."""

    run: str
    table: str
    engine: str
    dry_run: bool
    files_removed: int = 0
    files_written: int = 0
    bytes_removed: int = 0
    bytes_written: int = 0
    rows: int = 0
    partitions: Sequence[str] = ()
    taken_over: TakeOverSummary | None = None
    runs: Sequence[str] = ()
    seconds: float = 0.0


@dataclass(frozen=True, eq=False, repr=False)
class TableSummary(RunSummary):
    """What `compact` brought into one table. `runs` are its commits, one for each portion of the files, `run` the last
    of them; "" where it committed nothing. `files_defect` of the quarantined files are those that siltstone itself
    failed at; `defects` names some of them with the reason."""

    run: str = ""
    table: str = ""
    engine: str = ""
    since: str | None = None
    files_listed: int = 0
    files_ingested: int = 0
    files_skipped: int = 0
    files_quarantined: int = 0
    files_salvaged: int = 0
    files_defect: int = 0
    files_changed: int = 0
    files_deferred: int = 0
    files_ignored: int = 0
    files_later: int = 0
    records_in: int = 0
    rows_out: int = 0
    records_quarantined: int = 0
    duplicates_dropped: int = 0
    keys_superseded: int = 0
    keys_replaced: int = 0
    rows_split: int = 0
    records_empty: int = 0
    keys_seen: int = 0
    cells_stored: int = 0
    nulls: int = 0
    values_rescued: int = 0
    columns_added: Sequence[str] = ()
    time_units: Mapping[str, int] = field(default_factory=dict)
    files_written: int = 0
    bytes_in: int = 0
    bytes_written: int = 0
    files_superseded: int = 0
    rows_superseded: int = 0
    grain: str | None = None
    changed: Sequence[str] = ()
    deferred_files: Sequence[str] = ()
    defects: Sequence[str] = ()
    settled: OptimizeSummary | None = None
    taken_over: TakeOverSummary | None = None
    runs: Sequence[str] = ()
    seconds: float = 0.0

    @property
    def counts(self) -> dict[str, Any]:
        """What the manifest of the run keeps."""
        left_out = ("run", "runs", "settled", "taken_over", "seconds")
        return {k: v for k, v in self.as_dict().items() if k not in left_out}

    @property
    def ratio(self) -> float | None:
        """Bytes written per byte read; None where nothing was read or written."""
        return self.bytes_written / self.bytes_in if self.bytes_in and self.bytes_written else None

    @property
    def refused(self) -> int:
        """Files and records that are in the quarantine, in whole or in part."""
        return self.files_quarantined + self.files_salvaged + self.records_quarantined


@dataclass(frozen=True, eq=False, repr=False)
class CompactSummary(RunSummary):
    """What `compact` did: a summary for each table of the source that files were found for, and what `failed`. `--json`
    prints that of a source with one table alone, not in a list."""

    source: str
    tables: Sequence[TableSummary]
    is_of_one_table: bool = True
    failed: Sequence[Failure] = ()

    def as_dict(self) -> dict[str, Any]:
        failed = {"failed": plain(self.failed)} if self.failed else {}
        if self.is_of_one_table:
            return {**self.tables[0].as_dict(), **failed}
        return {"source": self.source, "tables": [table.as_dict() for table in self.tables], **failed}

    @property
    def rows_out(self) -> int:
        """Rows that all tables got."""
        return sum(table.rows_out for table in self.tables)

    @property
    def refused(self) -> int:
        """Files and records that are in the quarantine, in whole or in part, of all tables."""
        return sum(table.refused for table in self.tables)


@dataclass(frozen=True, eq=False, repr=False)
class VerifySummary(RunSummary):
    """What `verify` has read again, and every problem as a sentence."""

    table: str
    engine: str
    run: str
    source_files: int
    sources_proven: int
    sources_gone: int
    sources_changed: int
    data_files: int
    rows: int
    bytes: int
    problems: Sequence[str]
    seconds: float


@dataclass(frozen=True, eq=False, repr=False)
class VacuumSummary(RunSummary):
    """What `vacuum` deleted; with `dry_run` what it would."""

    table: str
    dry_run: bool
    files: Sequence[str]
    bytes: int
    files_young: int
    grace_hours: int
    seconds: float
