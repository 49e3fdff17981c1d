"""How much text the records of an Avro file become: a record of no bytes may have names of a megabyte.

Text is made of nested values, which become JSON with the names of their fields, and of enums, whose symbols the schema
has once. Bounds by the schema say how much it may be at the most; where that is beyond any sense it is counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import orjson

from siltstone.formats.avro.schema import Type, column_type, resolved
from siltstone.formats.avro.values import BROKEN, MAX_EMPTY_ITEMS, ColumnReader, columns
from siltstone.formats.portions import Load

_LONG_SYMBOL = 64
_A_VALUE = 26  # bytes of JSON for a number, at most, with a comma


@dataclass(frozen=True, slots=True)
class Growth:
    """Bytes of text that a record becomes beside its own, at most, and for each of its bytes; `fields` that take
    bytes."""

    a_record: int
    a_byte: float
    fields: int

    def load(self, count: int, size: int) -> Load:
        """What so many records of so many bytes become."""
        return Load(size + self.text(count, size), count, count * self.fields)

    def text(self, count: int, size: int) -> int:
        """Bytes of text made of so many records of so many bytes, at most."""
        return int(count * self.a_record + size * self.a_byte)


@lru_cache(maxsize=256)
def growth_of(writer: bytes) -> Growth:
    """The growth of records of a writer schema."""
    a_record, a_byte = 0, 0.0
    for _, kind in resolved(writer).parts:
        if column_type(kind) is None:
            fixed, rate = _json(kind, ())
            a_record, a_byte = a_record + fixed, max(a_byte, rate)
        else:
            a_record += max((len(s) for k in kind.branches for s in k.symbols if len(s) > _LONG_SYMBOL), default=0)
    return Growth(a_record, a_byte, sum(not reader.is_null for reader in columns(writer)))


def _json(kind: Type, within: tuple[int, ...]) -> tuple[int, float]:
    """Bytes of JSON that a value has whatever its bytes, at most, and for each byte that repeats something."""
    if id(kind) in within:
        return 0, 0.0  # counted by the byte where it begins again
    match kind.shape:
        case "record":
            inner = [(name, *_json(part, (*within, id(kind)))) for name, part in kind.parts]
            fixed = sum(len(name) + 4 + size for name, size, _ in inner)
            is_recursive = _names_itself(kind, kind, set())
            return fixed, max([*(rate for *_, rate in inner), float(fixed) if is_recursive else 0.0])
        case "union":
            branches = [_json(part, within) for _, part in kind.parts]
            return max(size for size, _ in branches), max(rate for _, rate in branches)
        case "array" | "map":
            item = kind.parts[0][1]
            size, rate = _json(item, within)
            if not item.least and kind.shape == "array":
                return MAX_EMPTY_ITEMS * (size + 1), rate
            return 2, max(rate, (size + 1) / max(item.least, 1))
        case "enum":
            return max((len(symbol) for symbol in kind.symbols), default=0) + 3, 0.0
    return _A_VALUE, 0.0


def _names_itself(kind: Type, sought: Type, seen: set[int]) -> bool:
    """Whether a record is a part of itself."""
    for _, part in kind.parts:
        if part is sought:
            return True
        if id(part) not in seen:
            seen.add(id(part))
            if _names_itself(part, sought, seen):
                return True
    return False


def made_of(writer: bytes, blocks: Sequence[tuple[int, bytes]], most: int) -> int:
    """The bytes of text that the records of some blocks become, counted until they are more than `most`; of a block
    that can't be read none."""
    readers = [reader for reader in columns(writer) if not reader.is_null]
    made = 0
    for count, payload in blocks:
        before, at = made, 0
        try:
            for _ in range(count):
                for reader in readers:
                    size, at = _size(reader, payload, at)
                    made += size
                if made > most:
                    return made
        except BROKEN:
            made = before
    return made


def _size(reader: ColumnReader, payload: bytes, at: int) -> tuple[int, int]:
    """The bytes of text of a cell, and the place behind it."""
    value, at = reader.value(payload, at)
    if reader.is_json:
        return (0 if value is None else len(orjson.dumps(value))), at
    return (len(value) if isinstance(value, str) else 0), at


def cuts(writer: bytes, block: tuple[int, bytes], most: int) -> list[tuple[int, bytes]]:
    """A block as several of at most `most` records, in order; as it is where its records can't be read."""
    count, payload = block
    readers = [reader.value for reader in columns(writer) if not reader.is_null]
    parts: list[tuple[int, bytes]] = []
    start = at = 0
    try:
        for n in range(1, count + 1):
            for read in readers:
                _, at = read(payload, at)
            if n % most == 0 or n == count:
                parts.append((n - sum(c for c, _ in parts), payload[start:at]))
                start = at
    except BROKEN:
        return [block]
    return parts if at == len(payload) else [block]
