"""What travels between the driver and its tasks: a bin to do, and the report of what was done; plain values only."""

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

Role = Literal["home", "stray", "reference"]


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A source file as a bin lists it; `path` is below the input's root, `identity` what the ledger calls it.

    Of a `home` file the rows of the bin's partition are written, others are deferred to the second wave. Of a
    `stray` file only the rows of this partition are wanted, the rest was accounted for before. A `reference` is only
    known, so that strays equal to one of its lines are dropped as duplicates. `held_rows` are rows in the table that
    are to be replaced, `held_repeats` further lines that rows of other files stand for, `held_sha256` the content that
    gave them, "" when that is not known.
    """

    path: str
    identity: str
    size: int
    etag: str
    modified_us: int
    role: Role = "home"
    held_rows: int = 0
    held_repeats: int = 0
    held_sha256: str = ""

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), _values_of(self)


_VALUES = [f.name for f in fields(SourceFile)]
_values_of = attrgetter(*_VALUES)


@dataclass(frozen=True)
class IngestTask:
    """All that a task is told; plain values, so that it travels as JSON.

    `partition` is None where each row says itself where it goes; then `stored` are the table's data files, in which
    rows with the same keys may be, and of a history `known` the files whose snapshots it has.
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

    def run(self) -> "IngestReport":
        """Read, conform, sort and write. Raises AccountsError if a file's account does not close."""
        raise NotImplementedError


@dataclass
class IngestReport:
    """What a task did: an account per file, the data files it wrote, the columns it met first, where deferred rows
    belong (identity -> date -> rows), and its quarantine file.

    `replaced` are rows of the table that give way to new ones: data file -> their positions in it. `leaned_on` are the
    data files with rows that decided over new ones. Of a history `rewritten` are the data files whose rows are in the
    outputs, with `carried_cells`, and `adjusted` is what other source files have less of them than before: rows, cells
    stored, nulls, values rescued.
    """

    files: list[FileAccount]
    outputs: list[NewFile]
    new_columns: list[Column]
    deferred: dict[str, dict[str, int]] = field(default_factory=dict)
    quarantine: str = ""
    replaced: dict[str, list[int]] = field(default_factory=dict)
    leaned_on: list[str] = field(default_factory=list)
    rewritten: list[str] = field(default_factory=list)
    adjusted: dict[str, list[int]] = field(default_factory=dict)
    carried_cells: int = 0
