"""List, read and write on a path, local or on S3: the only package that touches storage."""

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, repeat
from types import TracebackType
from typing import Any, BinaryIO, Self, TypeVar

import polars as pl

from siltstone.errors import StorageError, UsageError
from siltstone.model.access import AMAZON, Access
from siltstone.model.places import refuse_half_uri
from siltstone.storage.access import delta_options
from siltstone.storage.failures import explained, next_move, reason, whole
from siltstone.storage.local import Disk
from siltstone.storage.prefetch import ahead
from siltstone.storage.s3 import S3Bucket
from siltstone.storage.store import OBJECTS, Fetched, Store, Writer

__all__ = ["AMAZON", "OBJECTS", "Fetched", "Sink", "Storage", "join", "next_move", "open_root", "reason", "whole"]

Item = TypeVar("Item")
Result = TypeVar("Result")

_S3 = "s3://"
_LOOKED_AT = 20  # files, before all are taken for gone
_SENT_BYTES = 1 << 18
_BUCKET = re.compile(r"[A-Za-z0-9._-]+")
_DELTA_ROOT = re.compile(r"s3://[A-Za-z0-9._=@+~/-]+")


@dataclass(frozen=True)
class Storage:
    """A root, `/folder` or `s3://bucket/key`; every path given to its methods is relative to it and written with `/`.

    Errors of the store are StorageErrors that name the object.
    """

    root: str
    access: Access = AMAZON

    @cached_property
    def _store(self) -> Store:
        if not self.root.startswith(_S3):
            return Disk(self.root, is_synced=self.access.sync)
        bucket, _, key = self.root.removeprefix(_S3).partition("/")
        return S3Bucket(self.access, bucket, key)

    @property
    def is_local(self) -> bool:
        return not self.root.startswith(_S3)

    def child(self, *parts: str) -> "Storage":
        """The storage of a folder below this one."""
        return Storage(f"{self.root}/{join(*parts)}", self.access)

    def uri(self, path: str) -> str:
        """The canonical name of an object: absolute, links followed, s3:// for s3a://."""
        return f"{self.root}/{path}"

    def delta_options(self) -> dict[str, str] | None:
        """What delta-rs needs to open a table here now, secrets included; None for local folders.

        Raises UsageError for a root on S3 that delta-rs would take for another, or Delta readers for two.
        """
        if self.is_local:
            return None
        if not _DELTA_ROOT.fullmatch(self.root):
            raise UsageError(
                f"{self.root} has characters in its path that Delta readers take for something else",
                "Give a lake with letters, digits and . _ = @ + ~ / - only.",
            )
        return delta_options(self.access, self.root.removeprefix(_S3).partition("/")[0])

    def __reduce__(self) -> tuple[Any, ...]:
        return Storage, (self.root, self.access)  # to another process without its connections

    def exists(self) -> bool:
        """Whether the folder exists; on S3, whether any object is below it."""
        with explained("list", self.root):
            return self._store.exists()

    def make(self) -> None:
        """Create the root folder if the store needs one. Raises UsageError if the place is not safe for a table."""
        with explained("create", self.root):
            self._store.make()

    def refuse_unsafe(self) -> None:
        """Raise UsageError where a table, or another folder with a log, must not lie: of two runs that commit there at
        once one would be lost. Nothing is created. A bucket is looked at by `make`."""
        with explained("write", self.root):
            is_safe = self._store.creates_once()
        if not is_safe:
            raise UsageError(
                f"{self.root} is no place for tables: files can't be created in one step there, so that of two runs "
                "that commit at once one would be lost",
                "Give s3://BUCKET/FOLDER, or a folder of a file system with hard links, such as a local disk or NFS; "
                "input may lie there, and tables are read there.",
            )

    def objects(
        self, prefix: str = "", enter: Callable[[str], bool] | None = None, *, follows_links: bool = True
    ) -> pl.DataFrame:
        """All objects below a prefix, columns as OBJECTS, in order of path; `uri` names each real file once.

        Objects directly in a folder may be missing if `enter` refuses the URI of the folder. On a local disk links
        below the prefix are followed, or with `follows_links` false left out, those to files too.
        """
        with explained("list", self.uri(prefix)):
            return self._store.objects(prefix, enter, follows_links=follows_links)

    def folders(self) -> list[str]:
        """The names of the folders directly in the root, in order."""
        with explained("list", self.root):
            return sorted(self._store.folders())

    def read(self, path: str) -> Fetched | None:
        """A whole object, or None if it does not exist (any more)."""
        with explained("read", self.uri(path)):
            return self._store.read(path)

    def refuse_unseen(self, files: Iterable[tuple[str, str]]) -> None:
        """Raise StorageError where this process reads one of the files, (path, etag or "" for any), none of which a
        worker could read."""
        for path, etag in islice(files, _LOOKED_AT):
            fetched = self.read(path)
            if fetched is not None and etag in ("", fetched.etag):
                raise StorageError(
                    f"{self.uri(path)} is here, but no worker could read it, nor any other file below {self.root}",
                    "Give a place that every worker sees under the same path, such as s3://BUCKET/FOLDER.",
                )

    def read_head(self, path: str, length: int) -> bytes:
        """The first `length` bytes of an object, fewer if it is shorter, none if it does not exist any more."""
        with explained("read", self.uri(path)):
            try:
                return self._store.read_range(path, 0, length)
            except FileNotFoundError:
                return b""

    def read_range(self, path: str, start: int, end: int) -> bytes:
        """Bytes [start, end) of an object, fewer if it is shorter."""
        with explained("read", self.uri(path)):
            return self._store.read_range(path, start, end)

    def size(self, path: str) -> int:
        """An object's size in bytes; 0 if it does not exist."""
        with explained("read", self.uri(path)):
            return self._store.size(path)

    def modified_us(self, path: str) -> int | None:
        """When an object was written by the store's own clock, in microseconds since 1970; None if it does not
        exist."""
        with explained("read", self.uri(path)):
            return self._store.modified_us(path)

    def put(self, path: str, data: bytes, *, is_kept: bool = True) -> bool:
        """Create an object in one step; False if another call has already created one of that name.

        On a local disk it has reached the disk by then, unless storage.sync is off or the object is none that `is_kept`
        beyond the run, or until `sync`.
        """
        with explained("write", self.uri(path)):
            return self._store.put(path, data, is_kept=is_kept)

    def sync(self, paths: Sequence[str], *, folders_of: Sequence[str] = ()) -> None:
        """Wait until files have reached the disk, with their names, and so have the names that came to or went from
        the folders of others; at once on S3, and where storage.sync is off."""
        with explained("write", self.root):
            self._store.sync(paths, folders_of)

    def delete(self, path: str, *, follows_links: bool = True) -> None:
        """Delete an object; it is no error if it does not exist. With `follows_links` false it is one where a link
        below the root leads to its folder: then it may lie anywhere.

        Raises UsageError for a path that leads out of the root by itself.
        """
        if ".." in path.split("/"):
            raise UsageError(f"{path!r} leads out of {self.root}: it is not deleted")
        with explained("delete", self.uri(path)):
            self._store.delete(path, follows_links=follows_links)

    def rename(self, path: str, new: str) -> None:
        """Give an object another name; it is no error if that was done before."""
        with explained("rename", self.uri(path)):
            try:
                self._store.rename(path, new)
            except FileNotFoundError:
                if not self.size(new):
                    raise

    def open(self, path: str) -> BinaryIO:
        """An object to read and seek in."""
        with explained("read", self.uri(path)):
            return self._store.open(path)

    def sink(self, path: str) -> "Sink":
        """A file to write, under a name that no other call uses; it appears when it is closed."""
        with explained("write", self.uri(path)):
            return Sink(self._store.writer(path), self.uri(path))

    def ahead(
        self, work: Callable[[Item], Result], items: Iterable[Item], sizes: Iterable[int] | None = None
    ) -> Iterator[Result]:
        """`work(item)` for each item in order, where work calls this storage: one after the other on a local disk,
        else several at once, ahead of whoever takes the results.

        `sizes` are the bytes that each result holds, to bound what waits in memory.
        """
        if self._store.calls_at_once == 1:
            return map(work, items)
        return ahead(work, items, repeat(0) if sizes is None else sizes, self._store.calls_at_once)


class Sink:
    """A writable binary file that counts and hashes its bytes; leaving its context with an error drops them."""

    def __init__(self, writer: Writer, uri: str) -> None:
        self._writer, self._uri = writer, uri
        self.bytes_written = 0
        self.closed = False
        self._hash = hashlib.sha256()
        self._held = bytearray()  # a Parquet writer comes with many small pieces

    @property
    def sha256(self) -> str:
        """The SHA-256 of the written bytes, in hex digits, once the object is closed."""
        return self._hash.hexdigest()

    def write(self, data: bytes) -> int:
        self.bytes_written += len(data)
        self._held += data
        if len(self._held) >= _SENT_BYTES:
            self._send()
        return len(data)

    def _send(self) -> None:
        data, self._held = bytes(self._held), bytearray()
        with explained("write", self._uri):
            self._writer.write(data)
        self._hash.update(data)

    def flush(self) -> None:
        """Nothing to do: a part is sent when it is full."""

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._send()
            with explained("write", self._uri):
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


def open_root(uri: str, access: Access = AMAZON) -> Storage:
    """The storage at a local path, a file://, s3:// or s3a:// URI; local links are followed once, here.

    Raises UsageError for what is none of them, or has a bucket that can't be one.
    """
    refuse_half_uri(uri)
    scheme, found, rest = uri.partition("://")
    if found and scheme in ("s3", "s3a"):
        bucket, *folders = (piece for piece in rest.split("/") if piece) if rest.strip("/") else [""]
        if not bucket or rest.startswith("/"):
            raise UsageError(f"{uri} names no bucket", "Give s3://BUCKET or s3://BUCKET/FOLDER.")
        if not _BUCKET.fullmatch(bucket):
            shown = "s3://***" if ":" in bucket else uri  # what stands before and behind a colon may be keys
            raise UsageError(
                f"{shown} names no bucket: a name has letters, digits and . _ - only",
                "Give s3://BUCKET/FOLDER; keys come from the environment, a profile or a role, never from the URI.",
            )
        return Storage(_S3 + "/".join([bucket, *([join(*folders)] if folders else [])]), access)
    if found and scheme == "file" and not rest.startswith("/"):
        raise UsageError(f"{uri} names a host", f"Give file:///{rest}, or a path.")
    if found and scheme != "file":
        raise UsageError(f"{uri}: no storage for {scheme}://", "Give a local path or an s3:// URI.")
    return Storage(os.path.realpath(os.path.expanduser(rest if found else uri)), access)


def open_input(uri: str, access: Access = AMAZON) -> tuple[Storage, str]:
    """The storage at a path that is to be read, and "", or, where the path is a single file's, the storage of its
    folder and its name."""
    storage = open_root(uri, access)
    folder, _, name = storage.root.rpartition("/")
    is_file = os.path.isfile(storage.root) if storage.is_local else not storage.exists()
    if not is_file or not folder or folder.endswith("/"):
        return storage, ""
    parent = open_root(folder, access)
    return (parent, name) if storage.is_local or parent.read_head(name, 1) else (storage, "")
