"""The as-of job: writes a table of the rows of one table, each with the row of another that was valid at its time."""

import time
from collections.abc import Sequence
from dataclasses import asdict, replace

from siltstone import sources
from siltstone.aggregation.output_rows import contract_of
from siltstone.aggregation.output_table import newest_header
from siltstone.aggregation.spec import AggregateSpec
from siltstone.config.model import Config
from siltstone.derived.asof_tasks import AsofTask, JoinSpec, Side, contract_of_join
from siltstone.derived.boundary_rows import Span, spans, windows, within
from siltstone.derived.output_table import DerivedTable, TaskTotals, ends_beside, stored_rows
from siltstone.derived.resample_tasks import RESAMPLED
from siltstone.engine.tasks import Engine, Progress
from siltstone.errors import AccountsError, TableFormatError, UsageError
from siltstone.model.data_files import DataFile, LoggedFile
from siltstone.model.derived_summary import AsofSummary
from siltstone.model.periods import EARLIEST_US, LATEST_US
from siltstone.storage import Storage, open_root
from siltstone.table.delta_table import Table
from siltstone.table.open import kind_at, refuse_lake, table_at
from siltstone.table.transaction import retry

_TASK_ROWS = 600_000  # of both sides that one task holds, about


def asof_tables(
    left_uri: str,
    right_uri: str,
    output_uri: str,
    filters: tuple[AggregateSpec, AggregateSpec],
    joining: JoinSpec,
    config: Config,
    engine: Engine,
    progress: Progress,
) -> AsofSummary:
    """Write a table of the rows of one table, each with the row of another as of its time; the run's summary.

    `filters`: for each side a spec of which only the filters are used, to choose rows. Raises UsageError for tables and
    columns that don't fit.
    """
    started = time.time()
    engine.warm_up(2, [AsofTask.__module__])
    given = (left_uri, right_uri), output_uri, filters, joining, config, engine, progress
    summary = retry(lambda: _join(*given), output_uri, progress)
    return replace(summary, seconds=round(time.time() - started, 3))


def _join(
    uris: Sequence[str],
    output_uri: str,
    filters: tuple[AggregateSpec, AggregateSpec],
    joining: JoinSpec,
    config: Config,
    engine: Engine,
    progress: Progress,
) -> AsofSummary:
    """One attempt, with one version of each table and one of the output."""
    tables = [_table(uri, config) for uri in uris]
    sides, files = [], []
    for table, terms in zip(tables, filters, strict=True):
        side, stored = _side(table, terms)
        sides.append(side)
        files.append(spans(stored, table.contract))
    left, right = sides
    contract = contract_of_join(left, right, joining)
    roots = {"left": tables[0].storage.root, "right": tables[1].storage.root}
    asked = {**roots, **asdict(joining), **{f"{n}_wanted": t.as_dict() for n, t in zip(roots, filters, strict=True)}}
    out = DerivedTable(output_uri, contract, "asof", asked, config)
    paths = [f"{side}/{span[0].path}" for side, own in zip(roots, files, strict=True) for span in own]
    about = AsofSummary(
        table=out.table.storage.root,
        left=roots["left"],
        right=roots["right"],
        engine=engine.name,
        files_known=len(paths),
    )
    if out.is_of(paths):
        return about
    candidates = windows([*files[0], *files[1]], EARLIEST_US, LATEST_US, _TASK_ROWS, anywhere=True)
    parts = [window for window in candidates if within(files[0], window)]
    beside = ends_beside(right.rows, files[1], parts, joining.by, right.filters, out, engine, progress)
    tasks = [
        AsofTask(
            left=replace(left, files=_files(left, within(files[0], window))),
            right=replace(right, files=_files(right, within(files[1], window))),
            joining=joining,
            beside=names,
            window=window,
            work=out.work,
            writing=out.writing,
        )
        for window, names in zip(parts, beside, strict=True)
    ]
    try:
        with out.reading():
            made = engine.run(tasks, lambda done: progress(f"joining: {done} of {len(tasks)} tasks", 0, 0, 0))
    finally:
        list(out.work.ahead(out.work.delete, [name for names in beside for name in names]))
    totals = TaskTotals.of(made)
    _check(totals, files[0], sum(o.rows for o in totals.outputs), joining)
    summary = replace(about, rows_in=totals.rows, rows_left_out=totals.left_out, rows_matched=totals.matched)
    return out.commit(summary, totals.outputs, paths)


def _table(uri: str, config: Config) -> Table:
    """The table at a path: one of a source, or one that aggregate, rollup or resample has made."""
    storage = open_root(uri, config.storage)
    contract = sources.contracts().get(storage.root.rstrip("/").rpartition("/")[2])
    move = "Give LAKE/readings, a wide table, or a table that siltstone aggregate, rollup or resample has made."
    if not storage.exists():
        raise UsageError(f"no table at {storage.root}", move)
    for made, kinds in ((contract_of(AggregateSpec("1h")), ("aggregate", "rollup")), (RESAMPLED, ("resample",))):
        try:
            newest = newest_header(table_at(storage, made)) if contract is None else None
            is_made = newest is not None and newest.kind in kinds
        except TableFormatError:
            raise
        except UsageError:  # columns of another contract
            is_made = False
        contract = made if is_made else contract
    if contract is None or contract.is_history:
        refuse_lake(storage, _has_times)
        raise UsageError(f"{storage.root} has no rows to join by time", move)
    table = table_at(storage, contract)
    table.recover()
    if table.snapshot() is None:
        raise UsageError(f"no table at {storage.root}", move)
    return table


def _has_times(storage: Storage) -> bool:
    """Whether a table has rows to join by time."""
    contract = sources.contracts().get(storage.root.rpartition("/")[2])
    return kind_at(storage) in ("aggregate", "rollup", "resample") if contract is None else not contract.is_history


def _side(table: Table, filters: AggregateSpec) -> tuple[Side, list[DataFile]]:
    snapshot = table.snapshot()
    assert snapshot is not None
    names = (table.contract.time.name, *snapshot.schema.by_name)
    return Side(stored_rows(table, names, snapshot.schema), filters), table.files(snapshot)


def _files(side: Side, stored: Sequence[DataFile]) -> tuple[tuple[LoggedFile, str], ...]:
    return tuple((file.logged, file.partition[-1] if side.rows.place else "") for file in stored)


def _check(totals: TaskTotals, left: Sequence[Span], rows_out: int, joining: JoinSpec) -> None:
    """Raise AccountsError unless every row of the left table was read once, and was joined, left out or unmatched."""
    problems = []
    if (expected_rows := sum(file.rows for file, _, _ in left)) != totals.rows:
        problems.append(f"{expected_rows:,} rows are in the left table, {totals.rows:,} were read")
    expected = totals.matched if joining.how == "inner" else totals.rows - totals.left_out
    if rows_out != expected:
        problems.append(f"{expected:,} rows were joined, {rows_out:,} written")
    if problems:
        raise AccountsError("this join", problems)
