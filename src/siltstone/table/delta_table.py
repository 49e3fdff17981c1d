"""The only module that commits. Every commit is compare-and-swap on the version of the Delta log.

A commit is tried once, from a fresh handle (`max_commit_retries=0`). After any error, a refusal included, the log is
read from the planned version on, for this run's transaction: done, not done, or unknown; never guessed.
"""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, ClassVar, Self, cast
from urllib.parse import unquote

import polars as pl
from deltalake import DeltaTable, Field
from deltalake import Schema as DeltaSchema
from deltalake.exceptions import DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, CommitProperties, RemoveAction, Transaction

from siltstone.errors import OtherWriterError, StorageError, UnknownOutcomeError
from siltstone.model.contracts import Column, Contract
from siltstone.model.data_files import DataFile, NewFile, Partition
from siltstone.model.schema import Schema
from siltstone.model.statistics import Bounds, from_delta
from siltstone.storage import Storage, next_move, reason, whole
from siltstone.table import delta_log as log
from siltstone.table import ledger as ledgers
from siltstone.table.delta_log import APP_ID, FENCE_ID, LoggedCommit
from siltstone.table.delta_schema import delta_field, delta_type, schema_of
from siltstone.table.ledger import Head
from siltstone.table.refusals import Clock, Fenced, Refused

_SLEPT_SECONDS = 3600  # logs are cleaned up after days


@dataclass(frozen=True)
class Snapshot:
    """A table at one version: its record columns, and the head of its manifest chain (None before the first run).

    `fence`: files that no version names may be gone if they are older than this, in microseconds since 1970 by the
    store's clock; 0 where no vacuum has said so.
    """

    version: int
    schema: Schema
    head: Head | None
    fence: int = 0


@dataclass(frozen=True)
class Change:
    """What a commit makes true: `outputs` become data files of the table, `removed` ones cease to be, the manifest of
    `head` is the newest; `info` is for people. Without `data_change` the same rows are only stored in other files."""

    head: Head
    outputs: Sequence[NewFile]
    info: Mapping[str, Any]
    removed: Sequence[DataFile] = ()
    data_change: bool = True


@dataclass(frozen=True)
class Table:
    """A Delta table of one contract at a path; whoever `writes` needs leave to write its format, others to read it."""

    storage: Storage
    contract: Contract
    writes: bool = False
    _heads: dict[int, Head] = field(default_factory=dict, init=False, repr=False, compare=False)
    is_staged: ClassVar[bool] = False  # whether data files wait under other names until they are committed

    def for_writing(self) -> Self:
        """The same table, for a run that writes it. Raises UsageError where its place is not safe for that."""
        self.storage.refuse_unsafe()
        return self if self.writes else replace(self, writes=True)

    def recover(self) -> None:
        """Finish what a run that died has left undone; nothing, since a Delta commit is one step."""

    def snapshot(self) -> Snapshot | None:
        """The newest version, or None when there is no table yet.

        Raises TableFormatError where this siltstone may not read its format, or not write it and the table is
        `for_writing`. Every command comes by here.
        """
        handle = self._handle()
        if handle is None:
            return None
        return self._snapshot_of(handle, self._head_of(handle.transaction_version(APP_ID)))

    def logged(self) -> Snapshot | None:
        """The newest version as the log alone tells it, of a table whose newest manifest may be gone."""
        handle = self._handle()
        if handle is None:
            return None
        version = handle.transaction_version(APP_ID)
        return self._snapshot_of(handle, None if version is None else Head.of_version(version))

    def earlier_heads(self, planned: Snapshot) -> tuple[list[Head], bool]:
        """The runs before the newest one, newest first, as far as the log reaches back; and whether these are all."""
        return log.earlier_heads(self.storage, planned.version, planned.head)

    def give_up(self, planned: Snapshot) -> None:
        """Leave what a run that died has left undone as it is; nothing, since a Delta commit is one step."""

    def _snapshot_of(self, handle: DeltaTable, head: Head | None) -> Snapshot:
        may_have = "deletionVectors" in (handle.protocol().reader_features or ())
        if may_have and pl.DataFrame(handle.deletion_vectors()).height:
            raise OtherWriterError(
                f"{self.storage.root} has deletion vectors: another writer deleted rows without writing files anew",
                "Let that engine do it (Spark, Databricks: REORG TABLE ... APPLY (PURGE)), switch "
                "delta.enableDeletionVectors off, then: siltstone adopt.",
            )
        fence = handle.transaction_version(FENCE_ID) or 0
        return Snapshot(handle.version(), schema_of(handle.schema(), self.contract, self.storage.root), head, fence)

    def newest_run(self) -> Head | None:
        """The newest run, whatever columns the table has; None before the first, and where there is no table."""
        handle = self._handle()
        return None if handle is None else self._head_of(handle.transaction_version(APP_ID))

    def _head_of(self, version: int | None) -> Head | None:
        """The newest run, by the version of its transaction, once its header has been looked at."""
        if version is None:
            return None
        if version not in self._heads:
            head = ledgers.with_manifest(self.storage, Head.of_version(version))
            ledgers.check_head(self.storage, head, writes=self.writes)
            self._heads.clear()
            self._heads[version] = head
        return self._heads[version]

    def paths(self, planned: Snapshot) -> list[str]:
        """The names of the data files at a version; Refused when the table is not at it any more."""
        return list(map(unquote, pl.DataFrame(self._handle_at(planned).get_add_actions())["path"]))

    def commits_since(self, planned: Snapshot) -> tuple[list[LoggedCommit], bool]:
        """The commits after that of the newest run, up to a version, which added or removed data files, newest first;
        and whether the log reaches back so far that these are all."""
        return log.commits_since(self.storage, planned.version, planned.head)

    def bounds(self, planned: Snapshot) -> dict[str, dict[str, Bounds]]:
        """The statistics of each data file at a version, by path and column; readers skip files by them."""
        rows = pl.DataFrame(self._handle_at(planned).get_add_actions(flatten=True)).iter_rows(named=True)
        return {unquote(row["path"]): {n: from_delta(row, n) for n in self.contract.statistics} for row in rows}

    def lost_files(self, planned: Snapshot) -> bool:
        """Whether data files of a version, or those that a run has written since, may be gone: the table has moved on
        from it, and only then does a vacuum delete any."""
        handle = self._handle()
        return handle is not None and handle.version() != planned.version

    def past_entries(self, paths: Iterable[str]) -> set[str]:
        """Which of the paths are entries of the log that no version within reach is made of; none, since delta-rs keeps
        its own log: it makes a checkpoint of each hundredth commit, and deletes entries that are 30 days old."""
        return set()

    def create(self) -> None:
        """Create the empty table; losing the race against another run is no error."""
        contract = self.contract
        self.storage.make()
        time, *partition = [Field(f.name, delta_type(f.type)) for f in (contract.time, *contract.partition_by)]
        added = [Field(f.name, delta_type(f.type)) for f in contract.added]
        record = [delta_field(c) for c in contract.record]
        schema = DeltaSchema([time, *(delta_field(c) for c in contract.leading), *partition, *added, *record])
        try:
            DeltaTable.create(
                self.storage.root,
                schema,
                mode="error",
                partition_by=[f.name for f in contract.partition_by],
                configuration={
                    "delta.dataSkippingStatsColumns": ",".join(contract.statistics),
                    "delta.autoOptimize.autoCompact": "false",
                    "delta.autoOptimize.optimizeWrite": "false",
                },
                storage_options=self.storage.delta_options(),
                commit_properties=CommitProperties(max_commit_retries=0),
            )
        except (DeltaError, OSError) as error:
            if self._handle() is None:
                raise StorageError(
                    f"can't create {self.storage.root}: {reason(error)}", next_move(self.storage.root, error)
                ) from error
        self._sync_log(0)

    def add_columns(self, columns: Sequence[Column], planned: Snapshot) -> None:
        """Add columns in a commit of their own; Refused when the table is not at the planned version any more."""
        handle = self._handle_at(planned)
        try:
            handle.alter.add_columns(
                [delta_field(c) for c in columns], commit_properties=CommitProperties(max_commit_retries=0)
            )
        except (DeltaError, OSError) as error:
            self._refuse(planned, error)
        self._sync_log(planned.version + 1)

    def commit(self, change: Change, planned: Snapshot) -> None:
        """Make a run true, in one commit.

        Raises Refused (nothing happened, somebody else was first), UnknownOutcomeError, or StorageError (nothing
        happened).
        """
        actions: list[AddAction | RemoveAction] = [
            *(self._add_action(o, data_change=change.data_change) for o in change.outputs),
            *(self._remove_action(s, data_change=change.data_change) for s in change.removed),
        ]
        self.storage.sync([o.written_to for o in change.outputs])
        self._commit(actions, change.info, Transaction(APP_ID, change.head.version), planned)

    def fence(self, horizon_us: int, planned: Snapshot) -> None:
        """Refuse every run that has planned at this version or before, by a commit without files: whoever plans after
        it knows that files older than the horizon may be deleted. Each fence is higher than those before it.

        Raises as `commit`.
        """
        horizon_us = max(horizon_us, planned.fence + 1)
        self._commit([], {"fence": horizon_us}, Transaction(FENCE_ID, horizon_us), planned)

    def overtaken(self, planned: Snapshot, what: str) -> Refused:
        """The error of a run that has planned at a version which is not the newest any more."""
        return (Fenced if self._only_fences_after(planned) else Refused)(what)

    def _commit(
        self,
        actions: list[AddAction | RemoveAction],
        info: Mapping[str, Any],
        transaction: Transaction,
        planned: Snapshot,
    ) -> None:
        handle, since = self._handle_at(planned), Clock()
        try:
            handle.create_write_transaction(
                actions,
                "append",
                handle.schema(),
                [f.name for f in self.contract.partition_by],
                commit_properties=CommitProperties(
                    max_commit_retries=0,
                    custom_metadata={APP_ID: json.dumps(info)},
                    app_transactions=[transaction],
                ),
            )
        except (DeltaError, OSError) as error:
            if not self._was_committed(transaction, planned):
                self._refuse(planned, error)
        self._sync_log(planned.version + 1)
        self._refuse_overslept(since, planned, _head_of(transaction))

    def _sync_log(self, version: int) -> None:
        """Wait until a commit has reached a local disk, with the checkpoint that delta-rs may have made of it."""
        if not self.storage.is_local:
            return
        path = log.entry_path(version)
        written = [path, path.replace(".json", ".checkpoint.parquet"), "_delta_log/_last_checkpoint"]
        try:
            self.storage.sync([p for p in written if self.storage.size(p)])
        except StorageError as error:
            raise UnknownOutcomeError(
                f"version {version} is committed, but the disk does not say that it keeps it: {error}",
                "Look after the disk, then run the same command again.",
            ) from error

    def files(self, planned: Snapshot) -> list[DataFile]:
        """The data files at a version; Refused when the table is not at it any more."""
        rows = pl.DataFrame(self._handle_at(planned).get_add_actions(flatten=True)).iter_rows(named=True)
        names, unit = [f.name for f in self.contract.partition_by], self.contract.sort_by[0]
        return [
            DataFile(
                unquote(row["path"]),
                cast(Partition, tuple(str(row[f"partition.{name}"]) for name in names)),
                row["size_bytes"],
                row["num_records"],
                row.get(f"min.{unit}") or "",
                {n: from_delta(row, n)[:2] for n in self.contract.statistics},
            )
            for row in rows
        ]

    def _handle(self) -> DeltaTable | None:
        if self.storage.is_local and not self.storage.exists():
            return None
        try:
            return whole(lambda: DeltaTable(self.storage.root, storage_options=self.storage.delta_options()))
        except TableNotFoundError:
            return None
        except (DeltaError, OSError) as error:
            raise StorageError(
                f"can't read the table {self.storage.root}: {reason(error)}",
                next_move(self.storage.root, error, otherwise="Check its _delta_log."),
            ) from error

    def _handle_at(self, planned: Snapshot) -> DeltaTable:
        handle = self._handle()
        if handle is None:
            raise StorageError(f"the table {self.storage.root} is gone", "Run again to create it anew.")
        if handle.version() != planned.version:
            raise self.overtaken(planned, f"the table is at version {handle.version()}, planned was {planned.version}")
        return handle

    def _refuse(self, planned: Snapshot, error: Exception) -> None:
        if self.storage.read(log.entry_path(planned.version + 1)) is not None or self.lost_files(planned):
            raise self.overtaken(planned, f"version {planned.version + 1} is somebody else's") from error
        raise StorageError(
            f"can't commit to {self.storage.root}: {reason(error)}",
            f"This commit did not happen; {_within(next_move(self.storage.root, error, otherwise='run again.'))}",
        ) from error

    def _refuse_overslept(self, since: Clock, planned: Snapshot, head: Head | None) -> None:
        """Raise Refused where a commit has slept until the log was cleaned up: then its entry has been created anew
        below a checkpoint, where nobody looks for it. What made `head` the newest is looked for in its history."""
        if since.seconds < _SLEPT_SECONDS:
            return
        newest = self.snapshot()
        if newest is not None and newest.version > planned.version + 1 and not self._has(newest, head):
            raise Refused(f"the log was cleaned up before version {planned.version + 1} was committed")

    def _has(self, newest: Snapshot, head: Head | None) -> bool:
        """Whether a run is in the history of a version."""
        return head is not None and head.name in {h.name for h in ledgers.headers(self.storage, newest.head)}

    def _was_committed(self, transaction: Transaction, planned: Snapshot) -> bool:
        """Whether the log after the planned version holds this transaction: of a run anywhere, for other runs may have
        come after it; of a fence, of which two may be equal, right after that version."""
        head = _head_of(transaction)
        try:
            entries = list(islice(log.transactions_after(self.storage, planned.version), None if head else 1))
            if not entries and head and (newest := self.snapshot()) and newest.version > planned.version:
                return self._has(newest, head)  # the log has been cleaned up
            return any((transaction.app_id, transaction.version) in entry for entry in entries)
        except (StorageError, ValueError) as error:
            raise UnknownOutcomeError(
                f"the commit of {f'run {head.name}' if head else 'a fence'} failed and the log can't be read: {error}",
                "Nothing was deleted. Run the same command again: it will find out and go on.",
            ) from error

    def _only_fences_after(self, planned: Snapshot) -> bool:
        entries = list(log.transactions_after(self.storage, planned.version))
        return bool(entries) and all(app_id == FENCE_ID for entry in entries for app_id, _ in entry or [("", 0)])

    def _add_action(self, output: NewFile, *, data_change: bool) -> AddAction:
        # Text as it is: arrow-rs, which reads the log for most readers, misreads some escaped surrogate pairs.
        values, statistics = self._partition_values(output.partition), json.dumps(output.statistics, ensure_ascii=False)
        return AddAction(output.path, output.bytes, values, output.written_ms, data_change, statistics)

    def _remove_action(self, stored: DataFile, *, data_change: bool) -> RemoveAction:
        values, now_ms = self._partition_values(stored.partition), int(time.time() * 1000)
        return RemoveAction(stored.path, data_change, now_ms, stored.bytes, values)

    def _partition_values(self, partition: Partition) -> dict[str, str | None]:
        return dict(zip((f.name for f in self.contract.partition_by), partition, strict=True))


def _head_of(transaction: Transaction) -> Head | None:
    """The run of a transaction; None of a fence."""
    return Head.of_version(transaction.version) if transaction.app_id == APP_ID else None


def _within(next_move: str) -> str:
    return next_move[0].lower() + next_move[1:]
