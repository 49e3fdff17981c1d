"""What a run does first where others have changed a table's data files: files with the same rows are written anew as
siltstone's own, a version that was put back is gone on from, and changed rows end the run."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from siltstone.config.model import Config
from siltstone.config.task_settings import group_bytes_of, sizes_of
from siltstone.engine.tasks import Engine, Progress
from siltstone.errors import AccountsError
from siltstone.model.accounts import FileAccount
from siltstone.model.data_files import DataFile, NewFile
from siltstone.model.run_header import RunHeader
from siltstone.model.run_summary import TakeOverSummary
from siltstone.table import ledger as ledgers
from siltstone.table.delta_table import Change, Table
from siltstone.table.footers import check_footers
from siltstone.table.ledger import NO_DATASET, Head
from siltstone.table.other_writers import TAKEN_OVER, OtherWriters, with_digest
from siltstone.table.refusals import Refused
from siltstone.table.transaction import TableVersion, reading_at
from siltstone.table.writer import WriterSettings
from siltstone.version import __version__

_CARRIED = ("source", "dataset", "zone", "grain")


def own_version(
    table: Table, config: Config, engine: Engine, progress: Progress
) -> tuple[TableVersion, TakeOverSummary | None]:
    """The newest version of a table, once what others did to its data files is siltstone's own; and what that was.

    Raises OtherWriterError where rows were changed, Refused where somebody commits meanwhile.
    """
    version = TableVersion.newest(table)
    if version.others is None:
        return version, None
    summary = taken_over(version, config, engine, progress)
    version = TableVersion.newest(table)
    if version.others is not None:
        raise Refused("another writer has changed data files again")
    return version, summary


def taken_over(version: TableVersion, config: Config, engine: Engine, progress: Progress) -> TakeOverSummary:
    """Commit what others did to the data files as siltstone's own; what that was.

    Raises OtherWriterError where rows were changed, Refused where somebody commits meanwhile.
    """
    others = version.others
    assert others is not None
    if has_changed_rows(version, others, engine):
        raise others.refusal()
    if others.kind == "restored":
        return _gone_on_from(version, others, engine, progress)
    progress(f"taking over {len(others.come):,} files of another writer ({others})", 0, len(others.come), 0)
    with reading_at(version.table, version.snapshot):
        outputs = written_anew(version, others.come, config, engine)
    removed = [*others.gone, *others.come]
    header = header_after(version.ledger.newest, "settle", engine, removed, outputs)
    header = replace(header, more={**header.more, TAKEN_OVER: [s.path for s in others.come]})
    run = commit_files(version, header, others.come, outputs)
    return TakeOverSummary(
        run=run,
        what="files",
        by=str(others),
        files_removed=len(others.come),
        files_written=len(outputs),
        rows=sum(o.rows for o in outputs),
    )


def has_changed_rows(version: TableVersion, others: OtherWriters, engine: Engine) -> bool:
    """Whether others changed rows, and did not only store the same ones in other files. The log says so; where it has
    been cleaned up, the rows are compared, and where the files of before are gone too, it may be."""
    if others.kind == "rows" or others.has_all_commits or others.kind == "restored":
        return others.kind == "rows"
    from siltstone.maintenance.rows_by_source import rows_by_source  # what verify reads by

    before = rows_by_source(version.table, version.snapshot.schema, others.gone, engine, are_former=True)
    after = rows_by_source(version.table, version.snapshot.schema, others.come, engine)
    return bool(before.missing) or before.sums != after.sums


def _gone_on_from(version: TableVersion, others: OtherWriters, engine: Engine, progress: Progress) -> TakeOverSummary:
    """Let the run whose data files were put back be the parent of what comes: the ledger is what it was then."""
    table, back_to = version.table, others.restored_to
    restored = ledgers.load(table.storage, Head.of_header(back_to) if back_to else None)
    known = {(path, sha256) for path, sha256 in restored.entries.select("path", "sha256").iter_rows()}
    unknown = sum(entry not in known for entry in version.ledger.entries.select("path", "sha256").iter_rows())
    place = f"after run {back_to.name}" if back_to else "before the first run"
    progress(f"going on from the version {place}, which was put back ({others})", 0, 0, 0)
    # Before the first run nothing was known; what the rows mean that others may put back once more is kept.
    header = header_after(restored.newest or version.ledger.newest, "restore", engine, others.gone, [])
    parent = replace(restored, format=version.ledger.format)
    run = commit_files(replace(version, ledger=parent), header, [], [])
    return TakeOverSummary(run=run, what="restored", by=str(others), sources_unknown=unknown)


def written_anew(version: TableVersion, files: Sequence[DataFile], config: Config, engine: Engine) -> Sequence[NewFile]:
    """Data files of another writer written anew as siltstone's own, row for row."""
    from siltstone.maintenance.others_file_task import OthersFileTask  # few runs need it

    table, schema = version.table, version.snapshot.schema
    writing = WriterSettings(table.storage, sizes_of(config), group_bytes_of(config), table.is_staged)
    memory_bytes = config.engine.memory_mb << 20
    tasks = [OthersFileTask(table.contract.table, writing, f.partition, f.logged, schema, memory_bytes) for f in files]
    results = engine.run(tasks, lambda _: None)
    problems = [
        f"{file.path}: {file.rows:,} rows to take over, {result.rows:,} written"
        for file, result in zip(files, results, strict=True)
        if file.rows != result.rows
    ]
    outputs = [o for r in results for o in r.outputs]
    problems += check_footers(table.storage, table.contract, schema, outputs, sum(r.cells for r in results))
    if problems:
        raise AccountsError("this run", problems)
    return outputs


def header_after(
    newest: RunHeader | None, kind: str, engine: Engine, removed: Sequence[DataFile], outputs: Sequence[NewFile]
) -> RunHeader:
    """The header of a run that only puts data files in the place of others; it carries on what the newest one knew."""
    about: Mapping[str, Any] = {} if newest is None else newest.as_dict()
    return replace(
        RunHeader.from_dict({key: value for key, value in about.items() if key in _CARRIED}),
        kind=kind,
        siltstone=__version__,
        engine=engine.name,
        committed=datetime.now(UTC).isoformat(timespec="seconds"),
        learned={} if newest is None else newest.learned_by_dataset,
        removed=[s.path for s in removed],
        outputs=[o.as_dict() for o in outputs],
        quarantine=[],
        columns=[],
    )


def commit_files(
    version: TableVersion,
    header: RunHeader,
    removed: Sequence[DataFile],
    outputs: Sequence[NewFile],
    accounts: Sequence[FileAccount] = (),
) -> str:
    """Commit a header over a version that others have changed, with `outputs` in the place of `removed` files and new
    `accounts` of source files; the run's name."""
    table, snapshot = version.table, version.snapshot
    head = Head.after(snapshot.head)
    header = with_digest(header, table, snapshot, None, outputs, removed)
    datasets = dict(version.ledger.entries.select("path", "dataset").iter_rows()) if accounts else {}
    ledgers.write_manifest(table.storage, head, version.ledger, header, accounts, NO_DATASET, datasets)
    info = {"run": head.name, header.kind: len(removed)}
    table.commit(Change(head, outputs, info, removed=removed, data_change=False), snapshot)
    return head.name
