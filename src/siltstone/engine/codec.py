"""Tasks and their results as JSON values, by the annotations of their fields.

A dataclass becomes an object with its fields by name; a tuple or list of dataclasses one object, with the field names
once and a row of values for each. Texts, numbers, booleans, None, literals and `Any` stay as they are, so what an `Any`
holds must be a JSON value itself: a list, not a tuple. Other tuples and lists become arrays, mappings with text keys
objects. `decode` gives back an equal value: a `tuple[int, ...]` is a tuple again.
"""

import types
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from operator import attrgetter
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from siltstone.errors import SiltstoneError

T = TypeVar("T")

_NEXT_MOVE = "Install the driver's release on every worker."
_PLAIN = {str, int, float, bool, type(None), Any}


class _Codec(NamedTuple):
    """How values of one type go out and come in; None for values that need no change."""

    encode: Callable[[Any], Any] | None = None
    decode: Callable[[Any], Any] | None = None


def encode(value: Any) -> dict[str, Any]:
    """The fields of a dataclass by name, as values that JSON holds.

    Raises TypeError where the type of a field has no form in JSON, or a field holds a subclass of its dataclass.
    """
    codec = _codec_of_class(type(value))
    assert codec.encode is not None
    row: dict[str, Any] = codec.encode(value)
    return row


def decode(cls: type[T], row: Any) -> T:
    """The dataclass from its `encode`. Raises SiltstoneError where fields are missing or unknown."""
    codec = _codec_of_class(cls)
    assert codec.decode is not None
    value: T = codec.decode(row)
    return value


class _Fields:
    """The fields of a dataclass, in order, with what their values need."""

    def __init__(self, cls: type[Any]) -> None:
        self.names = [field.name for field in fields(cls)]
        if not self.names or any(field.kw_only or not field.init for field in fields(cls)):
            raise TypeError(f"{cls.__name__} can't be made of its fields in order, so it has no form in JSON")
        hints = get_type_hints(cls)
        codecs = [_codec_of(hints[name], f"{cls.__name__}.{name}") for name in self.names]
        self._cls = cls
        self._encoders = [(place, codec.encode) for place, codec in enumerate(codecs) if codec.encode]
        self._decoders = [(place, codec.decode) for place, codec in enumerate(codecs) if codec.decode]
        values_of = attrgetter(*self.names)
        self._values_of = values_of if len(self.names) > 1 else lambda value: (values_of(value),)

    def encode_rows(self, values: Collection[Any]) -> list[Any]:
        """For each of many instances the values of its fields."""
        if others := set(map(type, values)) - {self._cls}:
            raise TypeError(
                f"a {others.pop().__name__} where {self._cls.__name__} is annotated would lose what it adds"
            )
        rows: list[Any] = list(map(self._values_of, values))
        if self._encoders:
            rows = list(map(list, rows))
            for place, encode_value in self._encoders:
                for row in rows:
                    row[place] = encode_value(row[place])
        return rows

    def decode_rows(self, rows: list[list[Any]]) -> list[Any]:
        """The instances from their values."""
        if self._decoders:
            rows = list(map(list, rows))
            for place, decode_value in self._decoders:
                for row in rows:
                    row[place] = decode_value(row[place])
        return [self._cls(*row) for row in rows]

    def check(self, row: Any, names: Collection[str]) -> None:
        """Raise SiltstoneError unless JSON is an object, and its `names` those of the fields."""
        if not isinstance(row, dict):
            raise SiltstoneError(f"{self._cls.__name__} as JSON is no object, but {row!r:.80}", _NEXT_MOVE)
        lost, unknown = [n for n in self.names if n not in names], [n for n in names if n not in self.names]
        if lost or unknown:
            problems = [f"lacks {', '.join(lost)}"] if lost else []
            problems += [f"has unknown {', '.join(unknown)}"] if unknown else []
            raise SiltstoneError(f"{self._cls.__name__} as JSON {' and '.join(problems)}", _NEXT_MOVE)


@cache
def _fields_of(cls: Any) -> _Fields:
    return _Fields(cls)


def _codec_of_class(cls: Any) -> _Codec:
    """An object, with the values by name."""
    own = _fields_of(cls)

    def decode_object(row: Any) -> Any:
        own.check(row, row)
        return own.decode_rows([[row[name] for name in own.names]])[0]

    return _Codec(lambda value: dict(zip(own.names, own.encode_rows([value])[0], strict=True)), decode_object)


def _codec_of_table(cls: Any, origin: type[Any]) -> _Codec:
    """An object with the names of the fields once and a row of values for each instance: a task may list 10,000."""
    own = _fields_of(cls)

    def decode_table(table: Any) -> Any:
        names = table.get("fields", []) if isinstance(table, dict) else []
        own.check(table, names)
        if names != own.names or any(len(row) != len(own.names) for row in table["rows"]):
            raise SiltstoneError(f"{cls.__name__} as JSON has its values in another order or number", _NEXT_MOVE)
        return origin(own.decode_rows(table["rows"]))

    return _Codec(lambda values: {"fields": own.names, "rows": own.encode_rows(values)}, decode_table)


@cache
def _codec_of(hint: Any, where: str) -> _Codec:
    """How values of an annotation travel; `where` names the field in errors."""
    if hint in _PLAIN or get_origin(hint) is Literal:
        return _Codec()
    if is_dataclass(hint) and isinstance(hint, type):
        return _codec_of_class(hint)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _codec_of_union(arguments, where)
    if origin is tuple and not (len(arguments) == 2 and arguments[1] is Ellipsis):
        return _codec_of_positions([_codec_of(item, where) for item in arguments])
    if origin in (tuple, list) and isinstance(arguments[0], type) and is_dataclass(arguments[0]):
        return _codec_of_table(arguments[0], origin)
    if origin in (tuple, list):
        return _codec_of_items(_codec_of(arguments[0], where), origin)
    if origin in (dict, Mapping) and arguments[0] is str:
        return _codec_of_mapping(_codec_of(arguments[1], where))
    raise TypeError(f"{where}: {hint} has no form in JSON")


def _codec_of_union(arguments: tuple[Any, ...], where: str) -> _Codec:
    """One type or None; or several that JSON tells apart by itself."""
    codecs = [_codec_of(item, where) for item in arguments if item is not type(None)]
    if not any(codec.encode or codec.decode for codec in codecs):
        return _Codec()
    if len(codecs) > 1:
        raise TypeError(f"{where}: JSON can't tell {' and '.join(map(str, arguments))} apart")
    encode_value, decode_value = codecs[0]
    return _Codec(
        encode_value and (lambda value: None if value is None else encode_value(value)),
        decode_value and (lambda value: None if value is None else decode_value(value)),
    )


def _codec_of_items(item: _Codec, origin: type[Any]) -> _Codec:
    encode_item, decode_item = item
    return _Codec(
        encode_item and (lambda values: [encode_item(value) for value in values]),
        (lambda values: origin([decode_item(value) for value in values])) if decode_item else origin,
    )


def _codec_of_positions(items: list[_Codec]) -> _Codec:
    """A tuple of so many values, each of a type of its own."""

    def encode_items(values: Any) -> list[Any]:
        return [c.encode(value) if c.encode else value for c, value in zip(items, values, strict=True)]

    def decode_items(values: Any) -> tuple[Any, ...]:
        return tuple([c.decode(value) if c.decode else value for c, value in zip(items, values, strict=True)])

    return _Codec(encode_items if any(c.encode for c in items) else None, decode_items)


def _codec_of_mapping(item: _Codec) -> _Codec:
    encode_item, decode_item = item
    return _Codec(
        encode_item and (lambda values: {key: encode_item(value) for key, value in values.items()}),
        decode_item and (lambda values: {key: decode_item(value) for key, value in values.items()}),
    )
