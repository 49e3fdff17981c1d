"""Mortar: building sensors, one CSV per stream, to readings.

Two kinds of file, recognized by their headers:

- `{uuid}.csv`, a time column and a value column, named by the stream's label; further columns go to `_rescued`;
- time,id,value,type,label,site, whatever the file's name, as in the sample data of the Mortar project; the Brick
  class `type` goes to `_rescued`.

The site is the collection: the configured one, else the record's `site`, else the name of the file's folder. A time
without a zone is local in the configured one. A value that is no number is kept as text; without a value, or with
`NaN` or an infinity, a reading has none and is of bad quality.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal
from uuid import NAMESPACE_URL, uuid5

import numpy as np
import orjson
import polars as pl

from siltstone.errors import Unreadable
from siltstone.formats.csv import CsvDocument, open_text, read_csv
from siltstone.formats.documents import Item, Opened, ParseRules, Records
from siltstone.mapping.dataset import Dataset, Keyed, Place
from siltstone.mapping.instants import parse_instants, refusal
from siltstone.mapping.readings import keyed_readings, rescue_text
from siltstone.mapping.rules import Rules
from siltstone.mapping.source_options import SourceOptions, folder_problems, zone_problems
from siltstone.model.schema import Schema

_PATH = re.compile(r"(?:(?:^|/)(?P<folder>[^/]+)/|^/?)(?P<stem>[^/._][^/]*)\.csv(?:\.gz|\.zst)?$", re.IGNORECASE)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_SIX = ("time", "id", "value", "type", "label", "site")
_EXACT = float(1 << 53)


@dataclass(frozen=True)
class Options(SourceOptions):
    """- `collection`: building or dataset of all files; "": the rows' own site, else the folder's name.
    - `time_column`: of the files named by a UUID.
    - `zone`: IANA zone of times without an offset.
    - `duplicates`: which of the readings with one series and instant stays.
    """

    collection: str = ""
    time_column: str = "datetime"
    zone: str = "UTC"
    duplicates: Literal["all", "distinct", "first", "last", "error"] = "last"

    def problems(self) -> Iterator[str]:
        """Each contradiction, beginning with the key that it is about."""
        yield from zone_problems(self.zone)
        yield from super().problems()
        yield from folder_problems("collection", self.collection)


def datasets(options: Options) -> tuple[Dataset, ...]:
    """The one dataset."""
    return (Mortar(options),)


class Mortar(Dataset):
    """Streams of sensors to readings."""

    name = "mortar"
    layout = "{collection}/{uuid}.csv"

    def __init__(self, options: Options) -> None:
        self.policy = options.duplicates
        self.collection, self.time_column, self.zone = options.collection, options.time_column, options.zone

    def locate(self, path: str) -> Place | None:
        """The stream by the file's name; its collection is the configured one, else the file itself says it."""
        named = _folder_and_stem(path)
        return None if named is None else Place(self.collection, named[1], likely_site=named[0])

    def open(self, item: Item, rules: ParseRules) -> Opened:
        """Raises Unreadable if it is neither of the two kinds of file."""
        opened = open_text(item, rules)
        header, stem = opened.document.header, _stem(item.path)
        if _is_six(header):
            return opened
        if not _UUID.fullmatch(stem):
            raise Unreadable(f"its name is no UUID and its header not {','.join(_SIX)}: {', '.join(header)[:200]}")
        if self.time_column not in header:
            columns = f"found {', '.join(header)[:200]}"
            raise Unreadable(f"no time column {self.time_column!r}, {columns}: set sources.mortar.time_column")
        if opened.document.named < 2:
            raise Unreadable(f"its header names no column of values: {', '.join(header)[:200]}")
        if not (self.collection or _folder(item.path)):
            raise Unreadable("no collection: it lies in no folder; set sources.mortar.collection")
        return opened

    def rows(self, documents: Sequence[CsvDocument], schema: Schema, rules: Rules) -> tuple[list[Keyed], Schema]:
        by_index = {document.index: document for document in documents}
        parts = []
        for records in read_csv([d for d in documents if _is_six(d.header)]):
            frame, stream = self._six(records, by_index)
            extras = dict.fromkeys(by_index, frame.columns[2:])
            parts.append(self._keyed(records, frame, stream, extras, by_index, rules))
        streams = [_by_place(d, self.time_column) for d in documents if not _is_six(d.header)]
        for records in read_csv(streams):
            stream = self._streams_of_files(records, by_index)
            extras = {d.index: _values(d.header, self.time_column)[1:] for d in documents}
            frame = records.frame.select(sorted(records.frame.columns))
            parts.append(self._keyed(records, frame, stream, extras, by_index, rules))
        return parts, schema

    def _six(self, records: Records, documents: Mapping[int, CsvDocument]) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The records' time, value and further columns, and what they say of their streams.

        What a stream is called is worked out once for each run of records that say the same.
        """
        keys = records.frame.select("id", "type", "label", "site", document=pl.Series(records.document))
        is_new = keys.select(pl.any_horizontal(pl.all().ne_missing(pl.all().shift()))).to_series()
        runs = keys.filter(is_new)
        series = {name: str(uuid5(NAMESPACE_URL, name)) for name in runs["id"].drop_nulls().unique()}
        folders = {index: _folder(document.path) for index, document in documents.items()}
        site = pl.coalesce("site", pl.col("document").replace_strict(folders, return_dtype=pl.String()))
        types = {text: rescue_text({"type": text}) for text in runs["type"].drop_nulls().unique()}
        streams = runs.select(
            site=pl.lit(self.collection) if self.collection else site,
            series_id=pl.col("id").replace_strict(series, default=None, return_dtype=pl.String()),
            device_id="id",
            measurement="label",
            _rescued=pl.col("type").replace_strict(types, default=None, return_dtype=pl.String()),
        )
        frame = records.frame.select("time", "value", pl.exclude(_SIX))
        return frame, streams[is_new.cum_sum() - 1]

    def _streams_of_files(self, records: Records, documents: Mapping[int, CsvDocument]) -> pl.DataFrame:
        """What the file of each record says of its stream by its name, folder and header."""
        indices, places = np.unique(records.document, return_inverse=True)
        streams = []
        for document in (documents[index] for index in indices.tolist()):
            label, site = _values(document.header, self.time_column)[0], self.collection or _folder(document.path)
            streams.append((site, _stem(document.path), f"urn:{site}/{label}", label, None))
        columns = ("site", "series_id", "device_id", "measurement", "_rescued")
        return pl.DataFrame(streams, schema=dict.fromkeys(columns, pl.String()), orient="row")[places]

    def _keyed(
        self,
        records: Records,
        frame: pl.DataFrame,
        streams: pl.DataFrame,
        extras: Mapping[int, Sequence[str]],
        documents: Mapping[int, CsvDocument],
        rules: Rules,
    ) -> Keyed:
        """The readings of records. `frame` has time, value and further columns, named by document in `extras`."""
        time, value = frame.to_series(0), frame.to_series(1)
        us, nanos = parse_instants(time, self.zone)
        number = _numbers(value)
        readings = streams.with_columns(
            ts=us,
            ts_nanos=nanos,
            **_values_of(value, number),
            source=pl.lit(self.source),
            _rescued=_add_rescued(streams["_rescued"], _odd_values(frame, number, records, extras)),
            document=records.document,
            line=records.line,
        )
        if us.null_count():
            reasons = {text: refusal(text, self.zone) for text in time.filter(us.is_null()).unique()}
            reason = time.replace_strict(reasons, default=None, return_dtype=pl.String())
            readings = readings.with_columns(reason=reason).filter(~_are_empty(frame))
        return keyed_readings(readings, records, list(documents.values()), rules)


@lru_cache(maxsize=65_536)
def _folder_and_stem(path: str) -> tuple[str, str] | None:
    """The folder's name and the file's without its endings, a UUID in small letters; None if it is no CSV."""
    match = _PATH.search(path)
    if match is None:
        return None
    stem = match["stem"]
    folder = (match["folder"] or "").removeprefix("collection=")
    return folder, stem.lower() if _UUID.fullmatch(stem) else stem


def _folder(path: str) -> str:
    return (_folder_and_stem(path) or ("", ""))[0]


def _stem(path: str) -> str:
    return (_folder_and_stem(path) or ("", ""))[1]


def _is_six(header: Sequence[str]) -> bool:
    return set(_SIX) <= set(header)


def _values(header: Sequence[str], time_column: str) -> list[str]:
    """The columns of a file named by UUID that are not its time: the label, then further ones."""
    return [name for name in header if name != time_column]


def _by_place(document: CsvDocument, time_column: str) -> CsvDocument:
    """The document with the same names for its columns as any other of its width, time and value first by name: files
    of one stream each have headers of their own and are parsed in one go all the same."""
    order = [time_column, *_values(document.header, time_column)]
    header = tuple(f"{order.index(name):06}" for name in document.header)
    return replace(document, header=header, named=len(header))


def _are_empty(frame: pl.DataFrame) -> pl.Series:
    """Records of delimiters only."""
    return frame.select(pl.all_horizontal(pl.all().is_null())).to_series()


def _numbers(text: pl.Series) -> pl.Series:
    """The nearest doubles, `NaN` and infinities too; null where the text is no number."""
    number = text.cast(pl.Float64(), strict=False)
    if number.null_count() == text.null_count():
        return number
    return number.fill_null(text.str.strip_chars(" \t").cast(pl.Float64(), strict=False))


def _values_of(text: pl.Series, number: pl.Series) -> dict[str, pl.Series]:
    """The columns `value`, `text`, `kind` and `quality` of readings, from the values' texts and numbers."""
    values = pl.DataFrame({"number": number, "given": text}).select(
        value=pl.when(pl.col("number").is_finite()).then("number"),
        text=pl.when(pl.col("number").is_null()).then("given"),
    )
    is_text, is_none = values["text"].is_not_null(), values["value"].is_null() & values["text"].is_null()
    words = values.select(
        kind=pl.when(is_text).then(pl.lit("string")).otherwise(pl.lit("double")),
        quality=pl.when(is_none).then(pl.lit("bad")).otherwise(pl.lit("good")),
    )
    return {column.name: column for column in (*values, *words)}


def _odd_values(
    frame: pl.DataFrame, number: pl.Series, records: Records, extras: Mapping[int, Sequence[str]]
) -> Mapping[int, Mapping[str, str]]:
    """By row what its columns can't hold: `NaN` and infinities, integers that a double rounds, further columns."""
    is_odd = (~number.is_finite() | (number.abs() >= _EXACT)).fill_null(value=False)
    for column in frame.iter_columns():
        if column.name not in frame.columns[:2] and column.null_count() < len(column):
            is_odd |= column.alias("").is_not_null()
    rows = is_odd.arg_true().to_list()
    odd_values: dict[int, dict[str, str]] = {}
    for row, (_, value, *further) in zip(rows, frame.filter(is_odd).iter_rows(), strict=True):
        names = extras[int(records.document[row])]
        odd_values[row] = {name: cell for name, cell in zip(names, further, strict=True) if cell is not None}
        if value is not None and not _is_exact(value):
            odd_values[row]["value"] = value
    return {row: odd for row, odd in odd_values.items() if odd}


def _is_exact(text: str) -> bool:
    """Whether a double has the value: decimals take the nearest one, whole numbers must be it."""
    try:
        number = float(text)
    except ValueError:
        return True  # it is kept as text
    if not math.isfinite(number):
        return False
    digits = text.strip().lstrip("+-")
    return not digits.isdigit() or int(digits.lstrip("0") or "0") == abs(int(number))


def _add_rescued(rescued: pl.Series, odd: Mapping[int, Mapping[str, str]]) -> pl.Series:
    """`_rescued` of each row, with the odd values of some added to what it holds."""
    if not odd:
        return rescued
    both = [{**orjson.loads(rescued[row] or "{}"), **values} for row, values in odd.items()]
    return rescued.scatter(list(odd), [rescue_text(values) for values in both])
