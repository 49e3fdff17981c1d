"""Avro container files: header and blocks, unpacked and checked; what a damaged one still gives."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import orjson

from siltstone.errors import Unreadable
from siltstone.formats.avro.codecs import BadBlock, Budget, Unpack, codec
from siltstone.formats.avro.growth import cuts, growth_of, made_of
from siltstone.formats.avro.schema import resolved
from siltstone.formats.avro.values import BROKEN, Misread, long_at, record
from siltstone.formats.compression import inflate
from siltstone.formats.documents import Item, Opened, ParseRules
from siltstone.formats.portions import Load, Room

_MAGIC = b"Obj\x01"
_WRAPPED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")
_SYNC_BYTES = 16
_MAX_HEADER = 1 << 20  # some are kept
_EMPTY_RECORD = 64  # bytes that a record without any counts for: a block could promise any number of them

Block = tuple[int, bytes]


@dataclass(frozen=True, slots=True)
class AvroDocument:
    """The blocks of one container, unpacked: how many records each says it has (never more than its bytes can hold),
    and their bytes. `writer` is the JSON text of its schema, `count` the records in all, `size` the unpacked bytes.

    A record's `line` is its place among all records, by the counts that the blocks say. A part of a file begins at its
    record `line`, at `byte` of its unpacked blocks, within its block `block`."""

    index: int
    path: str
    modified_us: int
    size: int
    writer: bytes
    blocks: Sequence[Block]
    count: int
    line: int = 0
    byte: int = 0
    block: int = 0

    @property
    def load(self) -> Load:
        """What it becomes, by the counts that its blocks say."""
        return growth_of(self.writer).load(self.count, self.size)

    def portions(self, room: Room) -> Iterator["AvroDocument"]:
        """Its records as documents that there is room for; a record alone may be too large."""
        growth = growth_of(self.writer)
        line, byte, number = self.line, self.byte, self.block
        whole: list[Block] = []

        def document(blocks: Sequence[Block]) -> AvroDocument:
            nonlocal line, byte
            count, size = sum(n for n, _ in blocks), sum(len(payload) for _, payload in blocks)
            part = replace(self, size=size, blocks=blocks, count=count, line=line, byte=byte, block=number)
            line, byte = line + count, byte + size
            return part

        used = Load(0)
        for block in self.blocks:
            load = growth.load(block[0], len(block[1]))
            if whole and not room.holds(used.plus(load)):
                yield document(whole)
                whole, used, number = [], Load(0), number + len(whole)
            times = max(load.bytes / room.bytes, load.records / room.records, load.cells / room.cells)
            if times <= 1:
                whole, used = [*whole, block], used.plus(load)
                continue
            for part in cuts(self.writer, block, max(int(block[0] / times), 1)):
                yield document([part])
            number += 1
        if whole:
            yield document(whole)

    @property
    def schema(self) -> Any:
        """The writer schema."""
        return orjson.loads(self.writer)

    def record(self, line: int) -> tuple[int, bytes]:
        """The record of a line as JSON, and the byte of the unpacked blocks where it begins; of a block that can't be
        read, all its bytes."""
        read = record(self.writer)
        line, before = line - self.line, self.byte
        for count, payload in self.blocks:
            if line < count:
                at, value = 0, None
                try:
                    for _ in range(line + 1):
                        start = at
                        value, at = read(payload, at)
                    return before + start, orjson.dumps(value)
                except BROKEN:
                    return before, payload
            line -= count
            before += len(payload)
        return 0, b""


def open_avro(item: Item, rules: ParseRules) -> Opened:
    """The document of an Avro container file, plain or within gzip or zstd.

    What blocks become is capped as texts are (`rules.max_text_bytes` and, over 64 MiB, `rules.max_ratio`). Of a file
    cut short the blocks before the cut are kept unless `rules.salvage` is "none"; of one with damaged blocks (a wrong
    sync marker or CRC, a codec's error) all others only if it is "all". No records at all are no damage.

    Raises Unreadable with the reason when the file gives nothing.
    """
    data, damage = item.data, ""
    if data.startswith(_WRAPPED):
        inflated = inflate(data, max_bytes=rules.max_text_bytes, max_ratio=rules.max_ratio, salvage=rules.salvage)
        data, damage = inflated.data, inflated.damage
    if not data.startswith(_MAGIC):
        raise Unreadable(_other_magic(data))
    try:
        end, header = _headed(data)
    except BROKEN as error:
        raise Unreadable(damage or f"Avro file cut short or broken inside its header: {_why(error)}") from None
    budget = Budget(len(item.data), rules.max_text_bytes, rules.max_ratio)
    blocks, bad, cut = _blocks(data, end, header, budget, rules)
    damage = "; ".join(filter(None, (damage, bad)))
    count = sum(n for n, _ in blocks)
    if damage and not count:
        raise Unreadable(damage)
    document = AvroDocument(item.index, item.path, item.modified_us, budget.spent, header.writer, blocks, count)
    _check_growth(document, budget)
    return Opened(document, damage, cut)


def _check_growth(document: AvroDocument, budget: Budget) -> None:
    """Raises Unreadable if the text that the records become is beyond any sense."""
    most = budget.most_made
    if growth_of(document.writer).text(document.count, document.size) > most:
        made = made_of(document.writer, document.blocks, most)
        budget.check_made("its nested values and symbols", made)


@dataclass(frozen=True, slots=True)
class _Header:
    writer: bytes
    unpack: Unpack
    least: int


def _other_magic(data: bytes) -> str:
    """What a file is instead of an Avro container."""
    if not data:
        return "empty file: 0 bytes, not even an Avro header"
    if data.startswith(b"Obj\x00"):
        return "Avro container of format 1.2 (magic Obj 0x00), which nothing reads any more"
    if data.startswith(b"Obj") and len(data) > 3:
        return f"Avro container of an unknown format (magic Obj 0x{data[3]:02x})"
    return f"no Avro container: begins with {data[:8]!r}"


def _headed(data: bytes) -> tuple[int, _Header]:
    """Where the metadata end and the sync marker begins, and what they say.

    A whole file ends with its sync marker, and the first place that holds it is behind the metadata, unless they hold
    it themselves.
    """
    start = len(_MAGIC)
    end = data.find(data[-_SYNC_BYTES:], start)
    try:
        return end, _header(data[start:end])
    except BROKEN:
        _, end = _entries(data, start)
    if end + _SYNC_BYTES > len(data):
        raise Misread(f"it ends at byte {len(data):,}")
    return end, _header(data[start:end])


@lru_cache(maxsize=256)
def _header(metadata: bytes) -> _Header:
    """What the metadata say, Misread if they are cut elsewhere than at their end; parsed once for all files of an
    export, which differ in the sync marker only."""
    entries, end = _entries(metadata, 0)
    if end != len(metadata):
        raise Misread("more than metadata")
    if end > _MAX_HEADER:
        raise Unreadable(f"its Avro header of {end:,} bytes is over {_MAX_HEADER >> 20} MiB")
    writer = entries.get(b"avro.schema")
    if writer is None:
        raise Unreadable("Avro file without a schema in its header")
    name = entries.get(b"avro.codec", b"null").decode(errors="replace")
    return _Header(writer, codec(name), resolved(writer).least)


def _entries(data: bytes, at: int) -> tuple[dict[bytes, bytes], int]:
    """The metadata that begin at a place, and the place behind them."""
    entries: dict[bytes, bytes] = {}
    while True:
        count, at = long_at(data, at)
        if not count:
            return entries, at
        if count < 0:
            count = -count
            _, at = long_at(data, at)
        for _ in range(count):
            key, at = _text(data, at)
            entries[key], at = _text(data, at)


def _text(data: bytes, at: int) -> tuple[bytes, int]:
    length, at = long_at(data, at)
    if not 0 <= length <= len(data) - at:
        raise Misread(f"a text of {length:,} bytes where {len(data) - at:,} are left")
    return data[at : at + length], at + length


def _blocks(
    data: bytes, end: int, header: _Header, budget: Budget, rules: ParseRules
) -> tuple[list[Block], str, bytes]:
    """The blocks behind the metadata's end; why some are missing, and the bytes of the first place of damage."""
    sync = data[end : end + _SYNC_BYTES]
    blocks: list[Block] = []
    places: list[str] = []
    at, cut = end + _SYNC_BYTES, b""
    while at < len(data):
        try:
            block, at = _block(data, at, sync, header, budget)
            blocks.append(block)
        except (BadBlock, *BROKEN) as error:
            marker = data.find(sync, at)
            places.append(f"broken Avro block: {_why(error)}" if marker >= 0 else "Avro file cut short")
            if rules.salvage == "none" or (rules.salvage == "truncated" and marker >= 0):
                raise Unreadable(_damage(places, blocks)) from None
            behind = len(data) if marker < 0 else marker + _SYNC_BYTES
            cut = cut or data[at:behind]
            at = behind
    return blocks, _damage(places, blocks), cut


def _damage(places: Sequence[str], blocks: Sequence[Block]) -> str:
    """What is wrong with a file, by the places of damage; "" without any."""
    if not places:
        return ""
    more = f" and {len(places) - 1:,} more like it" if len(places) > 1 else ""
    return f"{places[0]}{more}; {sum(n for n, _ in blocks):,} records could be read"


def _block(data: bytes, at: int, sync: bytes, header: _Header, budget: Budget) -> tuple[Block, int]:
    """The block that begins at a place, and the place behind its sync marker."""
    count, at = long_at(data, at)
    size, at = long_at(data, at)
    if count < 0 or size < 0:
        raise BadBlock(f"it says it has {count:,} records in {size:,} bytes")
    stop = at + size
    if data[stop : stop + _SYNC_BYTES] != sync:
        raise BadBlock("the sync marker behind it is wrong")
    payload = header.unpack(data[at:stop], budget)
    if count * header.least > len(payload):
        raise BadBlock(f"it says it has {count:,} records, too many for its {len(payload):,} bytes")
    if not header.least:
        budget.spend(count * _EMPTY_RECORD)
    return (count, payload), stop + _SYNC_BYTES


def _why(error: Exception) -> str:
    return "it ends inside a number" if isinstance(error, IndexError) else str(error)
