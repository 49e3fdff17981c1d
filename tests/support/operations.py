"""Counts the storage operations of a job, and lets one of them fail, or the process die after it.

An operation is a call of `Disk`, of a file being written, of `DeltaTable`, or a sync of a file to the disk.
"""

import errno
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from deltalake import DeltaTable
from deltalake.table import TableAlterer

from siltstone.storage.local import Disk
from siltstone.storage.store import Writer

How = Literal["before", "after", "kill"]
"""An error instead of the operation, an error once it took effect, or SIGKILL once it took effect."""

READING = ("exists", "objects", "folders", "read", "read_range", "size", "open", "delta.open")
"""Operations that change nothing on the disk: to die after one is to die after the one before."""

_OF_DISK = ("exists", "make", "objects", "folders", "read", "read_range", "size", "put", "delete", "rename", "open")


@dataclass
class Operations:
    """What a job did since it was `armed`; the operation of number `target`, counted from 1, goes wrong, or where it
    `sleeps` stops the process before or after it."""

    target: int = 0
    how: How = "before"
    is_armed: bool = False
    done: list[str] = field(default_factory=list)
    sleeps: bool = False

    def run(self, name: str, real: Callable[[], Any]) -> Any:
        """The operation's result, or what was asked to go wrong."""
        if not self.is_armed:
            return real()
        self.done.append(name)
        if len(self.done) != self.target:
            return real()
        if self.sleeps:
            return self._asleep(real)
        if self.how == "before":
            raise OSError(errno.ENOSPC, "No space left on device")
        real()
        if self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(errno.EIO, "Input/output error")

    def _asleep(self, real: Callable[[], Any]) -> Any:
        if self.how == "before":
            os.kill(os.getpid(), signal.SIGSTOP)
            return real()
        result = real()
        os.kill(os.getpid(), signal.SIGSTOP)
        return result

    def changes(self, number: int) -> bool:
        """Whether an operation may have changed the disk."""
        return self.done[number - 1].split(" ", 1)[0] not in READING


@dataclass
class _Writer:
    """A file being written of which each call is an operation."""

    operations: Operations
    inner: Writer
    path: str

    def write(self, data: bytes, /) -> int:
        written: int = self.operations.run(f"write {self.path}", lambda: self.inner.write(data))
        return written

    def close(self) -> None:
        self.operations.run(f"close {self.path}", self.inner.close)


def watch(operations: Operations) -> None:
    """Let every operation of this process run by way of `operations`, for good."""
    for name in _OF_DISK:
        _wrap(operations, Disk, name, name)
    real_writer = Disk.writer

    def writer(disk: Disk, path: str) -> Writer:
        return _Writer(operations, operations.run(f"writer {path}", lambda: real_writer(disk, path)), path)

    Disk.writer = writer  # type: ignore[method-assign]
    _wrap(operations, os, "fsync", "fsync")
    _wrap(operations, DeltaTable, "__init__", "delta.open")
    _wrap(operations, DeltaTable, "create_write_transaction", "delta.commit")
    _wrap(operations, TableAlterer, "add_columns", "delta.columns")
    real_create = DeltaTable.create

    def create(*args: Any, **kwargs: Any) -> Any:
        return operations.run("delta.create", lambda: real_create(*args, **kwargs))

    DeltaTable.create = create  # type: ignore[method-assign]


def _wrap(operations: Operations, owner: Any, name: str, shown: str) -> None:
    real = getattr(owner, name)

    def operation(*args: Any, **kwargs: Any) -> Any:
        path = next((a for a in args if isinstance(a, str)), "")
        return operations.run(f"{shown} {path}".rstrip(), lambda: real(*args, **kwargs))

    setattr(owner, name, operation)
