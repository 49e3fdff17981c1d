"""The aggregate job: data files become states, states become rows, and one commit puts them into the output table."""

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from siltstone.aggregation.finish_tasks import (
    Boundaries,
    Boundary,
    FinishedFiles,
    FinishTask,
    Inputs,
    PreviousOutput,
    finish_task_count,
    split_by_time,
)
from siltstone.aggregation.incremental import (
    RowIndex,
    dates_at,
    dates_to_read,
    dates_to_write,
    has_successor,
    keys_at_ends,
    keys_within,
    read_row_index,
    untouched_points,
    with_compacted,
)
from siltstone.aggregation.input_table import InputVersion, input_table
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
from siltstone.errors import OverlapError, StorageError
from siltstone.model.data_files import DataFile, is_own_name
from siltstone.model.derived_summary import AggregateSummary
from siltstone.model.layout import FOLDER
from siltstone.model.periods import DAY_US, EARLIEST_US, EVER, LATEST_US, Window
from siltstone.model.run_header import RunHeader, terms_of
from siltstone.storage import Storage
from siltstone.table import ledger as ledgers
from siltstone.table.reader import read_footer
from siltstone.table.transaction import PlannedTable, commit, reading_at, retry
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

    Only the buckets are computed again that new, changed or removed data files touch; with `full` all are.

    Raises UsageError, StorageError, AccountsError, and LostRaceError if other runs committed to the output first again
    and again.
    """
    started = time.time()
    source = input_table(input_uri, terms, config)
    table = output_table(output_uri, terms, config)
    period.span(terms.buckets)  # refuses what are no buckets, before a table is created

    def attempt() -> AggregateSummary:
        given = InputVersion.of(source, terms)
        output = PlannedTable.of(table)
        same_terms = with_rules_of(terms_of(output.newest), terms)
        check_same(table, output.newest, same_terms, period, source.storage.root, full=full)
        run_of = given, output, same_terms, period, config, engine, progress
        with reading_at(output.table, output.snapshot):
            try:
                return _AggregateRun(*run_of, apart=True).run(full=full)
            except OverlapError:  # the bounds of two files don't tell that both have rows without a unit
                return _AggregateRun(*run_of, apart=False).run(full=full)

    return replace(retry(attempt, output_uri, progress), seconds=round(time.time() - started, 3))


class _AggregateRun:
    """One attempt, with one version of the input and one of the output. `apart`: whether data files have no series in
    common if their bounds of units don't overlap."""

    def __init__(
        self,
        given: InputVersion,
        output: PlannedTable,
        terms: AggregateSpec,
        period: Period,
        config: Config,
        engine: Engine,
        progress: Progress,
        *,
        apart: bool,
    ) -> None:
        self._source, self._snapshot, self._stored = given.table, given.snapshot, given.stored
        self._output, self._table = output, output.table
        self._terms, self._period = terms, period
        self._config, self._engine, self._progress = config, engine, progress
        self._apart = apart
        self._work = self._table.storage.child(FOLDER, "work")
        self._name = uuid.uuid4().hex
        self._span = period.span(terms.buckets)

    def run(self, *, full: bool) -> AggregateSummary:
        with self._working():
            newest = self._output.newest
            if newest is None or full:
                return self._rebuild()
            if self._output.others is not None:
                raise self._output.others.refusal()
            return self._update(newest)

    @contextmanager
    def _working(self) -> Iterator[None]:
        """Within it the work folder exists, for files that one task writes and another one reads. At the end the files
        of this run are deleted, and old files of runs that died."""
        self._work.make()
        try:
            yield
        finally:
            with suppress(StorageError):  # a later run deletes them; this one is committed by now, or has its own error
                self._clean_up()

    def _clean_up(self) -> None:
        objects = self._table.storage.objects(f"{FOLDER}/work", follows_links=False)
        newest_us = pl.col("modified_us").max()  # by the store's clock; that of this host may be days ahead
        is_old = pl.col("modified_us") < newest_us - self._config.vacuum.grace_hours * 3_600_000_000
        spare = objects.filter(pl.col("path").str.contains(self._name, literal=True) | is_old)
        list(self._work.ahead(self._table.storage.delete, spare["path"]))

    @property
    def _watermark(self) -> int:
        """The instant at which what is known ends: the latest one in the input, or the end of the period if later."""
        latest = latest_us(self._stored, self._source.contract) or 0
        return latest if self._period.end_us == LATEST_US else max(latest, self._period.end_us)

    def _rebuild(self) -> AggregateSummary:
        """Compute every row."""
        states = self._read(self._state_tasks(self._split(self._stored).within, self._span))
        boundaries = self._boundaries()
        written = self._finish(states, boundaries)
        expected = sum(s.counted.points for s in states)
        return self._commit(states, written, boundaries, self._output.stored, expected)

    def _split(self, stored: Sequence[DataFile]) -> FilesInTime:
        return split(stored, self._source.contract, self._span)

    def _boundaries(self) -> Boundaries:
        """Files with the last points before the period, and with the first ones after it. A data file that a run has
        looked into before is not opened again."""
        parts, (start, end) = self._split(self._stored), self._span
        tasks = [
            *(self._edge_task(f, (EARLIEST_US, start)) for f in parts.before),
            *(self._edge_task(f, (end, LATEST_US)) for f in parts.after),
        ]
        paths = tuple(file.path for file in self._read(tasks)) if tasks else ()
        count = len(parts.before)
        return Boundaries(self._edges, Boundary(paths[:count]), Boundary(paths[count:]))

    def _update(self, newest: RunHeader) -> AggregateSummary:
        """Compute the rows of buckets that new and removed data files touch, and the rows that depend on these."""
        buckets = self._terms.buckets
        added, removed = self._changed_files(newest)
        if not added and not removed and self._watermark == newest.watermark_us:
            return self._nothing()
        index = read_row_index(self._table.storage, self._output.stored, self._terms)
        inside = self._split(added).within
        fresh = self._read(self._state_tasks(inside, self._span)) if inside else []
        touched = pl.concat([keys_within(index, buckets, removed), self._keys(fresh)]).unique()
        states = self._read_touched(touched) if touched.height else []
        changed = [*(described(file, self._source.contract) for file in added), *removed]
        dates = self._dates(index, touched, newest.watermark_us, changed)
        rows = index.touched(touched)
        needed = set(dates_to_read(rows, buckets, dates, carries=self._terms.empty == "carry"))
        files = tuple(f.logged for f in self._output.stored if f.partition[0] in needed)
        previous = PreviousOutput(self._table.storage, files, self._write_keys("replaced", touched))
        boundaries = self._boundaries()
        written = self._finish(states, boundaries, previous=previous, dates=dates or ["none"], among=index.names)
        expected = untouched_points(rows, buckets, dates) + sum(f.points for f in states)
        replaced = [f for f in self._output.stored if f.partition[0] in set(dates)]
        return self._commit(states, written, boundaries, replaced, expected, touched=touched.height)

    def _changed_files(self, newest: RunHeader) -> tuple[list[DataFile], list[Mapping[str, Any]]]:
        """The data files of the input that the output was not made of, and what its manifest says of files that the
        input does not have any more. A file that only small-file compaction wrote or removed is neither."""
        files = {row["path"]: row for row in newest.files}
        now = {s.path for s in self._stored}
        headers = ledgers.headers(self._source.storage, self._snapshot.head)[::-1]
        known = with_compacted(headers, set(files))
        added = [s for s in self._stored if s.path not in known]
        return added, [files[path] for path in files if path not in now and not has_successor(path, headers, now)]

    def _dates(self, index: RowIndex, touched: pl.DataFrame, was: int, files: Sequence[Mapping[str, Any]]) -> list[str]:
        """The dates to write; `was`: the old watermark, `files`: the data files that are new or removed, as
        `described`."""
        buckets, (start, end) = self._terms.buckets, self._span
        carries = self._terms.empty == "carry"
        known_until = min(was, self._watermark)
        until = min(max(was, self._watermark), end)
        newest = int(buckets.number(np.array([until - 1]))[0])
        is_before = any(file["first_us"] < start for file in files)
        ends = keys_at_ends(index, first=is_before, last=any(file["last_us"] >= end for file in files))
        near = pl.concat([touched, ends]).unique()
        dates = dates_to_write(index, near, buckets, known_until, newest if carries else None)
        if carries:
            since = int(buckets.number(np.array([start if is_before else known_until]))[0])
            dates = sorted({*dates, *dates_at(buckets.bounds(np.arange(since, newest + 1))[0])})
        return dates

    def _write_keys(self, name: str, keys: pl.DataFrame) -> str:
        """Write the keys to a file of this run; its name."""
        path = f"{self._name}-{name}.parquet"
        write_keys(self._work, path, keys)
        return path

    def _keys(self, files: Sequence[StatesFound]) -> pl.DataFrame:
        keys = [read_states(self._work, f.path).keys for f in files if f.path]
        return pl.concat([pl.DataFrame(schema=KEYS), *keys]).unique()

    def _read_touched(self, touched: pl.DataFrame) -> list[StatesFound]:
        """The states of the touched buckets (columns KEYS), from all data files in which points of them may be."""
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
        only = self._write_keys("only", touched)
        return self._read([replace(task, only=only) for task in self._state_tasks(files, window)])

    def _state_tasks(self, stored: Sequence[DataFile], window: Window) -> list[StateTask]:
        tasks = []
        for together in overlapping(stored, self._source.contract, apart=self._apart):
            rows = sum(s.rows for s in together)
            if len(together) > 1 or rows < 2 * _TASK_ROWS or not is_own_name(together[0].path):
                tasks.append(self._task(together, (), window))
                continue
            (one,) = together
            footer = read_footer(self._source.storage, one.path, one.bytes)
            counts = [footer.row_group(g).num_rows for g in range(footer.num_row_groups)]
            tasks += [self._task(together, groups, window) for groups in portions(counts, _TASK_ROWS)]
        return tasks

    def _edge_task(self, file: DataFile, window: Window) -> StateTask:
        """The task that writes the boundary points of a data file. The same file serves every period that has all
        points of the data file on one side."""
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
            files=tuple(f.logged for f in files),
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
        files: Sequence[StatesFound],
        boundaries: Boundaries,
        *,
        previous: PreviousOutput | None = None,
        dates: Sequence[str] = (),
        among: pl.DataFrame | None = None,
    ) -> list[FinishedFiles]:
        """Write the rows of the states in the files and in the previous output, of all dates where none are given.
        `among`: the names (columns NAME) by which the series are divided, of the states' series where it is None."""
        files = [f for f in files if f.path]
        old = previous.files if previous else ()
        count = finish_task_count(sum(f.states for f in files) + sum(f.rows for f in old))
        names = sorted(name for f in files for name in f.names)
        if among is not None:
            names = among.select(pl.concat_str(*NAME, separator="\0")).to_series().sort().to_list()
        task = FinishTask(
            writing=WriterSettings(
                self._table.storage, sizes_of(self._config), group_bytes_of(self._config), self._table.is_staged
            ),
            inputs=Inputs(self._work, tuple(f.path for f in files), previous),
            boundaries=boundaries,
            terms=self._terms,
            window=self._span,
            watermark_us=self._watermark,
            dates=tuple(dates),
        )
        days = len({f.first_us // DAY_US for f in files})
        tasks = [task] if old else split_by_time(task, files, max(count, min(2, days // _FEW_DAYS)))
        if len(tasks) == 1:
            parts = range(1, count if names else 1)  # no series, where all rows go because their files are gone
            tasks = tasks[0].for_series(list(dict.fromkeys(names[len(names) * i // count] for i in parts)))
        self._progress(f"finishing {sum(f.states for f in files):,} states", 0, 0, 0)
        return self._engine.run(tasks, lambda _: None)

    def _nothing(self) -> AggregateSummary:
        table, source = self._table.storage.root, self._source.storage.root
        return AggregateSummary(table=table, input=source, engine=self._engine.name, files_known=len(self._stored))

    def _commit(
        self,
        files: Sequence[StatesFound],
        written: Sequence[FinishedFiles],
        boundaries: Boundaries,
        removed: Sequence[DataFile],
        expected: int,
        touched: int | None = None,
    ) -> AggregateSummary:
        total = PointCounts()
        for one in files:
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
            "before": list(boundaries.left.points),
            "after": list(boundaries.right.points),
        }
        outputs = [o for w in written for o in w.outputs]
        self._progress(f"committing {len(outputs)} files", 0, 0, 0)
        problems = self._problems(total, expected, sum(w.points for w in written))
        return commit(self._output, "aggregate", summary, self._terms.as_dict(), outputs, removed, extras, problems)

    def _problems(self, total: PointCounts, expected: int, points: int) -> list[str]:
        """What is wrong, nothing if every row that was read is accounted for and the rows that were written have all
        points: `points` were written, `expected` were read now or are in rows of earlier runs that stay."""
        problems = []
        if points != expected:
            problems.append(f"{expected:,} points were to be written, {points:,} are in the rows that were")
        if not self._terms.columns and total.rows != total.points + total.left_out + total.repeated:
            problems.append(f"{total.rows:,} rows read are not {total}")
        return problems
