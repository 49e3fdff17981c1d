"""Data files: as a table has them, and as a task has written them."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

Partition = tuple[str, ...]
_OWN_NAME = re.compile(r"data_[0-9a-f]{32}\.parquet")


@dataclass(frozen=True, slots=True)
class Sizes:
    """Accepted size of an output file in bytes, and the size to aim at."""

    target: int
    smallest: int
    largest: int


@dataclass(frozen=True, slots=True)
class LoggedFile:
    """A data file as tasks get it: its path below the table's root, and the number of rows by the table's log."""

    path: str
    rows: int


@dataclass(frozen=True, slots=True)
class DataFile:
    """A data file of the table as the plan sees it; `first_unit` is the least unit in it, `bounds` the least and
    greatest value of each column with statistics (instants in microseconds)."""

    path: str
    partition: Partition
    bytes: int
    rows: int
    first_unit: str
    bounds: Mapping[str, tuple[Any, Any]] = field(default_factory=dict, compare=False, hash=False)

    @property
    def logged(self) -> LoggedFile:
        """What a task needs to read the file."""
        return LoggedFile(self.path, self.rows)


@dataclass(frozen=True)
class NewFile:
    """A data file as the commit will name it; `statistics` in the form of the Delta log, complete or absent."""

    path: str
    partition: Partition
    bytes: int
    rows: int
    written_ms: int
    statistics: Mapping[str, Any]
    sha256: str = ""
    is_staged: bool = False

    @property
    def written_to(self) -> str:
        """Where the file is until it is committed."""
        return staged(self.path) if self.is_staged else self.path

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def staged(path: str) -> str:
    """The name of a data file of a plain table before its commit: no pattern for Parquet files matches it."""
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}_{name}.staged"


def is_own_name(path: str) -> bool:
    """Whether a data file has a name that siltstone gives; other engines that write into a table give others."""
    return _OWN_NAME.fullmatch(path.rpartition("/")[2]) is not None
