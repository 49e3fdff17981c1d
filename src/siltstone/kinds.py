"""The kinds of value that a column filled from a record can hold."""

from typing import Literal, get_args

Kind = Literal["double", "bigint", "int", "boolean", "string", "json"]
KINDS: tuple[str, ...] = get_args(Kind)
