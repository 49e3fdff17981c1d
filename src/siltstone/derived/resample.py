"""The resample job: the series of a table, each with a value at every instant of a grid."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from siltstone.aggregation.input_table import existing, input_table
from siltstone.aggregation.read_plan import Period, latest_us
from siltstone.aggregation.series_points import needed_columns
from siltstone.aggregation.spec import AggregateSpec, with_rules_of
from siltstone.config.model import Config
from siltstone.derived.boundary_rows import Span, StoredRows, Window, spans, windows, within
from siltstone.derived.output_table import DerivedTable, TaskTotals, ends_beside, stored_rows, stored_terms
from siltstone.derived.resample_tasks import RESAMPLED, ResampleTask
from siltstone.engine.tasks import Engine, Progress
from siltstone.errors import AccountsError, UsageError
from siltstone.model.data_files import LoggedFile
from siltstone.model.derived_summary import ResampleSummary
from siltstone.model.periods import EARLIEST_US, LATEST_US
from siltstone.table.delta_table import Table
from siltstone.table.transaction import retry

_TASK_ROWS = 4_000_000  # of data files that one task reads, about
_Sites = tuple[tuple[str, tuple[LoggedFile, ...]], ...]


def resample_table(
    input_uri: str,
    output_uri: str,
    terms: AggregateSpec,
    fill_as: str,
    limit_us: int | None,
    period: Period,
    config: Config,
    engine: Engine,
    progress: Progress,
) -> ResampleSummary:
    """Write a table of the values of series at the instants of a grid, the starts of the buckets of `terms`; the run's
    summary.

    The instants go from the first point of a series, or the start of the period, to the latest instant of the table, or
    to the end of the period (exclusive). `fill_as`: previous, linear, nearest, or interpretation, by the rules of
    `terms`.
    """
    started = time.time()
    engine.warm_up(2, [ResampleTask.__module__])
    source = input_table(input_uri, terms, config)
    given = source, output_uri, terms, fill_as, limit_us, period, config, engine, progress
    summary = retry(lambda: _resample(*given), output_uri, progress)
    return replace(summary, seconds=round(time.time() - started, 3))


def _resample(
    source: Table,
    output_uri: str,
    terms: AggregateSpec,
    fill_as: str,
    limit_us: int | None,
    period: Period,
    config: Config,
    engine: Engine,
    progress: Progress,
) -> ResampleSummary:
    """One attempt, with one version of the table and one of the output."""
    source.recover()
    snapshot = existing(source)
    if unknown := [c for c in terms.columns if c not in snapshot.schema.by_name]:
        raise UsageError(f"{source.storage.root} has no column {', '.join(unknown)}", "siltstone show tells which.")
    stored = source.files(snapshot)
    terms = with_rules_of(stored_terms(output_uri, RESAMPLED, config), terms)
    asked = {**terms.as_dict(), "fill": fill_as, "limit_us": limit_us, "period": [period.start_us, period.end_us]}
    out = DerivedTable(output_uri, RESAMPLED, "resample", asked, config)
    paths = [s.path for s in stored]
    about = ResampleSummary(
        table=out.table.storage.root, input=source.storage.root, engine=engine.name, files_known=len(paths)
    )
    if out.is_of(paths):
        return about
    existing_columns = (source.contract.time.name, *snapshot.schema.by_name)
    rows = stored_rows(
        source, needed_columns(terms, *source.contract.sort_by, existing_columns), snapshot.schema, terms.columns
    )
    latest = latest_us(stored, source.contract)
    end_us = period.end_us if period.end_us != LATEST_US else (period.start_us if latest is None else latest) + 1
    files = spans(stored, source.contract)
    parts = windows(files, period.start_us, max(end_us, period.start_us), _TASK_ROWS)
    beside = ends_beside(rows, files, parts, rows.by, AggregateSpec("1d"), out, engine, progress)
    tasks: list[ResampleTask] = []
    for window, names in zip(parts, beside, strict=True):
        for sites in _site_groups(files, window, rows):
            task = ResampleTask(
                rows=rows,
                work=out.work,
                sites=sites,
                beside=names,
                terms=terms,
                fill_as=fill_as,
                limit_us=limit_us,
                window=window,
                from_start=period.start_us != EARLIEST_US,
                writing=out.writing,
                source=source.contract.table,
            )
            tasks.append(task)
    try:
        with out.reading():
            made = engine.run(tasks, lambda done: progress(f"filling: {done} of {len(tasks)} tasks", 0, 0, 0))
    finally:
        list(out.work.ahead(out.work.delete, [name for names in beside for name in names]))
    total = TaskTotals.of(made)
    _check(total, tasks, is_wide=bool(terms.columns))
    summary = replace(
        about,
        every=terms.buckets.name,
        fill=fill_as,
        rows_in=total.rows - total.beside,
        rows_beside=total.beside,
        points=total.points,
        rows_left_out=total.left_out,
        repeated=total.repeated,
    )
    return out.commit(summary, total.outputs, paths)


def _site_groups(files: Sequence[Span], window: Window, rows: StoredRows) -> list[_Sites]:
    """The sites of the table with their files of a window, in groups with about as many rows as a task reads."""
    sites: dict[str, list[Any]] = {}
    for file, _, _ in files:
        sites.setdefault(file.partition[-1] if rows.place else "", [])
    for file in within(files, window):
        sites[file.partition[-1] if rows.place else ""].append(file)
    groups: list[list[tuple[str, tuple[LoggedFile, ...]]]] = [[]]
    group_rows = 0
    for site, own in sorted(sites.items()):
        count = sum(file.rows for file in own)
        if group_rows and group_rows + count > _TASK_ROWS:
            groups.append([])
            group_rows = 0
        groups[-1].append((site, tuple(file.logged for file in own)))
        group_rows += count
    return [tuple(one) for one in groups]


def _check(total: TaskTotals, tasks: Sequence[ResampleTask], *, is_wide: bool) -> None:
    """Raise AccountsError unless every row of the files was read, and is a point, left out or repeated."""
    problems = []
    expected = sum(file.rows for task in tasks for _, files in task.sites for file in files)
    if total.rows - total.beside != expected:
        problems.append(f"{expected:,} rows are in the files, {total.rows - total.beside:,} were read")
    if not is_wide and total.rows != total.points + total.left_out + total.repeated:
        problems.append(f"{total.rows:,} rows read are not {total.points:,} + {total.left_out:,} + {total.repeated:,}")
    if problems:
        raise AccountsError("this resample", problems)
