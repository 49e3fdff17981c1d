"""Blocks of an Avro file, unpacked under the caps that hold while they grow."""

import bz2
import lzma
import threading
import zlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, cast

import pyarrow as pa
import zstandard
from isal import isal_zlib

from siltstone.errors import Unreadable
from siltstone.formats.size_caps import STEP, ZSTD_FEED, SizeCap

_XZ_MEMORY = 64 << 20  # bytes
_SNAPPY_RATIO = 32  # a copy of 64 bytes takes 3
_CRC_BYTES = 4
_DeflateError = cast(type[Exception], isal_zlib.error)


class BadBlock(ValueError):
    """A block that its codec can't unpack, with the reason."""


class Budget:
    """The bytes that the blocks of one file have become, `spent`, under one cap for the whole file."""

    __slots__ = ("_cap", "_most", "spent")

    def __init__(self, size: int, max_bytes: int, max_ratio: int) -> None:
        self._cap = SizeCap("its blocks are", size, max_bytes, max_ratio)
        self._most = self._cap.bytes
        self.spent = 0

    def check(self, more: int) -> None:
        """Raises Unreadable if `more` bytes are too many."""
        if self.spent + more > self._most:
            self._cap.check(self.spent + more)

    @property
    def most_made(self) -> int:
        """The bytes of text that records may become which have so many bytes."""
        return self._cap.most_made(self.spent)

    def check_made(self, what: str, made: int) -> None:
        """Raises Unreadable if these are more; `what` names them."""
        self._cap.check_made(what, made, self.spent)

    def spend(self, more: int) -> None:
        """Count what a block became. Raises Unreadable if that is too much."""
        self.check(more)
        self.spent += more


Unpack = Callable[[bytes, Budget], bytes]


def codec(name: str) -> Unpack:
    """The function that unpacks the blocks of a codec. It raises BadBlock for a damaged block, Unreadable at a cap."""
    if name not in _CODECS:
        raise Unreadable(f"Avro codec {name[:40]!r} is not known: {', '.join(_CODECS)} are read")
    return _CODECS[name]


def _unpack_none(data: bytes, budget: Budget) -> bytes:
    budget.spend(len(data))
    return data


def _unpack_snappy(data: bytes, budget: Budget) -> bytes:
    length = _preamble(data)
    if length > _SNAPPY_RATIO * len(data):
        raise BadBlock(f"snappy can't make {length:,} bytes of {len(data):,}")
    budget.spend(length)
    try:
        text: bytes = _SNAPPY.decompress(data[:-_CRC_BYTES], length, asbytes=True)
    except (OSError, pa.ArrowException) as error:
        raise BadBlock(f"broken snappy: {error}") from None
    if isal_zlib.crc32(text) != int.from_bytes(data[-_CRC_BYTES:], "big"):
        raise BadBlock("wrong CRC of a snappy block")
    return text


def _preamble(data: bytes) -> int:
    """The length that a snappy block says it has."""
    length = 0
    for i, byte in enumerate(data[:5]):
        length |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            return length
    raise BadBlock("a snappy block without its length")


def _unpack_deflate(data: bytes, budget: Budget) -> bytes:
    stream = isal_zlib.decompressobj(wbits=-15)
    return _unpack_in_steps(stream, data, budget, _DeflateError, "deflate")


def _unpack_bzip2(data: bytes, budget: Budget) -> bytes:
    return _unpack_in_steps(bz2.BZ2Decompressor(), data, budget, OSError, "bzip2")


def _unpack_xz(data: bytes, budget: Budget) -> bytes:
    stream = lzma.LZMADecompressor(memlimit=_XZ_MEMORY)
    return _unpack_in_steps(stream, data, budget, lzma.LZMAError, "xz")


def _unpack_in_steps(stream: Any, data: bytes, budget: Budget, errors: type[Exception], name: str) -> bytes:
    """The text of a stream that gives it in steps; it must end with the data."""
    parts: list[bytes] = []
    length, feed = 0, data
    try:
        while True:
            part = stream.decompress(feed, STEP)
            feed = getattr(stream, "unconsumed_tail", b"")
            length += len(part)
            budget.check(length)
            parts.append(part)
            if stream.eof or (not part and not feed):
                break
    except errors as error:
        raise BadBlock(f"broken {name}: {error}") from None
    except EOFError:
        raise BadBlock(f"broken {name}: it has no end") from None
    if not stream.eof:
        raise BadBlock(f"broken {name}: it has no end")
    text = parts[0] if len(parts) == 1 else b"".join(parts)
    if stream.unused_data and not (name == "deflate" and _is_checksum(stream.unused_data, text)):
        raise BadBlock(f"{len(stream.unused_data):,} bytes behind the {name} data of a block")
    budget.spend(length)
    return text


def _is_checksum(tail: bytes, text: bytes) -> bool:
    """Whether the bytes after deflate data are zlib's checksum, or its beginning: some writers leave them there."""
    return zlib.adler32(text).to_bytes(4, "big").startswith(tail)


def _unpack_zstandard(data: bytes, budget: Budget) -> bytes:
    parts: list[bytes] = []
    length = position = 0
    try:
        stream = _zstd(threading.get_ident()).decompressobj(read_across_frames=False)
        while not stream.eof:
            feed = data[position : position + ZSTD_FEED]
            if not feed:
                raise BadBlock("broken zstandard: it has no end")
            part = stream.decompress(feed)
            position += len(feed)
            length += len(part)
            budget.check(length)
            parts.append(part)
    except zstandard.ZstdError as error:
        raise BadBlock(f"broken zstandard: {error}") from None
    unused = len(stream.unused_data) + len(data) - position
    if unused:
        raise BadBlock(f"{unused:,} bytes behind the zstandard data of a block")
    budget.spend(length)
    return b"".join(parts)


@lru_cache(maxsize=16)
def _zstd(thread: int) -> zstandard.ZstdDecompressor:
    """One for each thread: making it takes five times as long as a small block."""
    return zstandard.ZstdDecompressor()


_SNAPPY = pa.Codec("snappy")
_CODECS: Mapping[str, Unpack] = {
    "null": _unpack_none,
    "deflate": _unpack_deflate,
    "snappy": _unpack_snappy,
    "zstandard": _unpack_zstandard,
    "bzip2": _unpack_bzip2,
    "xz": _unpack_xz,
}
