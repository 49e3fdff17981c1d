"""List, read and write on a path: the only module that touches storage. A local folder is one kind of it.

Local files are listed and read past obstore, which refuses a whole listing for one odd name and was measured 12
times slower for files of 200 bytes; everything else is the same for every store.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Self

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

    def objects(self, prefix: str = "", enter: Callable[[str], bool] | None = None) -> pl.DataFrame:
        """All objects below a prefix, columns as OBJECTS, in order of path; `uri` names each real file once.

        Objects directly in a folder whose URI `enter` refuses may be missing, where that spares looking at them.
        """
        with _explained("list", f"{self.root}/{prefix}"):
            rows = list(_files_below(self.root, prefix, enter))
        frame = pl.DataFrame(rows, schema=OBJECTS, orient="row")
        return frame.sort("path").unique("uri", keep="first", maintain_order=True)

    def read(self, path: str) -> Fetched | None:
        """A whole object, or None if there is none (any more)."""
        with _explained("read", self.uri(path)):
            try:
                with open(f"{self.root}/{path}", "rb") as file:
                    return Fetched(file.read(), _etag(os.fstat(file.fileno())))
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

    def open(self, path: str) -> BinaryIO:
        """An object to read and seek in."""
        with _explained("read", self.uri(path)):
            return open(f"{self.root}/{path}", "rb")

    def put(self, path: str, data: bytes) -> bool:
        """Create an object in one step; False if one of that name is there already."""
        with _explained("write", self.uri(path)):
            try:
                obstore.put(self._store, path, data, mode="create")
            except AlreadyExistsError:
                return False
            return True

    def delete(self, path: str) -> None:
        """Delete an object; none of that name is no error."""
        with _explained("delete", self.uri(path)):
            Path(f"{self.root}/{path}").unlink(missing_ok=True)  # obstore refuses what its own writers leave behind

    def rename(self, path: str, new: str) -> None:
        """Give an object another name; one that has got it already is no error."""
        with _explained("rename", self.uri(path)):
            try:
                obstore.rename(self._store, path, new)
            except FileNotFoundError:
                if not self.size(new):
                    raise

    def sink(self, path: str) -> "Sink":
        """A file to write; it appears under its name when it is closed."""
        with _explained("write", self.uri(path)):
            return Sink(obstore.open_writer(self._store, path), self.uri(path))


class Sink:
    """A writable binary file that counts and hashes its bytes; leaving its context with an error drops them."""

    def __init__(self, writer: "WritableFile", uri: str) -> None:
        self._writer, self._uri = writer, uri
        self.bytes_written = 0
        self.closed = False
        self._hash = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """The SHA-256 of what was written so far, in hex digits."""
        return self._hash.hexdigest()

    def write(self, data: bytes) -> int:
        with _explained("write", self._uri):
            self._writer.write(bytes(data))
        self.bytes_written += len(data)
        self._hash.update(data)
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


def _files_below(
    root: str, prefix: str, enter: Callable[[str], bool] | None
) -> Iterator[tuple[str, int, str, int, str]]:
    """Path, size, etag, modification time and real path of each file below root/prefix; each folder is seen once,
    real ones before links to them.

    A name that is not UTF-8, or a link to nothing, is listed under a readable name and can't be read.
    """
    waiting, seen = [os.path.realpath(f"{root}/{prefix}") if prefix else root], set()
    names = {waiting[0]: prefix}
    while waiting:
        folder = waiting.pop()
        if folder in seen or not os.path.isdir(folder):
            continue
        seen.add(folder)
        with os.scandir(folder) as found:
            entries = list(found) if enter is None else _entered(list(found), enter)
        for entry in entries:
            name = os.fsencode(entry.name).decode("utf-8", "backslashreplace")
            path = f"{names[folder]}/{name}" if names[folder] else name
            is_link = entry.is_symlink()
            real = os.path.realpath(entry.path) if is_link else f"{folder}/{entry.name}"
            if entry.is_dir():
                names[real] = names.get(real, path) if is_link else path
                waiting.insert(0 if is_link else len(waiting), real)
                continue
            uri = os.fsencode(real).decode("utf-8", "backslashreplace")
            try:
                state = entry.stat()
            except FileNotFoundError:
                yield path, 0, "", 0, uri
            else:
                yield path, state.st_size, _etag(state), state.st_mtime_ns // 1000, uri


def _entered(entries: Sequence["os.DirEntry[str]"], enter: Callable[[str], bool]) -> Sequence["os.DirEntry[str]"]:
    """A folder's entries less the folders that `enter` refuses; all of them if a refused one holds folders too.

    A name says little of what lies below it (a device may be called like an hour), so one refused folder is looked
    into for all of its siblings.
    """
    refused = {e.path for e in entries if e.is_dir(follow_symlinks=False) and not enter(e.path)}
    for path in sorted(refused):
        with os.scandir(path) as found:
            kinds = {e.is_dir() for e in found}
        if kinds:
            return entries if True in kinds else [e for e in entries if e.path not in refused]
    return entries


def _etag(state: os.stat_result) -> str:
    return f"{state.st_ino:x}-{state.st_mtime_ns // 1000:x}-{state.st_size:x}"


@contextmanager
def _explained(action: str, uri: str) -> Iterator[None]:
    try:
        yield
    except (OSError, BaseError) as error:
        reason = getattr(error, "strerror", None) or str(error).split("\n")[0]
        raise StorageError(
            f"can't {action} {uri}: {reason}", "Check the path, its permissions and the free space."
        ) from error
