"""What travels between the driver and its tasks: what to do, and the report of what was done; plain values only."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any, Literal

from siltstone.config.task_settings import Settings
from siltstone.model.accounts import FileAccount
from siltstone.model.contracts import Column
from siltstone.model.data_files import DataFile, NewFile, Partition
from siltstone.model.schema import Schema
from siltstone.storage import Storage
from siltstone.table.quarantine import oldest_part
from siltstone.table.writer import WriterSettings

Role = Literal["home", "late", "reference"]
"""Why a task reads a file.

home: its rows of the task's partition are written, all others are left to the second pass.
late: only its rows of the task's partition are written; the first pass has accounted for all others.
reference: none of its rows are written; late rows that equal one of its lines are duplicates.
"""


@dataclass(frozen=True, slots=True)
class FormerVersion:
    """What the table has of an earlier version of a source file: its rows, which the new version replaces, and lines of
    it that equal rows of other files. `sha256` is of the version's bytes, "" where it is not known."""

    rows: int
    duplicate_lines: int
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A source file as a task lists it; `path` is below the input's root, `identity` what the ledger calls it.

    `former` is None where the table has nothing of an earlier version.
    """

    path: str
    identity: str
    size: int
    etag: str
    modified_us: int
    role: Role = "home"
    former: FormerVersion | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), _values_of(self)


_VALUES = [f.name for f in fields(SourceFile)]
_values_of = attrgetter(*_VALUES)


@dataclass(frozen=True)
class IngestTask:
    """All that a task needs; plain values, so that it travels as JSON.

    `partition` is None where each row itself names the partition that it belongs to; then `stored` are the table's data
    files, in which rows with the same keys may be, and of a history `known` the files whose snapshots it has.
    """

    dataset: str
    options: Mapping[str, Any]
    input: Storage
    table: Storage
    partition: Partition | None
    files: tuple[SourceFile, ...]
    expected_bytes: float
    schema: Schema
    settings: Settings
    stored: tuple[DataFile, ...] = ()
    known: tuple[str, ...] = ()
    is_staged: bool = False

    @property
    def writing(self) -> WriterSettings:
        return WriterSettings(self.table, self.settings.sizes, self.settings.group_bytes, self.is_staged)

    def run(self) -> "IngestReport":
        """Read, conform, sort and write. Raises AccountsError if a file's account does not close."""
        raise NotImplementedError


@dataclass
class IngestReport:
    """What a task did: an account per file, the data files it wrote, the columns it met first, where deferred rows
    belong (identity -> date -> rows), and its quarantine file.

    `replaced` are rows of the table that new ones with the same key replace: data file -> their positions in it.
    `kept_by` are data files with a row that stays, so that a new one with its key is not written. Of a history
    `rewritten` are the data files whose rows are in the outputs, with `carried_cells`, and `adjusted` is by how much
    less the table has of other source files than before: rows, cells stored, nulls, values rescued.
    """

    files: list[FileAccount]
    outputs: list[NewFile]
    new_columns: list[Column]
    deferred: dict[str, dict[str, int]] = field(default_factory=dict)
    quarantine: str = ""
    replaced: dict[str, list[int]] = field(default_factory=dict)
    kept_by: list[str] = field(default_factory=list)
    rewritten: list[str] = field(default_factory=list)
    adjusted: dict[str, list[int]] = field(default_factory=dict)
    carried_cells: int = 0


@dataclass(frozen=True)
class TaskResult:
    """A task that ran, and its report."""

    task: IngestTask
    report: IngestReport

    @property
    def written(self) -> list[str]:
        """The files that the task has written, where they are until the commit; of a quarantine file its oldest
        part."""
        quarantine = [oldest_part(self.report.quarantine)] if self.report.quarantine else []
        return [*(output.written_to for output in self.report.outputs), *quarantine]
