"""Compressed bytes to text bytes: gzip (any number of members), zstd or plain, recognized by content, never by name."""

import zlib
from dataclasses import dataclass
from typing import Literal, cast

import zstandard
from isal import isal_zlib

from siltstone.errors import Unreadable
from siltstone.formats.size_caps import STEP, ZSTD_FEED, SizeCap

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_BOM = b"\xef\xbb\xbf"
_SMALLER_STEPS = (64 << 10, 1 << 10, 32, 1)
_HEAD_TEXT = 64 << 10
_GzipError = cast(type[Exception], isal_zlib.error)
_MEMBER_FEED = 32 << 10  # of each further member: a file of a million of them must not be copied a million times

Salvage = Literal["none", "truncated", "all"]


@dataclass(frozen=True, slots=True)
class Inflated:
    """The text of a file. `damage` says why it is not the whole file, empty when it is; `truncated` that the text
    may end inside a record."""

    data: bytes
    damage: str = ""
    truncated: bool = False


def inflate(
    raw: bytes, *, max_bytes: int, max_ratio: int, salvage: Salvage = "truncated", begins: bytes = b"{["
) -> Inflated:
    """The text of one file; plain text must begin with one of the bytes `begins`, if any are given.

    `max_bytes` caps the text; `max_ratio` caps text / compressed size for texts over 64 MiB (a bomb grows in steps
    of 4 MiB until a cap stops it, so memory stays flat). `salvage` says which damaged files still give what could
    be read: `none`, `truncated` (only files cut short or with junk after a whole member) or `all` (also a bad
    checksum or broken blocks: the last bytes can be wrong).

    Raises Unreadable with the reason when the file gives nothing.
    """
    if not raw:
        raise Unreadable("empty file: 0 bytes, not even a gzip header")
    cap = SizeCap("text is", len(raw), max_bytes, max_ratio)
    if raw.startswith(_GZIP):
        inflated = _gzip(raw, cap)
    elif raw.startswith(_ZSTD):
        inflated = _zstd(raw, cap)
    elif not begins or raw.removeprefix(_BOM).lstrip()[:1] in [bytes([byte]) for byte in begins]:
        cap.check(len(raw))
        inflated = Inflated(raw)
    else:
        raise Unreadable(f"neither gzip, zstd nor NDJSON text: begins with {raw[:8]!r}")
    if inflated.damage and (salvage == "none" or (salvage == "truncated" and not inflated.truncated)):
        raise Unreadable(inflated.damage)
    return inflated


def inflate_head(raw: bytes) -> bytes:
    """As much text as the first bytes of a file give, at most 64 KiB; empty when they give none."""
    try:
        if raw.startswith(_GZIP):
            head: bytes = isal_zlib.decompressobj(wbits=31).decompress(raw, _HEAD_TEXT)
            return head.removeprefix(_BOM)
        if raw.startswith(_ZSTD):
            return zstandard.ZstdDecompressor().stream_reader(raw).read(_HEAD_TEXT).removeprefix(_BOM)
    except (_GzipError, zstandard.ZstdError):
        return b""
    return raw.removeprefix(_BOM)


def _gzip(raw: bytes, cap: SizeCap) -> Inflated:
    text = _one_member(raw, cap)
    return _members(raw, cap) if text is None else Inflated(text)


def _one_member(raw: bytes, cap: SizeCap) -> bytes | None:
    """The text in one call, half the time of steps, if the file is one sound member and nothing else; else None.

    The trailer has the length, so no more memory is taken than the caps allow; a wrong length shows at the end.
    """
    length = int.from_bytes(raw[-4:], "little")
    if not cap.allows(length):
        return None
    stream = isal_zlib.decompressobj(wbits=31)
    try:
        text: bytes = stream.decompress(raw, length + 1)
    except _GzipError:
        return None
    return text if stream.eof and not stream.unused_data else None


def _members(raw: bytes, cap: SizeCap) -> Inflated:
    parts: list[bytes] = []
    length = position = 0
    bite = len(raw)
    while position < len(raw):
        if not raw.startswith(_GZIP, position):
            if not raw[position:].strip(b"\0"):
                break
            damage = f"{len(raw) - position:,} bytes behind the gzip data are not gzip"
            return Inflated(b"".join(parts), damage, truncated=True)
        stream = isal_zlib.decompressobj(wbits=31)
        feed, start, before = b"", position, length
        try:
            while not stream.eof:
                if not feed:
                    feed = raw[position : position + bite]
                    position += len(feed)
                at_end = not feed
                part = stream.decompress(feed, STEP)
                feed = stream.unconsumed_tail
                length += len(part)
                cap.check(length)
                parts.append(part)
                if at_end and not part and not stream.eof:
                    damage = f"gzip cut short after {length:,} bytes of text"
                    return Inflated(b"".join(parts), damage, truncated=True)
        except _GzipError as error:
            parts.append(_up_to_error(raw[start:], length - before))
            length += len(parts[-1])
            cap.check(length)
            return Inflated(b"".join(parts), f"broken gzip after {length:,} bytes of text: {error}")
        position -= len(stream.unused_data)
        bite = _MEMBER_FEED
    return Inflated(b"".join(parts))


def _up_to_error(member: bytes, length: int) -> bytes:
    """The text of a broken member after its first `length` bytes, at most 4 MiB: a call that fails gives nothing, so
    smaller and smaller steps go up to the error. By zlib: isal keeps bytes back."""
    text = b""
    for step in _SMALLER_STEPS:
        stream = zlib.decompressobj(wbits=31)
        feed = member
        try:
            if length + len(text):
                stream.decompress(feed, length + len(text))
                feed = stream.unconsumed_tail
            while part := stream.decompress(feed, step):
                feed = stream.unconsumed_tail
                text += part
        except zlib.error:
            continue
    return text


def _zstd(raw: bytes, cap: SizeCap) -> Inflated:
    parts: list[bytes] = []
    length = position = 0
    while position < len(raw):
        if not raw.startswith(_ZSTD, position):
            damage = f"{len(raw) - position:,} bytes behind the zstd data are not zstd"
            return Inflated(b"".join(parts), damage, truncated=True)
        stream = zstandard.ZstdDecompressor().decompressobj(read_across_frames=False)
        try:
            while not stream.eof:
                feed = raw[position : position + ZSTD_FEED]
                if not feed:
                    damage = f"zstd cut short after {length:,} bytes of text"
                    return Inflated(b"".join(parts), damage, truncated=True)
                part = stream.decompress(feed)
                position += len(feed)
                length += len(part)
                cap.check(length)
                parts.append(part)
        except zstandard.ZstdError as error:
            return Inflated(b"".join(parts), f"broken zstd after {length:,} bytes of text: {error}")
        position -= len(stream.unused_data)
    return Inflated(b"".join(parts))
