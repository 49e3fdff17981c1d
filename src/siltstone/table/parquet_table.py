"""A table of plain Parquet files for readers without Delta: the same files, layout, manifests and commit protocol.

The log is `_siltstone/log/{version}.json`, each entry created in one step, so that of two runs one is refused. Data
files are written under staged names, which no reader of the folder takes for data, and get their own names once their
entry is in the log; whoever comes next finishes that for a run that died. Files that an entry removes are deleted.

A fence is an empty entry; an object in the log, named by the fence's horizon, is put before it, and stays when entries
go into a checkpoint.
"""

import json
import re
import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

from siltstone.errors import PartlyError, StorageError, UnknownOutcomeError, UsageError
from siltstone.model.contracts import Column, Contract
from siltstone.model.data_files import DataFile, NewFile, staged
from siltstone.model.layout import FOLDER
from siltstone.model.schema import Schema
from siltstone.model.statistics import Bounds, from_json
from siltstone.table.delta_log import LoggedCommit
from siltstone.table.delta_table import Change, Snapshot, Table
from siltstone.table.ledger import Head
from siltstone.table.refusals import Clock

LOG = f"{FOLDER}/log"
_CHECKPOINT_EVERY = 50
_ENTRY = re.compile(rf"{LOG}/(?P<version>\d+)\.(?P<kind>json|published|checkpoint)")


@dataclass
class _State:
    """A table at one version, as its log adds up."""

    version: int = -1
    head: int | None = None
    columns: list[list[Any]] = field(default_factory=list)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    fence: int = 0

    def apply(self, entry: Mapping[str, Any]) -> None:
        self.version += 1
        self.head, self.columns = entry["head"], entry["columns"]
        for path in entry["remove"]:
            del self.files[path]
        for file in entry["add"]:
            self.files[file["path"]] = file


class PlainTable(Table):
    """A table of plain Parquet files of one contract at a path."""

    is_staged = True

    def snapshot(self) -> Snapshot | None:
        state = self._state()
        if state is None:
            return None
        head = self._head_of(state.head)
        schema = Schema(tuple(Column(*column) for column in state.columns), self.contract.reserved)
        return Snapshot(state.version, schema, head, state.fence)

    def logged(self) -> Snapshot | None:
        state = self._state()
        if state is None:
            return None
        schema = Schema(tuple(Column(*column) for column in state.columns), self.contract.reserved)
        return Snapshot(state.version, schema, None if state.head is None else Head.of_version(state.head))

    def earlier_heads(self, planned: Snapshot) -> tuple[list[Head], bool]:
        found: list[Head] = []
        for version in range(planned.version, -1, -1):
            fetched = self.storage.read(_path(version))
            if fetched is None:
                return found, False
            head = json.loads(fetched.data)["head"]
            if head is not None and Head.of_version(head) not in (planned.head, *found[-1:]):
                found.append(Head.of_version(head))
        return found, True

    def give_up(self, planned: Snapshot) -> None:
        """Let entries stand that can't be finished, since files of theirs are gone: what they remove stays."""
        for version in self._unpublished():
            fetched = self.storage.read(_path(version))
            assert fetched is not None
            for file in json.loads(fetched.data)["add"]:
                if self.storage.size(staged(file["path"])):
                    self.storage.rename(staged(file["path"]), file["path"])
            self.storage.put(_path(version, "published"), b"")

    def newest_run(self) -> Head | None:
        state = self._state()
        return None if state is None else self._head_of(state.head)

    def bounds(self, planned: Snapshot) -> dict[str, dict[str, Bounds]]:
        return {}  # readers have the files' footers only

    def lost_files(self, planned: Snapshot) -> bool:
        state = self._state()
        return state is None or state.version != planned.version

    def past_entries(self, paths: Iterable[str]) -> set[str]:
        """Those behind the checkpoint before the newest one: `_append` sees to it that no run puts one there again."""
        numbered = {path: found for path in paths if (found := _ENTRY.fullmatch(path))}
        newest = max((int(f["version"]) for f in numbered.values() if f["kind"] == "checkpoint"), default=0)
        return {path for path, f in numbered.items() if int(f["version"]) < newest - _CHECKPOINT_EVERY}

    def create(self) -> None:
        contract = self.contract
        columns = [[c.name, c.kind, c.key] for c in (*contract.leading, *contract.record)]
        self.storage.make()
        entry = {"head": None, "columns": columns, "add": [], "remove": []}
        self.storage.put(_path(0), json.dumps(entry).encode())
        if self.storage.child("_delta_log").exists():
            raise UsageError(f"another run has just made {self.storage.root} a Delta table", "Leave --format out.")

    def add_columns(self, columns: Sequence[Column], planned: Snapshot) -> None:
        head = None if planned.head is None else planned.head.version
        self._append({"head": head, "add": [], "remove": []}, planned, columns)

    def commit(self, change: Change, planned: Snapshot) -> None:
        entry = {
            "head": change.head.version,
            "add": [_described(o, self.contract) for o in change.outputs],
            "remove": [s.path for s in change.removed],
            "info": dict(change.info),
        }
        self.storage.sync([o.written_to for o in change.outputs])
        self._append(entry, planned)
        try:
            self._publish_all(self._unpublished())
        except StorageError as error:
            raise PartlyError(
                f"run {change.head.name} of {self.storage.root} is committed, but its data files could not be given "
                f"their names: {error}",
                "The next command on the table does it; until then readers of the folder may miss rows.",
            ) from error

    def fence(self, horizon_us: int, planned: Snapshot) -> None:
        horizon_us = max(horizon_us, planned.fence + 1)
        self.storage.put(_fence_path(horizon_us), b"")
        head = None if planned.head is None else planned.head.version
        self._append({"head": head, "add": [], "remove": [], "fence": horizon_us}, planned)
        list(self.storage.ahead(self.storage.delete, map(_fence_path, _numbers(self._names(), "fence", horizon_us))))

    def paths(self, planned: Snapshot) -> list[str]:
        return list(self._state_at(planned).files)

    def commits_since(self, planned: Snapshot) -> tuple[list[LoggedCommit], bool]:
        return [], True  # only siltstone writes this log

    def files(self, planned: Snapshot) -> list[DataFile]:
        return [
            DataFile(f["path"], tuple(f["partition"]), f["bytes"], f["rows"], f["first_unit"], f.get("bounds", {}))
            for f in self._state_at(planned).files.values()
        ]

    def _state_at(self, planned: Snapshot) -> _State:
        state = self._state()
        if state is None or state.version != planned.version:
            raise self.overtaken(planned, f"the table is not at version {planned.version} any more")
        return state

    def recover(self) -> None:
        """Give the data files of every entry their own names and delete those that it removed, where that is not
        done yet. Raises TableFormatError instead where this siltstone may not read the table."""
        if versions := self._unpublished():
            self.snapshot()
            self._publish_all(versions)

    def _unpublished(self) -> list[int]:
        names = self._names()
        versions = _numbers(names, "json")
        near = [version for version in versions if version > versions[-1] - _CHECKPOINT_EVERY]
        return [version for version in near if f"{version:020d}.published" not in names]

    def _only_fences_after(self, planned: Snapshot) -> bool:
        versions = [version for version in _numbers(self._names(), "json") if version > planned.version]
        return bool(versions) and all("fence" in self._read(_path(version)) for version in versions)

    def _publish_all(self, versions: Sequence[int]) -> None:
        for version in versions:
            self._publish(version)

    def _publish(self, version: int) -> None:
        fetched = self.storage.read(_path(version))
        assert fetched is not None
        entry = json.loads(fetched.data)
        own_names = [file["path"] for file in entry["add"] if not file.get("is_there")]
        try:
            list(self.storage.ahead(lambda path: self.storage.rename(staged(path), path), own_names))
        except StorageError:
            if self.storage.read(_path(version, "published")) is None:
                raise
            return  # another run has finished it, and a third may have removed the file
        list(self.storage.ahead(self.storage.delete, entry["remove"]))
        self.storage.sync((), folders_of=[*own_names, *entry["remove"]])
        self.storage.put(_path(version, "published"), b"")

    def _append(self, entry: dict[str, Any], planned: Snapshot, more_columns: Sequence[Column] = ()) -> None:
        """Put the entry behind the planned version. Raises Refused, UnknownOutcomeError or StorageError as `commit`."""
        version, token, since = planned.version + 1, secrets.token_hex(8), Clock()
        columns = [[c.name, c.kind, c.key] for c in (*planned.schema.columns, *more_columns)]
        data = json.dumps({**entry, "columns": columns, "token": token}).encode()
        try:
            if self.storage.put(_path(version), data):
                self._refuse_past(version, planned)
                self._refuse_overslept(since, planned, Head.of_version(entry["head"]) if "info" in entry else None)
                self._checkpoint(version)
                return
            failure: StorageError | None = None
        except StorageError as error:
            failure = error
        try:
            there = self.storage.read(_path(version))
        except StorageError as error:
            raise UnknownOutcomeError(
                f"the commit of version {version} failed and the log can't be read: {error}",
                "Nothing was deleted. Run the same command again: it will find out and go on.",
            ) from error
        if there is None and failure is not None:
            raise failure
        if there is None or json.loads(there.data).get("token") != token:
            raise self.overtaken(planned, f"version {version} is somebody else's") from failure

    def _refuse_past(self, version: int, planned: Snapshot) -> None:
        """Take back the entry of a run that slept so long that vacuum has taken away the one in its place."""
        newest = _numbers(self._names(), "json")[-1]
        if newest >= version + _CHECKPOINT_EVERY:
            self.storage.delete(_path(version))
            raise self.overtaken(planned, f"the table is at version {newest}, planned was {version - 1}")

    def _checkpoint(self, version: int) -> None:
        if version and version % _CHECKPOINT_EVERY == 0 and (state := self._state()) is not None:
            row = {name: getattr(state, name) for name in ("version", "head", "columns", "files")}
            self.storage.put(_path(state.version, "checkpoint"), json.dumps(row).encode())

    def _names(self) -> set[str]:
        if not self.storage.child(LOG).exists():
            return set()
        return {path.rpartition("/")[2] for path in self.storage.objects(LOG)["path"]}

    def _state(self) -> _State | None:
        """The newest version, from the newest checkpoint on; None when there is no table."""
        names = self._names()
        versions = _numbers(names, "json")
        if not versions:
            return None
        checkpoints = _numbers(names, "checkpoint")
        state = _State()
        if checkpoints:
            state = _State(**self._read(_path(checkpoints[-1], "checkpoint")))
        state.fence = max(_numbers(names, "fence"), default=0)
        for entry in self.storage.ahead(self._read, map(_path, range(state.version + 1, versions[-1] + 1))):
            state.apply(entry)
        return state

    def _read(self, path: str) -> dict[str, Any]:
        fetched = self.storage.read(path)
        if fetched is None:
            raise StorageError(
                f"{self.storage.uri(path)} is missing, though later versions are there",
                "Restore the _siltstone folder of the table from a backup.",
            )
        try:
            entry: dict[str, Any] = json.loads(fetched.data)
        except ValueError as error:
            raise StorageError(f"{self.storage.uri(path)} is damaged: {error}", "Restore it from a backup.") from error
        return entry


def _described(output: NewFile, contract: Contract) -> dict[str, Any]:
    first_unit = output.statistics["minValues"].get(contract.sort_by[0]) or ""
    there = {} if output.is_staged else {"is_there": True}  # it was part of the table before
    return {
        **there,
        "path": output.path,
        "partition": list(output.partition),
        "bytes": output.bytes,
        "rows": output.rows,
        "first_unit": first_unit,
        "bounds": from_json(output.statistics, contract.time.name),
    }


def _path(version: int, kind: str = "json") -> str:
    return f"{LOG}/{version:020d}.{kind}"


def _fence_path(horizon_us: int) -> str:
    return f"{LOG}/{horizon_us:020d}.fence"


def _numbers(names: Collection[str], kind: str, below: float = inf) -> list[int]:
    """What the objects of a kind in the log are named by, in order, as far as it is below a bound."""
    found = sorted(int(name.removesuffix(f".{kind}")) for name in names if name.endswith(f".{kind}"))
    return [number for number in found if number < below]
