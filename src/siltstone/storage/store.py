"""What a kind of storage must be able to do; `local` and `s3` do it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

import polars as pl

OBJECTS = pl.Schema(
    {"path": pl.String(), "size": pl.Int64(), "etag": pl.String(), "modified_us": pl.Int64(), "uri": pl.String()}
)


@dataclass(frozen=True, slots=True)
class Fetched:
    """A whole object and the etag that it had when it was read; `refusal` says why it has no bytes to read, "" if it
    has."""

    data: bytes
    etag: str
    refusal: str = ""


class Writer(Protocol):
    """A file being written; no reader sees it before `close`."""

    def write(self, data: bytes, /) -> int: ...

    def close(self) -> None: ...


class Store(Protocol):
    """Objects below a root. Each method does what the method of `Storage` with its name says.

    Errors are the ones of the library that does the work; `Storage` explains them.
    """

    calls_at_once: int
    """How many calls it answers faster together than one after the other; 1: none."""

    def exists(self) -> bool: ...

    def make(self) -> None: ...

    def creates_once(self) -> bool:
        """Whether of two calls that create one name the second is refused, as far as it can be seen before `make`."""
        ...

    def objects(self, prefix: str, enter: Callable[[str], bool] | None, *, follows_links: bool) -> pl.DataFrame: ...

    def folders(self) -> Iterable[str]: ...

    def read(self, path: str) -> Fetched | None: ...

    def read_range(self, path: str, start: int, end: int) -> bytes: ...

    def size(self, path: str) -> int: ...

    def modified_us(self, path: str) -> int | None: ...

    def put(self, path: str, data: bytes, *, is_kept: bool) -> bool: ...

    def delete(self, path: str, *, follows_links: bool) -> None: ...

    def rename(self, path: str, new: str) -> None: ...

    def sync(self, paths: Sequence[str], folders_of: Sequence[str]) -> None: ...

    def open(self, path: str) -> BinaryIO: ...

    def writer(self, path: str) -> Writer: ...
