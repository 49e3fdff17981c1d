"""One file of a published folder: equal content gives equal bytes, since names are sorted and times and owners fixed.

In the archive all files lie in the folder `mortar`, with their SHA-256 sums in `SHA256SUMS`; the archive's own is put
beside it. Parts are read one after the other and never held together.
"""

import gzip
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from siltstone.errors import StorageError, UsageError
from siltstone.model.access import Access
from siltstone.storage import Storage, open_root

Kind = Literal["zip", "tar.gz"]
_TOP = "mortar"
_SUMS = "SHA256SUMS"
_MODE = 0o644
_LEVEL = 6
_Add = Callable[[str, bytes], None]


@dataclass(frozen=True, slots=True)
class Member:
    """A file of the folder, with the SHA-256 that its content must have."""

    path: str
    sha256: str


def archive_name(out: Storage, kind: Kind, wanted: str | None, access: Access) -> tuple[Storage, str]:
    """The folder and the name of the archive: as wanted, else that of the published folder, beside it.

    Raises UsageError where it would lie in the folder itself, or have none to lie in.
    """
    uri = wanted or f"{out.root}.{kind}"
    folder, _, name = uri.rstrip("/").rpartition("/")
    if not name or (not wanted and out.root.count("/") < 3 and not out.is_local):
        raise UsageError(f"{out.root} has no folder beside it for the archive", "Say where: --archive-to URI.")
    home = open_root(folder or ("/" if uri.startswith("/") else "."), access)
    if f"{home.root}/".startswith(f"{out.root}/"):
        raise UsageError(f"the archive {uri} would lie in the folder that it holds", "Give --archive-to another place.")
    return home, name


def write_archive(out: Storage, members: Sequence[Member], kind: Kind, home: Storage, name: str) -> dict[str, Any]:
    """Write the archive of a folder and its `.sha256`; where it is, its bytes and its sum.

    Raises StorageError when a file is gone or not what it was, and leaves no archive then.
    """
    members = sorted(members, key=lambda m: m.path)
    sums = "".join(f"{m.sha256}  {m.path}\n" for m in members).encode()
    if home.is_local:
        home.make()
    home.delete(f"{name}.sha256")
    sink = home.sink(name)
    with sink, _container(kind, sink) as add:
        add(_SUMS, sums)  # sorts before all others: names of files are in lower case
        contents = out.ahead(lambda m: _content(out, m), members)
        for member, data in zip(members, contents, strict=True):
            add(member.path, data)
    home.delete(f"{name}.sha256")
    home.put(f"{name}.sha256", f"{sink.sha256}  {name}\n".encode())
    return {"archive": home.uri(name), "archive_bytes": sink.bytes_written, "archive_sha256": sink.sha256}


def _content(out: Storage, member: Member) -> bytes:
    fetched = out.read(member.path)
    if fetched is None or hashlib.sha256(fetched.data).hexdigest() != member.sha256:
        what = "is gone" if fetched is None else "is not what was published"
        raise StorageError(f"{out.uri(member.path)} {what}", "If another run is publishing there, run again after it.")
    return fetched.data


@contextmanager
def _container(kind: Kind, sink: Any) -> Iterator[_Add]:
    """What adds a file to a new archive in the sink."""
    if kind == "zip":
        with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, allowZip64=True, compresslevel=_LEVEL) as archive:
            yield lambda path, data: _zip(archive, path, data)
    else:
        with (
            gzip.GzipFile("", "wb", _LEVEL, sink, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as archive_of_unix,
        ):
            yield lambda path, data: _tar(archive_of_unix, path, data)


def _zip(archive: zipfile.ZipFile, path: str, data: bytes) -> None:
    info = zipfile.ZipInfo(f"{_TOP}/{path}", (1980, 1, 1, 0, 0, 0))
    info.create_system, info.external_attr = 3, (0o100000 | _MODE) << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(info, data, compresslevel=_LEVEL)


def _tar(archive: tarfile.TarFile, path: str, data: bytes) -> None:
    info = tarfile.TarInfo(f"{_TOP}/{path}")
    info.size, info.mode, info.mtime = len(data), _MODE, 0
    archive.addfile(info, io.BytesIO(data))
