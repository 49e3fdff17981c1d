"""Proves a table against its manifests: sources and data files are read again, and every account is added up anew."""

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import polars as pl

from siltstone import ledger as ledgers
from siltstone.checks import DataCheck, DataFound, SourceCheck, SourceFound, Sums
from siltstone.config import Config
from siltstone.engine import Engine
from siltstone.errors import UsageError
from siltstone.planning import Stored
from siltstone.settings import settings_of
from siltstone.storage import Storage, open_root
from siltstone.table import Refused, Snapshot, Table
from siltstone.waves import Progress

_TASK_BYTES, _TASK_FILES = 64 << 20, 2_000

_File = tuple[str, Mapping[str, Any]]


def verify(table: Table, config: Config, engine: Engine, progress: Progress) -> dict[str, Any]:
    """What was checked, and every `problem` as a sentence; the settings must be those that the table was written with.

    Per source file: its bytes against the SHA-256 in the manifest, records read again against the account, and its
    rows in the table, by number, by cells and by a digest of their values. Per data file: size, rows, SHA-256. Source
    files that are gone or have changed since can't be read again: they are counted, and their rows still are.
    """
    started = time.time()
    table.recover()
    snapshot, stored = _at_rest(table)
    if snapshot.head is None:
        raise UsageError(f"{table.storage.root} has no runs yet", "siltstone compact makes one.")
    headers = ledgers.headers(table.storage, snapshot.head)
    accounts = ledgers.accounts(table.storage, snapshot.head)
    data = _data_found(table, stored, headers, snapshot, engine, progress)
    found = _sources_found(table, accounts, headers[0], snapshot, config, engine, progress)
    in_table: dict[str, Sums] = {}
    for result in data:
        for path, sums in result.sources.items():
            in_table.setdefault(path, Sums()).add(sums)
    problems = [problem for result in data for problem in result.problems]
    for row in accounts.iter_rows(named=True):
        problems += _problems(row, in_table.pop(row["path"], Sums()), found[row["path"]])
    for path, sums in in_table.items():
        problems.append(f"{path}: {sums.rows:,} rows of it are in the table, no manifest knows it")
    read = [f for f in found.values() if f.is_there]
    unchanged = [f for row in accounts.iter_rows(named=True) if (f := found[row["path"]]).sha256 == row["sha256"]]
    return {
        "table": table.storage.root,
        "engine": engine.name,
        "run": snapshot.head.name,
        "source_files": accounts.height,
        "sources_proven": len(unchanged),
        "sources_gone": accounts.height - len(read),
        "sources_changed": len(read) - len(unchanged),
        "data_files": len(stored),
        "rows": sum(s.rows for s in stored),
        "bytes": sum(s.bytes for s in stored),
        "problems": problems,
        "seconds": round(time.time() - started, 3),
    }


def _at_rest(table: Table) -> tuple[Snapshot, list[Stored]]:
    while True:
        snapshot = table.snapshot()
        if snapshot is None:
            raise UsageError(f"{table.storage.root} holds no table", "siltstone compact makes it.")
        try:
            return snapshot, table.files(snapshot)
        except Refused:
            continue


def _data_found(
    table: Table,
    stored: Sequence[Stored],
    headers: Sequence[Mapping[str, Any]],
    snapshot: Snapshot,
    engine: Engine,
    progress: Progress,
) -> list[DataFound]:
    digests = {output["path"]: output["sha256"] for header in headers for output in header["outputs"]}
    tasks = [
        DataCheck(
            table.contract.table, table.storage, s.path, s.partition, s.bytes, s.rows, digests.get(s.path, ""),
            snapshot.schema,
        )
        for s in stored
    ]  # fmt: skip
    return engine.run(tasks, lambda done: progress("reading data files", done, len(tasks), 0))


def _sources_found(
    table: Table,
    accounts: pl.DataFrame,
    newest: Mapping[str, Any],
    snapshot: Snapshot,
    config: Config,
    engine: Engine,
    progress: Progress,
) -> dict[str, SourceFound]:
    name = newest["source"]
    settings = settings_of(config, name)
    if settings.zone != newest["zone"]:
        written = f"{table.storage.root} was written with zone {newest['zone']!r}"
        raise UsageError(written, "Give it with --set or --conf.")
    root = config.compaction.source_root
    if newest["files named by"] != "whole path" and not root:
        raise UsageError(
            "the table names its files by their path below a root", "Give --set compaction.source_root=..."
        )
    files = [(*_place(row["path"], root), row) for row in accounts.iter_rows(named=True)]
    tasks = []
    for input_root, group in groupby(sorted(files, key=lambda f: f[:2]), key=lambda f: f[0]):
        source = Storage(input_root, config.storage)
        for batch in _batches([(path, row) for _, path, row in group]):
            listed = tuple((path, row["path"], row["modified_us"], row["size"]) for path, row in batch)
            tasks.append(SourceCheck(name, table.storage, source, listed, snapshot.schema, settings))
    results = engine.run(tasks, lambda done: progress("reading source files", done, len(tasks), 0))
    return {path: found for result in results for path, found in result.files.items()}


def _place(identity: str, source_root: str) -> tuple[str, str]:
    """The storage root and the path below it at which a source file lies."""
    if source_root:
        return open_root(source_root).root, identity
    scheme, found, rest = identity.partition("://")
    if found:
        bucket, _, key = rest.partition("/")
        return f"{scheme}://{bucket}", key
    return "/", identity.removeprefix("/")


def _batches(files: Sequence[_File]) -> Iterator[list[_File]]:
    batch: list[_File] = []
    size = 0
    for path, row in files:
        batch.append((path, row))
        size += row["size"]
        if size >= _TASK_BYTES or len(batch) >= _TASK_FILES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _problems(row: Mapping[str, Any], held: Sums, found: SourceFound) -> Iterator[str]:
    """What does not fit together: the manifest's account of a file, its rows in the table, and the file itself."""
    path, rows, kept = row["path"], row["rows_out"], row["rows_kept"]
    if held.rows != rows + kept:
        yield f"{path}: {held.rows:,} rows in the table, its manifest says {rows + kept:,}"
    elif not kept and held.cells != row["cells_stored"]:
        yield f"{path}: {held.cells:,} cells in the table, its manifest says {row['cells_stored']:,}"
    if not found.is_there or found.sha256 != row["sha256"] or kept:
        return
    if found.problem:
        if row["state"] != "quarantined":
            yield f"{path}: can't be read as before: {found.problem}"
        return
    records = found.sums.rows + found.refused
    if (records, found.refused) != (row["records_in"], row["records_quarantined"]):
        yield (
            f"{path}: {records:,} records with {found.refused:,} refused when read again, its manifest says "
            f"{row['records_in']:,} with {row['records_quarantined']:,}"
        )
    elif not row["duplicates_dropped"] and held.digest != found.sums.digest:
        yield f"{path}: values in the table are not those of the file"
