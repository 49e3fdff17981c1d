"""The survey: what a spread of files tells about types, sizes and the shift from folder hour to local date."""

import io
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from siltstone import sources
from siltstone.config.model import Config
from siltstone.config.task_settings import options_of, settings_of
from siltstone.errors import Unreadable, UsageError
from siltstone.formats.documents import Document, Item, Parsed
from siltstone.formats.ndjson.fast import TooManyCells, parse_inferred
from siltstone.formats.ndjson.tokens import BadJson, scan_object
from siltstone.formats.portions import Room, batches
from siltstone.ingest.defects import Defect, netted
from siltstone.ingest.keyed_survey import KeyedSurvey, take_keyed_survey
from siltstone.ingest.listing import list_input, spread
from siltstone.kernels.sorted_merge import united
from siltstone.mapping.dataset import Dataset, Wide
from siltstone.mapping.rules import Grain, Rules
from siltstone.model.arrays import Ints
from siltstone.model.contracts import Column
from siltstone.model.kinds import Kind
from siltstone.model.schema import Schema, base_schema, hinted
from siltstone.model.survey_summary import FieldSummary, RecordsSurvey, SurveySummary
from siltstone.model.time_zones import local_hour_start
from siltstone.storage import Storage, open_input
from siltstone.table.writer import parquet_options

_EXACT = 1 << 53
_SAMPLE_ROWS = 100_000
_PORTION_BYTES = 16 << 20  # of a file's text that is parsed at a time
_MOST_SPELLINGS = 8  # of a key
_MOST_KEYS = 10  # times the columns of a table
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

    @property
    def remarks(self) -> list[str]:
        """What is odd about its values, a few words each."""
        remarks = []
        if len([kind for kind in self.tokens if kind != "misfit"]) > 1:
            remarks.append("values of several kinds")
        if self.tokens["misfit"]:
            remarks.append("NaN or Infinity")
        if self.big_integers:
            remarks.append(f"{self.big_integers:,} integers beyond 2^53")
        if self.spellings:
            remarks.append(f"also spelled {', '.join(sorted(self.spellings))}")
        return remarks


@dataclass
class Survey:
    """What was found: fields in order of first sight, records and files read, `shift_hours` from the folder's hour
    to local time, `ratio`, output bytes per input byte, and `kinds`,
    what the columns of the fields are or would become by contract and hints. `defects` counts, by reason, the
    unreadable files that siltstone itself failed at."""

    fields: dict[str, FieldFound] = field(default_factory=dict)
    files: int = 0
    unreadable: int = 0
    records: int = 0
    bad_records: int = 0
    shift_hours: int = 0
    ratio: float = 1.0
    kinds: dict[str, Kind] = field(default_factory=dict)
    defects: Counter[str] = field(default_factory=Counter)

    def schema(self, base: Schema, rules: Rules) -> Schema:
        """The base schema with a column for each field found, hints first."""
        kinds = [(f.key, f.kind) for f in self.fields.values() if base.column_for(f.key) is None]
        found = [(key, hinted(key, kind, rules.hints)) for key, kind in kinds if kind is not None]
        return base.extended(found[: max(0, rules.max_columns - len(base.columns))])

    @property
    def hints(self) -> dict[str, Kind]:
        """The kinds of fields with something odd, to be put into a configuration."""
        return {f.key: self.kinds[f.key] for f in self.fields.values() if f.key in self.kinds and f.remarks}

    @property
    def summary(self) -> RecordsSurvey:
        """The same as plain values."""
        fields = [
            FieldSummary(
                key=f.key,
                kind=self.kinds.get(f.key),
                values=dict(f.tokens),
                nulls=f.nulls,
                big_integers=f.big_integers,
                spellings=sorted(f.spellings),
                remarks=f.remarks,
            )
            for f in self.fields.values()
        ]
        return RecordsSurvey(
            files=self.files,
            unreadable=self.unreadable,
            records=self.records,
            bad_records=self.bad_records,
            shift_hours=self.shift_hours,
            ratio=self.ratio,
            fields=fields,
            hints=self.hints,
            defects=dict(self.defects),
        )


def survey_input(
    source_name: str, input_uri: str, config: Config, count: int | None
) -> Survey | list[tuple[KeyedSurvey, Grain]]:
    """The survey of `count` files spread over an input, each read whole; None for all files. Of a source of keyed
    rows one for each dataset that has files there, with the grain that its dates would get."""
    settings = settings_of(config, source_name)
    datasets = sources.datasets(source_name, options_of(config, source_name))
    store, only = open_input(input_uri, config.storage)
    if not store.exists():
        raise UsageError(f"there is no input at {store.root}", "Give an existing folder.")
    found: list[tuple[KeyedSurvey, Grain]] = []
    for dataset, listing in zip(datasets, list_input(store, datasets, "", only=only), strict=True):
        files = listing.files
        sample = files if count is None else spread(files, count)
        if files.height and not dataset.contract.key:
            return take_survey(store, sample, dataset, base_schema(dataset.contract), settings.rules)
        if files.height:
            survey = take_keyed_survey(store, sample, dataset, settings.rules)
            found.append((survey, survey.grain(sum(files["size"]), settings.sizes)))
    if not found:
        expected = " or ".join(d.layout for d in datasets)
        raise UsageError(f"no {source_name} files below {store.root}", f"Expected {expected}.")
    return found


def summary_of_survey(found: Survey | list[tuple[KeyedSurvey, Grain]]) -> SurveySummary:
    """What `survey_input` found, as plain values."""
    if isinstance(found, Survey):
        return SurveySummary([found.summary])
    return SurveySummary([survey.summary(grain) for survey, grain in found])


def take_survey(
    store: Storage,
    files: pl.DataFrame,
    dataset: Dataset,
    base: Schema,
    rules: Rules,
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
        item = Item(0, row["identity"], row["modified_us"], fetched.data)
        try:
            if fetched.refusal:
                raise Unreadable(fetched.refusal)
            with netted():
                whole = dataset.open(item, rules).document
                document = whole if max_lines is None else replace(whole, data=_first_lines(whole.data, max_lines))
            for (portion,), _ in batches([document], Room(_PORTION_BYTES)):
                with netted():
                    parts, schema = _surveyed(portion, dataset, schema, survey, rules)
                shifts += [_shift(p.ts_us, row, dataset, rules) for p in parts if len(p.ts_us)]
                if sum(t.num_rows for t in tables) < _SAMPLE_ROWS:
                    tables += [part.table for part in parts]
                    sampled_bytes += row["size"] * portion.size / max(whole.size, 1)
        except Unreadable as error:
            survey.unreadable += 1
            if isinstance(error, Defect):
                survey.defects[str(error)] += 1
    if shifts:
        survey.shift_hours = statistics.mode(sorted(shifts))
    if sampled_bytes and tables:
        survey.ratio = _written_bytes(tables) / sampled_bytes
    survey.kinds = {c.key: c.kind for c in survey.schema(base, rules).columns}
    return survey


def _surveyed(
    document: Document, dataset: Dataset, schema: Schema, survey: Survey, rules: Rules
) -> tuple[Sequence[Wide], Schema]:
    """The rows of a document and the schema with what they brought; the survey has its fields."""
    rows, schema = dataset.rows([document], schema, rules)
    parts = cast(Sequence[Wide], rows)
    if refused := {bad.line for part in parts for bad in part.bad}:
        survey.bad_records += len(refused)
        document = document.without(refused)
    _find_fields(document, parts, schema, survey, rules)
    return parts, schema


def _first_lines(text: bytes, count: int) -> bytes:
    at = -1
    for _ in range(count):
        at = text.find(b"\n", at + 1)
        if at < 0:
            return text
    return text[: at + 1]


def _find_fields(document: Document, parts: Sequence[Wide], schema: Schema, survey: Survey, rules: Rules) -> None:
    if all(part.lane == "typed" for part in parts):  # then every value has the kind of its column
        for part in parts:
            _find_in_columns(part, schema, survey)
        return
    try:
        inferred = parse_inferred([document], Schema((), schema.reserved), Rules(max_line_bytes=rules.max_line_bytes))
    except TooManyCells:
        inferred = None
    if inferred is None:
        _find_in_tokens(document, survey, rules)
    else:
        _find_in_columns(*inferred, survey)


def _find_in_columns(parsed: Parsed | Wide, schema: Schema, survey: Survey) -> None:
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
    """Look at every key of every record; once many times the columns of a table are known, at no further ones."""
    most = _MOST_KEYS * rules.max_columns
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
            if len(survey.fields) >= most and token.key.lower() not in survey.fields:
                continue
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
    if key != found.key and len(found.spellings) < _MOST_SPELLINGS:
        found.spellings.add(key)
    return found


def _shift(ts_us: Ints, row: dict[str, Any], dataset: Dataset, rules: Rules) -> int:
    """Hours from the folder's hour to the local hour of the first row."""
    place = dataset.locate(row["identity"])
    assert place is not None
    assert place.hour is not None
    local = local_hour_start(int(ts_us.min()), rules.zone)
    return round((local - place.hour).total_seconds() / 3600)


def _written_bytes(tables: Sequence[pa.Table]) -> int:
    buffer = io.BytesIO()
    pq.write_table(united(tables), buffer, **parquet_options())
    return buffer.tell()
