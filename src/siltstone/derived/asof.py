"""The as-of job: to each row of one table the row of another that was in force at its time, as a table."""

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
from siltstone.model.data_files import DataFile
from siltstone.model.periods import EARLIEST_US, LATEST_US
from siltstone.model.run_summary import AsofSummary
from siltstone.storage import open_root
from siltstone.table.delta_table import Table
from siltstone.table.open import refuse_lake, table_at
from siltstone.table.transaction import retry

_TASK_ROWS = 600_000  # of both sides that one task holds, about


def asof_tables(
    left_uri: str,
    right_uri: str,
    output_uri: str,
    wanted: tuple[AggregateSpec, AggregateSpec],
    joining: JoinSpec,
    config: Config,
    engine: Engine,
    progress: Progress,
) -> AsofSummary:
    """Write a table of the rows of one table, each with the row of another as of its time; the run's summary.

    `wanted`: whose filters choose the rows of either side. Raises UsageError for tables and columns that don't fit.
    """
    started = time.time()
    engine.warm_up(2, [AsofTask.__module__])
    given = (left_uri, right_uri), output_uri, wanted, joining, config, engine, progress
    summary = retry(lambda: _joined(*given), output_uri, progress)
    return replace(summary, seconds=round(time.time() - started, 3))


def _joined(
    uris: Sequence[str],
    output_uri: str,
    wanted: tuple[AggregateSpec, AggregateSpec],
    joining: JoinSpec,
    config: Config,
    engine: Engine,
    progress: Progress,
) -> AsofSummary:
    """One attempt: against one version of either table and one of the output."""
    tables = [_there(uri, config) for uri in uris]
    sides, files = [], []
    for table, terms in zip(tables, wanted, strict=True):
        side, stored = _side(table, terms)
        sides.append(side)
        files.append(spans(stored, table.contract))
    left, right = sides
    contract = contract_of_join(left, right, joining)
    roots = {"left": tables[0].storage.root, "right": tables[1].storage.root}
    asked = {**roots, **asdict(joining), **{f"{n}_wanted": t.as_dict() for n, t in zip(roots, wanted, strict=True)}}
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
    whole = windows([*files[0], *files[1]], EARLIEST_US, LATEST_US, _TASK_ROWS, anywhere=True)
    parts = [window for window in whole if within(files[0], window)]
    beside = ends_beside(right.rows, files[1], parts, joining.by, right.wanted, out, engine, progress)
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
        made = TaskTotals.of(
            engine.run(tasks, lambda done: progress(f"joining: {done} of {len(tasks)} tasks", 0, 0, 0))
        )
    finally:
        list(out.work.ahead(out.work.delete, [name for names in beside for name in names]))
    _check(made, files[0], sum(o.rows for o in made.outputs), joining)
    summary = replace(about, rows_in=made.rows, rows_left_out=made.left_out, rows_matched=made.matched)
    return out.commit(summary, made.outputs, paths)


def _there(uri: str, config: Config) -> Table:
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
        refuse_lake(storage)
        raise UsageError(f"{storage.root} has no rows to join by time", move)
    table = table_at(storage, contract)
    table.recover()
    if table.snapshot() is None:
        raise UsageError(f"no table at {storage.root}", move)
    return table


def _side(table: Table, wanted: AggregateSpec) -> tuple[Side, list[DataFile]]:
    snapshot = table.snapshot()
    assert snapshot is not None
    names = (table.contract.time.name, *snapshot.schema.by_name)
    return Side(stored_rows(table, names, snapshot.schema), wanted), table.files(snapshot)


def _files(side: Side, stored: Sequence[DataFile]) -> tuple[tuple[str, str], ...]:
    return tuple((file.path, file.partition[-1] if side.rows.place else "") for file in stored)


def _check(made: TaskTotals, left: Sequence[Span], rows_out: int, joining: JoinSpec) -> None:
    """Raise AccountsError unless every row of the left side was read once, and is joined, left out or unmatched."""
    problems = []
    if (there := sum(file.rows for file, _, _ in left)) != made.rows:
        problems.append(f"{there:,} rows are in the left table, {made.rows:,} were read")
    expected = made.matched if joining.how == "inner" else made.rows - made.left_out
    if rows_out != expected:
        problems.append(f"{expected:,} rows were joined, {rows_out:,} written")
    if problems:
        raise AccountsError("this join", problems)
