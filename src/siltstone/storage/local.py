"""A local folder.

Its files are listed and read past obstore, which refuses a whole listing for one odd name and was measured 12 times
slower for files of 200 bytes.
"""

import errno
import os
import re
import secrets
import stat
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from io import FileIO
from pathlib import Path
from typing import BinaryIO

import obstore
import polars as pl
from obstore.store import LocalStore

from siltstone.model.layout import FOLDER
from siltstone.storage.store import OBJECTS, Fetched, Writer

_TO_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
_ESCAPED = re.compile(rb"\\x([89a-f][0-9a-f])")  # a byte of a name that is not UTF-8
_KINDS = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
_UNSAFE = ("/Volumes/", "/dbfs/")  # mounts of Databricks, where what was tried on one machine may fail between two
_HAS_NO_LINKS = (errno.EPERM, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EXDEV)
_PROVEN: set[int] = set()
_SMALL_BYTES = 64 << 10  # read in one call, half as long as by a file object
_FEW_FILES = 2
_SYNCED_AT_ONCE = 16  # 2,000 files of 10 kB took 0.3 s so, and 5.3 s one after the other
_NO_FOLDER_SYNC = {errno.EACCES, errno.EBADF, errno.EINVAL, errno.ENOENT, errno.ENOTDIR, errno.ENOTSUP, errno.EPERM}

reach_disk: Callable[[int], None] = os.fsync
"""Waits until the disk has what was written to an open file or folder."""


class Disk:
    """The files below a folder."""

    calls_at_once = 1

    def __init__(self, root: str, *, is_synced: bool = True) -> None:
        self._root, self._is_synced = root, is_synced

    @cached_property
    def _store(self) -> LocalStore:
        return LocalStore(self._root)

    def exists(self) -> bool:
        return Path(self._root).exists()

    def make(self) -> None:
        Path(self._root).mkdir(parents=True, exist_ok=True)

    def creates_once(self) -> bool:
        """Tried in the folder, or the nearest one above it; once in a process for each device. What else goes wrong is
        left to whoever writes there."""
        if sys.platform != "darwin" and f"{self._root}/".startswith(_UNSAFE):
            return False
        there = self._root
        while not os.path.isdir(there) and there != "/":
            there = os.path.dirname(there)
        device = os.stat(there).st_dev
        if device not in _PROVEN:
            own = f"{FOLDER}/plans/" if os.path.isdir(f"{there}/{FOLDER}") else "."
            if not Disk(there).creates_only_once(f"{own}siltstone-{uuid.uuid4().hex}"):  # vacuum finds it among plans
                return False
            _PROVEN.add(device)
        return True

    def creates_only_once(self, path: str) -> bool:
        """Whether a file that is created twice is refused the second time; it is deleted again."""
        try:
            return not (self.put(path, b"", is_kept=False) and self.put(path, b"", is_kept=False))
        except OSError as error:
            return error.errno not in _HAS_NO_LINKS
        finally:
            with suppress(OSError):
                self.delete(path, follows_links=False)

    def objects(self, prefix: str, enter: Callable[[str], bool] | None, *, follows_links: bool) -> pl.DataFrame:
        if not follows_links and self._is_behind_link(prefix):
            return OBJECTS.to_frame()
        found = _files_below(self._root, prefix, enter, follows_links=follows_links)
        frame = pl.DataFrame(list(found), schema=OBJECTS, orient="row")
        return frame.sort("path").unique("uri", keep="first", maintain_order=True)

    def folders(self) -> Iterator[str]:
        try:
            with os.scandir(self._root) as found:
                yield from (entry.name for entry in found if entry.is_dir())
        except (FileNotFoundError, NotADirectoryError):
            return

    def read(self, path: str) -> Fetched | None:
        try:
            handle = self._opened(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            state = os.stat(self._place(path))
            return Fetched(b"", _etag(state), _refusal(state))
        try:
            data = _first_bytes(handle)
            state = os.fstat(handle)
            if refusal := _refusal(state):
                return Fetched(b"", _etag(state), refusal)
            if len(data) < state.st_size:
                os.lseek(handle, 0, os.SEEK_SET)
                with open(handle, "rb", buffering=0, closefd=False) as file:
                    data = file.readall()
                state = os.fstat(handle)
            return Fetched(data, _etag(state))
        finally:
            os.close(handle)

    def _opened(self, path: str) -> int:
        """A handle to read a file; a pipe that nobody writes to is opened at once, too."""
        try:
            return os.open(f"{self._root}/{path}", _TO_READ)
        except FileNotFoundError:
            if "\\x" not in path:
                raise
            return os.open(self._place(path), _TO_READ)

    def _place(self, path: str) -> bytes:
        """The name of a file on the disk, by that in the listing."""
        place = os.fsencode(f"{self._root}/{path}")
        return place if os.path.lexists(place) else _ESCAPED.sub(lambda byte: bytes.fromhex(byte[1].decode()), place)

    def read_range(self, path: str, start: int, end: int) -> bytes:
        with open(self._opened(path), "rb") as file:
            if _refusal(os.fstat(file.fileno())):
                return b""
            file.seek(start)
            return file.read(end - start)

    def size(self, path: str) -> int:
        try:
            return obstore.head(self._store, path)["size"]
        except FileNotFoundError:
            return 0

    def modified_us(self, path: str) -> int | None:
        try:
            return os.stat(f"{self._root}/{path}").st_mtime_ns // 1000
        except FileNotFoundError:
            return None

    def put(self, path: str, data: bytes, *, is_kept: bool = True) -> bool:
        """Past obstore, which gives a file its name before the disk has its content: after a power cut it is empty."""
        is_synced = is_kept and self._is_synced
        name = f"{self._root}/{path}"
        written = f"{name}#{secrets.randbits(48)}"
        file = _created(written)
        try:
            with file:
                written_bytes = 0
                while written_bytes < len(data):
                    written_bytes += file.write(memoryview(data)[written_bytes:])
                if is_synced:
                    reach_disk(file.fileno())
            os.link(written, name)
        except FileExistsError:
            return False
        finally:
            Path(written).unlink(missing_ok=True)
        if is_synced:
            self.sync((), (path,))
        return True

    def sync(self, paths: Sequence[str], folders_of: Sequence[str]) -> None:
        """Of many files several at once: the disk then takes them together."""
        if not self._is_synced:
            return
        names = [f"{self._root}/{path}" for path in paths]
        if len(names) > _FEW_FILES:
            with ThreadPoolExecutor(_SYNCED_AT_ONCE) as pool:
                list(pool.map(_sync, names))
        else:
            for name in names:
                _sync(name)
        folders = {folder for path in (*paths, *folders_of) for folder in _folders_of(path)}
        for folder in sorted(folders, reverse=True):
            _sync_folder(f"{self._root}/{folder}")
        for home in (Path(self._root), *Path(self._root).parents[:2]):  # of the table, the lake, and where that lies
            _sync_folder(str(home))

    def delete(self, path: str, *, follows_links: bool) -> None:
        folder = path.rpartition("/")[0]
        if not follows_links and self._is_behind_link(folder):
            raise PermissionError(errno.EPERM, f"{self._root}/{folder} is a link, or lies behind one")
        Path(f"{self._root}/{path}").unlink(missing_ok=True)  # obstore refuses what its own writers leave behind

    def _is_behind_link(self, folder: str) -> bool:
        """Whether a link below the root leads to a folder of it."""
        return os.path.realpath(f"{self._root}/{folder}") != os.path.realpath(self._root) + f"/{folder}".rstrip("/")

    def rename(self, path: str, new: str) -> None:
        obstore.rename(self._store, path, new)

    def open(self, path: str) -> BinaryIO:
        return open(f"{self._root}/{path}", "rb")

    def writer(self, path: str) -> Writer:
        return obstore.open_writer(self._store, path)


def _created(name: str) -> FileIO:
    """A new file to write, in a folder that is made for it."""
    try:
        return FileIO(name, "x")
    except FileNotFoundError:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        return FileIO(name, "x")


def _sync(name: str) -> None:
    """Wait until what was written to a file by any process, or the names in a folder, have reached the disk."""
    handle = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    try:
        reach_disk(handle)
    finally:
        os.close(handle)


def _sync_folder(name: str) -> None:
    """The same of a folder, where its file system can do it and it is still there."""
    try:
        _sync(name)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise


def _folders_of(path: str) -> Iterator[str]:
    while folder := path.rpartition("/")[0]:
        yield folder
        path = folder


def _files_below(
    root: str, prefix: str, enter: Callable[[str], bool] | None, *, follows_links: bool
) -> Iterator[tuple[str, int, str, int, str]]:
    """Path, size, etag, modification time and real path of each file below root/prefix; each folder is seen once,
    real ones before links to them, or no links at all.

    A name that is not UTF-8 is listed under a readable one, by which `read` finds the file; a link to nothing can't be
    read.
    """
    waiting, seen = [os.path.realpath(f"{root}/{prefix}") if prefix else root], set()
    names = {waiting[0]: prefix}
    while waiting:
        folder = waiting.pop()
        if folder in seen:
            continue
        seen.add(folder)
        try:
            with os.scandir(folder) as scan:
                entries = list(scan)
        except (FileNotFoundError, NotADirectoryError):
            continue
        for entry in entries if enter is None else _entered(entries, enter):
            name = _readable(entry.name)
            path = f"{names[folder]}/{name}" if names[folder] else name
            is_link = entry.is_symlink()
            if is_link and not follows_links:
                continue
            real = os.path.realpath(entry.path) if is_link else f"{folder}/{entry.name}"
            if entry.is_dir():
                names[real] = names.get(real, path) if is_link else path
                waiting.insert(0 if is_link else len(waiting), real)
                continue
            uri = _readable(real)
            try:
                state = entry.stat()
            except FileNotFoundError:
                yield path, 0, "", 0, uri
            else:
                yield path, state.st_size, _etag(state), state.st_mtime_ns // 1000, uri


def _readable(name: str) -> str:
    return name if name.isascii() else os.fsencode(name).decode("utf-8", "backslashreplace")


def _entered(entries: Sequence["os.DirEntry[str]"], enter: Callable[[str], bool]) -> Sequence["os.DirEntry[str]"]:
    """A folder's entries less the folders that `enter` refuses; all of them if a refused one holds folders too.

    A name says little of what lies below it (a device may be called like an hour), so one refused folder is looked
    into for all of its siblings.
    """
    refused = {e.path for e in entries if e.is_dir(follow_symlinks=False) and not enter(e.path)}
    for path in sorted(refused):
        with os.scandir(path) as scan:
            kinds = {e.is_dir() for e in scan}
        if kinds:
            return entries if True in kinds else [e for e in entries if e.path not in refused]
    return entries


def _etag(state: os.stat_result) -> str:
    return f"{state.st_ino:x}-{state.st_mtime_ns // 1000:x}-{state.st_size:x}"


def _first_bytes(handle: int) -> bytes:
    try:
        return os.read(handle, _SMALL_BYTES)
    except BlockingIOError:  # a pipe, whose writer has written nothing yet
        return b""


def _refusal(state: os.stat_result) -> str:
    """What is there in the place of a file or folder; "" if one is."""
    kind = _KINDS.get(stat.S_IFMT(state.st_mode))
    return f"it is {kind}, no file" if kind else ""
