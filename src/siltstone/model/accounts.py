"""The accounts: what came in, what went out, and the two sums that must close for every file and every run."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from siltstone.model.arrays import Ints


@dataclass(slots=True)
class Account:
    """Counts of records and cells; addition merges two accounts of the same or of different files.

    Records: `records_in + rows_split = rows_out + records_quarantined + duplicates_dropped + keys_superseded +
    records_empty` once `deferred` is 0; a deferred record belongs to another partition and is accounted for by the
    task that writes it there. `rows_split` are the second and further rows of records, `records_empty` the records
    that gave no row, `keys_superseded` the rows that another row with the same key replaced, in this run or later.
    Cells (of the rows out): `keys_seen = cells_stored + nulls + values_rescued`.
    Where another writer edited rows and siltstone adopted that, `rows_adopted` and `cells_adopted` are what it put in,
    or took out if negative: they stand on the left side of the two sums.
    """

    records_in: int = 0
    rows_out: int = 0
    records_quarantined: int = 0
    duplicates_dropped: int = 0
    keys_superseded: int = 0
    rows_split: int = 0
    records_empty: int = 0
    deferred: int = 0
    keys_seen: int = 0
    cells_stored: int = 0
    nulls: int = 0
    values_rescued: int = 0
    rows_adopted: int = 0
    cells_adopted: int = 0

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), _counts_of(self)

    def add(self, other: "Account") -> None:
        for name, count in zip(_COUNTS, _counts_of(other), strict=True):
            setattr(self, name, getattr(self, name) + count)

    def problems(self) -> list[str]:
        """The sums that do not close, each as a sentence; empty when all is accounted for."""
        problems = []
        went = self.rows_out + self.records_quarantined + self.duplicates_dropped + self.deferred
        came = self.records_in + self.rows_split + self.rows_adopted
        if came != went + self.keys_superseded + self.records_empty:
            more = f" + {self.rows_split:,} rows more of them" if self.rows_split else ""
            more += f" + {self.rows_adopted:,} rows of another writer" if self.rows_adopted else ""
            superseded = f" + {self.keys_superseded:,} superseded" if self.keys_superseded else ""
            empty = f" + {self.records_empty:,} without a row" if self.records_empty else ""
            problems.append(
                f"{self.records_in:,} records in{more}, but {self.rows_out:,} rows out + {self.records_quarantined:,} "
                f"quarantined + {self.duplicates_dropped:,} duplicates{superseded}{empty} + {self.deferred:,} deferred"
            )
        if self.keys_seen + self.cells_adopted != self.cells_stored + self.nulls + self.values_rescued:
            problems.append(
                f"{self.keys_seen:,} keys seen, but {self.cells_stored:,} cells stored + {self.nulls:,} nulls "
                f"+ {self.values_rescued:,} rescued"
            )
        return problems


_COUNTS = tuple(f.name for f in fields(Account))
_counts_of = attrgetter(*_COUNTS)  # dataclasses.fields, replace and pickle are too slow for 20,000 files


@dataclass(slots=True)
class FileAccount:
    """One source file in one run, as its manifest keeps it.

    `state` is `ingested`, `quarantined` (no row could be read), `noted` (same content under a new etag), `edited` (its
    rows are as another writer left them) or, not kept in the ledger, `deferred` (it changed or vanished between listing
    and reading: the next run sees it again).
    `rows_kept` are rows of the file's former version, which stay because this version gave none; `duplicates_kept` are
    lines of that version that equal a row of another file. `folders` are the partitions of rows that this run did not
    write: the rows kept, or earlier rows that equal repeated lines of the file.
    """

    path: str
    size: int
    etag: str
    sha256: str = ""
    state: str = "ingested"
    lane: str = ""
    reason: str = ""
    time_units: dict[str, int] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    rows_kept: int = 0
    duplicates_kept: int = 0
    modified_us: int = 0
    account: Account = field(default_factory=Account)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), _values_of(self)

    def add(self, other: "FileAccount") -> None:
        """Fold in what a second task did with the same file: it took the records that the first one deferred."""
        self.account.deferred -= other.account.records_in
        self.account.records_in -= other.account.records_in
        self.account.add(other.account)
        self.outputs = sorted({*self.outputs, *other.outputs})
        self.folders = sorted({*self.folders, *other.folders})

    def copy(self) -> Self:
        """The same, with an account of its own to add to."""
        copied = type(self)(*_values_of(self))
        copied.account = Account(*_counts_of(self.account))
        return copied


_VALUES = tuple(f.name for f in fields(FileAccount))
_values_of = attrgetter(*_VALUES)


def total(files: Iterable[FileAccount]) -> Account:
    """The sum over many files."""
    columns = zip(*(_counts_of(file.account) for file in files), strict=True)
    return Account(*(sum(column) for column in columns))


_NAMES = [f.name for f in fields(Account)]
_CELLS = [_NAMES.index(name) for name in ("keys_seen", "cells_stored", "nulls", "values_rescued")]


class Counters:
    """An account for each of `files` files, by index."""

    def __init__(self, files: int) -> None:
        self._counts = np.zeros((files, len(_NAMES)), np.int64)
        self._units = np.zeros((files, 4), np.int64)

    def add(self, name: str, files: Ints) -> None:
        """Count one `name` (a field of Account) for each entry of `files`."""
        np.add.at(self._counts[:, _NAMES.index(name)], files, 1)

    def add_counts(self, name: str, files: Ints, counts: Ints) -> None:
        """Add a number to `name` for each entry of `files`."""
        np.add.at(self._counts[:, _NAMES.index(name)], files, counts)

    def add_cells(self, files: Ints, cells: Ints) -> None:
        """Add rows of (keys seen, cells stored, nulls, values rescued), one per entry of `files`."""
        for place, column in enumerate(_CELLS):
            np.add.at(self._counts[:, column], files, cells[:, place])

    def add_units(self, files: Ints, units: npt.NDArray[np.int8]) -> None:
        """Count one time in a unit (an index) for each entry of `files`."""
        np.add.at(self._units.reshape(-1), files * self._units.shape[1] + units, 1)

    def accounts(self) -> list[Account]:
        """The account of each file, in order."""
        return [Account(*counts) for counts in self._counts.tolist()]

    def units(self, names: Sequence[str]) -> list[dict[str, int]]:
        """How many of each file's times were in which unit."""
        counted = self._units[:, : len(names)].tolist()
        return [{name: n for name, n in zip(names, counts, strict=True) if n} for counts in counted]
