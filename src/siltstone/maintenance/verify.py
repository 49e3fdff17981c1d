"""Proves a table against its manifests: sources and data files are read again, and every account is added up anew."""

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, cast

import polars as pl

from siltstone import sources
from siltstone.config.model import Config
from siltstone.config.task_settings import options_of, settings_of
from siltstone.engine.tasks import Engine, Progress
from siltstone.errors import UsageError
from siltstone.maintenance.verify_tasks import DataCheck, DataFound, SourceCheck, SourceFound, SourcesFound, Sums
from siltstone.mapping.dataset import Dataset, WideDataset
from siltstone.model.contracts import Contract
from siltstone.model.data_files import DataFile, is_own_name
from siltstone.model.run_header import RunHeader
from siltstone.model.run_summary import VerifySummary
from siltstone.storage import Storage, open_root
from siltstone.table import ledger as ledgers
from siltstone.table.delta_table import Snapshot, Table
from siltstone.table.ledger import Head
from siltstone.table.other_writers import changes_by_others
from siltstone.table.quarantine import read_quarantine
from siltstone.table.transaction import newest_files
from siltstone.table.writer import folder_of

_TASK_BYTES, _TASK_FILES = 64 << 20, 2_000

_File = tuple[str, Mapping[str, Any]]


def verify(table: Table, config: Config, engine: Engine, progress: Progress) -> VerifySummary:
    """What was checked, and every `problem` as a sentence; the settings must be those that the table was written with.

    Per source file: its bytes against the SHA-256 in the manifest, records read again against the account, and its
    rows in the table, by number, by cells and by a digest of their values. Per data file: size, rows, SHA-256. Source
    files that are gone or have changed since can't be read again: they are counted, and their rows still are.
    """
    started = time.time()
    table.recover()
    snapshot, stored = newest_files(table)
    if snapshot.head is None:
        raise UsageError(f"{table.storage.root} has no runs yet", "siltstone compact makes one.")
    headers = ledgers.headers(table.storage, snapshot.head)
    accounts = ledgers.accounts(table.storage, snapshot.head)
    datasets = _datasets(accounts, config)
    sources_tasks = [
        task
        for name, own in datasets.items()
        for task in _source_checks(table, accounts.filter(dataset=name), headers[0], snapshot, config, own)
    ]
    data_tasks = _data_checks(table, stored, headers, snapshot)
    data = engine.run(data_tasks, lambda done: progress("reading data files", done, len(data_tasks), 0))
    results = engine.run(sources_tasks, lambda done: progress("reading source files", done, len(sources_tasks), 0))
    _refuse_unseen(sources_tasks, results)
    found = {path: SourceFound(is_there=False) for path in accounts["path"]}  # some only others have named
    found |= {path: file for result in results for path, file in result.files.items()}
    problems = [*_changes_of_others(table, snapshot), *_problems_of_files(data_tasks, data, datasets, table)]
    problems += [*_missing_refusals(table.storage, snapshot.head), *_problems_of_sources(accounts, data, found)]
    read = [(found[row["path"]], row) for row in accounts.iter_rows(named=True) if found[row["path"]].is_there]
    unchanged = [row for file, row in read if file.sha256 == row["sha256"]]
    return VerifySummary(
        table=table.storage.root,
        engine=engine.name,
        run=snapshot.head.name,
        source_files=accounts.height,
        sources_proven=len(unchanged),
        sources_gone=accounts.height - len(read),
        sources_changed=len(read) - len(unchanged),
        data_files=len(stored),
        rows=sum(s.rows for s in stored),
        bytes=sum(s.bytes for s in stored),
        problems=problems,
        seconds=round(time.time() - started, 3),
    )


def _refuse_unseen(tasks: Sequence[SourceCheck], results: Sequence[SourcesFound]) -> None:
    """Raise StorageError where no task found a source file that this process reads."""
    if not any(file.is_there for result in results for file in result.files.values()):
        for task in tasks:
            task.input.refuse_unseen((path, "") for path, *_ in task.files)


def _problems_of_files(
    tasks: Sequence[DataCheck],
    found: Sequence[DataFound],
    datasets: Mapping[str, tuple[Dataset, Any]],
    table: Table,
) -> Iterator[str]:
    for task, result in zip(tasks, found, strict=True):
        yield from result.problems
        yield from _misplaced(task, result, datasets, table.contract)


def _changes_of_others(table: Table, snapshot: Snapshot) -> Iterator[str]:
    others = changes_by_others(table, snapshot, ledgers.load(table.storage, snapshot.head))
    if others is not None and others.kind != "files":
        yield f"other writers have changed rows of the table since run {others.run}: {others}. {others.move}"


def _problems_of_sources(
    accounts: pl.DataFrame, data: Sequence[DataFound], found: Mapping[str, SourceFound]
) -> Iterator[str]:
    """Where accounts, source files and rows of the table don't fit together."""
    in_table: dict[str, Sums] = {}
    for result in data:
        for path, sums in result.sources.items():
            in_table.setdefault(path, Sums()).add(sums)
    for row in accounts.iter_rows(named=True):
        yield from _problems(row, in_table.pop(row["path"], Sums()), found[row["path"]])
    for path, sums in in_table.items():
        yield f"{path}: {sums.rows:,} rows of it are in the table, no manifest knows it"


def _data_checks(
    table: Table, stored: Sequence[DataFile], headers: Sequence[RunHeader], snapshot: Snapshot
) -> list[DataCheck]:
    digests = {output["path"]: output["sha256"] for header in headers for output in header.outputs}
    bounds = table.bounds(snapshot)
    return [
        DataCheck(
            contract=table.contract.table,
            table=table.storage,
            path=s.path,
            partition=s.partition,
            bytes=s.bytes,
            rows=s.rows,
            sha256=digests.get(s.path, ""),
            schema=snapshot.schema,
            bounds=bounds.get(s.path, {}) if is_own_name(s.path) else {},
        )
        for s in stored
    ]


def _datasets(accounts: pl.DataFrame, config: Config) -> dict[str, tuple[Dataset, dict[str, Any]]]:
    """The datasets whose files the table has, and the options of each."""
    names = accounts.filter(pl.col("dataset") != ledgers.NO_DATASET)["dataset"].unique(maintain_order=True)
    found = {name: options_of(config, name) for name in names}
    return {name: (sources.dataset(name, options), options) for name, options in found.items()}


def _source_checks(
    table: Table,
    accounts: pl.DataFrame,
    newest: RunHeader,
    snapshot: Snapshot,
    config: Config,
    own: tuple[Dataset, dict[str, Any]],
) -> list[SourceCheck]:
    """Raises UsageError where the settings are not those that the table was written with."""
    dataset, options = own
    settings = settings_of(config, dataset.name, newest.grain or "day")
    learned = newest.learned_by_dataset[dataset.name]
    if settings.rules.zone != learned["zone"]:
        written = f"{table.storage.root} was written with zone {learned['zone']!r}"
        raise UsageError(written, "Give it with --set or --conf.")
    root = config.compaction.source_root
    if learned["files named by"] != "whole path" and not root:
        raise UsageError(
            "the table names its files by their path below a root", "Give --set compaction.source_root=..."
        )
    read = accounts.filter((pl.col("records_in") > 0) | (pl.col("sha256") != ""))
    files = [(*place_of(row["path"], root), row) for row in read.iter_rows(named=True)]
    tasks = []
    for input_root, group in groupby(sorted(files, key=lambda f: f[:2]), key=lambda f: f[0]):
        source = Storage(input_root, config.storage)
        for batch in _batches([(path, row) for _, path, row in group]):
            listed = tuple(
                (path, row["path"], row["modified_us"], row["size"], row["sha256"] if _is_comparable(row) else "")
                for path, row in batch
            )
            places = table.storage, source
            tasks.append(SourceCheck(dataset.name, options, *places, listed, snapshot.schema, settings))
    return tasks


def _is_comparable(row: Mapping[str, Any]) -> bool:
    """Whether the rows in the table are those of the version that the account is about."""
    return row["state"] not in ("quarantined", ledgers.EDITED) and not row["rows_kept"] + row["duplicates_kept"]


def _misplaced(
    task: DataCheck, found: DataFound, datasets: Mapping[str, tuple[Dataset, Any]], contract: Contract
) -> Iterator[str]:
    """Where a file's folder, its partition and the sites of its source files disagree."""
    if task.path.rpartition("/")[0] != folder_of(contract, task.partition):
        yield f"{task.path}: the log says that it is of {'/'.join(task.partition)}"
    if contract.key or not datasets:
        return  # their rows say themselves where they belong, and a digest of each source proves the date
    ((dataset, _),) = datasets.values()
    wide = cast(WideDataset, dataset)
    sites = {wide.partition_of(p, 0)[1] for path in found.sources if (p := wide.locate(path)) is not None}
    if sites - {task.partition[1]}:
        yield f"{task.path}: has rows of {', '.join(sorted(sites))} in the partition {task.partition[1]}"


def _missing_refusals(table: Storage, head: Head) -> Iterator[str]:
    """Where the quarantine does not hold what the accounts say was refused."""
    headers, files = ledgers.history(table, head)
    kept: dict[tuple[str, str], list[int]] = {}
    for header in headers:
        entries = read_quarantine(table, header.quarantine, ["source_file", "line"])
        for path, line in entries.iter_rows():
            counts = kept.setdefault((header.name, path), [0, 0])
            counts[line is None] += 1
    for row in files.filter((pl.col("records_quarantined") > 0) | (pl.col("state") == "quarantined")).iter_rows(
        named=True
    ):
        path, said = row["path"], row["records_quarantined"]
        records, whole = kept.get((row["run"], path), (0, 0))
        if records != said:
            yield f"{path}: {records:,} refused records are kept, its manifest says {said:,}"
        if row["state"] == "quarantined" and not whole:
            yield f"{path}: was refused as a whole, but the quarantine has no entry of it"


def place_of(identity: str, source_root: str) -> tuple[str, str]:
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
    path, rows = row["path"], row["rows_out"] + row["rows_kept"]
    if held.rows != rows:
        yield f"{path}: {held.rows:,} rows in the table, its manifest says {rows:,}"
    elif not row["rows_kept"] and held.cells != row["cells_stored"]:
        yield f"{path}: {held.cells:,} cells in the table, its manifest says {row['cells_stored']:,}"
    if not found.is_there or found.sha256 != row["sha256"] or not _is_comparable(row):
        return
    if found.problem:
        yield f"{path}: can't be read as before: {found.problem}"
        return
    records = found.sums.rows + found.repeated + found.refused - row["rows_split"] + row["records_empty"]
    if (records, found.refused) != (row["records_in"], row["records_quarantined"]):
        yield (
            f"{path}: {records:,} records with {found.refused:,} refused when read again, its manifest says "
            f"{row['records_in']:,} with {row['records_quarantined']:,}"
        )
    elif not row["duplicates_dropped"] + row["keys_superseded"] + found.repeated and held.digest != found.sums.digest:
        yield f"{path}: values in the table are not those of the file"
