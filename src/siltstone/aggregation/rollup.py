"""Coarser buckets from the states of an output table: the readings are not read again."""

import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import polars as pl

from siltstone.aggregation.finish_tasks import FinishTask, finish_tasks
from siltstone.aggregation.output_table import check_same, edges_of, output_at, output_table
from siltstone.aggregation.read_plan import Period
from siltstone.aggregation.rollup_boundaries import write_edges
from siltstone.aggregation.rollup_incremental import RollupPlan, anew, as_told, points_of
from siltstone.aggregation.spec import TIME_IN_STATE, AggregateSpec
from siltstone.config.model import Config
from siltstone.config.task_settings import group_bytes_of, sizes_of
from siltstone.engine.tasks import Engine, Progress
from siltstone.errors import UsageError
from siltstone.model.data_files import DataFile
from siltstone.model.periods import EARLIEST_US, FAR_US, LATEST_US, Window
from siltstone.model.run_header import RunHeader
from siltstone.model.run_summary import RollupSummary
from siltstone.storage import open_root
from siltstone.table import ledger as ledgers
from siltstone.table.delta_table import Table
from siltstone.table.open import refuse_lake
from siltstone.table.reader import opened
from siltstone.table.transaction import PlannedTable, commit, retry
from siltstone.table.writer import WriterSettings
from siltstone.timeseries.buckets import base_for
from siltstone.timeseries.measures import Empty
from siltstone.timeseries.states import fields_of


def rollup_table(
    base_uri: str,
    output_uri: str,
    every: str,
    zone: str | None,
    origin: str,
    measures: Sequence[str],
    config: Config,
    engine: Engine,
    progress: Progress,
    *,
    empty: Empty | None = None,
) -> RollupSummary:
    """Bring an output table of coarser buckets up to date with another one's states; the run's summary. Only the dates
    are written that changed data files of the base may tell otherwise.

    Raises UsageError where the buckets don't align, naming a base that does, or where the base lacks what a measure
    needs.
    """
    started = time.time()
    base, rows = _base(base_uri, config)
    if finish_tasks(rows) > 1:
        engine.warm_up(2, [FinishTask.__module__])

    def attempt() -> RollupSummary:
        base.recover()
        snapshot = base.snapshot()
        header = None if snapshot is None else ledgers.load(base.storage, snapshot.head).newest
        if snapshot is None or header is None:
            raise UsageError(f"{base.storage.root} has no aggregates", "siltstone aggregate makes them.")
        before = _spec_of(header)
        terms = _terms(before, every, zone, origin, measures, empty)
        stored = base.files(snapshot)
        _check_aligned(before, terms, stored)
        return _rolled(base, stored, header, terms, output_uri, config, engine, progress)

    return replace(retry(attempt, output_uri, progress), seconds=round(time.time() - started, 3))


def _base(uri: str, config: Config) -> tuple[Table, int]:
    """The table of aggregates to roll up, and how many rows it has."""
    storage = open_root(uri, config.storage)
    if (found := output_at(storage)) is None:
        refuse_lake(storage)
        raise UsageError(f"{storage.root} is no table of aggregates", "Give one that siltstone aggregate has made.")
    table, header = found
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


def _terms(
    before: AggregateSpec, every: str, zone: str | None, origin: str, measures: Sequence[str], empty: Empty | None
) -> AggregateSpec:
    """What is asked for, of what the base has."""
    wanted = tuple(measures) or before.measures
    lacking = [name for name in wanted if not fields_of([name]) <= before.fields]
    if lacking:
        raise UsageError(
            f"the base's states say nothing of {', '.join(lacking)}",
            f"Make the base with --measure {' --measure '.join(lacking)} too.",
        )
    if TIME_IN_STATE in wanted and TIME_IN_STATE not in before.measures:
        raise UsageError("the base has no times in states", f"Make it with --measure {TIME_IN_STATE}.")
    terms = replace(
        before,
        every=every,
        zone=before.zone if zone is None else zone,
        origin=origin,
        measures=wanted,
        empty=before.empty if empty is None else empty,
    )
    if terms.quantiles and not before.quantiles:
        raise UsageError(
            "the base has no quantiles", "Make it with one, such as --measure p50; all come from the same."
        )
    return terms


def _check_aligned(before: AggregateSpec, terms: AggregateSpec, stored: Sequence[DataFile]) -> None:
    starts = [file.bounds["bucket_start"] for file in stored if file.bounds.get("bucket_start", (None,))[0] is not None]
    if not starts:
        return
    first, newest = min(int(s[0]) for s in starts), max(int(s[1]) for s in starts)
    last = int(before.buckets.bounds(before.buckets.number(np.array([newest])))[1][0]) - 1
    if not before.buckets.divides(terms.buckets, first, last):
        raise UsageError(
            f"{terms.buckets.name} can't be made of {before.buckets.name}: the edges don't meet",
            f"Use a base of {base_for(terms.buckets, first, last)}: siltstone aggregate ... --every that.",
        )


def _rolled(
    base: Table,
    stored: Sequence[DataFile],
    header: RunHeader,
    terms: AggregateSpec,
    output_uri: str,
    config: Config,
    engine: Engine,
    progress: Progress,
) -> RollupSummary:
    table = output_table(output_uri, terms, config)
    if table.storage.root == base.storage.root:
        raise UsageError("the rollup would overwrite its base", "Give another folder.")
    planned = PlannedTable.of(table)
    _check_same(table, planned.newest, terms, Period(*header.period), base.storage.root)
    about = RollupSummary(
        table=table.storage.root, input=base.storage.root, engine=engine.name, files_known=len(stored)
    )
    wanted = anew(planned, base.storage, stored, header, terms)
    if wanted is None:
        return about
    window = _window(header, terms)
    tasks = _tasks(base, wanted, header, terms, table, config, window)
    is_small = len(tasks) == 1  # done here before workers have started
    written = [tasks[0].run()] if is_small else engine.run(tasks, lambda _: None)
    points, there = sum(w.points for w in written), points_of(base.storage, wanted, window, terms.buckets)
    problems = [] if points == there else [f"{there:,} points in the base, {points:,} in the rollup"]
    summary = replace(
        about,
        every=terms.buckets.name,
        base=_spec_of(header).buckets.name,
        rows_in=sum(f.rows for f in wanted.stored),
        points=points,
        buckets_touched=wanted.touched,
        series=sum(w.series for w in written),
        provisional=sum(w.provisional for w in written),
        watermark_us=header.watermark_us,
    )
    outputs = [o for w in written for o in w.outputs]
    progress(f"committing {len(outputs)} files", 0, 0, 0)
    edges = write_edges(base.storage, edges_of(base, terms), stored, header, window, edges_of(table, terms))
    extras = {"period": header.period, "window": list(window), **edges, **as_told(stored, header)}
    removed = [f for f in planned.stored if wanted.dates is None or f.partition[0] in wanted.dates]
    return commit(planned, "rollup", summary, terms.as_dict(), outputs, removed, extras, problems)


def _check_same(table: Table, newest: RunHeader | None, terms: AggregateSpec, period: Period, root: str) -> None:
    if newest and newest.kind != "rollup":
        raise UsageError(f"{table.storage.root} is made of readings", "Give another folder for the rollup.")
    check_same(table, newest, terms, period, root)


def _window(header: RunHeader, terms: AggregateSpec) -> Window:
    """The span of the coarse buckets that lie whole within the period of the base."""
    before = _spec_of(header)
    start, end = header.window or Period(*header.period).span(before.buckets)
    if end < FAR_US:
        end = int(terms.buckets.bounds(terms.buckets.number(np.array([end])))[0][0])
    return Period(start, end).span(terms.buckets)


def _tasks(
    base: Table,
    wanted: RollupPlan,
    header: RunHeader,
    terms: AggregateSpec,
    table: Table,
    config: Config,
    window: Window,
) -> list[FinishTask]:
    stored = wanted.stored
    if wanted.dates == ():
        return []
    count = finish_tasks(sum(f.rows for f in stored))
    bounds = ["", *_cuts(base, stored, count), ""]
    task = FinishTask(
        writing=WriterSettings(table.storage, sizes_of(config), group_bytes_of(config), table.is_staged),
        folder=base.storage,
        edges=edges_of(base, terms),
        states=(),
        low="",
        high="",
        terms=terms,
        window=window,
        watermark_us=header.watermark_us,
        base=base.storage,
        stored=tuple(f.path for f in stored),
        before=tuple(header.before),
        after=tuple(header.after),
        dates=wanted.dates or (),
    )
    return [replace(task, low=low, high=high) for low, high in pairwise(bounds)]


def _cuts(base: Table, stored: Sequence[DataFile], count: int) -> list[str]:
    """Names between which lie about equally many rows of the largest file."""
    if count == 1:
        return []
    largest = max(stored, key=lambda f: f.rows)
    with opened(base.storage, largest.path, rows=largest.rows) as file:
        rows = file.frame(["site", "series_id"])
    names = rows.select(pl.concat_str("site", "series_id", separator="\0")).to_series().sort()
    return sorted({names[len(names) * i // count] for i in range(1, count)})
