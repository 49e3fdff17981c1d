"""The survey: what a spread of files tells about types, sizes and the shift from folder hour to local date."""

import io
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import ModuleType
from typing import Any, cast

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from siltstone import sources
from siltstone.bins import Settings
from siltstone.config import Config
from siltstone.conform import Schema, base_schema, hinted
from siltstone.contracts import Column
from siltstone.errors import Unreadable, UsageError
from siltstone.formats.documents import Document, Ints, Parsed, Rules
from siltstone.formats.inflate import inflate
from siltstone.formats.ndjson import parse
from siltstone.formats.ndjson_fast import parse_inferred
from siltstone.formats.tokens import BadJson, scan_object
from siltstone.kinds import Kind
from siltstone.listing import list_input
from siltstone.settings import settings_of
from siltstone.storage import Storage, open_root
from siltstone.writing import parquet_options
from siltstone.zones import local_hour_start

_EXACT = 1 << 53
_SAMPLE_ROWS = 100_000
_KINDS: dict[str, Kind] = {"number": "double", "boolean": "boolean", "string": "string", "json": "json"}
_TOKENS = {kind: token for token, kind in _KINDS.items()} | {"bigint": "number", "int": "number"}


@dataclass
class FieldFound:
    """One key of the records, by its first spelling: values by kind of token, nulls, integers beyond 2^53 and
    whether there are decimals among its numbers, and other spellings met."""

    key: str
    tokens: Counter[str] = field(default_factory=Counter)
    nulls: int = 0
    big_integers: int = 0
    has_decimals: bool = False
    spellings: set[str] = field(default_factory=set)

    @property
    def kind(self) -> Kind | None:
        """The kind that most of its values have; bigint when a double would round one of its integers."""
        values = [(n, kind) for kind, n in self.tokens.items() if kind in _KINDS]
        if not values:
            return None
        kind = _KINDS[max(values, key=lambda v: v[0])[1]]
        return "bigint" if kind == "double" and self.big_integers and not self.has_decimals else kind


@dataclass
class Survey:
    """What was found: fields in order of first sight, records and files read, `shift_hours` from the folder's hour
    to local time, `ratio`, output bytes per input byte, and `kinds`,
    what the columns of the fields are or would become by contract and hints."""

    fields: dict[str, FieldFound] = field(default_factory=dict)
    files: int = 0
    unreadable: int = 0
    records: int = 0
    bad_records: int = 0
    shift_hours: int = 0
    ratio: float = 1.0
    kinds: dict[str, Kind] = field(default_factory=dict)

    def schema(self, base: Schema, rules: Rules) -> Schema:
        """The base schema with a column for each field found, hints first."""
        kinds = [(f.key, f.kind) for f in self.fields.values() if base.column_for(f.key) is None]
        found = [(key, hinted(key, kind, rules.hints)) for key, kind in kinds if kind is not None]
        return base.extended(found[: max(0, rules.max_columns - len(base.columns))])


def spread(files: pl.DataFrame, count: int) -> pl.DataFrame:
    """At most `count` files, evenly spread over the listing."""
    if files.height <= count:
        return files
    rows: pl.DataFrame = files[np.unique(np.linspace(0, files.height - 1, count).round().astype(int)).tolist()]
    return rows


def survey_input(source_name: str, input_uri: str, config: Config, count: int | None) -> Survey:
    """The survey of `count` files spread over an input, each read whole; None for all files."""
    source, store = sources.load(source_name), open_root(input_uri, config.storage)
    if not store.exists():
        raise UsageError(f"there is no input at {store.root}", "Give an existing folder.")
    files = list_input(store, source, "").files
    if not files.height:
        raise UsageError(f"no {source_name} files below {store.root}", f"Expected {source.LAYOUT}.")
    sample = files if count is None else spread(files, count)
    return take_survey(store, sample, source, base_schema(source.CONTRACT), settings_of(config, source_name))


def take_survey(
    store: Storage,
    files: pl.DataFrame,
    source: ModuleType,
    base: Schema,
    settings: Settings,
    max_lines: int | None = None,
) -> Survey:
    """Read the files (columns path, identity, size, modified_us), of each at most its first `max_lines` records."""
    survey = Survey()
    tables: list[pa.Table] = []
    sampled_bytes, shifts = 0.0, []
    schema = base  # grows by first values: the fields found so far may change their kind, and the tables must agree
    contents = store.ahead(store.read, files["path"], files["size"])
    for row, fetched in zip(files.iter_rows(named=True), contents, strict=True):
        if fetched is None:
            continue
        survey.files += 1
        try:
            inflated = inflate(
                fetched.data, max_bytes=settings.max_text_bytes, max_ratio=settings.max_ratio, salvage=settings.salvage
            )
        except Unreadable:
            survey.unreadable += 1
            continue
        text = inflated.data
        head = text if max_lines is None else _first_lines(text, max_lines)
        document = Document(0, head, inflated.truncated)
        parts, grown = parse([document], schema, settings.rules)
        stamps = [_stamp(part.table, row, source, settings) for part in parts]
        if refused := [int(p.line[r]) for p, s in zip(parts, stamps, strict=True) for r in s.reasons]:
            # A refused record must not shape the table.
            survey.bad_records += len(refused)
            document = document.without(refused)
            parts, grown = parse([document], schema, settings.rules)
            stamps = [_stamp(part.table, row, source, settings) for part in parts]
        schema = grown
        _find_fields(document, parts, schema, survey, settings.rules)
        shifts += [_shift(s.ts_us, row, source, settings) for s in stamps if len(s.ts_us)]
        if sum(t.num_rows for t in tables) < _SAMPLE_ROWS:
            tables += [part.table for part in parts]
            sampled_bytes += row["size"] * len(head) / max(len(text), 1)
    if shifts:
        survey.shift_hours = statistics.mode(sorted(shifts))
    if sampled_bytes and tables:
        survey.ratio = _written_bytes(tables) / sampled_bytes
    survey.kinds = {c.key: c.kind for c in survey.schema(base, settings.rules).columns}
    return survey


def _first_lines(text: bytes, count: int) -> bytes:
    at = -1
    for _ in range(count):
        at = text.find(b"\n", at + 1)
        if at < 0:
            return text
    return text[: at + 1]


def _find_fields(document: Document, parts: Sequence[Parsed], schema: Schema, survey: Survey, rules: Rules) -> None:
    if all(part.lane == "typed" for part in parts):  # then every value has the kind of its column
        for part in parts:
            _find_in_columns(part, schema, survey)
        return
    inferred = parse_inferred([document], Schema((), schema.reserved), Rules(max_line_bytes=rules.max_line_bytes))
    if inferred is None:
        _find_in_tokens(document, survey, rules)
    else:
        _find_in_columns(*inferred, survey)


def _find_in_columns(parsed: Parsed, schema: Schema, survey: Survey) -> None:
    frame = cast(pl.DataFrame, pl.from_arrow(parsed.table))
    survey.records += frame.height
    names = set(frame.columns)
    columns = [c for c in schema.columns if c.name in names]
    counts = frame.select(pl.col(c.name).count() for c in columns).row(0) if columns else ()
    found = [(c, _field(survey, c.key), n) for c, n in zip(columns, counts, strict=True) if n]
    odd = frame.select(odd for column, of, _ in found if (odd := _odd_numbers(column, of)) is not None)
    odd_numbers = odd.row(0, named=True) if odd.width else {}
    for column, of, values in found:
        of.tokens[_TOKENS[column.kind]] += values
        if column.kind == "bigint":
            of.big_integers += odd_numbers[column.name]
        else:
            of.has_decimals |= odd_numbers.get(column.name, False)


def _odd_numbers(column: Column, of: FieldFound) -> pl.Expr | None:
    """What a column's numbers tell of their kind: how many integers a double would round, or whether a double is a
    decimal, where that is not known yet."""
    number = pl.col(column.name)
    if column.kind == "bigint":
        return ((number > _EXACT) | (number < -_EXACT)).sum()
    return (number != number.floor()).any() if column.kind == "double" and not of.has_decimals else None


def _find_in_tokens(document: Document, survey: Survey, rules: Rules) -> None:
    for line in document.lines:
        if not line.strip():
            continue
        try:
            tokens = scan_object(line.decode(), max_keys=rules.max_keys, max_depth=rules.max_depth)
        except (BadJson, UnicodeDecodeError):
            survey.bad_records += 1
            continue
        survey.records += 1
        for token in tokens:
            found = _field(survey, token.key)
            if token.kind == "null":
                found.nulls += 1
                continue
            found.tokens[token.kind] += 1
            if token.kind == "number":
                is_integer = token.text.lstrip("-").isdigit()
                found.has_decimals |= not is_integer
                found.big_integers += is_integer and len(token.text) < 20 and abs(int(token.text)) > _EXACT


def _field(survey: Survey, key: str) -> FieldFound:
    found = survey.fields.setdefault(key.lower(), FieldFound(key))
    if key != found.key:
        found.spellings.add(key)
    return found


def _stamp(table: pa.Table, row: dict[str, Any], source: ModuleType, settings: Settings) -> Any:
    window = source.Window(settings.earliest_us, settings.future_us)
    return source.stamp(table, np.full(table.num_rows, row["modified_us"]), window, settings.zone)


def _shift(ts_us: Ints, row: dict[str, Any], source: ModuleType, settings: Settings) -> int:
    """Hours from the folder's hour to the local hour of the first row."""
    local: datetime = local_hour_start(int(ts_us.min()), settings.zone)
    shift: timedelta = local - source.locate(row["identity"]).hour
    return round(shift.total_seconds() / 3600)


def _written_bytes(tables: Sequence[pa.Table]) -> int:
    buffer = io.BytesIO()
    table = pa.concat_tables(tables, promote_options="permissive")
    pq.write_table(table, buffer, **parquet_options())
    return buffer.tell()
