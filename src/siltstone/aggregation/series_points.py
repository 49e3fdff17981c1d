"""Rows of a table become points of its series: each reading is a point, and each value in a row of a wide table."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from siltstone.aggregation.spec import AggregateSpec
from siltstone.model.arrow import coded, to_arrow
from siltstone.model.periods import EVER, Window
from siltstone.timeseries.points import BAD, GOOD, UNCERTAIN, Floats, Ints, Mask, Points

_ABOUT_ROWS = ("series_id", "source", "device_id", "measurement")
READ = ("series_id", "ts", "ts_nanos", "version", "value", "text", "quality", "source", "device_id", "measurement")
ABOUT = {name: pl.String() for name in ("site", "series_id", "source", "device_id", "measurement")}


@dataclass
class PointCounts:
    """Counts of what was read: rows; points that were used; rows `left_out` since they are outside the window or of
    another series than those asked for; rows and cells `repeated`, with a series and time that a later one has, too."""

    rows: int = 0
    points: int = 0
    left_out: int = 0
    repeated: int = 0

    def add(self, other: "PointCounts") -> None:
        for name in vars(self):
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass
class SeriesNames:
    """The series that were read so far: `about` has for each number of a series its site, id, source, device and
    measurement; `texts` maps numbers to the texts that they stand for."""

    about: list[tuple[str | None, ...]] = field(default_factory=list)
    texts: dict[float, str] = field(default_factory=dict)

    def frame(self) -> pl.DataFrame:
        return pl.DataFrame(self.about, schema=ABOUT, orient="row")


@dataclass(frozen=True)
class NumberedPoints:
    """Points of series that are numbered `first`, `first` + 1, and so on."""

    points: Points
    first: int


class ReadingPoints:
    """Makes points of sorted tables of readings. Rows of one series and instant count once, also where one table ends
    with them and the next begins."""

    def __init__(self, terms: AggregateSpec, site: str, window: Window) -> None:
        self._terms, self._site, self._window = terms, site, window
        self._held: pl.DataFrame | None = None
        self._last: tuple[Any, ...] | None = None
        self.names, self.counted = SeriesNames(), PointCounts()
        self.may_have_texts = False

    def of(self, tables: Iterator[pa.Table]) -> Iterator[NumberedPoints]:
        for table in tables:
            if table.num_rows:
                self.may_have_texts = "text" in table.column_names
                yield from self._points(self._with_held(table))
        if self._held is not None:
            yield from self._points(self._held)

    def _with_held(self, table: pa.Table) -> pl.DataFrame:
        """The wanted rows behind those that waited, without the rows of the last instant: these wait, since the next
        table may have more of them."""
        self.counted.rows += table.num_rows
        rows = self._numbered(table)
        if not rows.height:
            return rows
        joined = rows if self._held is None else pl.concat([self._held, rows])
        self._held = joined.tail(_last_instant(joined, "series"))
        return joined.head(joined.height - self._held.height)

    def _numbered(self, table: pa.Table) -> pl.DataFrame:
        """The rows of the series that are asked for, with the number of their series."""
        _, codes = coded(table["series_id"])
        begins = np.concatenate(([0], np.flatnonzero(codes[1:] != codes[:-1]) + 1))
        lengths = np.diff(np.append(begins, len(codes)))
        heads = pl.DataFrame(table.select(_ABOUT_ROWS).take(to_arrow(begins)))
        about = [(self._site, *row) for row in heads.select(pl.all().cast(pl.String())).rows()]
        goes_on = self._last is not None and self._last[1] == about[0][1]
        if self._last is not None and goes_on:
            about[0] = self._last  # its first row, in an earlier table, decides how the series is read
        self._last = about[-1]
        is_chosen = self._terms.which([(site, series, device, name) for site, series, _, device, name in about])
        first = len(self.names.about) - int(goes_on and is_chosen[0])
        self.names.about[first:] = [a for a, chosen in zip(about, is_chosen, strict=True) if chosen]
        numbers = np.cumsum(is_chosen) - 1 + first
        columns = [n for n in ("ts", "value", "text", "ts_nanos", "version") if n in table.column_names]
        has_quality = "quality" in table.column_names
        quality = _qualities(table["quality"]) if has_quality else np.full(table.num_rows, GOOD, np.int8)
        rows = pl.DataFrame(table.select(columns)).with_columns(
            pl.col("ts").dt.epoch("us"),
            series=pl.Series(np.repeat(numbers, lengths)),
            quality=pl.Series(quality),
        )
        if is_chosen.all():
            return rows
        self.counted.left_out += int(lengths[~is_chosen].sum())
        return rows.filter(pl.Series(np.repeat(is_chosen, lengths)))

    def _points(self, frame: pl.DataFrame) -> Iterator[NumberedPoints]:
        """The points of rows."""
        ts, series = frame["ts"].to_numpy(), frame["series"].to_numpy()
        again = np.append(ts[1:] == ts[:-1], False)[: len(ts)]
        if again.any():
            again[:-1] &= series[1:] == series[:-1]
            again = self._older(frame, series, ts, again)
        if again.any() or self._window != EVER:
            inside = (ts >= self._window[0]) & (ts < self._window[1])
            keep = inside & ~again
            self.counted.left_out += int((~inside).sum())
            self.counted.repeated += int((inside & again).sum())
            frame, series, ts = frame.filter(pl.Series(keep)), series[keep], ts[keep]
        self.counted.points += len(ts)
        if len(ts):
            starts: Ints = np.searchsorted(series, np.arange(series[0], series[-1] + 2))
            yield NumberedPoints(Points(starts, ts, self._values(frame), frame["quality"].to_numpy()), int(series[0]))

    def _older(self, frame: pl.DataFrame, code: Ints, ts: Ints, again: Mask) -> Mask:
        """Which rows an other row of the same series and instant replaces: all but the one with the most nanoseconds,
        then the greatest version, then the last one.

        `again`: which rows have the same series and instant as the next row.
        """
        shared = again | np.concatenate(([False], again[:-1]))
        missing = {name: pl.lit(None, pl.Int64()) for name in ("ts_nanos", "version") if name not in frame.columns}
        rows = frame.with_columns(**missing).select("ts_nanos", "version")
        rows = rows.with_columns(code=pl.Series(code), ts=pl.Series(ts)).with_row_index()
        chosen = rows.filter(pl.Series(shared)).sort(
            "code", "ts", pl.col("ts_nanos").fill_null(0), pl.col("version").fill_null(-(1 << 62)), "index"
        )
        newest = chosen.group_by("code", "ts", maintain_order=True).agg(pl.col("index").last())["index"].to_numpy()
        older: Mask = shared.copy()
        older[newest] = False
        return older

    def _values(self, frame: pl.DataFrame) -> Floats:
        """The value of each row: a number as it is, for a text the number that stands for it, NaN without either."""
        value = frame["value"].fill_null(float("nan"))
        if "text" in frame.columns and frame["text"].null_count() < frame.height:
            texts = frame["text"].unique().drop_nulls()
            numbers = {text: text_number(text) for text in texts.cast(pl.String()).to_list()}
            self.names.texts |= {number: text for text, number in numbers.items()}
            stands = frame["text"].cast(pl.String()).replace_strict(numbers, default=None, return_dtype=pl.Float64)
            value = pl.select(pl.coalesce(pl.lit(stands), pl.lit(value))).to_series()
        numbers_of_rows: Floats = value.to_numpy()
        return numbers_of_rows


def text_number(text: str) -> float:
    """The number that stands for a text: 52 bits of its hash, so that equal texts have equal numbers everywhere."""
    return float(int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big") >> 4)


def _last_instant(rows: pl.DataFrame, unit: str) -> int:
    """The number of rows at the end with the series and instant of the last row."""
    ts, series = rows["ts"].to_numpy(), rows[unit].to_physical().to_numpy()
    count = 1
    while count < len(ts) and ts[-count - 1] == ts[-1] and series[-count - 1] == series[-1]:
        count += 1
    return count


def _qualities(words: pa.ChunkedArray) -> npt.NDArray[np.int8]:
    """The quality of each word: GOOD for "good" and null, UNCERTAIN for "uncertain", BAD for any other."""
    codes = {None: GOOD, "good": GOOD, "uncertain": UNCERTAIN}
    texts, places = coded(words)
    quality = np.array([codes.get(text if text is None else text.lower(), BAD) for text in texts], np.int8)
    return np.full(len(places), GOOD, np.int8) if (quality == GOOD).all() else quality[places]


class WidePoints:
    """Makes points of sorted rows of a wide table: each unit and column is a series, each value of it a point."""

    def __init__(self, terms: AggregateSpec, site: str, window: Window, unit: str, time: str, source: str) -> None:
        self._terms, self._site, self._window = terms, site, window
        self._unit, self._time, self._source = unit, time, source
        self._numbers: dict[tuple[str, str], int] = {}
        self._last: str | None = None
        self._held: pl.DataFrame | None = None
        self.names, self.counted = SeriesNames(), PointCounts()
        self.may_have_texts = False

    def of(self, tables: Iterator[pa.Table]) -> Iterator[NumberedPoints]:
        for table in tables:
            if not table.num_rows:
                continue
            self.counted.rows += table.num_rows
            self.may_have_texts = any(_is_text(f.type) for f in table.schema if f.name in self._terms.columns)
            frame = pl.DataFrame(table)
            unit = pl.col(self._unit).cast(pl.String()).fill_null("").cast(pl.Categorical())
            frame = frame.with_columns(unit, ts=pl.col(self._time).dt.epoch("us"))
            joined = frame if self._held is None else pl.concat([self._held, frame], how="diagonal")
            self._held = joined.tail(_last_instant(joined, self._unit))
            yield from self._read(joined.head(joined.height - self._held.height))
        if self._held is not None:
            yield from self._read(self._held)

    def _read(self, frame: pl.DataFrame) -> Iterator[NumberedPoints]:
        inside = frame["ts"].is_between(*self._window, closed="left")
        self.counted.left_out += frame.height - int(inside.sum())
        frame = frame.filter(inside)
        for units, code, rows in self._groups(self._last_is_newest(frame)):
            for column in self._terms.columns:
                if column in rows.columns:
                    yield from self._column(rows, units, code, column)

    def _last_is_newest(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The rows, those of one unit and instant sorted by their source files: the last one of them counts."""
        ts, unit = frame["ts"].to_numpy(), frame[self._unit].to_physical().to_numpy()
        if "source_file" not in frame.columns or not ((ts[1:] == ts[:-1]) & (unit[1:] == unit[:-1])).any():
            return frame
        place = pl.Series("{place}", np.cumsum(np.append(True, unit[1:] != unit[:-1])))
        ordered = frame.with_columns(place, pl.col("source_file").cast(pl.String()))
        return ordered.sort("{place}", "ts", "source_file", maintain_order=True).drop("{place}")

    def _groups(self, frame: pl.DataFrame) -> Iterator[tuple[list[str], Ints, pl.DataFrame]]:
        """The rows in one or two groups: units, the place of each row's unit among them, and the rows. A first unit
        that earlier rows had, too, is a group alone; so a group has one unit, or new ones only."""
        runs = frame[self._unit].rle().struct.unnest()
        units, lengths = runs["value"].to_list(), runs["len"].to_numpy().astype(np.int64)
        if not units:
            return
        first = 1 if units[0] == self._last else 0
        self._last = units[-1]
        cut = int(lengths[:first].sum())
        for chosen, rows in ((slice(0, first), frame.head(cut)), (slice(first, None), frame.slice(cut))):
            if rows.height:
                yield units[chosen], np.repeat(np.arange(len(lengths[chosen])), lengths[chosen]), rows

    def _column(self, rows: pl.DataFrame, units: Sequence[str], code: Ints, column: str) -> Iterator[NumberedPoints]:
        """The points of a column, of all units that are asked for."""
        is_chosen = np.array([self._terms.wants(self._site, f"{unit}/{column}", unit, column) for unit in units])
        kept = rows[column].is_not_null().to_numpy() & is_chosen[code]
        if not kept.any():
            return
        ts, of, value = rows["ts"].to_numpy()[kept], code[kept], self._values(rows[column].filter(pl.Series(kept)))
        again = np.append((ts[1:] == ts[:-1]) & (of[1:] == of[:-1]), False)
        if again.any():
            ts, of, value = ts[~again], of[~again], value[~again]
        self.counted.repeated += int(again.sum())
        self.counted.points += len(ts)
        begins = np.concatenate(([0], np.flatnonzero(np.diff(of)) + 1))
        numbers = [self._number(units[unit], column) for unit in of[begins].tolist()]
        starts = np.append(begins, len(ts)).astype(np.int64)
        yield NumberedPoints(Points(starts, ts, value, np.full(len(ts), GOOD, np.int8)), numbers[0])

    def _number(self, unit: str, column: str) -> int:
        key = unit, column
        if key not in self._numbers:
            self._numbers[key] = len(self.names.about)
            self.names.about.append((self._site, f"{unit}/{column}", self._source, unit, column))
        return self._numbers[key]

    def _values(self, column: pl.Series) -> Floats:
        """The cells of a column without nulls as numbers; a text becomes the number that stands for it."""
        numbers = column
        if column.dtype in (pl.String, pl.Categorical):
            texts = {text: text_number(text) for text in column.cast(pl.String()).unique().to_list()}
            self.names.texts |= {number: text for text, number in texts.items()}
            numbers = column.cast(pl.String()).replace_strict(texts, return_dtype=pl.Float64)
        values: Floats = numbers.cast(pl.Float64()).to_numpy()
        return values


def _is_text(kind: pa.DataType) -> bool:
    return any(chosen(kind) for chosen in (pa.types.is_dictionary, pa.types.is_string, pa.types.is_large_string))


_SILENT: Mapping[str, tuple[object, ...]] = {"text": (), "version": (), "ts_nanos": (0,), "quality": ("good",)}


def says_nothing(metadata: pq.FileMetaData) -> set[str]:
    """The columns of a data file of readings that need not be read, since by their statistics all values are the
    default: no text, no version, no nanoseconds, good quality."""
    names = set()
    for place, name in enumerate(metadata.schema.names):
        chunks = [metadata.row_group(g).column(place).statistics for g in range(metadata.num_row_groups)]
        if name in _SILENT and all(s is not None and s.has_null_count for s in chunks):
            values = {v for s in chunks if s.has_min_max for v in (s.min, s.max)}
            is_null = all(s.null_count == metadata.row_group(g).num_rows for g, s in enumerate(chunks))
            if is_null or (values and values.issubset(_SILENT[name])):
                names.add(name)
    return names


def needed_columns(terms: AggregateSpec, unit: str, time: str, existing: Sequence[str]) -> list[str]:
    """The columns to read of a data file, among its existing ones."""
    needed = (unit, time, "source_file", *terms.columns) if terms.columns else READ
    return [name for name in needed if name in existing]
