"""Whole, damaged and hostile files: what text they give, or why they give none."""

import gzip
import io
import re
import struct
import tracemalloc
import zlib

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from siltstone.errors import Unreadable
from siltstone.formats.compression import Inflated, Salvage, inflate, inflate_head
from support.rounds import examples

TEXT = b'{"a":1}\n{"a":2}\n'
MIB = 1 << 20


def whole(raw: bytes, *, salvage: Salvage = "truncated", max_bytes: int = 256 * MIB, max_ratio: int = 200) -> Inflated:
    return inflate(raw, max_bytes=max_bytes, max_ratio=max_ratio, salvage=salvage)


def zst(text: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(text)


@pytest.mark.parametrize(
    "raw",
    [
        gzip.compress(TEXT),
        gzip.compress(TEXT[:8]) + gzip.compress(b"") + gzip.compress(TEXT[8:]),
        gzip.compress(TEXT) + b"\0" * 512,
        zst(TEXT),
        zst(TEXT[:8]) + zst(TEXT[8:]),
        TEXT,
    ],
    ids=["gzip", "gzip of several members", "gzip padded with zeros", "zstd", "zstd of two frames", "plain"],
)
def test_a_whole_file_gives_its_text(raw: bytes) -> None:
    assert whole(raw, salvage="none") == Inflated(TEXT)


def test_gzip_with_a_name_and_a_comment_in_its_header() -> None:
    body = gzip.compress(TEXT, mtime=0)
    header = b"\x1f\x8b\x08\x18" + body[4:10] + b"name.txt\0" + b"a comment\0"
    assert whole(header + body[10:]) == Inflated(TEXT)


def test_a_valid_gzip_of_nothing_is_an_empty_text() -> None:
    assert whole(gzip.compress(b"")) == Inflated(b"")


def test_a_byte_order_mark_before_plain_text_is_left_for_the_parser() -> None:
    assert whole(b"\xef\xbb\xbf" + TEXT) == Inflated(b"\xef\xbb\xbf" + TEXT)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "empty file: 0 bytes, not even a gzip header"),
        (b"PK\x03\x04abcdefgh", "neither gzip, zstd nor NDJSON text: begins with b'PK\\x03\\x04abcd'"),
        (b'heartbeat,unitno\n1,"x"\n', "neither gzip, zstd nor NDJSON text: begins with b'heartbea'"),
    ],
)
def test_what_is_no_telemetry_file_is_unreadable(raw: bytes, reason: str) -> None:
    with pytest.raises(Unreadable, match=re.escape(reason)):
        whole(raw, salvage="all")


def stored(text: bytes) -> bytes:
    """Gzip without compression: its bytes lie where one can count them (10 header, 5 block header, text, 8 trailer)."""
    return gzip.compress(text, compresslevel=0, mtime=0)


def test_a_cut_gzip_keeps_the_text_before_the_cut() -> None:
    raw = stored(TEXT)[: 15 + 11]  # 11 bytes of text: the first line and '{"a'
    assert whole(raw) == Inflated(TEXT[:11], "gzip cut short after 11 bytes of text", truncated=True)
    with pytest.raises(Unreadable, match="gzip cut short after 11 bytes of text"):
        whole(raw, salvage="none")


def test_a_gzip_without_its_trailer_is_cut_short_though_its_text_is_whole() -> None:
    assert whole(gzip.compress(TEXT)[:-8]) == Inflated(TEXT, "gzip cut short after 16 bytes of text", truncated=True)


def test_a_cut_zstd_keeps_the_blocks_before_the_cut() -> None:
    inflated = whole(zst(TEXT)[:-4])  # all but the checksum
    assert inflated == Inflated(TEXT, "zstd cut short after 16 bytes of text", truncated=True)


@pytest.mark.parametrize("salvage", ["none", "truncated"])
def test_a_wrong_checksum_is_refused_unless_all_is_to_be_saved(salvage: Salvage) -> None:
    raw = bytearray(gzip.compress(TEXT))
    raw[-8] ^= 1
    with pytest.raises(Unreadable, match=r"broken gzip after .* bytes of text: .*checksum"):
        whole(bytes(raw), salvage=salvage)


def test_a_broken_zstd_is_refused() -> None:
    raw = bytearray(zst(TEXT))
    raw[-1] ^= 1
    with pytest.raises(Unreadable, match="broken zstd after 0 bytes of text"):
        whole(bytes(raw))


def test_a_flipped_bit_in_the_text_is_never_silent() -> None:
    raw = bytearray(stored(TEXT * 300_000))  # over 4 MiB, so that whole steps come before the checksum
    raw[15 + 5] ^= 1  # the digit of the first record becomes '0'
    assert inflate(bytes(raw), max_bytes=256 * MIB, max_ratio=200, salvage="all").damage.startswith("broken gzip")
    with pytest.raises(Unreadable, match="broken gzip"):
        whole(bytes(raw))


@pytest.mark.parametrize("junk", [b"junk", b"\0\0x", b"\x1f"])
def test_junk_behind_whole_members_is_reported_and_the_text_kept(junk: bytes) -> None:
    damage = f"{len(junk)} bytes behind the gzip data are not gzip"
    assert whole(gzip.compress(TEXT) + junk) == Inflated(TEXT, damage, truncated=True)
    with pytest.raises(Unreadable, match=damage):
        whole(gzip.compress(TEXT) + junk, salvage="none")


def test_junk_behind_zstd_is_reported_and_the_text_kept() -> None:
    assert whole(zst(TEXT) + b"junk") == Inflated(TEXT, "4 bytes behind the zstd data are not zstd", truncated=True)


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_a_bomb_stops_at_the_cap_with_flat_memory(name: str) -> None:
    zeros = bytes(64 * MIB)
    raw = gzip.compress(zeros, 1) if name == "gzip" else zst(zeros)
    del zeros
    tracemalloc.start()
    with pytest.raises(Unreadable, match=r"over limits\.max_decompressed_mb \(8 MiB\)"):
        whole(raw, max_bytes=8 * MIB)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40 * MIB


def test_the_ratio_is_capped_for_texts_over_64_mib_only() -> None:
    small = b"{" + bytes(MIB)
    assert len(whole(gzip.compress(small), max_ratio=2).data) == MIB + 1
    with pytest.raises(Unreadable, match=r"over limits\.max_ratio \(200 times the [0-9,]+ bytes stored\)"):
        whole(gzip.compress(bytes(65 * MIB), 1))


def test_plain_text_over_the_cap_is_refused() -> None:
    with pytest.raises(Unreadable, match=r"over limits\.max_decompressed_mb"):
        whole(b"{" + b" " * MIB, max_bytes=MIB)


@pytest.mark.parametrize(
    ("raw", "head"),
    [
        (gzip.compress(TEXT * 9_000), (TEXT * 9_000)[: 64 << 10]),  # 144,000 bytes of text, capped at 64 KiB
        (zst(TEXT * 9_000), (TEXT * 9_000)[: 64 << 10]),
        (stored(TEXT)[:26], TEXT[:11]),  # the first bytes of a file that goes on
        (b"\xef\xbb\xbf" + TEXT, TEXT),
    ],
    ids=["gzip", "zstd", "cut gzip", "plain with a byte order mark"],
)
def test_the_head_of_a_file_gives_its_first_lines(raw: bytes, head: bytes) -> None:
    assert inflate_head(raw) == head


def test_a_broken_head_gives_nothing() -> None:
    assert inflate_head(b"\x1f\x8b" + b"\xff" * 30) == b""
    assert inflate_head(b"") == b""


BODIES = st.one_of(
    st.binary(max_size=200), st.integers(0, 400).map(lambda n: b"".join(b'{"a":%d}\n' % i for i in range(n)))
)


@st.composite
def packed(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A text and its gzip members or zstd frames."""
    parts = [b"{" + part for part in draw(st.lists(BODIES, min_size=1, max_size=3))]
    pack = draw(st.sampled_from([gzip.compress, stored, zst]))
    return b"".join(parts), b"".join(pack(part) for part in parts)


def attempt(raw: bytes, salvage: Salvage) -> Inflated | None:
    """What the file gives; None if it is Unreadable. Any other error fails the test."""
    try:
        return whole(raw, salvage=salvage, max_bytes=MIB)
    except Unreadable:
        return None


@settings(deadline=None, max_examples=examples(150))
@given(packed(), st.data())
def test_a_cut_file_gives_a_prefix_and_says_so(pair: tuple[bytes, bytes], data: st.DataObject) -> None:
    text, raw = pair
    at = data.draw(st.integers(0, len(raw)))
    inflated = attempt(raw[:at], "truncated")
    if inflated is not None:
        assert text.startswith(inflated.data)
        assert inflated.truncated == bool(inflated.damage)
        if at == len(raw):
            assert inflated == Inflated(text)


@settings(deadline=None, max_examples=examples(150))
@given(packed(), st.binary(min_size=1, max_size=40))
def test_junk_behind_a_file_adds_no_text(pair: tuple[bytes, bytes], junk: bytes) -> None:
    text, raw = pair
    inflated = attempt(raw + junk, "truncated")
    if inflated is not None:
        assert inflated.data == text


@settings(deadline=None, max_examples=examples(200))
@given(packed(), st.data(), st.sampled_from(["none", "truncated", "all"]))
def test_a_flipped_byte_never_gives_wrong_text_silently(
    pair: tuple[bytes, bytes], data: st.DataObject, salvage: Salvage
) -> None:
    text, raw = pair
    at, mask = data.draw(st.integers(0, len(raw) - 1)), data.draw(st.integers(1, 255))
    damaged = bytes([*raw[:at], raw[at] ^ mask, *raw[at + 1 :]])
    inflated = attempt(damaged, salvage)
    if inflated is not None and not inflated.damage:
        assert inflated.data in (text, damaged)  # a flipped magic may leave plain text, which is taken as it is


def test_a_member_with_a_wrong_length_field_is_refused() -> None:
    raw = gzip.compress(TEXT)
    wrong = raw[:-4] + struct.pack("<I", 17)
    assert zlib.crc32(TEXT) == struct.unpack("<I", wrong[-8:-4])[0]
    with pytest.raises(Unreadable, match="broken gzip"):
        whole(wrong)


def test_many_members_of_one_line_each() -> None:
    lines = [b'{"a":%d}\n' % i for i in range(2_000)]
    buffer = io.BytesIO()
    for line in lines:
        buffer.write(gzip.compress(line, 1))
    assert whole(buffer.getvalue()) == Inflated(b"".join(lines))
