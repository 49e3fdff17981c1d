"""The aggregate job: files of a table become states, states become rows, one commit makes them an output table."""

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from siltstone.aggregation.finish_tasks import FinishedFiles, FinishTask, finish_tasks, in_windows
from siltstone.aggregation.incremental import (
    RowIndex,
    at_the_ends,
    dates_at,
    dates_of,
    has_successor,
    in_rectangles,
    light_rows,
    points_kept,
    same_rows,
    with_neighbours,
)
from siltstone.aggregation.input_table import check_columns, existing, input_table
from siltstone.aggregation.output_table import check_same, edges_of, output_table
from siltstone.aggregation.read_plan import (
    FilesInTime,
    Period,
    bounds_of,
    described,
    latest_us,
    overlapping,
    portions,
    split,
)
from siltstone.aggregation.series_points import PointCounts
from siltstone.aggregation.spec import AggregateSpec, with_rules_of
from siltstone.aggregation.state_files import KEYS, NAME, read_states, write_keys
from siltstone.aggregation.state_tasks import StatesFound, StateTask
from siltstone.config.model import Config
from siltstone.config.task_settings import group_bytes_of, sizes_of
from siltstone.engine.tasks import Engine, Progress
from siltstone.errors import OverlapError
from siltstone.model.data_files import DataFile
from siltstone.model.layout import FOLDER
from siltstone.model.periods import DAY_US, EARLIEST_US, EVER, LATEST_US, Window
from siltstone.model.run_header import RunHeader, terms_of
from siltstone.model.run_summary import AggregateSummary
from siltstone.storage import Storage
from siltstone.table import ledger as ledgers
from siltstone.table.delta_table import Table
from siltstone.table.reader import read_footer
from siltstone.table.transaction import PlannedTable, commit, retry
from siltstone.table.writer import WriterSettings

_FEW_DAYS = 4  # with as many, two tasks finish
_TASK_ROWS = 4_000_000  # of data files that one task reads, about


def aggregate_table(
    input_uri: str,
    output_uri: str,
    terms: AggregateSpec,
    period: Period,
    config: Config,
    engine: Engine,
    progress: Progress,
    *,
    full: bool = False,
) -> AggregateSummary:
    """Bring an output table of aggregates up to date with a table of readings or a wide one; the run's summary.

    Only the buckets that new, changed or gone data files touch are computed again, but with `full` all.

    Raises UsageError, StorageError, AccountsError, and LostRaceError when other runs committed to the output again and
    again.
    """
    started = time.time()
    source = input_table(input_uri, terms, config)
    table = output_table(output_uri, terms, config)
    given = source, table, terms, period, config, engine, progress

    def attempt() -> AggregateSummary:
        try:
            return _AggregateRun(*given, full=full, apart=True).run()
        except OverlapError:  # rows without a unit, of which no bounds tell, are in two files
            return _AggregateRun(*given, full=full, apart=False).run()

    return replace(retry(attempt, output_uri, progress), seconds=round(time.time() - started, 3))


class _AggregateRun:
    """One attempt: against one version of the input and one of the output."""

    def __init__(
        self,
        source: Table,
        table: Table,
        terms: AggregateSpec,
        period: Period,
        config: Config,
        engine: Engine,
        progress: Progress,
        *,
        full: bool,
        apart: bool,
    ) -> None:
        self._source, self._table, self._terms, self._period = source, table, terms, period
        self._config, self._engine, self._progress, self._full = config, engine, progress, full
        self._writing = WriterSettings(table.storage, sizes_of(config), group_bytes_of(config), table.is_staged)
        self._apart = apart
        self._work = table.storage.child(FOLDER, "work")
        self._name = uuid.uuid4().hex
        self._span = period.span(terms.buckets)

    def run(self) -> AggregateSummary:
        self._source.recover()
        self._snapshot = existing(self._source)
        check_columns(self._source, self._snapshot, self._terms)
        self._stored = self._source.files(self._snapshot)
        if self._table.snapshot() is None:
            self._table.create()
        self._table.recover()
        self._planned = existing(self._table)
        self._ledger = ledgers.load(self._table.storage, self._planned.head)
        root, newest = self._source.storage.root, self._ledger.newest
        self._terms = with_rules_of(terms_of(newest), self._terms)
        check_same(self._table, newest, self._terms, self._period, root, full=self._full)
        self._old = self._table.files(self._planned)
        with self._working():
            return self._update(self._ledger.newest) if self._ledger.newest and not self._full else self._whole()

    @contextmanager
    def _working(self) -> Iterator[None]:
        """A folder for what tasks hand to each other; what this run wrote there goes with it, and what is left of runs
        that died once it is old."""
        self._work.make()
        try:
            yield
        finally:
            horizon_us = (time.time() - self._config.vacuum.grace_hours * 3600) * 1e6
            found = self._work.objects()
            spare = pl.col("path").str.starts_with(self._name) | (pl.col("modified_us") < horizon_us)
            list(self._work.ahead(self._work.delete, found.filter(spare)["path"]))

    @property
    def _watermark(self) -> int:
        """Where what is known ends: the latest instant of the table, or a later end of the period."""
        latest = latest_us(self._stored, self._source.contract) or 0
        return latest if self._period.end_us == LATEST_US else max(latest, self._period.end_us)

    def _whole(self) -> AggregateSummary:
        """Every row anew."""
        states = self._read(self._state_tasks(self._split(self._stored).within, self._span))
        return self._commit(states, self._finish(states), self._old, sum(s.counted.points for s in states))

    def _split(self, stored: Sequence[DataFile]) -> FilesInTime:
        return split(stored, self._source.contract, self._span)

    def _ends(self) -> tuple[list[str], list[str]]:
        """Files of edges: with the last points before the period, and with the first ones after it. Data files that
        have been looked into before are not opened again."""
        parts, (start, end) = self._split(self._stored), self._span
        tasks = [
            *(self._edge_task(f, (EARLIEST_US, start)) for f in parts.before),
            *(self._edge_task(f, (end, LATEST_US)) for f in parts.after),
        ]
        paths = [found.path for found in self._read(tasks)] if tasks else []
        return paths[: len(parts.before)], paths[len(parts.before) :]

    def _update(self, newest: RunHeader) -> AggregateSummary:
        """The rows that new and gone data files touch, and what is near them."""
        buckets = self._terms.buckets
        files = {row["path"]: row for row in newest.files}
        now = {s.path: s for s in self._stored}
        headers = ledgers.headers(self._source.storage, self._snapshot.head)[::-1]
        known = same_rows(headers, set(files))
        added = [s for s in self._stored if s.path not in known]
        gone = [files[path] for path in files if path not in now and not has_successor(path, headers, set(now))]
        if not added and not gone and self._watermark == newest.watermark_us:
            return self._nothing(len(now))
        light = light_rows(self._table.storage, self._old, self._terms)
        inside = self._split(added).within
        fresh = self._read(self._state_tasks(inside, self._span)) if inside else []
        touched = pl.concat([in_rectangles(light, buckets, gone), self._keys(fresh)]).unique()
        again = self._again(touched) if touched.height else []
        changed = [*(described(file, self._source.contract) for file in added), *gone]
        dates = self._dates(light, touched, newest.watermark_us, changed)
        replaced = f"{self._name}-replaced.parquet"
        write_keys(self._work, replaced, touched)
        rows = light.touched(touched)
        needed = set(with_neighbours(rows, buckets, dates, carries=self._terms.empty == "carry"))
        old = tuple(f.path for f in self._old if f.partition[0] in needed)
        written = self._finish(again, base=old, replaced=replaced, dates=dates or ["none"], among=light.names)
        expected = points_kept(rows, buckets, dates) + sum(f.points for f in again)
        gone_files = [f for f in self._old if f.partition[0] in set(dates)]
        return self._commit(again, written, gone_files, expected, touched=touched.height)

    def _dates(self, light: RowIndex, touched: pl.DataFrame, was: int, files: Sequence[Mapping[str, Any]]) -> list[str]:
        """The dates to write anew; `was`: the watermark of before, `files`: the data files that are new or gone."""
        buckets, (start, end) = self._terms.buckets, self._span
        carries = self._terms.empty == "carry"
        known_until = min(was, self._watermark)
        until = min(max(was, self._watermark), end)
        newest = int(buckets.number(np.array([until - 1]))[0])
        is_before = any(file["first_us"] < start for file in files)
        ends = at_the_ends(light, first=is_before, last=any(file["last_us"] >= end for file in files))
        near = pl.concat([touched, ends]).unique()
        dates = dates_of(light, near, buckets, known_until, newest if carries else None)
        if carries:
            since = int(buckets.number(np.array([start if is_before else known_until]))[0])
            dates = sorted({*dates, *dates_at(buckets.bounds(np.arange(since, newest + 1))[0])})
        return dates

    def _keys(self, found: Sequence[StatesFound]) -> pl.DataFrame:
        keys = [read_states(self._work, f.path).keys for f in found if f.path]
        return pl.concat([pl.DataFrame(schema=KEYS), *keys]).unique()

    def _again(self, touched: pl.DataFrame) -> list[StatesFound]:
        """The states of the touched buckets, from all data files that have points in them."""
        numbers = touched["bucket"].to_numpy()
        starts, ends = self._terms.buckets.bounds(np.array([numbers.min(), numbers.max()]))
        window = int(starts[0]), int(ends[1])
        low, high = touched["series_id"].min(), touched["series_id"].max()
        unit = self._source.contract.sort_by[0]
        files = []
        for file in split(self._stored, self._source.contract, window).within:
            least, most = file.bounds.get(unit, (None, None))
            is_apart = not self._terms.columns and least is not None and (least > high or most < low)
            if not is_apart:
                files.append(file)
        only = f"{self._name}-only.parquet"
        write_keys(self._work, only, touched)
        return self._read([replace(task, only=only) for task in self._state_tasks(files, window)])

    def _state_tasks(self, stored: Sequence[DataFile], window: Window) -> list[StateTask]:
        tasks = []
        for together in overlapping(stored, self._source.contract, apart=self._apart):
            rows = sum(s.rows for s in together)
            if len(together) > 1 or rows < 2 * _TASK_ROWS:
                tasks.append(self._task(together, (), window))
                continue
            (one,) = together
            footer = read_footer(self._source.storage, one.path, one.bytes)
            counts = [footer.row_group(g).num_rows for g in range(footer.num_row_groups)]
            tasks += [self._task(together, groups, window) for groups in portions(counts, _TASK_ROWS)]
        return tasks

    def _edge_task(self, file: DataFile, window: Window) -> StateTask:
        """Its file of edges serves every period that has all of the data file's points on one side."""
        first, last = bounds_of(file, self._source.contract)
        is_whole = window[0] <= first and last < window[1]
        return replace(self._task([file], (), EVER if is_whole else window), edges=self._edges)

    @property
    def _edges(self) -> Storage:
        return edges_of(self._table, self._terms)

    def _task(self, files: Sequence[DataFile], groups: tuple[int, ...], window: Window) -> StateTask:
        contract = self._source.contract
        unit, time_column = contract.sort_by
        return StateTask(
            table=self._source.storage,
            out=self._work,
            files=tuple(f.path for f in files),
            rows=tuple(f.rows for f in files),
            groups=groups,
            site=files[0].partition[-1] if files[0].partition else "",
            unit=unit,
            time=time_column,
            source=contract.table,
            terms=self._terms,
            window=window,
            run_name=self._name,
        )

    def _read(self, tasks: Sequence[StateTask]) -> list[StatesFound]:
        def tell(done: int) -> None:
            self._progress(f"reading: {done} of {len(tasks)} tasks", 0, 0, 0)

        tell(0)
        if any(task.edges for task in tasks):
            self._edges.make()
        return self._engine.run(tasks, tell)

    def _finish(
        self,
        found: Sequence[StatesFound],
        *,
        base: tuple[str, ...] = (),
        replaced: str = "",
        dates: Sequence[str] = (),
        among: pl.DataFrame | None = None,
    ) -> list[FinishedFiles]:
        """Rows of states that were found, and of those in the data files `base`, whose series are `among` others."""
        states = [f for f in found if f.path]
        self._before, self._after = self._ends()
        paths, names = set(base), sorted(name for f in states for name in f.names)
        count = finish_tasks(sum(f.states for f in states) + sum(f.rows for f in self._old if f.path in paths))
        if among is not None:
            names = among.select(pl.concat_str(*NAME, separator="\0")).to_series().sort().to_list()
        bounds = ["", *dict.fromkeys(names[len(names) * i // count] for i in range(1, count)), ""]
        task = FinishTask(
            writing=self._writing,
            folder=self._work,
            edges=self._edges,
            states=tuple(f.path for f in states),
            low="",
            high="",
            terms=self._terms,
            window=self._span,
            watermark_us=self._watermark,
            before=tuple(self._before),
            after=tuple(self._after),
            base=self._table.storage if base else None,
            stored=base,
            replaced=replaced,
            dates=tuple(dates),
        )
        days = len({f.first_us // DAY_US for f in states})
        tasks = [task] if base else in_windows(task, states, max(count, min(2, days // _FEW_DAYS)))
        if len(tasks) == 1:
            tasks = [replace(task, low=low, high=high) for low, high in pairwise(bounds)]
        self._progress(f"finishing {sum(f.states for f in states):,} states", 0, 0, 0)
        return self._engine.run(tasks, lambda _: None)

    def _nothing(self, files: int) -> AggregateSummary:
        table, source = self._table.storage.root, self._source.storage.root
        return AggregateSummary(table=table, input=source, engine=self._engine.name, files_known=files)

    def _commit(
        self,
        found: Sequence[StatesFound],
        written: Sequence[FinishedFiles],
        removed: Sequence[DataFile],
        expected: int,
        touched: int | None = None,
    ) -> AggregateSummary:
        total = PointCounts()
        for one in found:
            total.add(one.counted)
        summary = AggregateSummary(
            table=self._table.storage.root,
            input=self._source.storage.root,
            engine=self._engine.name,
            every=self._terms.buckets.name,
            rows_in=total.rows,
            points=total.points,
            rows_left_out=total.left_out,
            repeated=total.repeated,
            buckets_touched=touched,
            series=sum(w.series for w in written),
            provisional=sum(w.provisional for w in written),
            watermark_us=self._watermark,
        )
        extras = {
            "period": [self._period.start_us, self._period.end_us],
            "files": [described(s, self._source.contract) for s in self._stored],
            "before": self._before,
            "after": self._after,
        }
        outputs = [o for w in written for o in w.outputs]
        self._progress(f"committing {len(outputs)} files", 0, 0, 0)
        planned = PlannedTable(self._table, self._planned, self._ledger, self._old)
        problems = self._problems(total, expected, sum(w.points for w in written))
        return commit(planned, "aggregate", summary, self._terms.as_dict(), outputs, removed, extras, problems)

    def _problems(self, total: PointCounts, expected: int, points: int) -> list[str]:
        """What is wrong unless every row that was read is accounted for, and the rows that were written hold every
        point: `points` of them, `expected` ones that were read now or are in rows of before."""
        problems = []
        if points != expected:
            problems.append(f"{expected:,} points were to be written, {points:,} are in the rows that were")
        if not self._terms.columns and total.rows != total.points + total.left_out + total.repeated:
            problems.append(f"{total.rows:,} rows read are not {total}")
        return problems
