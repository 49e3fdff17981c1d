"""Takes replaced rows out of the table: those of former versions of source files, and those that rows with the same key
replace. Every data file that holds one is rewritten without them."""

from collections.abc import Callable, Collection, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Literal

import polars as pl

from siltstone.config.task_settings import Settings
from siltstone.engine.tasks import Engine
from siltstone.ingest.task_spec import TaskResult
from siltstone.maintenance.rewrite_task import RewriteTask, Rewritten
from siltstone.model.accounts import FileAccount
from siltstone.model.data_files import DataFile, NewFile
from siltstone.table.ledger import ADJUSTED, Ledger, account_of
from siltstone.table.transaction import TableVersion
from siltstone.table.writer import WriterSettings


@dataclass(frozen=True)
class Replacements:
    """Data files to remove and those that take their place, whose record columns have so many `cells`.

    `dropped` rows were taken out by source file, of which a new version came; `former_rows` is how many there are by
    the ledger. Rows that others replaced were `expected_replaced`; `replaced` has by source file what they had: rows,
    cells stored, nulls, values rescued. In the accounts of these files they are `counted_as` superseded keys, or in a
    history as duplicates: another snapshot shows them first. Of a history `rows_carried` rows of removed files are in
    the outputs of its own task.
    """

    removed: Sequence[DataFile] = ()
    outputs: Sequence[NewFile] = ()
    cells: int = 0
    former_rows: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    expected_replaced: int = 0
    replaced: Mapping[str, Sequence[int]] = field(default_factory=dict)
    counted_as: Literal["keys_superseded", "duplicates_dropped"] = "keys_superseded"
    rows_carried: int = 0

    @property
    def rows_replaced(self) -> int:
        return sum(counts[0] for counts in self.replaced.values())

    @property
    def keys_replaced(self) -> int:
        """Rows that others with the same key replaced; a history has none such."""
        return self.rows_replaced if self.counted_as == "keys_superseded" else 0

    def problems(self) -> list[str]:
        """Where the rows taken out are not those that the ledger and the tasks know of."""
        found = [
            f"{path}: {self.dropped.get(path, 0):,} rows of its former version were in the table, the ledger says "
            f"{rows:,}"
            for path, rows in self.former_rows.items()
            if self.dropped.get(path, 0) != rows
        ]
        if self.counted_as == "duplicates_dropped":
            return found
        before, after = sum(s.rows for s in self.removed), sum(o.rows for o in self.outputs)
        gone = sum(self.dropped.values()) + self.rows_replaced
        if before - after != gone:
            found.append(f"{before:,} rows were to be rewritten, {after:,} were, {gone:,} dropped")
        if self.rows_replaced != self.expected_replaced:
            found.append(
                f"{self.expected_replaced:,} rows were to be replaced by others with their key, "
                f"{self.rows_replaced:,} were"
            )
        return found

    def adjusted(self, accounts: pl.DataFrame) -> list[FileAccount]:
        """The accounts (columns as in a manifest) of source files with replaced rows, as they are from now on."""
        found = []
        for row in accounts.filter(pl.col("path").is_in(list(self.replaced))).iter_rows(named=True):
            file = account_of(row)
            rows, cells, nulls, rescued = self.replaced[file.path]
            account = file.account
            account.rows_out -= rows
            setattr(account, self.counted_as, getattr(account, self.counted_as) + rows)
            account.keys_seen -= cells + nulls + rescued
            account.cells_stored -= cells
            account.nulls -= nulls
            account.values_rescued -= rescued
            file.lane = ADJUSTED
            found.append(file)
        return found


@dataclass(frozen=True)
class Outcome:
    """What an attempt has to commit: the accounts of source files, the data files that tasks wrote, and what was
    replaced in the table."""

    files: Sequence[FileAccount]
    written: Sequence[NewFile]
    replaced: Replacements

    @property
    def read(self) -> list[FileAccount]:
        """The accounts of files that were read; others changed or vanished, and are left for the next run."""
        return [f for f in self.files if f.state != "deferred"]

    @property
    def outputs(self) -> list[NewFile]:
        return [*self.written, *self.replaced.outputs]


def carried_over(stored: Sequence[DataFile], results: Sequence[TaskResult], former: Mapping[str, int]) -> Replacements:
    """The data files that a history's task has rewritten as a whole.

    Their rows are carried over, but those that another snapshot now shows first, and those of former versions of its
    files: `former` says how many rows these have.
    """
    reports = [r.report for r in results]
    rewritten = {path for report in reports for path in report.rewritten}
    replaced = {path: counts for report in reports for path, counts in report.adjusted.items()}
    removed = [s for s in stored if s.path in rewritten]
    kept = sum(f.rows_kept for report in reports for f in report.files)
    gone = sum(counts[0] for counts in replaced.values()) + sum(former.values())
    return Replacements(
        removed,
        cells=sum(report.carried_cells for report in reports),
        replaced=replaced,
        counted_as="duplicates_dropped",
        rows_carried=sum(s.rows for s in removed) - gone + kept,
    )


def with_notes(adjusted: Sequence[FileAccount], noted: Sequence[FileAccount]) -> list[FileAccount]:
    """Both as one list; a file that was adjusted and noted has one account, under its new etag."""
    etags = {n.path: n for n in noted}
    paths = {a.path for a in adjusted}
    for account in adjusted:
        if note := etags.get(account.path):
            account.etag, account.size = note.etag, note.size
    return [*adjusted, *(n for n in noted if n.path not in paths)]


def replaced_versions(files: Sequence[FileAccount], former: Mapping[str, int]) -> dict[str, int]:
    """How many rows to drop, by source file: the `former` rows of files whose new version gave some. A version without
    any row replaces nothing."""
    gave = {f.path for f in files if f.state != "deferred" and not _gave_none(f)}
    return {path: rows for path, rows in former.items() if rows and path in gave}


def keep_former(files: Sequence[FileAccount], ledger: Ledger) -> None:
    """Note in the accounts of files that gave no row what of their former version stays, and where."""
    gave_none = {f.path: f for f in files if _gave_none(f)}
    former = ledger.entries.filter(pl.col("path").is_in(list(gave_none)))
    for path, *kept in former.select("path", "rows_out", "duplicates_dropped", "folders").iter_rows():
        file = gave_none[path]
        file.rows_kept, file.duplicates_kept, file.folders = kept


def refused_among(files: Sequence[FileAccount], paths: Collection[str]) -> set[str]:
    """Those of the paths whose new version gave no row, so that a former one stays."""
    return {f.path for f in files if f.path in paths and _gave_none(f)}


def _gave_none(file: FileAccount) -> bool:
    account = file.account
    gave = account.rows_out + account.duplicates_dropped + account.keys_superseded
    return file.state != "deferred" and not gave


def positions_of(results: Sequence[TaskResult]) -> dict[str, list[int]]:
    """Rows of the table that new ones with the same key replace: data file -> positions in it."""
    found: dict[str, list[int]] = {}
    for result in results:
        for path, positions in result.report.replaced.items():
            found.setdefault(path, []).extend(positions)
    return found


@dataclass(frozen=True)
class _Rewrite:
    """One data file to rewrite: without the rows of some source files, and without those at some positions."""

    path: str
    drop: tuple[str, ...]
    positions: tuple[int, ...]


class RowReplacer:
    """Runs the rewrites of one run; those of an attempt that another run overtook are used again."""

    def __init__(self, engine: Engine, settings: Settings, tell: Callable[[str], None]) -> None:
        self._engine, self._settings, self._tell = engine, settings, tell
        self._done: dict[_Rewrite, Rewritten] = {}

    @property
    def written(self) -> list[str]:
        """The files that the rewrites have written."""
        return [output.written_to for done in self._done.values() for output in done.outputs]

    def forget(self, lost: Set[str]) -> None:
        """Undo the rewrites that have written one of these files."""
        kept = {r: d for r, d in self._done.items() if lost.isdisjoint(o.written_to for o in d.outputs)}
        self._done = kept

    def drop(
        self, version: TableVersion, former_rows: Mapping[str, int], positions: Mapping[str, Sequence[int]]
    ) -> Replacements:
        """Rewrite the data files that hold rows of former versions of source files, or a row at one of the
        positions."""
        if not former_rows and not positions:
            return Replacements()
        wanted = _rewrites(version, former_rows, positions)
        self._tell(f"replacing rows in {len(wanted):,} data files")
        missing = [rewrite for rewrite in wanted if rewrite not in self._done]
        tasks = [self._task(version, wanted[rewrite], rewrite) for rewrite in missing]
        self._done |= dict(zip(missing, self._engine.run(tasks, lambda _: None), strict=True))
        touched = {rewrite: done for rewrite in wanted if not (done := self._done[rewrite]).is_untouched}
        dropped: dict[str, int] = {}
        replaced: dict[str, list[int]] = {}
        for done in touched.values():
            for path, count in done.dropped.items():
                dropped[path] = dropped.get(path, 0) + count
            for path, counts in done.replaced.items():
                so_far = replaced.get(path, [0] * len(counts))
                replaced[path] = [a + b for a, b in zip(so_far, counts, strict=True)]
        return Replacements(
            removed=[wanted[rewrite] for rewrite in touched],
            outputs=[output for done in touched.values() for output in done.outputs],
            cells=sum(done.cells for done in touched.values()),
            former_rows=former_rows,
            dropped=dropped,
            expected_replaced=sum(map(len, positions.values())),
            replaced=replaced,
        )

    def _task(self, version: TableVersion, stored: DataFile, rewrite: _Rewrite) -> RewriteTask:
        settings = self._settings
        return RewriteTask(
            contract=version.table.contract.table,
            writing=WriterSettings(
                version.table.storage, settings.sizes, settings.group_bytes, version.table.is_staged
            ),
            partition=stored.partition,
            files=(stored.logged,),
            drop=rewrite.drop,
            positions=rewrite.positions,
            schema=version.snapshot.schema,
            memory_bytes=settings.memory_bytes,
        )


def _rewrites(
    version: TableVersion, former_rows: Mapping[str, int], positions: Mapping[str, Sequence[int]]
) -> dict[_Rewrite, DataFile]:
    """The data files that may hold rows to drop, each with what is to be dropped of it."""
    folders = dict(version.ledger.entries.select("path", "folders").iter_rows())
    sources_in: dict[str, list[str]] = {}
    for path in sorted(former_rows):
        for folder in folders[path]:
            sources_in.setdefault(folder, []).append(path)
    found = {}
    for stored in version.files():
        drop = tuple(sources_in.get(stored.path.rpartition("/")[0], ()))
        if drop or stored.path in positions:
            found[_Rewrite(stored.path, drop, tuple(sorted(positions.get(stored.path, ()))))] = stored
    return found
