"""Drops the rows of superseded source files, and those that gave way to others with their key: every data file that
holds one is written anew without them."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from siltstone.config.task_settings import Settings
from siltstone.engine.tasks import Engine
from siltstone.ingest.two_pass import TaskResult
from siltstone.maintenance.rewrite_task import RewriteTask, Rewritten
from siltstone.model.accounts import FileAccount
from siltstone.model.data_files import DataFile, NewFile
from siltstone.model.schema import Schema
from siltstone.table.delta_table import Table
from siltstone.table.ledger import ADJUSTED, Ledger, account_of


@dataclass(frozen=True)
class ReplacedRows:
    """Data files to remove and those to add for them; `rows` dropped per source file, `cells` in the new files.

    `gave_way` has per source file the rows, cells stored, nulls and values rescued that other rows' keys replaced;
    `carried` rows of removed files are in the run's own outputs (None: that is for histories only).
    """

    removed: list[DataFile]
    outputs: list[NewFile]
    rows: Mapping[str, int]
    cells: int
    gave_way: Mapping[str, Sequence[int]]
    carried: int | None = None

    @property
    def rows_given_way(self) -> int:
        return sum(counts[0] for counts in self.gave_way.values())

    def problems(self, expected: Mapping[str, int], positions: Mapping[str, Sequence[int]]) -> list[str]:
        """Where the rows dropped are not those that the ledger knows of, or not as many as `positions` gave way."""
        found = [
            f"{path}: {self.rows.get(path, 0):,} rows of its former version were in the table, the ledger says {rows:,}"
            for path, rows in expected.items()
            if self.rows.get(path, 0) != rows
        ]
        if self.carried is not None:
            return found
        before, after = sum(s.rows for s in self.removed), sum(o.rows for o in self.outputs)
        gave_way = self.rows_given_way
        dropped = sum(self.rows.values()) + gave_way
        if before - after != dropped:
            found.append(f"{before:,} rows were to be written anew, {after:,} were, {dropped:,} dropped")
        wanted = sum(map(len, positions.values()))
        if gave_way != wanted:
            found.append(f"{wanted:,} rows were to give way to others with their key, {gave_way:,} did")
        return found

    def adjusted(self, accounts: pl.DataFrame, *, is_history: bool) -> list[FileAccount]:
        """The accounts (columns as in a manifest) of source files whose rows gave way, as they are from now on. In a
        history such rows are as those of another snapshot."""
        found = []
        for row in accounts.filter(pl.col("path").is_in(list(self.gave_way))).iter_rows(named=True):
            file = account_of(row)
            rows, cells, nulls, rescued = self.gave_way[file.path]
            account = file.account
            account.rows_out -= rows
            if is_history:
                account.duplicates_dropped += rows
            else:
                account.keys_superseded += rows
            account.keys_seen -= cells + nulls + rescued
            account.cells_stored -= cells
            account.nulls -= nulls
            account.values_rescued -= rescued
            file.lane = ADJUSTED
            found.append(file)
        return found


def carried(stored: Sequence[DataFile], done: Sequence[TaskResult], held: Mapping[str, int]) -> ReplacedRows:
    """The data files that a history's task has written anew. Of their rows those are carried over that neither other
    snapshots now show first nor new versions of their files (with the rows `held` by the former ones) replace."""
    reports = [d.report for d in done]
    rewritten = {path for report in reports for path in report.rewritten}
    adjusted = {path: counts for report in reports for path, counts in report.adjusted.items()}
    cells = sum(report.carried_cells for report in reports)
    removed = [s for s in stored if s.path in rewritten]
    kept = sum(f.rows_kept for report in reports for f in report.files)
    gone = sum(counts[0] for counts in adjusted.values()) + sum(held.values())
    rows = sum(s.rows for s in removed) - gone + kept
    return ReplacedRows(removed, [], {}, cells, adjusted, rows)


def with_notes(adjusted: Sequence[FileAccount], noted: Sequence[FileAccount]) -> list[FileAccount]:
    """Both as one list; a file that was adjusted and noted has one account, under its new etag."""
    etags = {n.path: n for n in noted}
    paths = {a.path for a in adjusted}
    for account in adjusted:
        if note := etags.get(account.path):
            account.etag, account.size = note.etag, note.size
    return [*adjusted, *(n for n in noted if n.path not in paths)]


def superseded_by(files: Sequence[FileAccount], held: Mapping[str, int]) -> dict[str, int]:
    """The rows to drop, by source file: those of files that gave rows anew. A version without any replaces nothing."""
    gave = {f.path for f in files if f.state != "deferred" and not _gave_none(f)}
    return {path: rows for path, rows in held.items() if rows and path in gave}


def keep_former(files: Sequence[FileAccount], ledger: Ledger) -> None:
    """Note in the accounts of files that gave no row what of their former version stays, and where."""
    gave_none = {f.path: f for f in files if _gave_none(f)}
    former = ledger.entries.filter(pl.col("path").is_in(list(gave_none)))
    for path, *kept in former.select("path", "rows_out", "duplicates_dropped", "folders").iter_rows():
        file = gave_none[path]
        file.rows_kept, file.duplicates_kept, file.folders = kept


def refused_among(files: Sequence[FileAccount], paths: Collection[str]) -> set[str]:
    """Those of the paths whose new version gave no row, so that a former one stands."""
    return {f.path for f in files if f.path in paths and _gave_none(f)}


def _gave_none(file: FileAccount) -> bool:
    account = file.account
    gave = account.rows_out + account.duplicates_dropped + account.keys_superseded
    return file.state != "deferred" and not gave


class RowReplacer:
    """Runs the rewrites of one run; what was written for a plan that another commit refused is used again."""

    def __init__(self, engine: Engine, table: Table, settings: Settings) -> None:
        self._engine, self._table, self._settings = engine, table, settings
        self._written: dict[tuple[str, tuple[str, ...], tuple[int, ...]], Rewritten] = {}

    def drop(
        self,
        rows: Mapping[str, int],
        positions: Mapping[str, Sequence[int]],
        ledger: Ledger,
        stored: Sequence[DataFile],
        schema: Schema,
        tell: Callable[[str], None],
    ) -> ReplacedRows:
        """Write the data files anew that hold rows of the given source files, or one at the given positions."""
        if not rows and not positions:
            return ReplacedRows([], [], {}, 0, {})
        folders = dict(ledger.entries.select("path", "folders").iter_rows())
        sources_in: dict[str, list[str]] = {}
        for path in sorted(rows):
            for folder in folders[path]:
                sources_in.setdefault(folder, []).append(path)
        folder_of = {s.path: s.path.rpartition("/")[0] for s in stored}
        affected = [s for s in stored if folder_of[s.path] in sources_in or s.path in positions]
        wanted = {
            (s.path, tuple(sources_in.get(folder_of[s.path], ())), tuple(sorted(positions.get(s.path, ())))): s
            for s in affected
        }
        missing = [key for key in wanted if key not in self._written]
        tell(f"replacing rows in {len(wanted):,} data files")
        tasks = [self._task(wanted[key], key[1], key[2], schema) for key in missing]
        self._written |= dict(zip(missing, self._engine.run(tasks, lambda _: None), strict=True))
        touched = {key: result for key in wanted if not (result := self._written[key]).is_untouched}
        dropped: dict[str, int] = {}
        gave_way: dict[str, list[int]] = {}
        for result in touched.values():
            for path, count in result.dropped.items():
                dropped[path] = dropped.get(path, 0) + count
            for path, counts in result.gave_way.items():
                so_far = gave_way.get(path, [0] * len(counts))
                gave_way[path] = [a + b for a, b in zip(so_far, counts, strict=True)]
        return ReplacedRows(
            [wanted[key] for key in touched],
            [output for result in touched.values() for output in result.outputs],
            dropped,
            sum(result.cells for result in touched.values()),
            gave_way,
        )

    def _task(self, stored: DataFile, drop: tuple[str, ...], positions: tuple[int, ...], schema: Schema) -> RewriteTask:
        settings = self._settings
        return RewriteTask(
            contract=self._table.contract.table,
            table=self._table.storage,
            partition=stored.partition,
            files=(stored.path,),
            drop=drop,
            positions=positions,
            schema=schema,
            sizes=settings.sizes,
            group_bytes=settings.group_bytes,
            memory_bytes=settings.memory_bytes,
            is_staged=self._table.is_staged,
        )
