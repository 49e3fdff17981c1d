"""The values of one Avro record, strictly: what the specification has no meaning for is an error, never a guess.

fastavro takes a union's branch -1 for its last one, a byte of 2 for true and 2^40 for an int; here each is Misread.
"""

import base64
import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

import orjson

from siltstone.formats.avro.schema import Type, column_type, is_decimal, resolved

Value = Callable[[bytes, int], tuple[Any, int]]
"""A value that begins at a place of the data, and the place behind it."""

_MOST_PARTS = 1 << 20
MAX_EMPTY_ITEMS = 1_000  # items without bytes: a count could promise any number of them
_DOUBLE: Final = struct.Struct("<d").unpack_from
_FLOAT: Final = struct.Struct("<f").unpack_from


class Misread(ValueError):
    """Bytes that are no value of their type, with the reason."""


BROKEN = (Misread, IndexError, struct.error, UnicodeDecodeError, RecursionError, orjson.JSONEncodeError)
"""What reading a value from bytes that don't hold one raises."""


def long_at(data: bytes, at: int) -> tuple[int, int]:
    """A zigzag number of up to 64 bits, and the place behind it; IndexError at the end of the data."""
    byte = data[at]
    at += 1
    if byte < 0x80:
        return (byte >> 1) ^ -(byte & 1), at
    number, shift = byte & 0x7F, 7
    while byte >= 0x80:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if shift > 70:
            break
    if number >> 64 or byte >= 0x80:
        raise Misread("a number of over 64 bits")
    return (number >> 1) ^ -(number & 1), at


def long_bytes(number: int) -> bytes:
    """A number of up to 64 bits as zigzag bytes."""
    number = (number << 1) ^ (number >> 63)
    coded = bytearray()
    while number > 0x7F:
        coded.append(number & 0x7F | 0x80)
        number >>= 7
    coded.append(number)
    return bytes(coded)


@dataclass(frozen=True, slots=True)
class ColumnReader:
    """A field of a writer schema: `cell` reads its value as its column has it (for the types see `avro.schema`; an
    instant is its number), `value` the same before it becomes JSON text. A field of nulls takes no bytes: `is_null`."""

    name: str
    cell: Value
    value: Value
    is_json: bool
    is_null: bool


@lru_cache(maxsize=256)
def columns(writer: bytes) -> list[ColumnReader]:
    """The fields of a writer schema, in order."""
    columns = []
    for name, kind in resolved(writer).parts:
        is_json = column_type(kind) is None
        readers = _Readers(as_json=is_json)
        value = readers.counted(kind) if is_json else readers.of(kind)
        cell = _as_text(value) if is_json else value
        columns.append(ColumnReader(name, cell, value, is_json, kind.shape == "null"))
    return columns


@lru_cache(maxsize=256)
def record(writer: bytes) -> Value:
    """What reads a whole record of a writer schema, as a value for JSON."""
    return _Readers(as_json=True).counted(resolved(writer))


def _as_text(value: Value) -> Value:
    def read(data: bytes, at: int) -> tuple[Any, int]:
        found, at = value(data, at)
        return (None if found is None else orjson.dumps(found).decode()), at

    return read


class _Parts:
    """Counts what a value is made of: a few bytes of it may promise millions."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = _MOST_PARTS

    def begin(self) -> None:
        self._left = _MOST_PARTS

    def take(self, parts: int) -> None:
        """Raises Misread if these are too many."""
        self._left -= parts
        if self._left < 0:
            raise Misread(f"a value of over {_MOST_PARTS:,} parts")


class _Readers:
    """Makes what reads values of each type; a record that is part of itself is made once."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._records: dict[int, Value] = {}
        self._parts = _Parts()

    def counted(self, kind: Type) -> Value:
        """What reads a value of the type, if it has not too many parts."""
        inner, parts = self.of(kind), self._parts

        def read(data: bytes, at: int) -> tuple[Any, int]:
            parts.begin()
            return inner(data, at)

        return read

    def of(self, kind: Type) -> Value:
        """What reads a value of the type."""
        match kind.shape:
            case "record":
                return self._record(kind)
            case "union":
                return _union([self.of(part) for _, part in kind.parts])
            case "array":
                return _array(self.of(kind.parts[0][1]), kind.parts[0][1].least, self._parts)
            case "map":
                return _map(self.of(kind.parts[0][1]), self._parts)
            case "enum":
                return _enum(kind.symbols)
            case "bytes" | "fixed":
                return _octets(kind, as_text=self._as_json)
            case "float" | "double":
                return _real(kind.shape, as_json=self._as_json)
        return _SIMPLE[kind.shape]

    def _record(self, kind: Type) -> Value:
        if id(kind) in self._records:
            return self._records[id(kind)]
        fields: list[tuple[str, Value]] = []
        parts = self._parts

        def read(data: bytes, at: int) -> tuple[Any, int]:
            parts.take(len(fields))
            values = {}
            for name, field in fields:
                values[name], at = field(data, at)
            return values, at

        self._records[id(kind)] = read
        fields += [(name, self.of(part)) for name, part in kind.parts]
        return read


def _null(data: bytes, at: int) -> tuple[None, int]:
    return None, at


def _boolean(data: bytes, at: int) -> tuple[bool, int]:
    byte = data[at]
    if byte > 1:
        raise Misread(f"{byte} is no boolean")
    return byte == 1, at + 1


def _int(data: bytes, at: int) -> tuple[int, int]:
    number, at = long_at(data, at)
    if not -(1 << 31) <= number < 1 << 31:
        raise Misread(f"{number} is no int")
    return number, at


def _string(data: bytes, at: int) -> tuple[str, int]:
    length, at = long_at(data, at)
    return _taken(data, at, length).decode(), at + length


def _taken(data: bytes, at: int, length: int) -> bytes:
    if length < 0 or length > len(data) - at:
        raise Misread(f"{length:,} bytes of a value where {len(data) - at:,} are left")
    return data[at : at + length]


def _real(shape: str, *, as_json: bool) -> Value:
    unpack, size = (_DOUBLE, 8) if shape == "double" else (_FLOAT, 4)

    def read(data: bytes, at: int) -> tuple[Any, int]:
        (number,) = unpack(data, at)
        if as_json and not math.isfinite(number):
            return ("NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"), at + size
        return number, at + size

    return read


def _octets(kind: Type, *, as_text: bool) -> Value:
    decimal = is_decimal(kind)

    def read(data: bytes, at: int) -> tuple[Any, int]:
        length = kind.size
        if kind.shape == "bytes":
            length, at = long_at(data, at)
        octets = _taken(data, at, length)
        if not decimal:
            return base64.b64encode(octets).decode(), at + length
        number = _decimal(octets, kind)
        return (str(number) if as_text else number), at + length

    return read


def _decimal(octets: bytes, kind: Type) -> Decimal:
    """Exactly: arithmetic would round to the 28 digits of its context."""
    number = int.from_bytes(octets, "big", signed=True)
    if abs(number) >= 10**kind.precision:
        raise Misread(f"a decimal of over {kind.precision} digits")
    return Decimal((int(number < 0), tuple(map(int, str(abs(number)))), -kind.scale))


def _enum(symbols: tuple[str, ...]) -> Value:
    def read(data: bytes, at: int) -> tuple[Any, int]:
        index, at = long_at(data, at)
        if not 0 <= index < len(symbols):
            raise Misread(f"symbol {index} of an enum of {len(symbols)}")
        return symbols[index], at

    return read


def _union(branches: list[Value]) -> Value:
    def read(data: bytes, at: int) -> tuple[Any, int]:
        index, at = long_at(data, at)
        if not 0 <= index < len(branches):
            raise Misread(f"branch {index} of a union of {len(branches)}")
        return branches[index](data, at)

    return read


def _counts(data: bytes, at: int) -> tuple[int, int]:
    """How many items follow, and the place of the first: of an array or map, which come in blocks, 0 at the end."""
    count, at = long_at(data, at)
    if count < 0:
        _, at = long_at(data, at)
    return abs(count), at


def _array(item: Value, least: int, parts: _Parts) -> Value:
    def read(data: bytes, at: int) -> tuple[Any, int]:
        items: list[Any] = []
        count, at = _counts(data, at)
        while count:
            if not least and len(items) + count > MAX_EMPTY_ITEMS:
                raise Misread(f"{count:,} items without a byte")
            parts.take(count)
            for _ in range(count):
                value, at = item(data, at)
                items.append(value)
            count, at = _counts(data, at)
        return items, at

    return read


def _map(item: Value, parts: _Parts) -> Value:
    def read(data: bytes, at: int) -> tuple[Any, int]:
        items: dict[str, Any] = {}
        count, at = _counts(data, at)
        while count:
            parts.take(count)
            for _ in range(count):
                key, at = _string(data, at)
                if key in items:
                    raise Misread(f"a map with the key {key[:40]!r} twice")
                items[key], at = item(data, at)
            count, at = _counts(data, at)
        return items, at

    return read


_SIMPLE: Mapping[str, Value] = {
    "null": _null,
    "boolean": _boolean,
    "int": _int,
    "long": long_at,
    "string": _string,
}
