"""The kinds of values that columns hold."""

from typing import Literal, get_args

JsonKind = Literal["double", "bigint", "int", "boolean", "string", "json"]
Kind = Literal[JsonKind, "float", "timestamp"]
KINDS: tuple[str, ...] = get_args(JsonKind)
