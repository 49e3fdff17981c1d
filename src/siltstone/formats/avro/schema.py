"""A writer schema, resolved: what each field of a record is in bytes, and which column it becomes.

Columns: int, long, float, double, boolean, string as they are; dates, timestamps and decimals keep their meaning (times
of day and durations stay what they are made of); bytes and fixed are base64 text; an enum is its symbol; a union of int
and long, or of float and double, is the wider one. Everything else (records, arrays, maps, other unions) is JSON text,
in it bytes as base64, decimals as text and the doubles that JSON lacks as "NaN", "Infinity", "-Infinity".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, cast

import orjson
import polars as pl

from siltstone.errors import Unreadable

Primitive = Literal["null", "boolean", "int", "long", "float", "double", "bytes", "string"]
Shape = Literal[Primitive, "fixed", "enum", "array", "map", "record", "union"]

_LEAST = {"null": 0, "float": 4, "double": 8}  # bytes of a value; others take one at the least
_PRIMITIVES = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
_MAX_DEPTH = 64
_MAX_LEAVES = 100_000
_MAX_PRECISION = 38


@dataclass(slots=True, eq=False)
class Type:
    """A type of Avro. `parts`: the fields of a record, the branches of a union (their names are ""), the one element of
    an array or map. A record may be part of itself.

    `least` is how many bytes a value takes at the least, `leaves` how many values a record holds in itself."""

    shape: Shape
    logical: str = ""
    size: int = 0
    precision: int = 0
    scale: int = 0
    symbols: tuple[str, ...] = ()
    parts: list[tuple[str, "Type"]] = field(default_factory=list)
    least: int = 1
    leaves: int = 1

    @property
    def branches(self) -> list["Type"]:
        """The branches of a union that are not null; else the type itself."""
        branches = [part for _, part in self.parts] if self.shape == "union" else [self]
        return [part for part in branches if part.shape != "null"]


@lru_cache(maxsize=256)
def resolved(text: bytes) -> Type:
    """The record that a writer schema (its JSON text) describes; Unreadable if it describes none."""
    try:
        schema = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Unreadable(f"its Avro schema is no JSON: {error}") from None
    try:
        record = _type(schema, "", {}, 0)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unreadable(f"its Avro schema can't be understood: {error!r}") from None
    if record.shape != "record":
        raise Unreadable(f"its Avro schema is of type {record.shape}, not a record: it has no columns")
    names = [name for name, _ in record.parts]
    if len(set(names)) < len(names):
        raise Unreadable(f"its Avro schema names a field twice: {', '.join(names)}")
    return record


def _type(schema: Any, space: str, by_name: dict[str, Type], depth: int) -> Type:
    if depth > _MAX_DEPTH:
        raise ValueError(f"nested over {_MAX_DEPTH} levels")
    if isinstance(schema, str):
        if schema in _PRIMITIVES:
            return Type(cast(Shape, schema), least=_LEAST.get(schema, 1))
        return by_name.get(f"{space}.{schema}") or by_name[schema]
    if isinstance(schema, list):
        return Type("union", parts=[("", _type(branch, space, by_name, depth + 1)) for branch in schema])
    shape = schema["type"]
    if not isinstance(shape, str) or shape not in ("record", "error", "enum", "fixed", "array", "map", *_PRIMITIVES):
        return _type(shape, space, by_name, depth + 1)
    if shape in ("array", "map"):
        element = _type(schema["items" if shape == "array" else "values"], space, by_name, depth + 1)
        return Type("array" if shape == "array" else "map", parts=[("", element)])
    type_ = Type(cast(Shape, "record" if shape == "error" else shape), least=_LEAST.get(shape, 1))
    type_.logical, type_.precision, type_.scale = _logical(schema)
    if shape in ("record", "error", "enum", "fixed"):
        space = _name(schema, space, type_, by_name)
    if shape == "fixed":
        type_.size = type_.least = _whole(schema["size"])
    elif shape == "enum":
        type_.symbols = tuple(str(symbol) for symbol in schema["symbols"])
    elif type_.shape == "record":
        type_.least = 0  # as far as it is known to those within that name it
        type_.parts = [(str(f["name"]), _type(f["type"], space, by_name, depth + 1)) for f in schema["fields"]]
        type_.least, type_.leaves = sum(p.least for _, p in type_.parts), sum(p.leaves for _, p in type_.parts)
        if type_.leaves > _MAX_LEAVES:
            raise ValueError(f"a record of over {_MAX_LEAVES:,} values")
    return type_


def _name(schema: Mapping[str, Any], space: str, type_: Type, by_name: dict[str, Type]) -> str:
    """The namespace that holds inside a named type, which is known from now on."""
    name, own = str(schema["name"]), schema.get("namespace", space)
    if "." in name:
        own, _, name = name.rpartition(".")
    by_name[f"{own}.{name}" if own else name] = type_
    if own:
        by_name.setdefault(name, type_)
    return str(own or "")


def _logical(schema: Mapping[str, Any]) -> tuple[str, int, int]:
    logical, precision, scale = str(schema.get("logicalType", "")), 0, 0
    if logical == "decimal":
        precision, scale = _whole(schema.get("precision", 0)), _whole(schema.get("scale", 0))
    return logical, precision, scale


def _whole(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no size")
    return value


_PLAIN: Mapping[str, pl.DataType] = {
    "null": pl.Null(),
    "boolean": pl.Boolean(),
    "int": pl.Int32(),
    "long": pl.Int64(),
    "float": pl.Float32(),
    "double": pl.Float64(),
    "bytes": pl.String(),
    "string": pl.String(),
    "fixed": pl.String(),
    "enum": pl.String(),
}
_LOGICAL: Mapping[tuple[str, str], pl.DataType] = {
    ("int", "date"): pl.Date(),
    ("long", "timestamp-millis"): pl.Datetime("ms", "UTC"),
    ("long", "timestamp-micros"): pl.Datetime("us", "UTC"),
    ("long", "timestamp-nanos"): pl.Datetime("ns", "UTC"),
    ("long", "local-timestamp-millis"): pl.Datetime("ms"),
    ("long", "local-timestamp-micros"): pl.Datetime("us"),
    ("long", "local-timestamp-nanos"): pl.Datetime("ns"),
}
_WIDER = {frozenset({"int", "long"}): pl.Int64(), frozenset({"float", "double"}): pl.Float64()}


def is_decimal(kind: Type) -> bool:
    """Whether bytes are a decimal that a column can hold."""
    is_bytes = kind.shape in ("bytes", "fixed") and kind.logical == "decimal"
    return is_bytes and 0 < kind.precision <= _MAX_PRECISION and kind.scale <= kind.precision


def column_type(kind: Type) -> pl.DataType | None:
    """The type of a field's column; None for one that becomes JSON text."""
    branches = kind.branches
    if not branches:
        return pl.Null()
    if len(branches) == 1:
        only = branches[0]
        if is_decimal(only):
            return pl.Decimal(only.precision, only.scale)
        return _LOGICAL.get((only.shape, only.logical)) or _PLAIN.get(only.shape)
    plain = all(not branch.logical for branch in branches)
    return _WIDER.get(frozenset(branch.shape for branch in branches)) if plain else None
