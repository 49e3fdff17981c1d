"""The tasks that put series on a grid: each reads the points of a window, and those around it, as one stream."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from siltstone.aggregation.series_points import ABOUT, ReadingPoints, WidePoints
from siltstone.aggregation.spec import AggregateSpec
from siltstone.derived.boundary_rows import StoredRows, read_beside
from siltstone.derived.output_table import TaskTotals, write_sorted
from siltstone.kernels.sorted_merge import merge_sorted
from siltstone.model.contracts import TIMESTAMP, Column, Contract, Field
from siltstone.model.data_files import LoggedFile
from siltstone.model.periods import EARLIEST_US, LATEST_US
from siltstone.storage import Storage
from siltstone.table.writer import WriterSettings
from siltstone.timeseries.fill import Filling, Instants, fill
from siltstone.timeseries.interpretation import NO_LIMIT
from siltstone.timeseries.kernel import effective
from siltstone.timeseries.points import BAD, Floats, Ints, Points

_CHUNK_BYTES = 32 << 20
_FILLED_AT_ONCE, _HELD_ROWS = 1 << 18, 1 << 21  # instants
_ABOUT = ("site", "source", "device_id", "measurement")
RESAMPLED = Contract(
    table="values on a grid",
    partition_by=(Field("date", pa.date32(), "UTC date of ts"),),
    time=Field("ts", TIMESTAMP, "instant of the grid"),
    leading=(Column("series_id", "string", "series_id"),),
    added=(),
    record=(
        *(Column(name, "string", name) for name in _ABOUT),
        Column("value", "double", "value"),
        Column("text", "string", "text"),
        Column("known", "boolean", "known"),
    ),
    sort_by=("series_id", "ts"),
)


@dataclass(frozen=True)
class FillRule:
    """How a series is filled, and over how many microseconds at most (None: no limit)."""

    how: Filling
    limit_us: int | None
    hold_us: int | None


def fill_rule(terms: AggregateSpec, fill_as: str, limit_us: int | None, about: Sequence[str | None]) -> FillRule:
    """How to fill a series (`about`: site, series, source, device, measurement): as asked for, or as it is interpreted.
    Between the totals of a bucketed series nothing is known."""
    if fill_as != "interpretation":
        return FillRule(fill_as, limit_us, limit_us)  # type: ignore[arg-type]
    _, series, source, device, measurement = about
    rule = terms.interpretations.of(source, device, measurement, series)
    if rule.kind == "bucketed":
        return FillRule("previous", 0, 0)
    gap, hold = (
        min((us for us in (own, limit_us) if us is not None and us != NO_LIMIT), default=None)
        for own in (rule.max_gap_us, rule.max_hold_us)
    )
    if rule.kind == "linear":
        return FillRule("linear", gap, NO_LIMIT if hold is None else hold)
    return FillRule("next" if rule.kind == "next" else "previous", hold, hold)


@dataclass(frozen=True)
class ResampleTask:
    """Fills the instants of the grid in `window` for the series of some sites and writes them to `table`.

    `sites`: (site, its data files that may have points in the window). `beside`: files in `work` with the points around
    the window. `from_start`: whether the instants of a series begin with the window, not with its first point.
    """

    rows: StoredRows
    work: Storage
    sites: tuple[tuple[str, tuple[LoggedFile, ...]], ...]
    beside: tuple[str, ...]
    terms: AggregateSpec
    fill_as: str
    limit_us: int | None
    window: tuple[int, int]
    from_start: bool
    writing: WriterSettings
    source: str

    @property
    def table(self) -> Storage:
        return self.writing.table

    def run(self) -> TaskTotals:
        return _Resampling(self).run()


class _Resampling:
    """A running task: filled instants are collected until they are many, then sorted and written."""

    def __init__(self, task: ResampleTask) -> None:
        self._task, self._made = task, TaskTotals()
        self._about: list[tuple[str | None, ...]] = []
        self._texts: dict[float, str] = {}
        self._held: list[pl.DataFrame] = []
        frames = [f for name in task.beside if (f := read_beside(task.work, name)).height]
        self._beside = pl.concat(frames, how="diagonal") if frames else pl.DataFrame()

    def run(self) -> TaskTotals:
        for site, files in self._task.sites:
            self._site(site, files)
        self._write()
        return self._made

    def _site(self, site: str, files: Sequence[LoggedFile]) -> None:
        task, all_time = self._task, (EARLIEST_US, LATEST_US)
        reader: ReadingPoints | WidePoints = ReadingPoints(task.terms, site, all_time)
        if task.terms.columns:
            reader = WidePoints(task.terms, site, all_time, task.rows.unit, task.rows.time, task.source)
        grid = _Grid(task)
        first_number = len(self._about)
        numbers: dict[str | None, int] = {}
        with ExitStack() as opened:
            runs = [task.rows.tables(file, opened) for file in files]
            tables = merge_sorted([*runs, self._rows_beside(site)], (task.rows.unit, task.rows.time), _CHUNK_BYTES)
            for read in reader.of(tables):
                self._texts |= reader.names.texts
                about = reader.names.about[read.first : read.first + len(read.points.starts) - 1]
                for names in about:
                    if names[1] not in numbers:
                        numbers[names[1]] = len(numbers)
                        self._about.append(names)
                        grid.add(fill_rule(task.terms, task.fill_as, task.limit_us, names))
                own = np.array([numbers[names[1]] for names in about], np.int64)
                rules = task.terms.read_as(about)
                points = read.points
                points = Points(points.starts, points.ts, points.value, effective(points, rules))
                self._hold(grid.fill_up_to(own, points, list(reader.names.texts)), first_number)
            self._hold(grid.fill_rest(), first_number)
        self._made.rows += reader.counted.rows
        self._made.points += reader.counted.points
        self._made.left_out += reader.counted.left_out
        self._made.repeated += reader.counted.repeated
        self._made.series += len(numbers)

    def _rows_beside(self, site: str) -> Iterator[pa.Table]:
        rows, frame = self._task.rows, self._beside
        if frame.height and rows.place:
            frame = frame.filter(pl.col(rows.place) == site)
        self._made.beside += frame.height
        if frame.height:
            ordered = frame.sort(rows.unit, rows.time)
            yield rows.with_all_columns(ordered.to_arrow(compat_level=pl.CompatLevel.oldest()))

    def _hold(self, parts: Iterator[tuple[Ints, Points]], first_number: int) -> None:
        for series, filled in parts:
            is_known = filled.quality > BAD
            row = {"series": series + first_number, "ts": filled.ts, "value": filled.value, "known": is_known}
            self._held.append(pl.DataFrame(row))
            if sum(frame.height for frame in self._held) > _HELD_ROWS:
                self._write()

    def _write(self) -> None:
        if not self._held:
            return
        rows = pl.concat(self._held)
        self._held = []
        names = pl.DataFrame(self._about, schema=ABOUT, orient="row")
        place = names.with_row_index("number").sort("series_id", "site")["number"].arg_sort()
        rows = rows.with_columns(place.gather(rows["series"]).alias("place")).sort("place", "ts").drop("place")
        rows = rows.with_columns(pl.from_epoch("ts", time_unit="us").dt.replace_time_zone("UTC"))
        self._made.outputs += write_sorted(self._task.writing, RESAMPLED, rows, lambda part: self._named(part, names))

    def _named(self, rows: pl.DataFrame, names: pl.DataFrame) -> pl.DataFrame:
        """The rows with the columns of their series, and with texts for values that stand for texts."""
        is_text = pl.col("value").is_in(list(self._texts))
        texts = pl.col("value").replace_strict(self._texts, default=None, return_dtype=pl.String())
        return rows.hstack(names[rows["series"]]).with_columns(
            pl.when(pl.col("known") & ~is_text).then("value").alias("value"),
            (texts if self._texts else pl.lit(None, pl.String())).alias("text"),
        )


class _Grid:
    """The grid of the series of a site, filled up to the points that were read so far. For each series it has the last
    point, the number of the next instant (_UNMET before the first point) and its fill rule."""

    _UNMET = -(1 << 62)

    def __init__(self, task: ResampleTask) -> None:
        self._task, self._buckets = task, task.terms.buckets
        self._ways: dict[FillRule, int] = {}
        self._way: Ints = np.zeros(0, np.int64)
        self._next: Ints = np.zeros(0, np.int64)
        self._ts: Ints = np.zeros(0, np.int64)
        self._value: Floats = np.zeros(0)
        self._quality = np.zeros(0, np.int8)
        self._count = 0

    def add(self, way: FillRule) -> None:
        """Add a series, with the next number."""
        if self._count == len(self._way):
            more = max(1024, self._count)
            for name in ("_way", "_next", "_ts", "_value", "_quality"):
                old = getattr(self, name)
                setattr(self, name, np.concatenate((old, np.zeros(more, old.dtype))))
        self._way[self._count] = self._ways.setdefault(way, len(self._ways))
        self._next[self._count] = self._UNMET
        self._count += 1

    def fill_up_to(self, series: Ints, points: Points, texts: Sequence[float]) -> Iterator[tuple[Ints, Points]]:
        """Fill the instants up to the last one of the next points of some series. `texts`: values that stand for texts;
        a series with one is a step, since there is no line between texts."""
        ends = points.starts[1:] - 1
        if texts:
            holds_text = np.add.reduceat(np.isin(points.value, texts), points.starts[:-1]) > 0
            for one in series[holds_text].tolist():
                way = list(self._ways)[self._way[one]]
                stepped = FillRule("previous", way.hold_us, way.hold_us) if way.how == "linear" else way
                self._way[one] = self._ways.setdefault(stepped, len(self._ways))
        is_new = self._next[series] == self._UNMET
        start, stop = self._task.window
        first = points.ts[points.starts[:-1]]
        begin = np.full(len(series), start) if self._task.from_start else np.maximum(first, start)
        self._next[series] = np.where(is_new, self._buckets.number(begin - 1) + 1, self._next[series])
        with_last = self._with_last(points, series, ~is_new)
        until = self._buckets.number(np.minimum(points.ts[ends], stop - 1))
        self._ts[series], self._value[series] = points.ts[ends], points.value[ends]
        self._quality[series] = points.quality[ends]
        yield from self._instants(series, with_last, until)

    def fill_rest(self) -> Iterator[tuple[Ints, Points]]:
        """Fill the instants behind the last point of every series."""
        series = np.arange(self._count)
        places = slice(0, self._count)
        points = Points(np.arange(self._count + 1), self._ts[places], self._value[places], self._quality[places])
        last = self._buckets.number(np.array([self._task.window[1] - 1]))
        yield from self._instants(series, points, np.repeat(last, self._count))

    def _with_last(self, points: Points, series: Ints, has_last: np.ndarray[Any, np.dtype[np.bool_]]) -> Points:
        """The points, in each series behind its last point so far if it has one."""
        at, of = points.starts[:-1][has_last], series[has_last]
        starts = points.starts + np.concatenate(([0], np.cumsum(has_last)))
        return Points(
            starts,
            np.insert(points.ts, at, self._ts[of]),
            np.insert(points.value, at, self._value[of]),
            np.insert(points.quality, at, self._quality[of]),
        )

    def _instants(self, series: Ints, points: Points, until: Ints) -> Iterator[tuple[Ints, Points]]:
        counts = np.maximum(until - self._next[series] + 1, 0)
        ways = list(self._ways)
        for number in np.unique(self._way[series]).tolist():
            chosen = np.flatnonzero((self._way[series] == number) & (counts > 0))
            done = np.zeros(len(chosen), np.int64)
            while len(chosen):
                room = np.searchsorted(np.cumsum(counts[chosen] - done), _FILLED_AT_ONCE, side="right")
                part = chosen[: max(int(room), 1)]
                some = np.minimum((counts[chosen] - done)[: len(part)], _FILLED_AT_ONCE)
                starts = np.concatenate(([0], np.cumsum(some)))
                begins = self._next[series[part]] - starts[:-1]
                numbers = np.repeat(begins, some) + np.arange(starts[-1])
                at = Instants(starts, self._buckets.bounds(numbers)[0])
                way = ways[number]
                yield np.repeat(series[part], some), fill(_of(points, part), at, way.how, way.limit_us, way.hold_us)
                self._next[series[part]] += some
                done[: len(part)] += some
                left = done < counts[chosen]
                chosen, done = chosen[left], done[left]


def _of(points: Points, series: Ints) -> Points:
    """The points of some of the series."""
    lengths = np.diff(points.starts)[series]
    starts = np.concatenate(([0], np.cumsum(lengths)))
    rows = np.repeat(points.starts[:-1][series] - starts[:-1], lengths) + np.arange(starts[-1])
    return Points(starts, points.ts[rows], points.value[rows], points.quality[rows])
