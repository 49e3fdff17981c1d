"""How many rows of each source file data files hold, and how that differs from what was or should be there."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from siltstone.engine.tasks import Engine
from siltstone.errors import StorageError
from siltstone.maintenance.verify_tasks import DataCheck, Sums
from siltstone.model.accounts import Account, FileAccount
from siltstone.model.data_files import DataFile
from siltstone.model.schema import Schema
from siltstone.table.delta_table import Table
from siltstone.table.ledger import ADJUSTED, account_of
from siltstone.table.reader import NEXT_MOVE

Row = Mapping[str, Any]


@dataclass(frozen=True)
class RowsBySource:
    """Sums by source file ("" for rows that name none), the folders with rows of each, and the paths of data files that
    are not there any more."""

    sums: Mapping[str, Sums]
    folders: Mapping[str, set[str]]
    missing: Sequence[str]

    def of(self, path: str) -> Sums:
        return self.sums.get(path, Sums())


@dataclass(frozen=True)
class Edit:
    """A source file of which the table has other rows than its account says: `account` is its row in the manifests,
    None of a file that no run has read; `folders` have rows of it now."""

    path: str
    account: Row | None
    rows_change: int
    cells_change: int
    folders: frozenset[str]

    @property
    def rows_before(self) -> int:
        return 0 if self.account is None else int(self.account["rows_out"] + self.account["rows_kept"])

    def as_dict(self) -> dict[str, Any]:
        rows = self.rows_before
        return {"path": self.path, "rows_before": rows, "rows": rows + self.rows_change, "known": bool(self.account)}

    def new_account(self, state: str) -> FileAccount:
        """The file's account from now on: it closes by what others put in, or took out."""
        file = FileAccount(self.path, 0, "") if self.account is None else account_of(self.account)
        rows, cells = self.rows_change, self.cells_change
        if file.rows_kept:
            file.rows_kept += rows
        else:
            file.account.add(Account(rows_out=rows, rows_adopted=rows, cells_stored=cells, cells_adopted=cells))
        file.state, file.lane = state, ADJUSTED
        file.folders = sorted({*file.folders, *self.folders})
        return file


def rows_by_source(table: Table, schema: Schema, files: Iterable[DataFile], engine: Engine) -> RowsBySource:
    """What the data files hold. Raises StorageError where one is there and can't be read."""
    wanted = list(files)
    sizes = list(table.storage.ahead(table.storage.size, [f.path for f in wanted]))
    there = [file for file, size in zip(wanted, sizes, strict=True) if size]
    tasks = [
        DataCheck(table.contract.table, table.storage, f.path, f.partition, f.bytes, f.rows, "", schema, {})
        for f in there
    ]
    sums: dict[str, Sums] = {}
    folders: dict[str, set[str]] = {}
    for file, found in zip(there, engine.run(tasks, lambda _: None) if tasks else [], strict=True):
        if found.problems:
            raise StorageError(found.problems[0], NEXT_MOVE)
        for path, own in found.sources.items():
            sums.setdefault(path, Sums()).add(own)
            folders.setdefault(path, set()).add(file.path.rpartition("/")[0])
    return RowsBySource(sums, folders, [file.path for file, size in zip(wanted, sizes, strict=True) if not size])


def edits_by_comparison(accounts: Mapping[str, Row], before: RowsBySource, after: RowsBySource) -> Iterator[Edit]:
    """The source files of which the rows in some data files are others than in those that they replace, by number,
    cells or values."""
    for path in sorted({*before.sums, *after.sums}):
        was, now = before.of(path), after.of(path)
        if was != now:
            folders = frozenset(after.folders.get(path, ()))
            yield Edit(path, accounts.get(path), now.rows - was.rows, now.cells - was.cells, folders)


def edits_by_count(accounts: Mapping[str, Row], whole: RowsBySource) -> Iterator[Edit]:
    """The source files of which the table as a `whole` has another number of rows or cells than their accounts say; one
    value for another is not seen."""
    for path in sorted({*accounts, *whole.sums}):
        account, now = accounts.get(path), whole.of(path)
        rows, cells = 0, 0
        if account is not None:
            rows = account["rows_out"] + account["rows_kept"]
            cells = now.cells if account["rows_kept"] else account["cells_stored"]
        if (rows, cells) != (now.rows, now.cells):
            folders = frozenset(whole.folders.get(path, ()))
            yield Edit(path, account, now.rows - rows, now.cells - cells, folders)
