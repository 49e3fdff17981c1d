"""Avro containers with odd schemas, odd values and odd blocks."""

import bz2
import io
import json
import lzma
import math
import zlib
from collections.abc import Sequence
from random import Random
from typing import Any

import fastavro
import pyarrow as pa
import zstandard

from siltstone.formats.avro.values import long_bytes
from support.fuzzing.damages import damaged, some
from support.fuzzing.texts import T0

SYNC = b"0123456789abcdef"
_QUALITY = {"type": "enum", "name": "q", "symbols": ["GOOD", "BAD", "UNCERTAIN"]}
_FIELDS: list[tuple[str, Any]] = [
    *(("seriesId", "string"), ("timeInSeconds", "long"), ("offsetInNanos", "int"), ("quality", _QUALITY)),
    *(("doubleValue", ["null", "double"]), ("integerValue", ["null", "int"]), ("booleanValue", ["null", "boolean"])),
    *(("stringValue", ["null", "string"]), ("recordVersion", ["null", "long"])),
]
_MEASURES: list[tuple[str, Any]] = [(name, ["null", "double"]) for name in ("count", "average", "min", "max", "sum")]
_INSTANTS = ["timestamp-millis", "timestamp-micros", "timestamp-nanos", "local-timestamp-millis"]
_TYPES: list[Any] = [
    *("null", "boolean", "int", "long", "float", "double", "bytes", "string"),
    *({"type": "long", "logicalType": logical} for logical in _INSTANTS),
    {"type": "int", "logicalType": "date"},
    {"type": "int", "logicalType": "time-millis"},
    {"type": "bytes", "logicalType": "decimal", "precision": 5, "scale": 2},
    {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 38},
    *({"type": "fixed", "name": f"f{size}", "size": size} for size in (0, 4)),
    *({"type": "array", "items": items} for items in ("null", "int", "double")),
    {"type": "map", "values": "string"},
    *({"type": "enum", "name": f"e{len(symbols)}", "symbols": symbols} for symbols in ([], ["A", "B"])),
    {"type": "record", "name": "s", "fields": [{"name": "a", "type": "int"}, {"name": "n", "type": ["null", "s"]}]},
]


def avro_file(chance: Random, *, is_aggregate: bool = False) -> bytes:
    """A container of a few blocks, each whole, odd or damaged."""
    fields = _schema(chance, [*_FIELDS, ("resolution", "string"), *_MEASURES] if is_aggregate else _FIELDS)
    schema = json.dumps({"type": "record", "name": "r", "fields": fields}).encode()
    codec = some(chance, {"null": 4, "deflate": 1, "snappy": 1, "zstandard": 1, "bzip2": 1, "xz": 1})
    name = codec.encode() if chance.random() > 0.02 else chance.choice((b"lzma", b"", b"\xff", b"x" * 1000))
    metadata = {b"avro.schema": schema if chance.random() > 0.02 else damaged(chance, schema), b"avro.codec": name}
    if chance.random() < 0.1:
        metadata[b"extra"] = chance.choice((SYNC, b"", b"x" * 100))
    count = len(metadata) if chance.random() > 0.02 else chance.choice((-1, 0, 1, 1 << 40, -(1 << 63)))
    entries = b"".join(long_bytes(len(text)) + text for pair in metadata.items() for text in pair)
    head = b"Obj\x01" + long_bytes(count) + entries + b"\0" + SYNC
    return head + b"".join(_block(chance, fields, codec) for _ in range(chance.choice((0, 1, 1, 1, 2, 3))))


def _schema(chance: Random, plain: Sequence[tuple[str, Any]]) -> list[dict[str, Any]]:
    """The fields, at times with others among them, or of other types."""
    fields = [{"name": name, "type": kind} for name, kind in plain]
    for _ in range(chance.choice((0, 0, 1, 2, 3))):
        kind = chance.choice(_TYPES)
        if chance.random() < 0.4:
            unions: list[Any] = [["null", kind], [kind, "null"], [kind, "string"], ["int", "long", "null"], [kind], []]
            kind = chance.choice([*unions, ["float", "double"]])
        if chance.random() < 0.4:
            chance.choice(fields)["type"] = kind
        else:
            name = chance.choice(("zz", "zy", "jsonValue", "x.y", "", "*", "^z.*$", *(f"z{n}" for n in range(5))))
            fields.insert(chance.randrange(len(fields) + 1), {"name": name, "type": kind})
    return fields


def _block(chance: Random, fields: Sequence[dict[str, Any]], codec: str) -> bytes:
    count = chance.choice((0, 1, 2, 5, 40))
    payload = _payload(chance, fields, count)
    packed = _pack(payload if chance.random() < 0.7 else damaged(chance, payload), codec)
    if chance.random() < 0.1:
        count = chance.choice((0, count + 1, max(count - 1, 0), -1, 1 << 31, 1 << 62, -(1 << 63), 10**6))
    size = len(packed) if chance.random() > 0.03 else chance.choice((0, -1, len(packed) + 1, 1 << 62, -(1 << 63)))
    return long_bytes(count) + long_bytes(size) + packed + SYNC


def _payload(chance: Random, fields: Sequence[dict[str, Any]], count: int) -> bytes:
    """So many records; random bytes where the schema is none that fastavro writes."""
    out = io.BytesIO()
    try:
        schema = fastavro.parse_schema({"type": "record", "name": "r", "fields": list(fields)})
        for number in range(count):
            fastavro.schemaless_writer(out, schema, _record(chance, fields, number))
    except Exception:  # fastavro has no list of what it raises
        return chance.randbytes(chance.choice((0, 1, 8, 60, 200)))
    return out.getvalue()


def _record(chance: Random, fields: Sequence[dict[str, Any]], number: int) -> dict[str, Any]:
    known = {
        "seriesId": "11111111-1111-1111-1111-111111111111_22222222-2222-2222-2222-222222222222",
        "timeInSeconds": T0 + number,
        "offsetInNanos": chance.randrange(10**9),
        "quality": "GOOD",
        "resolution": "PT1M",
        "doubleValue": chance.choice((None, 1.5, math.nan, math.inf, -0.0)),
        "integerValue": chance.choice((None, 5, (1 << 31) - 1, -(1 << 31))),
        "booleanValue": chance.choice((None, True, False)),
        "stringValue": chance.choice((None, "x", "é", "\0", "a" * 300)),
        "recordVersion": chance.choice((None, 1, (1 << 53) + 1)),
    }
    own = {field["name"]: known.get(field["name"]) for field in fields}
    return {name: _of(chance, _kind(fields, name)) if value is None else value for name, value in own.items()}


def _kind(fields: Sequence[dict[str, Any]], name: str) -> Any:
    return next(field["type"] for field in fields if field["name"] == name)


def _of(chance: Random, kind: Any) -> Any:
    """A value of a type, often at its edge; None where it has none or is a union."""
    if isinstance(kind, list):
        return None
    shape = kind["type"] if isinstance(kind, dict) else kind
    bits = {"int": 31, "long": 63}.get(shape)
    if bits:
        edges = (1 << bits) - 1, -(1 << bits), 0, chance.randrange(1 << bits)
        return 0 if isinstance(kind, dict) and "time-" in kind.get("logicalType", "") else chance.choice(edges)
    values: dict[str, Any] = {
        "boolean": True, "float": chance.choice((math.nan, -0.0, 1.1)), "double": chance.choice((math.inf, -0.0, 0.1)),
        "bytes": chance.choice((b"", b"\xff", b"\x7f" * 17)), "string": "x", "array": [], "map": {"a": "b"},
        "fixed": b"\0" * (kind["size"] if shape == "fixed" else 0), "enum": "A", "record": {"a": 1, "n": {"a": 2}},
    }  # fmt: skip
    return values.get(shape)


def _pack(payload: bytes, codec: str) -> bytes:
    match codec:
        case "deflate":
            return zlib.compress(payload)[2:-4]
        case "snappy":
            packed: bytes = pa.compress(payload, "snappy", asbytes=True)
            return packed + zlib.crc32(payload).to_bytes(4, "big")
        case "zstandard":
            return zstandard.ZstdCompressor().compress(payload)
        case "bzip2":
            return bz2.compress(payload)
        case "xz":
            return lzma.compress(payload)
    return payload
