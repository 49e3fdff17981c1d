"""What the entries of a Delta log say: which transactions were committed, and what other writers did."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from siltstone.storage import Storage
from siltstone.table.ledger import Head

APP_ID = "siltstone"
"""The application of a run's transaction; its version is the head."""
FENCE_ID = "siltstone-fence"
"""The application of a fence's transaction; its version is the horizon."""
_ENTRY = re.compile(r"_delta_log/[0-9]{20}\.json")


@dataclass(frozen=True)
class LoggedCommit:
    """A commit of another writer that added or removed data files; without `changes_data` it says that the same rows
    are only stored in other files."""

    version: int
    operation: str
    engine: str
    changes_data: bool


def entry_path(version: int) -> str:
    """Where the entry of a version is."""
    return f"_delta_log/{version:020d}.json"


def transactions_after(table: Storage, version: int) -> Iterator[list[tuple[str, int]]]:
    """The transactions (application, version) of each commit after a version."""
    while (entry := table.read(entry_path(version := version + 1))) is not None:
        yield _transactions(_actions(entry.data))


def earlier_heads(table: Storage, version: int, newest: Head | None) -> tuple[list[Head], bool]:
    """The runs up to a version but the `newest` one, newest first, as far as the log reaches back; and whether it does
    so to the table's beginning."""
    found: list[Head] = []
    for number in range(version, -1, -1):
        entry = table.read(entry_path(number))
        if entry is None:
            return found, False
        found += [Head.of_version(v) for app_id, v in _transactions(_actions(entry.data)) if app_id == APP_ID]
        found = [head for head in found if head != newest]
    return found, True


def commits_since(table: Storage, version: int, newest: Head | None) -> tuple[list[LoggedCommit], bool]:
    """The commits after that of the `newest` run, up to a version, which added or removed data files, newest first; and
    whether the log reaches back so far that these are all."""
    found: list[LoggedCommit] = []
    for number in range(version, -1, -1):
        entry = table.read(entry_path(number))
        if entry is None:
            return found, False
        actions = _actions(entry.data)
        if newest is not None and (APP_ID, newest.version) in _transactions(actions):
            return found, True
        changed = [action[kind] for action in actions for kind in ("add", "remove") if kind in action]
        about = next((action["commitInfo"] for action in actions if "commitInfo" in action), {})
        if changed:
            operation, engine = (str(about.get(key) or "unknown") for key in ("operation", "engineInfo"))
            changes_data = any(file.get("dataChange", True) for file in changed)
            found.append(LoggedCommit(number, operation, engine, changes_data))
    return found, True


def removed_in(table: Storage, paths: Iterable[str]) -> set[str]:
    """The data files that entries have removed, whoever wrote them; paths of other objects are passed over."""
    found: set[str] = set()
    for entry in table.ahead(table.read, filter(_ENTRY.fullmatch, paths)):
        actions = _actions(entry.data) if entry else []
        found |= {unquote(action["remove"]["path"]) for action in actions if "remove" in action}
    return found


def _actions(entry: bytes) -> list[dict[str, dict[str, Any]]]:
    return [json.loads(line) for line in entry.splitlines()]


def _transactions(actions: list[dict[str, dict[str, Any]]]) -> list[tuple[str, int]]:
    return [(action["txn"]["appId"], action["txn"]["version"]) for action in actions if "txn" in action]
