"""Thrift's compact protocol, as Parquet's footers and page headers have it, to values that can be changed and written
again. Source: the Apache Thrift specification, "Thrift Compact protocol encoding"."""

from collections.abc import Mapping
from typing import Any

Struct = dict[int, tuple[int, Any]]
"""Field id -> its type and value: a bool, an int, bytes (a double too), a list (element type, values), or a Struct."""

_TRUE, _FALSE, _BYTE, _INTS, _DOUBLE, _BINARY, _LISTS, _STRUCT = 1, 2, 3, (4, 5, 6), 7, 8, (9, 10), 12
_DEEPEST = 32
_ONE_MORE = 128  # a byte of a number that is as great has another one behind it
_LONGEST_INT = 10  # bytes that a number of 64 bits can take
_NEAR = 16  # a field whose id is that much greater than the one before has its id in full


def decoded(data: bytes, start: int = 0) -> tuple[Struct, int]:
    """The struct that begins at `start`, and where it ends. Raises ValueError if the bytes are no struct, or not
    the shortest form of one: each struct has only one form."""
    try:
        return _struct(data, start, 0)
    except IndexError as error:
        raise ValueError("a Thrift struct is cut off") from error


def encoded(struct: Mapping[int, tuple[int, Any]]) -> bytes:
    """The bytes of a struct; its fields in the order of their ids."""
    out = bytearray()
    _put_struct(out, struct)
    return bytes(out)


def _struct(data: bytes, at: int, depth: int) -> tuple[Struct, int]:
    if depth > _DEEPEST:
        raise ValueError("a Thrift struct is nested too deep")
    struct: Struct = {}
    field = 0
    while head := data[at]:
        at += 1
        kind = head & 15
        if head >> 4:
            field += head >> 4
        else:
            before = field
            field, at = _int(data, at)
            if 0 < field - before < _NEAR or field in struct:
                raise ValueError("a Thrift struct has a field in two places, or not as short as it can be")
        if kind in _INTS and (byte := data[at]) < _ONE_MORE:  # most of what there is, so not by way of a function
            struct[field], at = (kind, (byte >> 1) ^ -(byte & 1)), at + 1
        elif kind in (_TRUE, _FALSE):
            struct[field] = kind, kind == _TRUE
        else:
            value, at = _value(data, at, kind, depth)
            struct[field] = kind, value
    return struct, at + 1


def _value(data: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind in _INTS:
        return _int(data, at)
    if kind == _BINARY:
        length, at = _varint(data, at)
        return _bytes(data, at, length)
    if kind == _STRUCT:
        return _struct(data, at, depth + 1)
    if kind in _LISTS:
        return _list(data, at, depth + 1)
    if kind == _DOUBLE:
        return _bytes(data, at, 8)
    if kind in (_TRUE, _FALSE, _BYTE):
        return data[at], at + 1
    raise ValueError(f"a Thrift struct has a field of type {kind}")


def _bytes(data: bytes, at: int, length: int) -> tuple[bytes, int]:
    if at + length > len(data):
        raise IndexError
    return data[at : at + length], at + length


def _list(data: bytes, at: int, depth: int) -> tuple[tuple[int, list[Any]], int]:
    if depth > _DEEPEST:
        raise ValueError("a Thrift struct is nested too deep")
    head = data[at]
    length, at = (head >> 4, at + 1) if head >> 4 < 15 else _varint(data, at + 1)
    values = []
    for _ in range(length):
        value, at = _value(data, at, head & 15, depth)
        values.append(value)
    return (head & 15, values), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    if (byte := data[at]) < _ONE_MORE:
        return byte, at + 1
    value = 0
    for place in range(_LONGEST_INT):
        byte = data[at + place]
        value |= (byte & 127) << 7 * place
        if byte < _ONE_MORE:
            if not byte and place:
                raise ValueError("a Thrift struct has a number that is not as short as it can be")
            return value, at + place + 1
    raise ValueError("a Thrift struct has a number of more than 64 bits")


def _int(data: bytes, at: int) -> tuple[int, int]:
    value, at = _varint(data, at)
    return (value >> 1) ^ -(value & 1), at


def _put_struct(out: bytearray, struct: Mapping[int, tuple[int, Any]]) -> None:
    last = 0
    for field in sorted(struct):
        kind, value = struct[field]
        if kind in (_TRUE, _FALSE):
            kind = _TRUE if value else _FALSE
        if 0 < field - last < 16:
            out.append((field - last) << 4 | kind)
        else:
            out.append(kind)
            _put_int(out, field)
        last = field
        if kind not in (_TRUE, _FALSE):
            _put_value(out, kind, value)
    out.append(0)


def _put_value(out: bytearray, kind: int, value: Any) -> None:
    if kind in _INTS:
        _put_int(out, value)
    elif kind == _BINARY:
        _put_varint(out, len(value))
        out += value
    elif kind == _STRUCT:
        _put_struct(out, value)
    elif kind in _LISTS:
        of, values = value
        if len(values) < 15:
            out.append(len(values) << 4 | of)
        else:
            out.append(15 << 4 | of)
            _put_varint(out, len(values))
        for item in values:
            _put_value(out, of, item)
    elif kind == _DOUBLE:
        out += value
    else:
        out.append(value)


def _put_varint(out: bytearray, value: int) -> None:
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)


def _put_int(out: bytearray, value: int) -> None:
    _put_varint(out, value << 1 if value >= 0 else ~value << 1 | 1)
