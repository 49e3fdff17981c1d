"""The output table at a path: opened, and compared with the terms that it was made with."""

import hashlib
import json
from typing import Any

from siltstone.aggregation.output_rows import contract_of
from siltstone.aggregation.read_plan import Period
from siltstone.aggregation.spec import AggregateSpec
from siltstone.config.model import Config
from siltstone.errors import TableFormatError, UsageError
from siltstone.model.layout import FOLDER
from siltstone.model.run_header import RunHeader
from siltstone.storage import Storage, open_root
from siltstone.table import ledger as ledgers
from siltstone.table.delta_table import Table
from siltstone.table.open import table_at


def output_table(uri: str, terms: AggregateSpec, config: Config) -> Table:
    """The table to write, of the configured format if it is new. Raises UsageError if a table of another kind is at the
    path."""
    storage = open_root(uri, config.storage)
    table = table_at(storage, contract_of(terms), config.compaction.format).for_writing()
    check_kind(table)
    return table


def check_kind(table: Table) -> None:
    """Raise UsageError if the table was made by another job than aggregate or rollup. A table to which no run has
    committed may be theirs."""
    try:
        newest = newest_header(table)
        kind = newest.kind if newest else "aggregate"
    except TableFormatError:
        raise
    except UsageError:  # columns that no output has
        kind = "another"
    if kind not in ("aggregate", "rollup"):
        raise UsageError(f"{table.storage.root} is no table of aggregates", "Give a new folder.")


def newest_header(table: Table) -> RunHeader | None:
    """The header of the newest run's manifest; None before the first run."""
    snapshot = table.snapshot()
    return None if snapshot is None else ledgers.load(table.storage, snapshot.head).newest


def edges_of(table: Table, terms: AggregateSpec) -> Storage:
    """The folder of an output with boundary points of data files: they depend on what is read, not on the buckets."""
    meaning = json.dumps([terms.columns, terms.rules, terms.series, terms.devices, terms.measurements, terms.sites])
    return table.storage.child(FOLDER, "edges", hashlib.sha256(meaning.encode()).hexdigest()[:16])


def check_same(
    table: Table, newest: RunHeader | None, terms: AggregateSpec, period: Period, source: str, *, full: bool = False
) -> None:
    """Raise UsageError if an output was made with other terms, or of another table. With `full` rules may differ, since
    every row is computed again."""
    if newest is None:
        return
    before, now = newest.terms or {}, json.loads(json.dumps(terms.as_dict()))
    other = [name for name in now if before.get(name) != now[name]]
    if full and "rules" in other:
        other.remove("rules")
    if newest.input != source:
        raise UsageError(
            f"{table.storage.root} was made of {newest.input}, not of {source}",
            "Give another folder for the output.",
        )
    if newest.period != [period.start_us, period.end_us]:
        other.append("period")
    if other:
        changes = [_OPTIONS.get(n) or _change(n, before.get(n), now[n]) for n in other]
        changes = [f" {changes[0]}"] if len(changes) == 1 else [f"\n  {line}" for line in changes]
        raise UsageError(
            f"{table.storage.root} was made with other terms:{''.join(changes)}",
            "Give the same, or another folder for the output.",
        )


_OPTIONS = {
    "period": "another --from or --to",
    "rules": "other rules for reading between points (--rules, or siltstone's own)",
}


_FEW = 4  # values of both lists that are shown whole; of longer ones only what was added and removed


def _change(name: str, before: Any, now: Any) -> str:
    option = {"devices": "device", "measurements": "measurement", "sites": "site", "measures": "measure"}.get(
        name, name
    )
    option = f"--{option.replace('_', '-')}"
    if isinstance(before, list) and len(before) + len(now) > _FEW:
        changes = {"without": [v for v in before if v not in now], "with": [v for v in now if v not in before]}
        return f"{option} now " + ", ".join(f"{how} {_shown(values)}" for how, values in changes.items() if values)
    return f"{option} {_shown(before)}, now {_shown(now)}"


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value) or "none"


def is_output(storage: Storage) -> bool:
    """Whether a table of aggregates lies at a path."""
    return output_at(storage) is not None


def output_at(storage: Storage) -> tuple[Table, RunHeader] | None:
    """The table of aggregates at a path, with any measures, and the header of its newest run; None if there is no such
    table."""
    if not storage.exists():
        return None
    table = table_at(storage, contract_of(AggregateSpec("1h")))
    try:
        header = newest_header(table)
    except TableFormatError:
        raise
    except (UsageError, KeyError):  # a table of something else
        return None
    return (table, header) if header is not None and header.kind in ("aggregate", "rollup") else None
