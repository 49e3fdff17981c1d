"""The careful lane for NDJSON: record by record, each bad one kept with its reason, each misfit rescued.

The rules, one for every oddity:

- a line that is no single JSON object, is not UTF-8, is too long, too deep or has too many keys: quarantined;
- a value that its column can't hold exactly (text in a number column, 5 in a text column, an integer that a double
  would round, `NaN`, `1e400`): null, and its own text goes to `_rescued`;
- a key twice in a record, or two spellings of one column: the column's own spelling wins, then the first; the
  others go to `_rescued`;
- nested values are kept as their own text in a column of kind json; decimals take the nearest double.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa

from siltstone.formats.documents import BadRecord, Document, Parsed, ParseRules
from siltstone.formats.ndjson.structure_counts import has_blank_before_colon, has_minus_zero, has_risky_escape
from siltstone.formats.ndjson.tokens import BadJson, Token, scan_object
from siltstone.model.contracts import ARROW_TYPE, Column
from siltstone.model.kinds import Kind
from siltstone.model.schema import Schema, hinted

_EXACT: Final = 1 << 53
_MISFIT: Final = object()
_SHORT: Final = 32  # bytes of a line
_SPARSE: Final = 16  # places of a table to one with a value
_RANGE: Final[Mapping[str, int]] = {"int": 1 << 31, "bigint": 1 << 63}
_BORN_AS: Final[Mapping[str, Kind]] = {"number": "double", "boolean": "boolean", "string": "string", "json": "json"}


@dataclass(slots=True)
class _Record:
    """One record's cells by column name, and its counts."""

    cells: dict[str, Any]
    keys: int
    nulls: int
    rescued: dict[str, str | list[str]] = field(default_factory=dict)
    rescued_count: int = 0


def parse_careful(document: Document, schema: Schema, rules: ParseRules) -> tuple[Parsed, Schema]:
    """Every record of one document, and the schema with the columns that its values brought.

    An unterminated last line of a truncated document that is no record is the damage itself, and no bad record.
    """
    rows: list[_Record] = []
    places: list[int] = []
    bad: list[BadRecord] = []
    known: dict[bytes, str] = {}  # why lines are bad: one may be there a million times
    last = len(document.lines) - 1
    for number, line in enumerate(document.lines):
        if not line or line.isspace():
            continue
        try:
            if line in known:
                raise BadJson(known[line])
            record, schema = _read(line, schema, rules)
        except BadJson as error:
            if document.truncated and number == last and not document.text.endswith(b"\n"):
                continue
            over = len(line) > rules.max_line_bytes
            offset = document.byte + int(document.offsets[number])
            raw = b"" if over else line
            if len(line) < _SHORT:
                known[line] = str(error)
            bad.append(BadRecord(document.index, document.line + number, offset, str(error), raw))
            continue
        rows.append(record)
        places.append(document.line + number)
    counts = [(r.keys, r.keys - r.nulls - r.rescued_count, r.nulls, r.rescued_count) for r in rows]
    parsed = Parsed(
        lane="careful",
        table=_table(rows, schema),
        document=np.full(len(rows), document.index),
        line=np.array(places, np.int64),
        bad=bad,
        cells=np.array(counts, np.int64).reshape(-1, 4),
    )
    return parsed, schema


def _read(line: bytes, schema: Schema, rules: ParseRules) -> tuple[_Record, Schema]:
    if len(line) > rules.max_line_bytes:
        digest = hashlib.sha256(line).hexdigest()
        raise BadJson(f"line of {len(line):,} bytes is over limits.max_line_kb, sha256 {digest}")
    quick = _quick(line, schema, rules)
    if quick is not None:
        return quick, schema
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise BadJson(f"not UTF-8: {error.reason} at byte {error.start} of the line") from None
    tokens = scan_object(text, max_keys=rules.max_keys, max_depth=rules.max_depth)
    schema = _with_new_columns(tokens, schema, rules)
    return _assign_columns(tokens, schema), schema


def _quick(line: bytes, schema: Schema, rules: ParseRules) -> _Record | None:
    """The record when it is plain: no repeated key, every value fits, every column known; else None."""
    try:
        members = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if (
        type(members) is not dict
        or len(members) > rules.max_keys
        or has_risky_escape(line)
        or b"\r" in line
        or has_blank_before_colon(line)
        or has_minus_zero(line)
    ):
        return None
    if line.count(b'":') != len(members):
        return None
    cells: dict[str, Any] = {}
    nulls = 0
    for key, value in members.items():
        if value is None:
            nulls += 1
            continue
        column = schema.column_for(key)
        if column is None or column.name in cells or not _FITS[column.kind](value):
            return None
        cells[column.name] = value
    return _Record(cells, len(members), nulls)


_FITS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "double": lambda v: (type(v) is float or type(v) is int) and -_EXACT < v < _EXACT,
    "bigint": lambda v: type(v) is int and -(1 << 63) <= v < 1 << 63,
    "int": lambda v: type(v) is int and -(1 << 31) <= v < 1 << 31,
    "boolean": lambda v: type(v) is bool,
    "string": lambda v: type(v) is str,
    "json": lambda v: False,
}


def _with_new_columns(tokens: Sequence[Token], schema: Schema, rules: ParseRules) -> Schema:
    """The schema, with a new column for each unknown key with a value that fits the kind of the new column."""
    room = max(rules.max_columns - len(schema.columns), 0)
    new: dict[str, tuple[str, Kind]] = {}
    for token in tokens:
        if token.kind in _BORN_AS and token.key.lower() not in new and schema.column_for(token.key) is None:
            kind = hinted(token.key, _BORN_AS[token.kind], rules.hints)
            if len(new) < room and _fitted(token, kind) is not _MISFIT:
                new[token.key.lower()] = (token.key, kind)
    return schema.extended(new.values()) if new else schema


def _assign_columns(tokens: Sequence[Token], schema: Schema) -> _Record:
    """Each token in its column, or rescued; nulls only counted."""
    record = _Record({}, len(tokens), 0)
    valued: list[tuple[Token, Column | None]] = []
    for token in tokens:
        if token.kind == "null":
            record.nulls += 1
        else:
            valued.append((token, schema.column_for(token.key)))
    own_spelling_first = sorted(valued, key=lambda member: member[1] is None or member[1].key != member[0].key)
    winners = {column.name: token for token, column in reversed(own_spelling_first) if column is not None}
    for token, column in valued:
        value = _MISFIT
        if column is not None and winners[column.name] is token:
            value = _fitted(token, column.kind)
        if column is None or value is _MISFIT:
            _rescue(record, token)
        else:
            record.cells[column.name] = value
    return record


def _rescue(record: _Record, token: Token) -> None:
    record.rescued_count += 1
    earlier = record.rescued.get(token.key)
    if earlier is None:
        record.rescued[token.key] = token.text
    elif isinstance(earlier, list):
        earlier.append(token.text)
    else:
        record.rescued[token.key] = [earlier, token.text]


def _fitted(token: Token, kind: Kind) -> Any:
    """The token's value as its column stores it, or _MISFIT when that would change it."""
    match token.kind, kind:
        case "number", "double":
            return _as_double(token.text)
        case "number", "bigint" | "int":
            return _as_integer(token.text, _RANGE[kind])
        case "boolean", "boolean":
            return token.text == "true"
        case "string", "string":
            return orjson.loads(token.text)
        case "json", "json":
            return token.text
    return _MISFIT


def _as_double(text: str) -> Any:
    value = float(text)
    if math.isinf(value):
        return _MISFIT
    is_integer = "." not in text and "e" not in text and "E" not in text
    return _MISFIT if is_integer and int(value) != int(text) else value


def _as_integer(text: str, bound: int) -> Any:
    if "." in text or "e" in text or "E" in text:
        value = float(text)
        if abs(value) >= _EXACT or not _is_whole(text):
            return _MISFIT
        text = str(int(value))
    if len(text) > 20:
        return _MISFIT
    number = int(text)
    return number if -bound <= number < bound else _MISFIT


def _is_whole(text: str) -> bool:
    """Whether a decimal is an integer to its last digit, however small its fraction."""
    mantissa, _, exponent = text.lower().partition("e")
    integer, _, fraction = mantissa.partition(".")
    fraction, digits = fraction.rstrip("0"), integer.lstrip("-0")
    if not fraction and not digits:
        return True
    lowest = -len(fraction) if fraction else len(digits) - len(digits.rstrip("0"))
    return len(exponent) < 20 and lowest + int(exponent or 0) >= 0


def _table(rows: Sequence[_Record], schema: Schema) -> pa.Table:
    """The rows' cells as a table of the columns that occur, in the schema's order, and `_rescued`."""
    present = {name for row in rows for name in row.cells}
    is_sparse = len(rows) * len(present) > _SPARSE * sum(len(row.cells) for row in rows)
    columns = _sparse_columns(rows) if is_sparse else {n: [row.cells.get(n) for row in rows] for n in present}
    arrays = {c.name: pa.array(columns[c.name], ARROW_TYPE[c.kind]) for c in schema.columns if c.name in present}
    arrays["_rescued"] = pa.array(_rescue_texts(rows), pa.large_string())
    return pa.table(arrays)


def _sparse_columns(rows: Sequence[_Record]) -> dict[str, list[Any]]:
    """The cells of rows that have few of the columns each."""
    columns: dict[str, list[Any]] = {}
    for place, row in enumerate(rows):
        for name, value in row.cells.items():
            columns.setdefault(name, [None] * len(rows))[place] = value
    return columns


def _rescue_texts(rows: Sequence[_Record]) -> Iterator[str | None]:
    for row in rows:
        yield orjson.dumps(row.rescued).decode() if row.rescued else None
