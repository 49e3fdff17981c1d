"""An output table made by another system's convention; always whole, since its rows don't merge."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from siltstone import __version__
from siltstone import ledger as ledgers
from siltstone.aggregation.convention_tasks import ConventionTask, contract_of_convention, partitions_of
from siltstone.aggregation.input_table import check_columns, input_table
from siltstone.aggregation.output_table import check_output, check_same, is_output
from siltstone.aggregation.reading_plan import LATEST_US, Period, latest_us
from siltstone.aggregation.terms import Terms
from siltstone.config import Config
from siltstone.engine import Engine
from siltstone.errors import AccountsError, UsageError
from siltstone.ledger import Head
from siltstone.planning import Stored
from siltstone.settings import sizes_of
from siltstone.storage import open_root
from siltstone.table import Change, Table
from siltstone.tables import table_at
from siltstone.waves import Progress


def aggregate_by_convention(
    input_uri: str, output_uri: str, terms: Terms, period: Period, config: Config, engine: Engine, progress: Progress
) -> dict[str, Any]:
    """Write a table of what `terms.convention` says of each series and window; the run's summary. Windows go from a
    series' first point to the latest instant of the table, or to the end of the period."""
    started = time.time()
    engine.prepare(1)
    source = input_table(input_uri, terms, config)
    storage = open_root(output_uri, config.storage)
    table = table_at(storage, contract_of_convention(terms), config.compaction.format)
    if table.snapshot() is None:
        table.create()
    elif not is_output(table):
        raise UsageError(f"{storage.root} is no table of aggregates", "Give a new folder.")
    source.recover()
    table.recover()
    snapshot, planned = source.snapshot(), table.snapshot()
    assert snapshot is not None
    check_columns(source, snapshot, terms)
    assert planned is not None
    ledger = ledgers.load(table.storage, planned.head)
    check_same(table, ledger.newest, terms, period, source.storage.root)
    stored, old = source.files(snapshot), table.files(planned)
    latest = latest_us(stored, source.contract) or 0
    watermark = latest if period.end_us == LATEST_US else max(latest, period.end_us)
    tasks = _tasks(source, stored, table, terms, period, watermark, config)
    progress(f"{terms.convention}: {len(tasks)} tasks", 0, 0, 0)
    written = engine.run(tasks, lambda _: None)
    outputs = [o for w in written for o in w.outputs]
    if problems := check_output(table, outputs, planned.schema):
        raise AccountsError("this aggregate", problems)
    rows = sum(o.rows for o in outputs)
    summary = {
        "table": table.storage.root,
        "input": source.storage.root,
        "engine": engine.name,
        "every": terms.buckets.name,
        "convention": terms.convention,
        "rows_in": sum(s.rows for s in stored),
        "series": sum(w.series for w in written),
        "rows_out": rows,
        "rows": rows,
        "provisional": 0,
        "files_written": len(outputs),
        "files_removed": len(old),
        "bytes_written": sum(o.bytes for o in outputs),
        "watermark_us": watermark,
    }
    head = Head.after(planned.head)
    header = {
        **summary,
        "kind": "aggregate",
        "siltstone": __version__,
        "terms": terms.as_dict(),
        "period": [period.start_us, period.end_us],
        "files": [],
        "committed": datetime.now(UTC).isoformat(timespec="seconds"),
        "removed": [s.path for s in old],
        "outputs": [o.as_dict() for o in outputs],
        "quarantine": [],
        "columns": [],
    }
    ledgers.write_manifest(table.storage, head, ledger, header, [], dataset="aggregate")
    table.commit(Change(head, outputs, {"run": head.name, "rows": rows}, removed=old), planned)
    return {**summary, "run": head.name, "seconds": round(time.time() - started, 3)}


def _tasks(
    source: Table, stored: Sequence[Stored], table: Table, terms: Terms, period: Period, watermark: int, config: Config
) -> list[ConventionTask]:
    unit, time_column = source.contract.sort_by
    return [
        ConventionTask(
            table=source.storage,
            out=table.storage,
            partitions=partitions,
            site=site,
            unit=unit,
            time=time_column,
            source=source.contract.table,
            terms=terms,
            window=(period.start_us, period.end_us),
            watermark_us=watermark,
            sizes=sizes_of(config),
            group_bytes=round(config.compaction.row_group_mb * (1 << 20)),
            is_staged=table.is_staged,
        )
        for site, partitions in partitions_of([(s.partition, s.path) for s in stored]).items()
    ]
