"""The output table at a path: opened, held against what it was made with, its files against what was written."""

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
    """The table to write, of the configured format where it is new; UsageError where one of another kind is there."""
    storage = open_root(uri, config.storage)
    table = table_at(storage, contract_of(terms), config.compaction.format).for_writing()
    check_kind(table)
    return table


def check_kind(table: Table) -> None:
    """Raise UsageError where a table is at the path that neither aggregate nor rollup has made; one that no run has
    committed to may be theirs."""
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
    """What the newest run said of itself; None before the first."""
    snapshot = table.snapshot()
    return None if snapshot is None else ledgers.load(table.storage, snapshot.head).newest


def edges_of(table: Table, terms: AggregateSpec) -> Storage:
    """Where an output keeps the edges of data files: they depend on what is read, not on the buckets."""
    meaning = json.dumps([terms.columns, terms.rules, terms.series, terms.devices, terms.measurements, terms.sites])
    return table.storage.child(FOLDER, "edges", hashlib.sha256(meaning.encode()).hexdigest()[:16])


def check_same(
    table: Table, newest: RunHeader | None, terms: AggregateSpec, period: Period, source: str, *, full: bool = False
) -> None:
    """Raise UsageError where an output was made with other terms or of another table than are asked for now; `full`: by
    other rules is no matter, since every row is made anew."""
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
        told = [_OPTIONS.get(n) or _told(n, before.get(n), now[n]) for n in other]
        told = [f" {told[0]}"] if len(told) == 1 else [f"\n  {line}" for line in told]
        raise UsageError(
            f"{table.storage.root} was made with other terms:{''.join(told)}",
            "Give the same, or another folder for the output.",
        )


_OPTIONS = {
    "period": "another --from or --to",
    "rules": "other rules for reading between points (--rules, or siltstone's own)",
}


_FEW = 4  # values that are told as they were and as they are; of more what came and what went


def _told(name: str, before: Any, now: Any) -> str:
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


def output_at(storage: Storage) -> tuple[Table, RunHeader] | None:
    """The table of aggregates at a path, whatever its measures, and what its newest run said; None where there is
    none."""
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
