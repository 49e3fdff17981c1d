"""What a lake holds, as plain values: rows, files, sizes, partitions, runs, drift, quarantine."""

import difflib
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import polars as pl

from siltstone import sources
from siltstone.aggregation.output_table import is_output, output_at
from siltstone.config.model import Config
from siltstone.errors import UsageError
from siltstone.model.access import Access
from siltstone.model.layout import FOLDER
from siltstone.model.run_header import RunHeader
from siltstone.model.table_format import next_format
from siltstone.storage import Storage, open_root
from siltstone.table import ledger as ledgers
from siltstone.table.delta_table import Table
from siltstone.table.open import kind_at, refuse_lake, table_at, tables_in
from siltstone.table.quarantine import read_quarantine
from siltstone.table.transaction import newest_files

_RUN_KEYS = (
    *("committed", "engine", "files_ingested", "files_quarantined", "records_in", "rows_out", "records_quarantined"),
    *("files_superseded", "rows_superseded", "duplicates_dropped", "values_rescued", "columns_added"),
    *("files_written", "bytes_in", "bytes_written", "time_units"),
)
_SIZE_EDGES_MB = (0.0, 1, 10, 50, 100, 150, 200, 250, float("inf"))


def is_of_source(storage: Storage) -> bool:
    """Whether a path has the name of a table that compact makes."""
    return storage.root.rpartition("/")[2] in sources.contracts()


def _is_known(storage: Storage) -> bool:
    return is_of_source(storage) or is_output(storage)


def open_table(lake_uri: str, name: str, access: Access, takes: Callable[[Storage], bool] = _is_known) -> Table:
    """The lake's table of that name; UsageError names those there are, and of a lake in its place a table that the
    caller `takes`."""
    lake = open_root(lake_uri, access)
    contracts = sources.contracts()
    there = [known for known in contracts if lake.child(known).exists()]
    if name not in there:
        if (output := output_at(lake.child(name))) is not None:
            return output[0]
        refuse_lake(lake.child(name), takes)
        tables = tables_in(lake)
        if name in tables:
            raise _of_another_job(lake.child(name))
        near = difflib.get_close_matches(name, tables, 1)
        guess = f"Did you mean {lake.root}/{near[0]}? " if near else ""
        found = (
            f"{guess}Tables there: {', '.join(tables)}."
            if tables
            else "It has no tables; siltstone compact makes them."
        )
        raise UsageError(f"no table {name!r} in {lake.root}", found)
    return table_at(lake.child(name), contracts[name])


def _of_another_job(storage: Storage) -> UsageError:
    """The error that tells of a table which is neither of a source nor of aggregates by siltstone's definitions."""
    made_by = kind_at(storage)
    if made_by == "compact":
        return UsageError(
            f"{storage.root} is a table of siltstone compact under a name that no source gives",
            f"Give it its name again, one of {', '.join(sources.contracts())}.",
        )
    if not made_by:
        return UsageError(f"no run has committed to {storage.root} yet", "Repeat the command that makes it.")
    return UsageError(
        f"{storage.root} is a table of siltstone {made_by}, which show, quarantine, verify, optimize and vacuum don't "
        "take",
        f"siltstone {made_by} with the same arguments brings it up to date.",
    )


def is_table(lake_uri: str, name: str, access: Access) -> bool:
    """Whether a path means a table of the lake: there is one, or none, but others are in the lake."""
    lake = open_root(lake_uri, access)
    there = lake.child(name)
    return there.child(FOLDER).exists() or (not tables_in(there) and bool(tables_in(lake)))


def no_aggregates(table: Table, instead: str) -> Table:
    """The table, or UsageError for one of aggregates, saying what serves `instead`."""
    if table.contract.table not in sources.contracts():
        raise UsageError(f"{table.storage.root} is a table of aggregates", f"For those {instead}.")
    return table


def describe_lake(lake_uri: str, name: str | None, config: Config) -> dict[str, Any]:
    """Rows, files, sizes, partitions, runs, drift and quarantine counts of one table, or of all."""
    lake = open_root(lake_uri, config.storage)
    names = [name] if name is not None else sorted(t for t in sources.contracts() if lake.child(t).exists())
    if not names:
        raise UsageError(f"no tables in {lake.root}", "siltstone compact SOURCE INPUT LAKE makes one.")
    return {"lake": lake.root, "tables": [_describe(open_table(lake_uri, n, config.storage), config) for n in names]}


def newest_paths(lake_uri: str, name: str, config: Config) -> list[str]:
    """The paths or URIs of a table's data files at its newest version."""
    table = open_table(lake_uri, name, config.storage)
    return [table.storage.uri(file.path) for file in newest_files(table)[1]]


def _describe(table: Table, config: Config) -> dict[str, Any]:
    snapshot, files = newest_files(table)
    headers, sources_read = ledgers.history(table.storage, snapshot.head)
    runs = [h for h in headers if h.kind == "compact"]
    sizes = config.compaction
    low, high = sizes.min_file_mb * 1e6, sizes.max_file_mb * 1e6
    total = sum(f.bytes for f in files)
    partitions: dict[str, dict[str, int]] = {}
    for f in files:
        label = f.path.rpartition("/")[0]
        entry = partitions.setdefault(label, {"files": 0, "rows": 0, "bytes": 0})
        entry["files"] += 1
        entry["rows"] += f.rows
        entry["bytes"] += f.bytes
    return {
        "table": table.storage.root.rpartition("/")[2],
        "version": snapshot.version,
        "format": next_format((h.more for h in headers), table.storage.root),
        "rows": sum(f.rows for f in files),
        "files": len(files),
        "bytes": total,
        "columns": len(snapshot.schema.columns),
        "size_histogram_mb": _histogram([f.bytes for f in files]),
        "share_of_bytes_in_size": sum(f.bytes for f in files if low <= f.bytes <= high) / max(total, 1),
        "partitions": dict(sorted(partitions.items())),
        "runs": [_run(header) for header in headers],
        "drift": [{"run": h.name, "column": n, "kind": k, "key": key} for h in runs for n, k, key in h.columns],
        "files_quarantined": sources_read.filter(state="quarantined").height,
        "files_salvaged": sources_read.filter(lane="salvaged").height,
        "records_quarantined": sources_read["records_quarantined"].sum(),
        "values_rescued": sources_read["values_rescued"].sum(),
    }


def _run(header: RunHeader) -> dict[str, Any]:
    """What happened in a run of a kind: `compact`, or `settle`, which only has files removed and written."""
    about = {"run": header.name, "kind": header.kind, "files_removed": len(header.removed)}
    if header.kind != "compact":
        return {
            **about,
            "committed": header.committed,
            "engine": header.engine,
            "files_written": len(header.outputs),
            "bytes_written": sum(o["bytes"] for o in header.outputs),
        }
    fields = header.as_dict()
    return {**about, **{key: fields[key] for key in _RUN_KEYS}}


def _histogram(sizes: Sequence[int]) -> dict[str, int]:
    """Files by size in MB: label -> how many; only labels with files."""
    counts: dict[str, int] = {}
    for low, high in pairwise(_SIZE_EDGES_MB):
        count = sum(low * 1e6 <= size < high * 1e6 for size in sizes)
        if count:
            counts[f"{low:g}-{high:g}" if high < float("inf") else f"over {low:g}"] = count
    return counts


def quarantined(lake_uri: str, name: str, access: Access) -> pl.DataFrame:
    """Every refused record or file of the files as they count today, newest run first (columns as QUARANTINE, and
    `run`): refusals of a version that was replaced are history."""
    table = open_table(lake_uri, name, access)
    snapshot = table.snapshot()
    headers, files = ledgers.history(table.storage, snapshot.head if snapshot else None)
    frames = [
        read_quarantine(table.storage, header.quarantine).with_columns(run=pl.lit(header.name))
        for header in (RunHeader(), *headers)
    ]
    counted = files.select("run", source_file="path")
    return pl.concat(frames).join(counted, on=["run", "source_file"], how="semi", maintain_order="left")
