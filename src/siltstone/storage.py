"""List, read and write on a path: the only module that touches storage. A local folder is one kind of it.

Reads of whole local files go past obstore (measured 12 times faster for files of 200 bytes); everything else is
the same for every store.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import obstore
import polars as pl
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore

from siltstone.errors import StorageError, UsageError

if TYPE_CHECKING:
    from obstore import WritableFile

OBJECTS = pl.Schema(
    {"path": pl.String(), "size": pl.Int64(), "etag": pl.String(), "modified_us": pl.Int64(), "uri": pl.String()}
)


@dataclass(frozen=True, slots=True)
class Fetched:
    """A whole object and the etag that it had when it was read."""

    data: bytes
    etag: str


@dataclass(frozen=True)
class Storage:
    """A root folder; every path given to its methods is relative to it and written with `/`."""

    root: str

    @cached_property
    def _store(self) -> LocalStore:
        return LocalStore(self.root)

    def child(self, *parts: str) -> "Storage":
        """The storage of a folder below this one."""
        return Storage(f"{self.root}/{join(*parts)}")

    def uri(self, path: str) -> str:
        """The canonical name of an object: absolute, links followed."""
        return f"{self.root}/{path}"

    def exists(self) -> bool:
        return Path(self.root).exists()

    def make(self) -> None:
        """Create the root folder where the store needs one."""
        with _explained("create", self.root):
            Path(self.root).mkdir(parents=True, exist_ok=True)

    def objects(self, prefix: str = "") -> pl.DataFrame:
        """All objects below a prefix, columns as OBJECTS, in order of path; `uri` names each real file once."""
        rows: list[dict[str, Any]] = []
        with _explained("list", f"{self.root}/{prefix}"):
            for batch in obstore.list(self._store, prefix or None, chunk_size=10_000):
                rows.extend(batch)  # type: ignore[arg-type]
        real = _real_paths(self.root)
        frame = pl.DataFrame(
            {
                "path": [row["path"] for row in rows],
                "size": [row["size"] for row in rows],
                "etag": [(row["e_tag"] or "").strip('"') for row in rows],
                "modified_us": [round(row["last_modified"].timestamp() * 1e6) for row in rows],
                "uri": [real(row["path"]) for row in rows],
            },
            schema=OBJECTS,
        )
        return frame.sort("path").unique("uri", keep="first", maintain_order=True)

    def read(self, path: str) -> Fetched | None:
        """A whole object, or None if there is none (any more)."""
        with _explained("read", self.uri(path)):
            try:
                with open(f"{self.root}/{path}", "rb") as file:
                    state = os.fstat(file.fileno())
                    modified_us = state.st_mtime_ns // 1000
                    return Fetched(file.read(), f"{state.st_ino:x}-{modified_us:x}-{state.st_size:x}")
            except FileNotFoundError:
                return None

    def size(self, path: str) -> int:
        """An object's bytes; 0 if there is none."""
        with _explained("read", self.uri(path)):
            try:
                return obstore.head(self._store, path)["size"]
            except FileNotFoundError:
                return 0

    def read_range(self, path: str, start: int, end: int) -> bytes:
        """Bytes [start, end) of an object, fewer where it ends before."""
        with _explained("read", self.uri(path)), open(f"{self.root}/{path}", "rb") as file:
            file.seek(start)
            return file.read(end - start)

    def put(self, path: str, data: bytes) -> bool:
        """Create an object in one step; False if one of that name is there already."""
        with _explained("write", self.uri(path)):
            try:
                obstore.put(self._store, path, data, mode="create")
            except AlreadyExistsError:
                return False
            return True

    def delete(self, path: str) -> None:
        with _explained("delete", self.uri(path)):
            obstore.delete(self._store, path)

    def sink(self, path: str) -> "Sink":
        """A file to write; it appears under its name when it is closed."""
        with _explained("write", self.uri(path)):
            return Sink(obstore.open_writer(self._store, path), self.uri(path))


class Sink:
    """A writable binary file that counts its bytes; leaving its context with an error drops what was written."""

    def __init__(self, writer: "WritableFile", uri: str) -> None:
        self._writer, self._uri = writer, uri
        self.bytes_written = 0
        self.closed = False

    def write(self, data: bytes) -> int:
        with _explained("write", self._uri):
            self._writer.write(bytes(data))
        self.bytes_written += len(data)
        return len(data)

    def flush(self) -> None:
        """Nothing to do: a part is sent when it is full."""

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            with _explained("write", self._uri):
                self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self.close()


def join(*parts: str) -> str:
    """Parts of a path below a root as one; refuses everything that could lead out of it."""
    pieces = [piece for part in parts for piece in part.split("/")]
    for piece in pieces:
        if piece in ("", ".", "..") or "\0" in piece or "\\" in piece:
            raise UsageError(f"{'/'.join(parts)!r} is no safe path: it holds {piece!r}")
    return "/".join(pieces)


def open_root(uri: str) -> Storage:
    """The storage at a local path or file:// URI; links in it are followed once, here."""
    scheme, found, rest = uri.partition("://")
    if found and scheme != "file":
        raise UsageError(f"{uri}: no storage for {scheme}://", "Give a local path.")
    return Storage(os.path.realpath(os.path.expanduser(rest if found else uri)))


def _real_paths(root: str) -> Callable[[str], str]:
    """A function from a path below `root` to the real file's path; looks at each folder once."""
    folders: dict[str, str] = {"": root}

    def real(path: str) -> str:
        known = folders.get(path)
        if known is None:
            parent, _, name = path.rpartition("/")
            known = f"{real_folder(parent)}/{name}"
            known = os.path.realpath(known) if os.path.islink(known) else known
        return known

    def real_folder(path: str) -> str:
        if path not in folders:
            folders[path] = real(path)
        return folders[path]

    return real


@contextmanager
def _explained(action: str, uri: str) -> Iterator[None]:
    try:
        yield
    except (OSError, BaseError) as error:
        reason = getattr(error, "strerror", None) or str(error).split("\n")[0]
        raise StorageError(
            f"can't {action} {uri}: {reason}", "Check the path, its permissions and the free space."
        ) from error
