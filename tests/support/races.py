"""Runs that meet, and answers that are lost: how tests make the one or the other happen at a chosen moment."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.table import TableAlterer

from siltstone.ingest.task_spec import IngestReport, IngestTask
from siltstone.table.delta_table import Table
from support.fleet import InProcess

MOMENTS: dict[str, tuple[Any, str, bool]] = {
    "before the creation": (Table, "create", False),
    "inside the creation": (DeltaTable, "create", False),
    "after the creation": (Table, "create", True),
    "before the columns": (Table, "add_columns", False),
    "inside the columns": (TableAlterer, "add_columns", False),
    "after the columns": (Table, "add_columns", True),
    "before the commit": (Table, "commit", False),
    "inside the commit": (DeltaTable, "create_write_transaction", False),
}
"""What happens in a first run: whose method, its name, and whether right after it (or right before it)."""

ERRORS = [CommitFailedError("no answer"), DeltaError("no answer"), OSError("connection reset")]
"""How a call may end without an answer."""


class Once:
    """Calls `act` at its first `times` calls, then no more; never again from within."""

    def __init__(self, act: Callable[[], Any], times: int = 1) -> None:
        self.act, self.left, self._inside = act, times, False

    def __call__(self) -> None:
        if self.left and not self._inside:
            self.left, self._inside = self.left - 1, True
            self.act()
            self._inside = False


@dataclass(frozen=True)
class Meanwhile(InProcess):
    """Does something at the input before a round of tasks: 0 is the first pass."""

    acts: Any = None
    done: list[int] = None  # type: ignore[assignment]

    def run(self, tasks: list[IngestTask], done: Any) -> list[IngestReport]:  # type: ignore[override]
        self.acts.get(len(self.done), lambda: None)()
        self.done.append(len(tasks))
        return super().run(tasks, done)


def between(patch: pytest.MonkeyPatch, owner: Any, name: str, act: Callable[[], Any], *, after: bool = False) -> None:
    """Let `act` happen right before (or after) each call of a function."""
    real = getattr(owner, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if not after:
            act()
        result = real(*args, **kwargs)
        if after:
            act()
        return result

    patch.setattr(owner, name, wrapped)


def together(*runs: Callable[[], Any]) -> list[Any]:
    """Start all at one moment, each in a thread; their results."""
    barrier = threading.Barrier(len(runs))

    def started(run: Callable[[], Any]) -> Any:
        barrier.wait()
        return run()

    with ThreadPoolExecutor(len(runs)) as pool:
        return list(pool.map(started, runs))


def raising(error: Exception) -> Callable[[], None]:
    """Something to happen that is an error."""

    def act() -> None:
        raise error

    return act
