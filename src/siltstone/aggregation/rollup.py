"""Coarser buckets from the states of an output table: the readings are not read again."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import polars as pl

from siltstone.aggregation.finish_tasks import (
    Boundaries,
    Boundary,
    FinishTask,
    Inputs,
    PreviousOutput,
    finish_task_count,
)
from siltstone.aggregation.output_table import check_same, edges_of, is_output, output_at, output_table
from siltstone.aggregation.read_plan import Period
from siltstone.aggregation.rollup_boundaries import write_edges
from siltstone.aggregation.rollup_incremental import RollupPlan, inputs_of, plan_rollup, points_in_base
from siltstone.aggregation.spec import AggregateSpec, RollupSpec
from siltstone.config.model import Config
from siltstone.config.task_settings import group_bytes_of, sizes_of
from siltstone.engine.tasks import Engine, Progress
from siltstone.errors import UsageError
from siltstone.model.data_files import DataFile
from siltstone.model.derived_summary import RollupSummary
from siltstone.model.periods import EARLIEST_US, FAR_US, LATEST_US, Window
from siltstone.model.run_header import RunHeader
from siltstone.storage import open_root
from siltstone.table import ledger as ledgers
from siltstone.table.delta_table import Table
from siltstone.table.open import refuse_lake
from siltstone.table.reader import opened
from siltstone.table.transaction import PlannedTable, commit, reading_at, retry
from siltstone.table.writer import WriterSettings
from siltstone.timeseries.buckets import base_for


def rollup_table(
    base_uri: str,
    output_uri: str,
    spec: RollupSpec,
    config: Config,
    engine: Engine,
    progress: Progress,
) -> RollupSummary:
    """Bring a table of coarser buckets up to date with the states in a base, another output table; the run's summary.
    Only dates are written with rows that changed data files of the base may change.

    Raises UsageError where the buckets don't align (the error names buckets that do), or where the base lacks what a
    measure needs.
    """
    started = time.time()
    table, rows = _base_table(base_uri, config)
    if finish_task_count(rows) > 1:
        engine.warm_up(2, [FinishTask.__module__])

    def attempt() -> RollupSummary:
        base = _Base.of(table)
        terms = spec.of(base.terms)
        _check_aligned(base, terms)
        return _roll_up(base, terms, output_uri, config, engine, progress)

    return replace(retry(attempt, output_uri, progress), seconds=round(time.time() - started, 3))


def _base_table(uri: str, config: Config) -> tuple[Table, int]:
    """The table of aggregates to roll up, and its number of rows."""
    storage = open_root(uri, config.storage)
    output = output_at(storage)
    if output is None:
        refuse_lake(storage, is_output)
        raise UsageError(f"{storage.root} is no table of aggregates", "Give one that siltstone aggregate has made.")
    table, header = output
    if (convention := _spec_of(header).convention) != "default":
        raise UsageError(
            f"{storage.root} was made by the convention {convention}, whose rows don't merge",
            "Run siltstone aggregate with that --convention and the wanted --every.",
        )
    if header.kind == "rollup" and header.period != [EARLIEST_US, LATEST_US] and header.window is None:
        raise UsageError(
            f"{storage.root} is a rollup of a period, made by a version that did not keep what was before it",
            "Run the siltstone rollup that made it again.",
        )
    return table, header.rows


def _spec_of(header: RunHeader) -> AggregateSpec:
    return AggregateSpec.from_dict(header.terms or {})


@dataclass(frozen=True)
class _Base:
    """One version of the base: its data files, and the header of its newest run."""

    table: Table
    stored: Sequence[DataFile]
    header: RunHeader

    @classmethod
    def of(cls, table: Table) -> "_Base":
        """The newest version. Raises UsageError where no run has committed to it."""
        table.recover()
        snapshot = table.snapshot()
        header = None if snapshot is None else ledgers.load(table.storage, snapshot.head).newest
        if snapshot is None or header is None:
            raise UsageError(f"{table.storage.root} has no aggregates", "siltstone aggregate makes them.")
        return cls(table, table.files(snapshot), header)

    @cached_property
    def terms(self) -> AggregateSpec:
        return _spec_of(self.header)

    def window_of(self, terms: AggregateSpec) -> Window:
        """From the first to the last coarse bucket that lies within the period of the base."""
        start, end = self.header.window or Period(*self.header.period).span(self.terms.buckets)
        if end < FAR_US:
            end = int(terms.buckets.bounds(terms.buckets.number(np.array([end])))[0][0])
        return Period(start, end).span(terms.buckets)


def _check_aligned(base: _Base, terms: AggregateSpec) -> None:
    """Raise UsageError where a coarse bucket begins or ends within a bucket of the base."""
    bounds = [file.bounds.get("bucket_start", (None, None)) for file in base.stored]
    starts = [(int(first), int(last)) for first, last in bounds if first is not None]
    if not starts:
        return
    first, newest = min(first for first, _ in starts), max(last for _, last in starts)
    fine, coarse = base.terms.buckets, terms.buckets
    last = int(fine.bounds(fine.number(np.array([newest])))[1][0]) - 1
    if not fine.divides(coarse, first, last):
        raise UsageError(
            f"{coarse.name} can't be made of {fine.name}: the edges don't meet",
            f"Use a base of {base_for(coarse, first, last)}: siltstone aggregate ... --every that.",
        )


def _roll_up(
    base: _Base, terms: AggregateSpec, output_uri: str, config: Config, engine: Engine, progress: Progress
) -> RollupSummary:
    """One attempt: with one version of the base and one of the output; the summary."""
    source, stored, header = base.table.storage, base.stored, base.header
    table = output_table(output_uri, terms, config)
    if table.storage.root == source.root:
        raise UsageError("the rollup would overwrite its base", "Give another folder.")
    output = PlannedTable.of(table)
    _check_same(table, output.newest, terms, Period(*header.period), source.root)
    about = RollupSummary(table=table.storage.root, input=source.root, engine=engine.name, files_known=len(stored))
    plan = plan_rollup(output, source, stored, header, terms)
    if plan is None:
        return about
    window = base.window_of(terms)
    tasks = _tasks(base, plan, terms, table, config, window)
    is_small = len(tasks) == 1  # done here before workers have started
    with reading_at(output.table, output.snapshot):
        written = [tasks[0].run()] if is_small else engine.run(tasks, lambda _: None)
    points, expected = sum(w.points for w in written), points_in_base(source, plan, window, terms.buckets)
    problems = [] if points == expected else [f"{expected:,} points in the base, {points:,} in the rollup"]
    summary = replace(
        about,
        every=terms.buckets.name,
        base=base.terms.buckets.name,
        rows_in=sum(f.rows for f in plan.stored),
        points=points,
        buckets_touched=plan.touched,
        series=sum(w.series for w in written),
        provisional=sum(w.provisional for w in written),
        watermark_us=header.watermark_us,
    )
    outputs = [o for w in written for o in w.outputs]
    progress(f"committing {len(outputs)} files", 0, 0, 0)
    edges = write_edges(source, edges_of(base.table, terms), stored, header, window, edges_of(table, terms))
    extras = {"period": header.period, "window": list(window), **edges, **inputs_of(stored, header)}
    removed = [f for f in output.stored if plan.dates is None or f.partition[0] in plan.dates]
    return commit(output, "rollup", summary, terms.as_dict(), outputs, removed, extras, problems)


def _check_same(table: Table, newest: RunHeader | None, terms: AggregateSpec, period: Period, root: str) -> None:
    if newest and newest.kind != "rollup":
        raise UsageError(f"{table.storage.root} is made of readings", "Give another folder for the rollup.")
    check_same(table, newest, terms, period, root)


def _tasks(
    base: _Base, plan: RollupPlan, terms: AggregateSpec, table: Table, config: Config, window: Window
) -> list[FinishTask]:
    if plan.dates == ():
        return []
    source, header = base.table.storage, base.header
    task = FinishTask(
        writing=WriterSettings(table.storage, sizes_of(config), group_bytes_of(config), table.is_staged),
        inputs=Inputs(source, previous=PreviousOutput(source, tuple(f.logged for f in plan.stored))),
        boundaries=Boundaries(
            edges_of(base.table, terms), Boundary(tuple(header.before)), Boundary(tuple(header.after))
        ),
        terms=terms,
        window=window,
        watermark_us=header.watermark_us,
        dates=plan.dates or (),
    )
    return task.for_series(_cuts(base.table, plan.stored, finish_task_count(sum(f.rows for f in plan.stored))))


def _cuts(base: Table, stored: Sequence[DataFile], count: int) -> list[str]:
    """Names of series that cut the rows of the largest file into `count` parts of about the same size."""
    if count == 1:
        return []
    largest = max(stored, key=lambda f: f.rows)
    with opened(base.storage, largest.path, rows=largest.rows) as file:
        rows = file.frame(["site", "series_id"])
    names = rows.select(pl.concat_str("site", "series_id", separator="\0")).to_series().sort()
    return sorted({names[len(names) * i // count] for i in range(1, count)})
