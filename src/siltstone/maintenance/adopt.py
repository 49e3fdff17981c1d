"""Adopt: rows that another writer changed become siltstone's own, and the accounts of their source files say so."""

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from siltstone.config.model import Config
from siltstone.engine.tasks import Engine, Progress
from siltstone.errors import OtherWriterError
from siltstone.maintenance.rows_by_source import Edit, edits_by_comparison, edits_by_count, rows_by_source
from siltstone.maintenance.take_over import commit_files, has_changed_rows, header_after, taken_over, written_anew
from siltstone.model.run_summary import AdoptSummary
from siltstone.table import ledger as ledgers
from siltstone.table.delta_table import Table
from siltstone.table.ledger import EDITED
from siltstone.table.other_writers import OtherWriters
from siltstone.table.transaction import TableVersion, reading_at, retry


def adopt(table: Table, config: Config, engine: Engine, progress: Progress, *, does: bool) -> AdoptSummary:
    """What other writers changed in a table since siltstone's newest run, by source file; where it `does`, the rows
    are siltstone's own from then on.

    Raises OtherWriterError for a table that was made of others, which its own command makes anew, and for a history
    with rows of no snapshot that a run has read; LostRaceError.
    """
    started = time.time()
    attempt = partial(_adopt, table.for_writing() if does else table, config, engine, progress, does=does)
    summary = retry(attempt, table.storage.root, progress, outcome="nothing was adopted")
    return replace(summary, seconds=round(time.time() - started, 3))


def _adopt(table: Table, config: Config, engine: Engine, progress: Progress, *, does: bool) -> AdoptSummary:
    version = TableVersion.newest(table)
    newest, others = version.ledger.newest, version.others
    summary = AdoptSummary(table=table.storage.root, engine=engine.name)
    if others is None:
        return summary
    if others.is_derived:
        raise others.refusal()
    summary = replace(summary, what=others.kind, by=str(others))
    if not has_changed_rows(version, others, engine):
        return replace(summary, run=taken_over(version, config, engine, progress).run) if does else summary
    summary = replace(summary, what="rows")
    progress(f"comparing {len(others.gone) + len(others.come):,} data files", 0, 0, 0)
    with reading_at(table, version.snapshot):
        edits, files_missing = _edits(version, others, engine)
        if table.contract.is_history:
            _refuse_unknown(version, edits)
        summary = replace(summary, sources=[edit.as_dict() for edit in edits], files_missing=files_missing)
        if not does:
            return summary
        outputs = written_anew(version, others.come, config, engine)
    header = header_after(newest, "adopt", engine, [*others.gone, *others.come], outputs)
    run = commit_files(version, header, others.come, outputs, [edit.new_account(EDITED) for edit in edits])
    return replace(summary, run=run, files_written=len(outputs))


def _refuse_unknown(version: TableVersion, edits: Sequence[Edit]) -> None:
    """Raise OtherWriterError where a history has rows of no snapshot that a run has read: the next one could not tell
    where they begin and end."""
    unknown = [edit for edit in edits if edit.account is None]
    if unknown:
        rows = sum(edit.rows_change for edit in unknown)
        whose = unknown[0].path or "no source file"
        raise OtherWriterError(
            f"{version.table.storage.root} has {rows:,} rows of {whose}, which no run has read: a history "
            "can't go on from them; nothing was done",
            "Delete these rows with that engine, or put back the version before them (RESTORE); then adopt the rest.",
        )


def _edits(version: TableVersion, others: OtherWriters, engine: Engine) -> tuple[list[Edit], int]:
    """The source files with touched rows; and how many data files are missing that held such rows before: then all of
    the table is counted, and held against the accounts."""
    table, schema = version.table, version.snapshot.schema
    known = ledgers.accounts(table.storage, version.snapshot.head)
    accounts = {row["path"]: row for row in known.iter_rows(named=True)}
    before = rows_by_source(table, schema, others.gone, engine, are_former=True)
    if before.missing:
        whole = rows_by_source(table, schema, others.stored, engine)
        return list(edits_by_count(accounts, whole)), len(before.missing)
    after = rows_by_source(table, schema, others.come, engine)
    return list(edits_by_comparison(accounts, before, after)), 0
