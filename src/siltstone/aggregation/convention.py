"""An output table made by the convention of another system; every run writes all rows, since they don't merge."""

import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from siltstone.aggregation.convention_tasks import ConventionTask, contract_of_convention, partitions_of, units_between
from siltstone.aggregation.input_table import InputVersion, input_table
from siltstone.aggregation.output_table import check_kind, check_same
from siltstone.aggregation.read_plan import Period, latest_us
from siltstone.aggregation.spec import AggregateSpec, with_rules_of
from siltstone.config.model import Config
from siltstone.config.task_settings import group_bytes_of, sizes_of
from siltstone.engine.tasks import Engine, Progress
from siltstone.model.data_files import DataFile
from siltstone.model.derived_summary import ConventionSummary
from siltstone.model.periods import LATEST_US
from siltstone.model.run_header import terms_of
from siltstone.storage import open_root
from siltstone.table.delta_table import Table
from siltstone.table.open import table_at
from siltstone.table.transaction import PlannedTable, commit, reading_at, retry
from siltstone.table.writer import WriterSettings

_TASK_ROWS = 8_000_000  # of data files, whose points one task holds, about


def aggregate_by_convention(
    input_uri: str,
    output_uri: str,
    terms: AggregateSpec,
    period: Period,
    config: Config,
    engine: Engine,
    progress: Progress,
) -> ConventionSummary:
    """Write a table with the measures of each series and window as `terms.convention` defines them; the run's summary.
    Windows go from the first point of a series to the latest instant of the table, or to the end of the period."""
    started = time.time()
    source = input_table(input_uri, terms, config)
    given = source, output_uri, terms, period, config, engine, progress
    summary = retry(lambda: _aggregate(*given), output_uri, progress)
    return replace(summary, seconds=round(time.time() - started, 3))


def _aggregate(
    source: Table,
    output_uri: str,
    terms: AggregateSpec,
    period: Period,
    config: Config,
    engine: Engine,
    progress: Progress,
) -> ConventionSummary:
    """One attempt: against one version of the input and one of the output."""
    stored = InputVersion.of(source, terms).stored
    storage = open_root(output_uri, config.storage)
    table = table_at(storage, contract_of_convention(terms), config.compaction.format)
    check_kind(table)
    planned = PlannedTable.of(table)
    terms = with_rules_of(terms_of(planned.newest), terms)
    check_same(table, planned.newest, terms, period, source.storage.root)
    latest = latest_us(stored, source.contract) or 0
    watermark = latest if period.end_us == LATEST_US else max(latest, period.end_us)
    tasks = _tasks(source, stored, table, terms, period, watermark, config)
    progress(f"{terms.convention}: {len(tasks)} tasks", 0, 0, 0)
    with reading_at(planned.table, planned.snapshot):
        written = engine.run(tasks, lambda _: None)
    summary = ConventionSummary(
        table=table.storage.root,
        input=source.storage.root,
        engine=engine.name,
        every=terms.buckets.name,
        convention=terms.convention,
        rows_in=sum(s.rows for s in stored),
        series=sum(w.series for w in written),
        watermark_us=watermark,
    )
    outputs = [o for w in written for o in w.outputs]
    extras = {"period": [period.start_us, period.end_us]}
    return commit(planned, "aggregate", summary, terms.as_dict(), outputs, planned.stored, extras)


def _tasks(
    source: Table,
    stored: Sequence[DataFile],
    table: Table,
    terms: AggregateSpec,
    period: Period,
    watermark: int,
    config: Config,
) -> list[ConventionTask]:
    unit, time_column = source.contract.sort_by
    task = ConventionTask(
        table=source.storage,
        writing=WriterSettings(table.storage, sizes_of(config), group_bytes_of(config), table.is_staged),
        partitions=(),
        site="",
        unit=unit,
        time=time_column,
        source=source.contract.table,
        terms=terms,
        window=(period.start_us, period.end_us),
        watermark_us=watermark,
    )
    tasks = []
    for site, parts in partitions_of(stored).items():
        files = [file for part in parts for file in part]
        count = -(-sum(file.rows for file in files) // _TASK_ROWS)
        cuts = units_between(source.storage, files, unit, count) if count > 1 else []
        for low, high in pairwise(["", *cuts, ""]):
            chosen = [tuple(file.logged for file in part if _may_have(file, unit, low, high)) for part in parts]
            tasks.append(replace(task, site=site, partitions=tuple(filter(None, chosen)), low=low, high=high))
    return tasks


def _may_have(file: DataFile, unit: str, low: str, high: str) -> bool:
    """Whether a data file may have rows of the units in [low, high); no unit is sorted before all units."""
    first, last = file.bounds.get(unit, (None, None))
    return not low or first is None or last is None or (str(last) >= low and (not high or str(first) < high))
