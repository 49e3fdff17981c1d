"""A bucket of S3, or of a store that speaks its protocol, through obstore.

obstore tries again after 5xx answers, broken connections and timeouts. It can't know whether a request without
an answer was carried out; that is found out here: a created object has a token of its writer, an upload its size.
"""

import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, BinaryIO

import obstore
import polars as pl
from obstore.exceptions import AlreadyExistsError, BaseError, GenericError, InvalidPathError
from obstore.store import S3Store

from siltstone.errors import UsageError
from siltstone.model.access import Access
from siltstone.storage import odd_keys
from siltstone.storage import parallel_listing as ranges
from siltstone.storage.access import bucket_store
from siltstone.storage.failures import whole
from siltstone.storage.prefetch import ahead
from siltstone.storage.store import OBJECTS, Fetched, Writer

_OURS = "siltstone-put"
_PART_BYTES = 8 << 20
_PARTS_AT_ONCE = 4  # so an upload holds at most 40 MiB


class S3Bucket:
    """The objects of a bucket below a key."""

    calls_at_once = 64

    def __init__(self, access: Access, bucket: str, key: str) -> None:
        self._access, self._bucket, self._root = access, bucket, key

    @property
    def _store(self) -> S3Store:
        return bucket_store(self._access, self._bucket)

    def _key(self, path: str) -> str:
        return f"{self._root}/{path}" if self._root and path else self._root or path

    def exists(self) -> bool:
        try:
            return bool(whole(lambda: next(iter(obstore.list(self._store, self._root, chunk_size=1)), [])))
        except InvalidPathError:
            return True

    def make(self) -> None:
        """Nothing to create; but a table must not lie where two runs could both commit."""
        probe = f"_siltstone/plans/probe-{uuid.uuid4().hex}"  # where vacuum finds it if this dies
        self.put(probe, b"")
        is_replaced = self.put(probe, b"")
        self.delete(probe, follows_links=True)
        if is_replaced:
            raise UsageError(
                f"the store of s3://{self._bucket} ignores If-None-Match: of two commits at once one would be lost",
                "Keep the lake in a store with conditional writes, such as S3 or MinIO.",
            )

    def creates_once(self) -> bool:
        """`make` finds it out, once for each table."""
        return True

    def objects(self, prefix: str, enter: Callable[[str], bool] | None, *, follows_links: bool) -> pl.DataFrame:
        """All of them, whatever `enter` says, for a thousand keys cost one call, and so does one folder. There are no
        links."""
        top = self._key(prefix)
        try:
            listed = ranges.listed(self._store, top, self.calls_at_once)
        except InvalidPathError:
            listed = odd_keys.listed(self._access, self._bucket, top)
        listed = listed.filter(pl.col("key") != top)
        below = f"{self._root}/" if self._root else ""
        frame = listed.with_columns(
            path=pl.col("key").str.strip_prefix(below), uri=pl.concat_str(pl.lit(f"s3://{self._bucket}/"), "key")
        )
        # The marker that a console makes of a folder `a/` looks like an object `a` of 0 bytes.
        frame = frame.sort("path", "size").unique("path", keep="last", maintain_order=True)
        return frame.select(OBJECTS.names())

    def folders(self) -> Iterator[str]:
        found = whole(lambda: obstore.list_with_delimiter(self._store, self._root or None))
        return (folder.rstrip("/").rpartition("/")[2] for folder in found["common_prefixes"])

    def read(self, path: str) -> Fetched | None:
        key = self._key(path)
        try:
            result = obstore.get(self._store, key)
            return Fetched(result.bytes().to_bytes(), _bare(result.meta["e_tag"]))
        except ValueError:
            return odd_keys.read(self._access, self._bucket, key)
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise
            return None

    def read_range(self, path: str, start: int, end: int) -> bytes:
        key = self._key(path)
        try:
            return obstore.get_range(self._store, key, start=start, end=end).to_bytes()
        except ValueError:
            fetched = odd_keys.read(self._access, self._bucket, key)
            return fetched.data[start:end] if fetched else b""
        except GenericError as error:
            if "416 Range Not Satisfiable" in str(error):  # nothing is there from `start` on
                return b""
            raise

    def size(self, path: str) -> int:
        try:
            return obstore.head(self._store, self._key(path))["size"]
        except FileNotFoundError:
            return 0

    def modified_us(self, path: str) -> int | None:
        try:
            return round(obstore.head(self._store, self._key(path))["last_modified"].timestamp() * 1_000_000)
        except FileNotFoundError:
            return None

    def put(self, path: str, data: bytes, *, is_kept: bool = True) -> bool:
        key, token = self._key(path), uuid.uuid4().hex
        try:
            obstore.put(self._store, key, data, mode="create", attributes={_OURS: token}, use_multipart=False)
        except AlreadyExistsError:
            return self._token(key) == token
        except GenericError:
            with suppress(BaseError, OSError):
                if self._token(key) == token:
                    return True
            raise
        return True

    def _token(self, key: str) -> str | None:
        try:
            return obstore.get(self._store, key, options={"head": True}).attributes.get(_OURS)
        except FileNotFoundError:
            return None

    def delete(self, path: str, *, follows_links: bool) -> None:
        obstore.delete(self._store, self._key(path))

    def rename(self, path: str, new: str) -> None:
        """A copy, then a delete: one of them twice does no harm."""
        obstore.rename(self._store, self._key(path), self._key(new))

    def sync(self, paths: Sequence[str], folders_of: Sequence[str]) -> None:
        """Nothing to do: S3 answers once an object is safe."""

    def open(self, path: str) -> BinaryIO:
        """A copy of the object on the local disk, without a name: seeking in S3 costs a request each time."""
        copy = tempfile.TemporaryFile(prefix="siltstone-")  # noqa: SIM115 - the caller closes it
        try:
            size = obstore.head(self._store, self._key(path))["size"]
            starts = range(0, size, _PART_BYTES)
            pieces = ahead(
                lambda start: self.read_range(path, start, min(start + _PART_BYTES, size)),
                starts,
                [_PART_BYTES] * len(starts),
                _PARTS_AT_ONCE,
            )
            for piece in pieces:
                copy.write(piece)
            copy.seek(0)
        except BaseException:
            copy.close()
            raise
        return copy

    def writer(self, path: str) -> Writer:
        return _Upload(self, path)

    def open_writer(self, path: str) -> Any:
        return obstore.open_writer(
            self._store, self._key(path), buffer_size=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE
        )


class _Upload:
    """A single put, or parts, under a name that nobody else writes to: an object of the full size is ours."""

    def __init__(self, bucket: S3Bucket, path: str) -> None:
        self._bucket, self._path, self._written = bucket, path, 0
        self._writer = bucket.open_writer(path)

    def write(self, data: bytes, /) -> int:
        self._writer.write(data)
        self._written += len(data)
        return len(data)

    def close(self) -> None:
        try:
            self._writer.close()
        except (BaseError, OSError):
            with suppress(BaseError, OSError):
                if self._bucket.size(self._path) == self._written:
                    return
            raise


def _bare(etag: str | None) -> str:
    return (etag or "").strip('"')
