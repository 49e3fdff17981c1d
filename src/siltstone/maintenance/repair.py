"""Repair: where the newest runs of a table lost their manifests or data files, it goes on from the run before them."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import polars as pl

from siltstone.config.model import Config
from siltstone.engine.tasks import Engine, Progress
from siltstone.errors import StorageError, UsageError
from siltstone.maintenance.rows_by_source import Edit, RowsBySource, edits_by_comparison, edits_by_count, rows_by_source
from siltstone.maintenance.take_over import commit_files, header_after
from siltstone.maintenance.verify import place_of
from siltstone.model.data_files import DataFile, NewFile, is_own_name, staged
from siltstone.model.run_header import RunHeader
from siltstone.model.run_summary import RepairSummary
from siltstone.model.table_format import FIRST, FOLDED, KEY, next_format
from siltstone.storage import Storage
from siltstone.table import ledger as ledgers
from siltstone.table.delta_table import Snapshot, Table
from siltstone.table.folded_runs import folded_paths
from siltstone.table.ledger import EDITED, Head, Ledger
from siltstone.table.other_writers import files_after_newest_run
from siltstone.table.transaction import TableVersion, retry


def repair(table: Table, config: Config, engine: Engine, progress: Progress, *, does: bool) -> RepairSummary:
    """Which runs have to be dropped since their manifests or data files are gone, what is taken back, and what is lost;
    where it `does`, the table goes on from the newest whole run.

    Raises UsageError where nothing says which run to go on from, LostRaceError.
    """
    started = time.time()
    work = _Repairing(table.for_writing(), config, engine, progress)
    summary = retry(partial(work.run, does=does), table.storage.root, progress, outcome="nothing was repaired")
    return replace(summary, seconds=round(time.time() - started, 3))


@dataclass(frozen=True)
class _Plan:
    """Runs to drop, newest first (with their headers, as far as these are there), and the head to go on from, with its
    `wanted` data files by path; of these `lost` are not there any more. `stored` is what the log names."""

    snapshot: Snapshot
    dropped: Sequence[tuple[Head, RunHeader | None]]
    base: Head | None
    wanted: Mapping[str, Mapping[str, Any]]
    lost: frozenset[str]
    stored: Mapping[str, DataFile]

    @property
    def taken_back(self) -> list[NewFile]:
        """Data files that dropped runs had removed, and that are still there."""
        paths = [path for path in self.wanted if path not in self.stored and path not in self.lost]
        return [_as_written(self.wanted[path]) for path in paths]

    @property
    def removed(self) -> list[DataFile]:
        return [file for path, file in self.stored.items() if path not in self.wanted or path in self.lost]

    @property
    def kept(self) -> list[DataFile]:
        """The data files of the table once it is repaired."""
        return _as_stored(_as_written(output) for path, output in self.wanted.items() if path not in self.lost)


class _Repairing:
    def __init__(self, table: Table, config: Config, engine: Engine, progress: Progress) -> None:
        self._table, self._config, self._engine, self._progress = table, config, engine, progress

    def run(self, *, does: bool) -> RepairSummary:
        table = self._table
        summary = RepairSummary(table=table.storage.root, engine=self._engine.name)
        plan = self._plan()
        if plan is None or not (plan.dropped or plan.lost):
            return summary
        known = self._ledger(plan)
        edits = self._edits(plan)
        edited = self._edited_sources(plan, edits)
        again = sorted({*self._sources_of_dropped(plan), *(edit.path for edit in edits), *edited})
        summary = replace(
            summary,
            dropped=[head.name for head, _ in plan.dropped],
            back_to=plan.base.name if plan.base else "",
            files_taken_back=len(plan.taken_back),
            files_lost=len(plan.lost),
            sources_again=again,
            sources_lost=sorted({*self._not_at_the_input(again), *edited}),
        )
        return replace(summary, run=self._commit(plan, known, edits)) if does else summary

    def _plan(self) -> _Plan | None:
        """What is to be done, from the log and from what lies in the table's folder."""
        table = self._table
        snapshot = table.logged()
        if snapshot is None or snapshot.head is None:
            return None
        stored = {file.path: file for file in table.files(snapshot)}
        if foreign := [path for path in stored if not is_own_name(path)]:
            raise UsageError(
                f"{table.storage.root} has data files of another writer too, such as {foreign[0]}",
                "Put back the version before these with Delta's RESTORE, or take the rows over: siltstone adopt.",
            )
        there = set(table.storage.objects()["path"])
        dropped: list[tuple[Head, RunHeader | None]] = []
        head: Head | None = snapshot.head
        while head is not None:
            headers = self._headers(head)
            wanted = files_after_newest_run(headers)
            lost = frozenset(path for path in wanted if not {path, staged(path)} & there)
            if headers and not _is_to_drop(headers[0], wanted, lost, there):
                return _Plan(snapshot, dropped, head, wanted, lost, stored)
            dropped.append((head, headers[0] if headers else None))
            head = self._parent(head, headers, snapshot, there)
        return _Plan(snapshot, dropped, None, {}, frozenset(), stored)

    def _headers(self, head: Head) -> list[RunHeader]:
        """The headers of a run and those before it, newest first; none where its own manifest is gone or damaged."""
        try:
            ledgers.check_head(self._table.storage, ledgers.with_manifest(self._table.storage, head), writes=True)
        except StorageError:
            return []
        return ledgers.headers(self._table.storage, head)

    def _parent(self, head: Head, headers: Sequence[RunHeader], snapshot: Snapshot, there: set[str]) -> Head | None:
        """The run before one: by its own manifest, or where that is gone by the log."""
        if headers:
            return Head.of_version(headers[0].parent) if headers[0].parent is not None else None
        earlier, are_all = self._table.earlier_heads(snapshot)
        behind = earlier[earlier.index(head) + 1 :] if head in earlier else earlier
        if not behind and not are_all:
            raise UsageError(
                f"the manifest of run {head.name} of {self._table.storage.root} is gone, and the log does not reach "
                "back to the run before it",
                f"Restore {ledgers.manifest_path(head)} from a backup, or make the table again in another lake.",
            )
        return behind[0] if behind else None

    def _ledger(self, plan: _Plan) -> Ledger:
        """The ledger to go on from, with a format that is not less than that of the dropped runs."""
        storage = self._table.storage
        known = ledgers.load(storage, plan.base)
        said = [{KEY: known.format}, *(header.more for _, header in plan.dropped if header is not None)]
        return replace(known, format=next_format(said, storage.root, FOLDED if folded_paths(storage) else FIRST))

    def _edits(self, plan: _Plan) -> list[Edit]:
        """The source files with rows in data files that are lost."""
        if not plan.lost:
            return []
        accounts = ledgers.accounts(self._table.storage, plan.base).iter_rows(named=True)
        self._progress("counting the rows that are left", 0, 0, 0)
        return list(edits_by_count({row["path"]: row for row in accounts}, self._rows(plan.kept)))

    def _sources_of_dropped(self, plan: _Plan) -> Iterable[str]:
        """The source files of which the dropped runs had taken rows, or adopted edits that are lost with them, by their
        manifests; where one is gone, by those of its data files that are still there."""
        storage = self._table.storage
        for head, header in plan.dropped:
            if header is not None:
                is_touched = (pl.col("rows_out") > 0) | (pl.col("state") == EDITED)
                yield from ledgers.read_by(storage, head).filter(is_touched)["path"]
        if any(header is None for _, header in plan.dropped):
            put_in = [file for path, file in plan.stored.items() if path not in plan.wanted]
            before, after = map(self._rows, (_as_stored(plan.taken_back), put_in))
            yield from (edit.path for edit in edits_by_comparison({}, before, after))

    def _edited_sources(self, plan: _Plan, edits: Sequence[Edit]) -> set[str]:
        """The source files with lost rows that another writer had edited, which no run reads again."""
        adopted = (head for head, header in plan.dropped if header is not None and header.kind == "adopt")
        of_dropped = {path for head in adopted for path in self._edited_at(head)} - self._edited_at(plan.base)
        return {edit.path for edit in edits if _is_edited(edit)} | of_dropped

    def _edited_at(self, head: Head | None) -> set[str]:
        return set(ledgers.accounts(self._table.storage, head).filter(state=EDITED)["path"])

    def _rows(self, files: Iterable[DataFile]) -> RowsBySource:
        snapshot = self._table.logged()
        assert snapshot is not None
        return rows_by_source(self._table, snapshot.schema, files, self._engine)

    def _not_at_the_input(self, paths: Sequence[str]) -> list[str]:
        """The source files that can't be read again, since they are not where they were."""
        access, root = self._config.storage, self._config.compaction.source_root
        gone = []
        for path in paths:
            at, below = place_of(path, root)
            if not Storage(at, access).size(below):
                gone.append(path)
        return gone

    def _commit(self, plan: _Plan, known: Ledger, edits: Sequence[Edit]) -> str:
        """Commit what was planned; the run's name. Source files with lost rows have no etag from then on, so that the
        next run reads them again."""
        table = self._table
        table.give_up(plan.snapshot)
        accounts = []
        for edit in edits:
            account = edit.new_account(EDITED if _is_edited(edit) else "ingested")
            if not _is_edited(edit):
                account.etag = account.sha256 = ""
            accounts.append(account)
        header = header_after(known.newest, "repair", self._engine, plan.removed, [])
        header = replace(header, removed=sorted({*header.removed, *plan.lost}))
        version = TableVersion(table, plan.snapshot, known)
        return commit_files(version, header, plan.removed, plan.taken_back, accounts)


def _is_to_drop(
    header: RunHeader, wanted: Mapping[str, Mapping[str, Any]], lost: frozenset[str], there: set[str]
) -> bool:
    """Whether to go on from the run before: none of a run's data files are left, or it only merged files and all of
    these are still there. Else what is left of it stays, and what is lost is read again."""
    own = set(header.output_paths) & wanted.keys()
    is_merge_undone = header.kind == "settle" and there.issuperset(header.removed)
    return bool(own & lost) and (own <= lost or is_merge_undone)


def _is_edited(edit: Edit) -> bool:
    return edit.account is not None and edit.account["state"] == EDITED


def _as_written(output: Mapping[str, Any]) -> NewFile:
    return NewFile(**{**output, "partition": tuple(output["partition"]), "is_staged": False})


def _as_stored(files: Iterable[NewFile]) -> list[DataFile]:
    return [DataFile(f.path, f.partition, f.bytes, f.rows, "") for f in files]
