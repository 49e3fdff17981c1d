"""Whether the footer of a Parquet file agrees with itself and with where the file's pages lie.

A footer has no checksum, but says most things twice: names and types in the schema and with each column's pages, rows
for the file and for each row group, bytes for a row group and for each of its columns. One damaged byte breaks such a
pair, and it does so here, before pyarrow sees it: some damage ends the process there. Source: parquet.thrift.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from siltstone.formats.parquet.thrift import Struct, decoded

MAGIC_BYTES = 4  # at the begin of a file, before its first page

_BOOL, _I16, _INT, _LONG, _BYTES, _LIST, _STRUCT = 1, 4, 5, 6, 8, 9, 12  # Thrift's types
_TEXT = 6  # Parquet's type BYTE_ARRAY
_OPTIONAL, _REPEATED = 1, 2


@dataclass(frozen=True)
class _Fields:
    """The types of a struct's fields, and the fields that it must have. Fields behind these, which a later Parquet may
    have, are passed over; of those before them, `strict` structs may have no others, `closed` ones no others at all."""

    types: Mapping[int, int]
    needed: frozenset[int]
    strict: bool = False
    closed: bool = False


def _fields(types: Mapping[int, int], *needed: int, strict: bool = False, closed: bool = False) -> _Fields:
    return _Fields(types, frozenset(needed), strict, closed)


_FILE = _fields({1: _INT, 2: _LIST, 3: _LONG, 4: _LIST, 5: _LIST, 6: _BYTES, 7: _LIST}, 1, 2, 3, 4, strict=True)
# Closed, since a column whose two types both seem to be later fields would be read as another type.
_ELEMENT = _fields({1: _INT, 3: _INT, 4: _BYTES, 5: _INT, 6: _INT, 10: _STRUCT}, 4, closed=True)
_GROUP = _fields({1: _LIST, 2: _LONG, 3: _LONG, 4: _LIST, 5: _LONG, 6: _LONG, 7: _I16}, 1, 2, 3)
_CHUNK = _fields({2: _LONG, 3: _STRUCT, 4: _LONG, 5: _INT, 6: _LONG, 7: _INT}, 3, strict=True)
_COLUMN = _fields(
    {1: _INT, 2: _LIST, 3: _LIST, 4: _INT, 5: _LONG, 6: _LONG, 7: _LONG, 8: _LIST, 9: _LONG, 11: _LONG, 12: _STRUCT}
    | {13: _LIST, 16: _STRUCT},
    *(1, 2, 3, 4, 5, 6, 7, 9),
)
_STATISTICS = _fields({1: _BYTES, 2: _BYTES, 3: _LONG, 4: _LONG, 5: _BYTES, 6: _BYTES})
_SIZES = _fields({1: _LONG, 2: _LIST, 3: _LIST})

_INTEGERS = {
    11 + place: {10: (_STRUCT, {1: (3, bits), 2: (2 - is_signed, bool(is_signed))})}
    for place, (bits, is_signed) in enumerate((b, s) for s in (0, 1) for b in (8, 16, 32, 64))
}
_UTC = {unit: {8: (_STRUCT, {1: (_BOOL, True), 2: (_STRUCT, {unit: (_STRUCT, {})})})} for unit in (1, 2)}
_LOGICAL: dict[int, Struct] = {
    0: {1: (_STRUCT, {})},
    1: {2: (_STRUCT, {})},
    3: {3: (_STRUCT, {})},
    6: {6: (_STRUCT, {})},
    9: _UTC[1],
    10: _UTC[2],
    **_INTEGERS,
}
"""Converted type -> the logical type that means the same: text, map, list, date, instants, integers by size."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A column as the schema has it: its path, Parquet type, and levels of nulls and of lists."""

    path: tuple[bytes, ...]
    type: int
    nulls: int
    lists: int

    @property
    def name(self) -> str:
        return b".".join(self.path).decode()

    @property
    def is_text(self) -> bool:
        """Whether it is a column of texts of its own, in no list and no struct."""
        return self.type == _TEXT and len(self.path) == 1


@dataclass(frozen=True)
class Footer:
    """What a footer says, as Thrift has it, and the columns of its schema."""

    struct: Struct
    leaves: Sequence[Leaf]

    @property
    def groups(self) -> Sequence[Struct]:
        """The row groups."""
        groups: Sequence[Struct] = self.struct[4][1][1]
        return groups

    def rows(self, group: int) -> int:
        return int(self.groups[group][3][1])

    def columns(self, group: int) -> Iterator[Struct]:
        """What the footer says about the pages of each column in a row group, in the order of `leaves`."""
        for chunk in self.groups[group][1][1][1]:
            yield chunk[3][1]


def checked_footer(text: bytes, end: int) -> Footer:
    """The content of a footer; its text begins at `end`, where the pages end. Raises ValueError if it contradicts
    itself or the file."""
    try:
        struct, length = decoded(text)
        if length != len(text):
            raise ValueError("it does not end where it should")
        _has(struct, _FILE)
        footer = Footer(struct, list(_leaves(struct[2][1][1])))
        _check(footer, end)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        reason = str(error) if isinstance(error, ValueError) else "a part of it is of another kind than it should be"
        raise ValueError(f"its footer is damaged: {reason}") from error
    return footer


def _has(struct: Struct, fields: _Fields) -> None:
    if not fields.needed <= struct.keys():
        raise ValueError("a part of it has no field that every one has")
    known = max(fields.types)
    others = [field for field in struct if field not in fields.types]
    if others and (fields.closed or (fields.strict and min(others) < known)):
        raise ValueError("a part of it has a field that siltstone does not write")
    for field, (kind, _) in struct.items():
        if fields.types.get(field, kind) != kind:
            raise ValueError("a field of it has the type of another one")


def _leaves(elements: Sequence[Struct]) -> Iterator[Leaf]:
    """The columns, from the tree of the schema written out from its root."""
    waiting: list[tuple[int, tuple[bytes, ...], int, int]] = []  # children to come, and the path and levels above them
    for place, element in enumerate(elements):
        _has(element, _ELEMENT)
        if place and not waiting:
            raise ValueError("its schema has more columns than it says")
        left, path, nulls, lists = waiting.pop() if place else (1, (), 0, 0)
        if left > 1:
            waiting.append((left - 1, path, nulls, lists))
        if place:
            repetition = element[3][1]
            if repetition not in (0, _OPTIONAL, _REPEATED):
                raise ValueError("a column is neither needed, optional nor repeated")
            path, nulls = (*path, element[4][1]), nulls + (repetition > 0)
            lists += repetition == _REPEATED
        _check_meaning(element)
        if 5 in element:
            if 1 in element or element[5][1] < 1:
                raise ValueError("its schema has a column with columns in it")
            waiting.append((element[5][1], path, nulls, lists))
        else:
            yield Leaf(path, element[1][1], nulls, lists)
    if waiting:
        raise ValueError("its schema has fewer columns than it says")


def _check_meaning(element: Struct) -> None:
    converted, logical = element.get(6), element.get(10, (_STRUCT, {}))[1]
    if converted is not None and _LOGICAL.get(converted[1], logical) != logical:
        raise ValueError("the two types of a column differ")
    if converted is None and any(logical == meaning for meaning in _LOGICAL.values()):
        raise ValueError("a column has one of two types")


def _check(footer: Footer, end: int) -> None:
    at, codecs, rows, index_bytes = MAGIC_BYTES, set(), 0, 0
    for place, group in enumerate(footer.groups):
        _has(group, _GROUP)
        chunks = group[1][1][1]
        if len(chunks) != len(footer.leaves):
            raise ValueError("a row group has not the columns of the schema")
        begin, plain_bytes = at, 0
        for chunk, leaf in zip(chunks, footer.leaves, strict=True):
            _has(chunk, _CHUNK)
            column = chunk[3][1]
            at = _check_column(column, leaf, group[3][1], at)
            plain_bytes += column[6][1]
            codecs.add(column[4][1])
            index_bytes += sum(chunk[field][1] for field in (5, 7) if field in chunk)
        expected = {2: plain_bytes, 5: begin, 6: at - begin, 7: place}
        if any(group[field][1] != value for field, value in expected.items() if field in group and group[field][1]):
            raise ValueError("a row group is not where and what its columns are")
        rows += group[3][1]
    if at + index_bytes != end:
        raise ValueError("its pages and their indexes do not end where it begins")
    if len(codecs) > 1:
        raise ValueError("its columns are compressed in different ways")
    if rows != footer.struct[3][1]:
        raise ValueError(f"it says {footer.struct[3][1]:,} rows, its row groups {rows:,}")


def _check_column(column: Struct, leaf: Leaf, rows: int, at: int) -> int:
    """Where the pages of a column end, if it is that of the schema and its pages begin at `at`."""
    _has(column, _COLUMN)
    values, data_at, dictionary_at = column[5][1], column[9][1], column.get(11, (_LONG, at))[1]
    if column[1][1] != leaf.type or tuple(column[3][1][1]) != leaf.path:
        raise ValueError(f"a column is not {leaf.name} as the schema has it")
    if values and (dictionary_at != at or (data_at <= at if 11 in column else data_at != at)):
        raise ValueError(f"the pages of {leaf.name} do not follow the pages before them")
    if column[7][1] < 0 or (values != rows if not leaf.lists else values < rows):
        raise ValueError(f"{leaf.name} has {values:,} values in {rows:,} rows")
    if 16 in column:
        _check_levels(column, leaf, rows)
    if 12 in column:
        _check_statistics(column, leaf)
    return int(at + column[7][1])


def _check_levels(column: Struct, leaf: Leaf, rows: int) -> None:
    """How many values are at each level: as many as there are, and one of each row that begins a list."""
    sizes, values = column[16][1], column[5][1]
    _has(sizes, _SIZES)
    lists, nulls = (sizes[field][1][1] if field in sizes else [] for field in (2, 3))
    if nulls and (len(nulls) != leaf.nulls + 1 or sum(nulls) != values):
        raise ValueError(f"{leaf.name} has other levels of nulls than the schema says")
    if lists and (len(lists) != leaf.lists + 1 or sum(lists) != values or lists[0] != rows):
        raise ValueError(f"{leaf.name} has other levels of lists than the schema says")
    stated = column.get(12, (_STRUCT, {}))[1].get(3)
    if nulls and stated is not None and stated[1] != values - nulls[-1]:
        raise ValueError(f"{leaf.name} has two different numbers of nulls")


def _check_statistics(column: Struct, leaf: Leaf) -> None:
    """Readers skip row groups by statistics, and take a column of nulls for a missing one."""
    counts, values = column[12][1], column[5][1]
    _has(counts, _STATISTICS)
    bounds: dict[int, Any] = {field: counts[field][1] for field in (1, 2, 5, 6) if field in counts}
    if any(bounds.get(old, bounds.get(new)) != bounds.get(new, bounds.get(old)) for old, new in ((1, 5), (2, 6))):
        raise ValueError(f"{leaf.name} has two different bounds")
    nulls = counts.get(3, (_LONG, 0))[1]
    if not 0 <= nulls <= values or (bounds and nulls == values):
        raise ValueError(f"{leaf.name} has more nulls than values")
    if leaf.type == _TEXT and 5 in bounds and 6 in bounds and bounds[6] > bounds[5]:
        raise ValueError(f"the bounds of {leaf.name} are the wrong way round")
