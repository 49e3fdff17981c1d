"""The fast lanes for NDJSON: polars parses, a proof by counting shows that nothing was missed or changed.

polars' typed reader refuses most of what does not fit, but it passes over unknown keys and all but the first of
repeated ones, takes numbers, booleans and nested values into text columns, turns a lone surrogate into NUL and
rounds integers beyond 2^53. The proof counts (see `structure_counts`), in text that polars took for JSON,
without escaped quotes or surrogates and without blanks before a colon:

- cells: key marks less null marks, `":` less `":n` and `": n`, is the number of non-null cells stored;
- quotes: `"` is twice the key marks plus twice the text cells stored.

Write *lost* for non-null cells that were not stored, *coerced* for other values taken into text columns, *colons* for
strings that begin with a colon and *loose* for nulls written with unusual blanks. Outside of colons a null mark is a
null, since only nulls begin with n. The first sum holds only if lost + (colons - those that go on as a null mark) +
loose = 0, so nothing was lost; then the second one holds only if coerced + colons = 0, so nothing was changed. With
every double below 2^53 in size, every integer is exact too, but for -0, which is looked for in the text.

Texts inside arrays count as quotes, but as no text cell: `["x"]` taken into a text column would balance. So no text
stored may begin with `[` (an object taken in holds keys; they leave the first sum open, unless all are null).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import orjson
import polars as pl
import pyarrow as pa

from siltstone.formats.documents import Document, Lane, Parsed, ParseRules
from siltstone.formats.exact_columns import column_named
from siltstone.formats.ndjson.structure_counts import (
    StructureCounts,
    count_marks,
    has_line_over,
    has_minus_zero,
    has_risky_escape,
)
from siltstone.model.arrays import Ints
from siltstone.model.kinds import Kind
from siltstone.model.schema import Schema, hinted

_POLARS_TYPE: dict[str, pl.DataType] = {
    "double": pl.Float64(),
    "bigint": pl.Int64(),
    "int": pl.Int32(),
    "boolean": pl.Boolean(),
    "string": pl.String(),
}
# polars panics, as no Exception, at a key that an object within an array holds twice
_REFUSALS = (pl.exceptions.PolarsError, pl.exceptions.PanicException, UnicodeDecodeError)
_EXACT = float(1 << 53)
_FEW_CELLS = 1 << 18  # 2 MiB of numbers
_SPARSE = 16  # cells of a frame to one with a value, at most
_KEY_BYTES = 5  # of a key and its value at the least: a shorter line can't hold too many keys


class TooManyCells(Exception):
    """Lines with so many different keys that a frame of all of them would hold hardly anything but nulls."""


@dataclass(frozen=True)
class _Joined:
    """The lines of some documents as one text, where each document begins in it, and its marks."""

    documents: Sequence[Document]
    text: bytes
    starts: Ints

    @cached_property
    def marks(self) -> StructureCounts | None:
        return count_marks(self.text, self.starts)

    @cached_property
    def columns(self) -> pl.Schema:
        """The columns that polars would make, found line by line: no cell takes memory yet."""
        return pl.scan_ndjson(self.text, infer_schema_length=None).collect_schema()

    def empty_frame(self) -> pl.DataFrame:
        """A row without columns for each line of objects of nulls; polars takes no such schema."""
        frame = pl.read_ndjson(self.text, infer_schema_length=None)
        return frame[[]]

    def is_sparse(self, columns: int) -> bool:
        """Whether a frame of so many columns would hold far more cells than the text has values."""
        if self.marks is None:
            return False
        cells, values = int(self.marks.lines.sum()) * columns, int(self.marks.keys.sum())
        return cells > max(_FEW_CELLS, _SPARSE * values)

    def check_cells(self, columns: int) -> None:
        """Raises TooManyCells where a frame of so many columns would be sparse; frames of fewer lines are less so."""
        if self.is_sparse(columns):
            raise TooManyCells


def parse_fast(documents: Sequence[Document], schema: Schema, rules: ParseRules) -> tuple[Parsed, Schema] | None:
    """Rows by the typed lane, else by the inferred one, and the schema with the columns found; None if unproven.
    Raises TooManyCells where the lines should be read in parts.

    Where polars refuses the text with known types, inferred ones would not help: it is no JSON, or a value is not of
    its column's type.
    """
    joined = _join(documents, rules)
    if joined is None:
        return None
    if not _types(schema):
        return _infer(joined, schema, rules)
    frame = _typed_frame(joined, schema)
    if frame is None:
        return None
    typed = _proven(joined, frame, "typed")
    return _infer(joined, schema, rules) if typed is None else (typed, schema)


def parse_typed(documents: Sequence[Document], schema: Schema, rules: ParseRules) -> Parsed | None:
    """Rows read with the known schema, or None when that can't be proven to hold every value."""
    joined = _join(documents, rules)
    frame = None if joined is None else _typed_frame(joined, schema)
    return None if joined is None or frame is None else _proven(joined, frame, "typed")


def parse_inferred(documents: Sequence[Document], schema: Schema, rules: ParseRules) -> tuple[Parsed, Schema] | None:
    """Rows read with types inferred over the whole text, and the schema with the columns found; None if unproven."""
    joined = _join(documents, rules)
    return None if joined is None else _infer(joined, schema, rules)


def _types(schema: Schema) -> dict[str, pl.DataType]:
    return {c.key: _POLARS_TYPE[c.kind] for c in schema.columns if c.kind != "json"}


def _typed_frame(joined: _Joined, schema: Schema) -> pl.DataFrame | None:
    types = _types(schema)
    try:
        if joined.is_sparse(len(types)):
            names = joined.columns
            types = {key: dtype for key, dtype in types.items() if key in names}
            joined.check_cells(len(types))
        if not types:
            return None  # polars would take any text for a row: where no column is wanted, it parses nothing
        frame = pl.read_ndjson(joined.text, schema=types)
    except _REFUSALS:
        return None
    return frame.rename({c.key: c.name for c in schema.columns if c.key in types})


def _infer(joined: _Joined, schema: Schema, rules: ParseRules) -> tuple[Parsed, Schema] | None:
    if joined.marks is None:
        return None
    try:
        types = {key: dtype for key, dtype in joined.columns.items() if dtype != pl.Null}
        joined.check_cells(len(types))
        frame = pl.read_ndjson(joined.text, schema=types) if types else joined.empty_frame()
    except _REFUSALS:
        return None
    kinds: list[tuple[str, Kind]] = []
    for key, dtype in frame.schema.items():
        kind = _KIND_OF.get(type(dtype))
        if kind is None:
            return None
        if schema.column_for(key) is None:
            kinds.append((key, hinted(key, kind, rules.hints)))
    extended = schema.extended(_in_order_of_sight(kinds, frame, joined.text))
    if len(extended.columns) > max(rules.max_columns, len(schema.columns)):
        return None
    conformed = _conformed(frame, extended)
    parsed = None if conformed is None else _proven(joined, conformed, "inferred")
    return None if parsed is None else (parsed, extended)


def _in_order_of_sight(kinds: list[tuple[str, Kind]], frame: pl.DataFrame, text: bytes) -> list[tuple[str, Kind]]:
    """New keys by the place of their first value, as the careful lane meets them; polars has an order of its own."""
    if len(kinds) < 2:
        return kinds
    rows = frame.select(column_named(key).is_not_null().arg_max().alias(key) for key, _ in kinds).row(0)
    lines = text.split(b"\n")
    places = {row: _places(lines[row]) for row in set(rows)}
    order = sorted(range(len(kinds)), key=lambda i: (rows[i], places[rows[i]].get(kinds[i][0], -1)))
    return [kinds[i] for i in order]


def _places(line: bytes) -> dict[str, int]:
    """Where each key of a line without escaped quotes stands first."""
    places: dict[str, int] = {}
    for key in _KEY.finditer(line):
        name = orjson.loads(key[0][:-1]) if b"\\" in key[1] else key[1].decode()
        places.setdefault(name, key.start())
    return places


_KEY = re.compile(rb'"([^"]*)":')
_KIND_OF: dict[type[pl.DataType], Kind] = {
    pl.Float64: "double",
    pl.Int64: "double",
    pl.Boolean: "boolean",
    pl.String: "string",
}
_ACCEPTS: dict[str, tuple[type[pl.DataType], ...]] = {
    "double": (pl.Float64, pl.Int64),
    "bigint": (pl.Int64,),
    "boolean": (pl.Boolean,),
    "string": (pl.String,),
}


def _conformed(frame: pl.DataFrame, schema: Schema) -> pl.DataFrame | None:
    """The inferred frame under the schema's names and types; None if a value may not fit or two keys share a column."""
    names: set[str] = set()
    selected = []
    for key, dtype in frame.schema.items():
        column = schema.column_for(key)
        if column is None or column.name in names or type(dtype) not in _ACCEPTS.get(column.kind, ()):
            return None
        names.add(column.name)
        selected.append(column_named(key).cast(_POLARS_TYPE[column.kind]).alias(column.name))
    return frame.select(selected)


def _join(documents: Sequence[Document], rules: ParseRules) -> _Joined | None:
    """The documents as one text, or None when a rule of the proof is broken before any parsing."""
    parts = [_ended(d.text) for d in documents]
    text = b"".join(parts)
    if b"\r" in text:
        parts = [part.replace(b"\r\n", b"\n") for part in parts]
        text = b"".join(parts)
    longest = min(rules.max_line_bytes, rules.max_keys * _KEY_BYTES)
    if not text or has_risky_escape(text) or b"\r" in text or has_line_over(text, longest) or has_minus_zero(text):
        return None
    sizes = np.array([len(part) for part in parts], np.int64)
    return _Joined(documents, text, np.cumsum(sizes) - sizes)


def _ended(text: bytes) -> bytes:
    return text if not text or text.endswith(b"\n") else text + b"\n"


def _proven(joined: _Joined, frame: pl.DataFrame, lane: Lane) -> Parsed | None:
    """The frame with the place of each row, if the sums of the proof hold; else None."""
    marks = joined.marks
    if marks is None or frame.height != marks.lines.sum():
        return None
    frame = frame.rechunk()  # polars gives small chunks: 178 columns of 3,600 rows as 24 of them leave in 35 ms, not 5
    keys, types = int(marks.keys.sum()), frame.schema
    stored = [frame.height - empty for empty in frame.null_count().row(0)] if frame.width else []
    texts = sum(n for n, dtype in zip(stored, types.values(), strict=True) if dtype == pl.String)
    if keys - int(marks.nulls.sum()) != sum(stored):
        return None
    if marks.quotes != 2 * keys + 2 * texts:
        return None
    if _may_hold_arrays(joined.text, frame):
        return None
    doubles = [name for name, dtype in types.items() if dtype == pl.Float64]
    if doubles and frame.height:
        sizes = frame.select(pl.col(doubles).abs().max()).row(0)
        if any(size is not None and not size < _EXACT for size in sizes):
            return None
    indices = [d.index for d in joined.documents]
    shifts = np.array([d.line for d in joined.documents]) - np.cumsum(marks.lines) + marks.lines
    table: pa.Table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
    return Parsed(
        lane=lane,
        table=table.append_column("_rescued", pa.nulls(table.num_rows, pa.large_string())),
        document=np.repeat(np.array(indices, np.int64), marks.lines),
        line=np.arange(frame.height, dtype=np.int64) + np.repeat(shifts, marks.lines),
        keys=dict(zip(indices, marks.keys.tolist(), strict=True)),
        nulls=dict(zip(indices, marks.nulls.tolist(), strict=True)),
    )


def _may_hold_arrays(text: bytes, frame: pl.DataFrame) -> bool:
    """Whether a text cell begins like an array."""
    if b"[" not in text:
        return False
    texts = pl.col(pl.String)
    return bool(frame.select(pl.any_horizontal(pl.lit(False), texts.str.starts_with("[").any())).item())
