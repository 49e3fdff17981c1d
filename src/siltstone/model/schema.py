"""Union by name: which column a key goes to, what is new, and how the finds of parallel tasks become one schema.

The rules, each without regard to which task is faster:

- A key belongs to the column whose key it equals, else to the one that differs only in case.
- A new column takes the kind of its hint, else of its first value in plan order: number -> double,
  bool -> boolean, text -> string, nested -> json.
- Its name is the key, with what Delta refuses replaced by `_` (so are `*`, `^` and `$` where polars takes the whole for
  a pattern of names); a name already in use gets `_` and the first
  eight hex digits of the key's SHA-256 (more if some key is named so).
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import cast

import pyarrow as pa

from siltstone.model.column_names import is_pattern
from siltstone.model.contracts import ARROW_TYPE, Column, Contract
from siltstone.model.kinds import Kind

_REFUSED = re.compile(r"[ ,;{}()\n\t=\x00-\x1f]")


@dataclass(frozen=True)
class Schema:
    """The record columns of a table, in table order, and the names that no record column may take."""

    columns: tuple[Column, ...]
    reserved: tuple[str, ...] = ()

    @cached_property
    def _by_key(self) -> dict[str, Column]:
        return {c.key: c for c in self.columns}

    @cached_property
    def _by_folded_key(self) -> dict[str, Column]:
        folded: dict[str, Column] = {}
        for column in self.columns:
            folded.setdefault(column.key.lower(), column)
        return folded

    @cached_property
    def by_name(self) -> dict[str, Column]:
        return {c.name: c for c in self.columns}

    def column_for(self, key: str) -> Column | None:
        """The column of a key, or None when the table has none for it yet."""
        return self._by_key.get(key) or self._by_folded_key.get(key.lower())

    def extended(self, keys: Iterable[tuple[str, Kind]], limit: int | None = None) -> "Schema":
        """This schema with a column for each (key, kind) that has none, up to `limit` columns in all; the order of
        `keys` decides names."""
        columns = list(self.columns)
        by_folded_key = {c.key.lower() for c in columns}
        taken = {c.name.lower() for c in columns} | {r.lower() for r in self.reserved}
        for key, kind in keys:
            if key.lower() in by_folded_key or (limit is not None and len(columns) >= limit):
                continue
            plain = name = _plain(key)
            endings = _endings(key)
            while name.lower() in taken:
                name = f"{plain}_{next(endings)}"
            by_folded_key.add(key.lower())
            taken.add(name.lower())
            columns.append(Column(name, kind, key))
        return Schema(tuple(columns), self.reserved)

    def arrow(self) -> pa.Schema:
        """Arrow fields of the record columns, in order."""
        return pa.schema([(c.name, ARROW_TYPE[c.kind]) for c in self.columns])


def _plain(key: str) -> str:
    """The key without what Delta refuses, and no pattern of names to polars."""
    name = _REFUSED.sub("_", key) or "_"
    return f"_{name[1:-1]}_" if is_pattern(name) else name


def _endings(key: str) -> Iterator[str]:
    """Endings that make a name unique: more and more digits of the key's SHA-256, then numbers after them."""
    digest = hashlib.sha256(key.encode()).hexdigest()
    yield from (digest[:digits] for digits in range(8, 65, 8))
    yield from (f"{digest}_{number}" for number in count(2))


def base_schema(contract: Contract) -> Schema:
    """The record columns that every table of this contract has from its creation."""
    return Schema((*contract.leading, *contract.record), contract.reserved)


def hinted(key: str, kind: Kind, hints: Mapping[str, str]) -> Kind:
    """The kind of a new column: its hint (keys compared without case), else what its first value is."""
    for hint, hinted_kind in hints.items():
        if hint.lower() == key.lower():
            return cast(Kind, hinted_kind)
    return kind


@dataclass(frozen=True)
class MergedSchema:
    """One schema for all tasks, and the positions of the tasks that wrote something else and must run again."""

    schema: Schema
    disagreeing: tuple[int, ...]
    added: tuple[Column, ...]


def merge_drift(base: Schema, drift: Sequence[Sequence[Column]], limit: int) -> MergedSchema:
    """Settle the new columns of all tasks; `drift` holds each task's new columns, in plan order.

    A task disagrees when the merged schema, of at most `limit` columns, has no column for one of its keys or gives it
    another name, kind or spelling.
    """
    schema = base.extended(((c.key, c.kind) for columns in drift for c in columns), max(limit, len(base.columns)))
    disagreeing = tuple(i for i, columns in enumerate(drift) if any(schema.column_for(c.key) != c for c in columns))
    return MergedSchema(schema, disagreeing, schema.columns[len(base.columns) :])
