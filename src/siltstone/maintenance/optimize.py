"""Optimize: undersized data files of a partition become few of the right size, in a commit that changes no row."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import chain

from siltstone.config.model import Config
from siltstone.config.task_settings import group_bytes_of, sizes_of
from siltstone.engine.tasks import Engine, Progress
from siltstone.errors import AccountsError, PartlyError, SiltstoneError
from siltstone.kernels.bin_packing import Merge, plan_merges
from siltstone.maintenance.rewrite_task import RewriteTask, Rewritten
from siltstone.maintenance.take_over import header_after, taken_over
from siltstone.model.data_files import Partition
from siltstone.model.run_summary import OptimizeSummary, TakeOverSummary
from siltstone.model.time_zones import day_end, month_end
from siltstone.table import ledger as ledgers
from siltstone.table.delta_table import Change, Snapshot, Table
from siltstone.table.footers import check_footers
from siltstone.table.ledger import Head
from siltstone.table.other_writers import with_digest
from siltstone.table.transaction import TableVersion, WrittenFiles, reading_at, retry
from siltstone.table.writer import WriterSettings

_MERGES_PER_COMMIT = 256  # what a killed run loses at most
_Done = dict[tuple[str, ...], Rewritten]
_Committed = tuple[str, tuple[list[Merge], list[Rewritten]]]
"""The run's name, and the merges that it has committed with their results."""


def optimize(
    table: Table, config: Config, engine: Engine, progress: Progress, *, dry_run: bool = False
) -> OptimizeSummary:
    """Merge undersized files until a plan finds none; a summary, with `dry_run` of the first plan alone.

    Raises LostRaceError when other runs committed first again and again, and PartlyError, with the summary, where
    merges are committed already when an error comes.
    """
    started = time.time()
    work = _Optimizing(table, config, engine, progress)
    summary = OptimizeSummary("", table.storage.root, engine.name, dry_run)
    if dry_run:
        merges = retry(lambda: work.plan(dry_run=True), table.storage.root, progress, outcome="nothing was planned")
        return replace(_with(summary, merges, []), seconds=round(time.time() - started, 3))
    try:
        while committed := retry(
            work.next_commit, table.storage.root, progress, outcome="its merges were not committed"
        ):
            run, done = committed
            runs = [*summary.runs, run] if run else summary.runs
            summary = _with(replace(summary, run=run or summary.run, runs=runs), *done)
    except Exception as error:
        if isinstance(error, PartlyError):  # of the commit that came last
            run, done = error.summary
            summary = _with(replace(summary, run=run, runs=[*summary.runs, run]), *done)
        if not summary.runs:
            raise
        raise _partly(
            replace(summary, taken_over=work.taken_over, seconds=round(time.time() - started, 3)), error
        ) from error
    return replace(summary, taken_over=work.taken_over, seconds=round(time.time() - started, 3))


def _partly(summary: OptimizeSummary, error: Exception) -> PartlyError:
    what = str(error) if isinstance(error, SiltstoneError) else f"unexpected {type(error).__name__}: {error}"
    merged = f"{summary.files_removed:,} files of {summary.table} were merged, which is committed"
    return PartlyError(f"{merged} (run {', '.join(summary.runs)}), then: {what}", "", summary)


def _with(before: OptimizeSummary, merges: Sequence[Merge], results: Sequence[Rewritten]) -> OptimizeSummary:
    """The summary with these merges added."""
    files = [f for m in merges for f in m.files]
    outputs = [o for r in results for o in r.outputs]
    return replace(
        before,
        files_removed=before.files_removed + len(files),
        files_written=before.files_written + len(outputs),
        bytes_removed=before.bytes_removed + sum(f.bytes for f in files),
        bytes_written=before.bytes_written + sum(o.bytes for o in outputs),
        rows=before.rows + sum(f.rows for f in files),
        partitions=sorted({*before.partitions, *("/".join(m.files[0].partition) for m in merges)}),
    )


class _Optimizing:
    """Plans against the newest version each time; what was merged for a refused commit is used again."""

    def __init__(self, table: Table, config: Config, engine: Engine, progress: Progress) -> None:
        self._table, self._engine, self._progress = table.for_writing(), engine, progress
        self._config = config
        self._sizes = sizes_of(config)
        self._now = datetime.now(UTC)
        self.taken_over: TakeOverSummary | None = None
        self._merged: _Done = {}
        self._written = WrittenFiles(table)
        self._hopeless: set[tuple[str, ...]] = set()

    def plan(self, *, dry_run: bool = False) -> list[Merge]:
        """The merges at the newest version, once what others did to the data files is siltstone's own. Raises Refused
        where another run commits meanwhile."""
        self._table.recover()
        snapshot = self._table.snapshot()
        if snapshot is None or snapshot.head is None:
            return []
        version = TableVersion.at(self._table, snapshot)
        if version.others is not None and (not dry_run or version.others.kind == "rows"):
            self.taken_over = taken_over(version, self._config, self._engine, self._progress)
            return self.plan()
        self._forget_lost(snapshot)
        stored = self._table.files(snapshot)
        self._snapshot, self._ledger = snapshot, version.ledger
        sizing = self._config.optimize
        merges = plan_merges(
            stored,
            self._sizes,
            is_closed=self._is_closed,
            open_files=sizing.open_files,
            most_bytes=round(sizing.most_mb * 1e6),
        )
        return [m for m in merges if _paths(m) not in self._hopeless]

    def _forget_lost(self, snapshot: Snapshot) -> None:
        """Let the merges be done again that a refused commit has left in files that are gone, or may go."""
        written = {paths: {o.written_to for o in result.outputs} for paths, result in self._merged.items()}
        lost = self._written.lost(snapshot, chain.from_iterable(written.values()))
        self._merged = {p: result for p, result in self._merged.items() if lost.isdisjoint(written[p])}

    def next_commit(self) -> _Committed | None:
        """Plan against the newest version and carry out the first merges; None where there are none left."""
        merges = self.plan()
        if not merges:
            return None
        with reading_at(self._table, self._snapshot):
            return self.commit(merges[:_MERGES_PER_COMMIT])

    def _is_closed(self, partition: Partition) -> bool:
        if not partition:
            return True
        newest = self._ledger.newest
        assert newest is not None
        last_day = month_end(partition[0]) if newest.grain == "month" else partition[0]
        end = day_end(last_day, newest.zone)
        return self._now >= end + timedelta(hours=self._config.optimize.closed_after_hours)

    def commit(self, merges: Sequence[Merge]) -> _Committed:
        """Carry out a plan; the run's name, and what was committed. Merges that brought no fewer files are let go."""
        table, snapshot = self._table, self._snapshot
        missing = [m for m in merges if _paths(m) not in self._merged]
        results = self._engine.run([self._task(m, snapshot) for m in missing], self._teller(missing))
        self._merged |= dict(zip(map(_paths, missing), results, strict=True))
        done: tuple[list[Merge], list[Rewritten]] = [], []
        for merge in merges:
            result = self._merged[_paths(merge)]
            if len(result.outputs) < len(merge.files):
                done[0].append(merge)
                done[1].append(result)
            else:
                del self._merged[_paths(merge)]
                self._hopeless.add(_paths(merge))
                list(table.storage.ahead(table.storage.delete, [output.written_to for output in result.outputs]))
        if not done[0]:
            return "", done
        self._check(*done, snapshot)
        head = Head.after(self._ledger.head)
        removed = [f for m in done[0] for f in m.files]
        outputs = [o for r in done[1] for o in r.outputs]
        newest = self._ledger.newest
        header = header_after(newest, "settle", self._engine, removed, outputs)
        header = with_digest(header, table, snapshot, newest, outputs, removed)
        ledgers.write_manifest(table.storage, head, self._ledger, header, [], dataset="")
        info = {"run": head.name, "settled": len(removed)}
        try:
            table.commit(Change(head, outputs, info, removed=removed, data_change=False), snapshot)
        except PartlyError as error:
            error.summary = (head.name, done)
            raise
        for merge in done[0]:
            del self._merged[_paths(merge)]
        return head.name, done

    def _teller(self, merges: Sequence[Merge]) -> Callable[[int], None]:
        count = sum(len(m.files) for m in merges)

        def tell(done: int) -> None:
            finished = [f for m in merges[:done] for f in m.files]
            self._progress(f"merging {count:,} files", len(finished), count, sum(f.bytes for f in finished))

        tell(0)
        return tell

    def _task(self, merge: Merge, snapshot: Snapshot) -> RewriteTask:
        sizes = replace(self._sizes, target=merge.target)
        return RewriteTask(
            contract=self._table.contract.table,
            writing=WriterSettings(self._table.storage, sizes, group_bytes_of(self._config), self._table.is_staged),
            partition=merge.files[0].partition,
            files=tuple(f.logged for f in merge.files),
            drop=(),
            schema=snapshot.schema,
            memory_bytes=self._config.engine.memory_mb << 20,
        )

    def _check(self, merges: Sequence[Merge], results: Sequence[Rewritten], snapshot: Snapshot) -> None:
        """Raise AccountsError unless the new files hold every row and cell that was read of the old ones."""
        problems = []
        for merge, result in zip(merges, results, strict=True):
            rows = sum(f.rows for f in merge.files)
            if rows != result.rows:
                problems.append(
                    f"{'/'.join(merge.files[0].partition)}: {rows:,} rows to merge, {result.rows:,} written"
                )
        outputs = [o for r in results for o in r.outputs]
        cells = sum(r.cells for r in results)
        problems += check_footers(self._table.storage, self._table.contract, snapshot.schema, outputs, cells)
        if problems:
            raise AccountsError("this optimize run", problems)


def _paths(merge: Merge) -> tuple[str, ...]:
    return tuple(f.path for f in merge.files)
