"""The entries of a Delta log, as they lie in the store."""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import unquote

from siltstone.storage import Storage

_ENTRY = re.compile(r"_delta_log/[0-9]{20}\.json")


def entry_path(version: int) -> str:
    """Where the entry of a version lies below the table's root."""
    return f"_delta_log/{version:020d}.json"


def transactions_after(table: Storage, version: int) -> Iterator[list[tuple[str, int]]]:
    """The transactions (application, version) of each entry after a version, up to the first that is missing."""
    while (entry := table.read(entry_path(version := version + 1))) is not None:
        yield [(txn["appId"], txn["version"]) for txn in _actions(entry.data, "txn")]


def removed_in(table: Storage, paths: Iterable[str]) -> set[str]:
    """The data files that entries have removed, whoever wrote them; paths of other objects are passed over."""
    found: set[str] = set()
    for entry in table.ahead(table.read, filter(_ENTRY.fullmatch, paths)):
        found |= {unquote(removed["path"]) for removed in _actions(entry.data if entry else b"", "remove")}
    return found


def _actions(entry: bytes, kind: str) -> Iterator[dict[str, Any]]:
    sign = f'"{kind}"'.encode()
    for line in entry.splitlines():
        if sign in line and (action := json.loads(line).get(kind)):
            yield action
