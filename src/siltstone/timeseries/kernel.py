"""Makes partial states of sorted points, many millions a second: every step is one pass over arrays."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from siltstone.timeseries.buckets import Buckets
from siltstone.timeseries.interpretation import Interpretation
from siltstone.timeseries.intervals import BoundaryPoints, SeriesRules, parts_between
from siltstone.timeseries.points import BAD, GOOD, UNCERTAIN, Floats, Ints, Mask, Points
from siltstone.timeseries.quantile_sketch import keys_of
from siltstone.timeseries.states import COLUMNS, KEY, OPTIONAL, States, merge_states, times_of

_BLOCK = 1 << 17  # points that are worked on at a time: their arrays stay in the processor's caches
Values = npt.NDArray[np.generic]


def states(
    points: Points,
    interpretations: Sequence[Interpretation],
    buckets: Buckets,
    *,
    fields: Collection[str] = OPTIONAL,
    times: bool = False,
    sketch: bool = False,
    first_series: int = 0,
) -> States:
    """The state of each series and bucket that has points.

    - `interpretations`: how to read each series of the points. In the states they are numbered from `first_series` on.
    - `fields`: the optional columns that the states shall have.
    - `times`, `sketch`: whether the states have the time at each value, and the sketch of quantiles.
    """
    rules = SeriesRules.of(list(interpretations))
    quality = effective(points, interpretations)
    columns: list[dict[str, Values]] = []
    long_tables: list[States] = []
    cuts_buckets = False
    begin = 0
    while begin < len(points.ts):
        end = _cut(points, buckets, begin)
        cuts_buckets |= end == begin + _BLOCK
        chosen = slice(begin, end)
        block = _Block(
            _starts(points, begin, end), points.ts[chosen], points.value[chosen], quality[chosen], rules, buckets
        )
        columns.append(block.columns(fields))
        if times or sketch:
            long_tables.append(block.long(times=times, sketch=sketch))
        begin = end
    if not columns:
        return States.empty()
    rows = _frame(columns)
    result = States(
        rows, *(pl.concat([getattr(s, n) for s in (States.empty(), *long_tables)]) for n in ("times", "sketch"))
    )
    if cuts_buckets or times or sketch:
        result = merge_states(result, rules, times=times)
    return _numbered(result, first_series)


def _frame(blocks: Sequence[Mapping[str, Values]]) -> pl.DataFrame:
    """The rows of all blocks."""
    kinds = {name: kind for name, kind in COLUMNS.items() if name in blocks[0]}
    columns = {name: np.concatenate([block[name] for block in blocks]) for name in kinds}
    return _nulled(pl.DataFrame([pl.Series(name, columns[name], dtype=kind) for name, kind in kinds.items()]))


def _cut(points: Points, buckets: Buckets, begin: int) -> int:
    """The end of the block of points that begins at a place: the end of a series, or of a bucket if no series ends
    within the size of a block, or else just that size."""
    end = begin + _BLOCK
    if end >= len(points.ts):
        return len(points.ts)
    edge = int(points.starts[np.searchsorted(points.starts, end, side="right") - 1])
    if edge > begin:
        return edge
    numbers = buckets.number(points.ts[begin : end + 1])
    changes = np.flatnonzero(numbers[1:] != numbers[:-1])
    return begin + int(changes[-1]) + 1 if len(changes) else end


def _starts(points: Points, begin: int, end: int) -> "_Starts":
    first, last = np.searchsorted(points.starts, np.array([begin, end - 1]), side="right") - 1
    return _Starts(int(first), np.clip(points.starts[first : last + 2], begin, end) - begin)


@dataclass(frozen=True)
class _Starts:
    """The offsets in a block at which its series `first`, `first` + 1, ... begin, and its length."""

    first: int
    offsets: Ints

    @property
    def of_points(self) -> Ints:
        """The series of each point."""
        return np.repeat(np.arange(len(self.offsets) - 1) + self.first, np.diff(self.offsets))

    def at(self, places: Ints) -> Ints:
        """The series of the points at some places."""
        series: Ints = np.searchsorted(self.offsets, places, side="right") - 1 + self.first
        return series


def _numbered(states: States, first: int) -> States:
    if not first:
        return states
    return States(*(f.with_columns(pl.col("series") + first) for f in (states.rows, states.times, states.sketch)))


def effective(points: Points, interpretations: Sequence[Interpretation]) -> npt.NDArray[np.int8]:
    """The quality of each point that counts: BAD for sentinels and for what is no number; an uncertain point counts as
    the interpretation of its series says."""
    finite = np.isfinite(points.value)
    quality = points.quality if finite.all() else np.where(finite, points.quality, np.int8(BAD))
    has_uncertain = bool((quality == UNCERTAIN).any())
    changed = [
        n for n, how in enumerate(interpretations) if how.sentinels or (has_uncertain and how.uncertain != "keep")
    ]
    quality = quality.copy() if changed else quality
    for series in changed:
        interpretation = interpretations[series]
        own = slice(points.starts[series], points.starts[series + 1])
        if interpretation.uncertain != "keep":
            counts_as = BAD if interpretation.uncertain == "bad" else GOOD
            quality[own][quality[own] == UNCERTAIN] = counts_as
        if interpretation.sentinels:
            quality[own][np.isin(points.value[own], interpretation.sentinels)] = BAD
    return quality


class _Block:
    """Sorted points of one or several series. A row is made of the points of one series and bucket: `begins` is the
    place of the first one, `counts` their number."""

    def __init__(
        self,
        starts: _Starts,
        ts: Ints,
        value: Floats,
        quality: npt.NDArray[np.int8],
        ways: SeriesRules,
        buckets: Buckets,
    ) -> None:
        self.starts, self.ts, self.quality, self.ways = starts, ts, quality, ways
        self.usable = quality > BAD
        self.all_usable, self.all_good = bool(self.usable.all()), bool((quality == GOOD).all())
        self.value = value if self.all_usable else np.where(self.usable, value, 0.0)
        self.bucket = buckets.number(ts)
        self.follows = self.bucket[1:] == self.bucket[:-1]
        self.follows[starts.offsets[1:-1] - 1] = False
        ends = np.append(np.flatnonzero(~self.follows) + 1, len(ts))
        self.begins = np.concatenate(([0], ends[:-1]))
        self.counts = ends - self.begins
        points = BoundaryPoints(ts, self.value, quality)
        left, right = points.where(slice(None, -1)), points.where(slice(1, None))
        parts = parts_between(left, right, ways.at(starts.of_points[:-1]))
        self.parts = replace(parts, width=parts.width * self.follows)

    @cached_property
    def row(self) -> Ints:
        """The row of each point."""
        return np.repeat(np.arange(len(self.begins)), self.counts)

    def _spread(self, values: Floats) -> Floats:
        """For each point the value of its row."""
        return np.repeat(values, self.counts)

    @cached_property
    def keys(self) -> pl.DataFrame:
        series = self.starts.at(self.begins)
        return pl.DataFrame({"series": series, "bucket": self.bucket[self.begins]})

    def columns(self, fields: Collection[str]) -> dict[str, Values]:
        """The columns of the rows' states; optional ones only if they are among `fields`."""
        return {
            "series": self.starts.at(self.begins),
            "bucket": self.bucket[self.begins],
            **self._ends("first", self.begins),
            **self._ends("last", self.begins + self.counts - 1),
            **self._time(fields),
            **self._usable(),
            **self._extremes(fields),
            **self._sums(fields),
            **self._steps(fields),
        }

    def long(self, *, times: bool, sketch: bool) -> States:
        """The long tables of the rows' states."""
        empty = States.empty()
        return States(empty.rows, self._times() if times else empty.times, self._sketch() if sketch else empty.sketch)

    def _ends(self, which: str, at: Ints) -> dict[str, Values]:
        return {f"{which}_ts": self.ts[at], f"{which}_value": self.value[at], f"{which}_quality": self.quality[at]}

    def _within(self, values: Ints | Floats | Mask) -> Values:
        """For each row the sum of the values behind its points; there is one behind each point of the block but the
        last. Of a mask the number of true values."""
        begins, dtype = self.begins, np.int64 if values.dtype == np.bool_ else values.dtype
        if begins[-1] < len(values):
            return np.add.reduceat(values, begins, dtype=dtype)
        sums = np.zeros(len(begins), dtype)
        if len(begins) > 1:
            np.add.reduceat(values, begins[:-1], dtype=dtype, out=sums[:-1])
        return sums

    def _time(self, fields: Collection[str]) -> dict[str, Values]:
        """The columns made of the intervals between the points of a row."""
        parts = self.parts
        covered, area = self._within(parts.width), self._within(parts.area)
        columns: dict[str, Values] = {
            "covered_us": covered,
            "good_us": covered if self.all_good else self._within(parts.good_us),
            "area": area,
        }
        if "area_m2" in fields:
            has_time = covered != 0
            average = np.divide(area, covered, out=np.zeros(len(area)), where=has_time)
            apart = parts.mean - self._spread(average)[:-1]
            apart *= apart
            apart *= parts.width
            if parts.slope.any():
                apart += parts.squares
            columns["area_m2"] = self._within(apart)
        return columns

    def _usable(self) -> dict[str, Values]:
        """The number of usable points of a row, and the first and the last of them, which are any if there is none."""
        value, begins, counts = self.value, self.begins, self.counts
        if self.all_usable:
            n, start, stop = counts, begins, begins + counts - 1
        else:
            n = np.add.reduceat(self.usable, begins, dtype=np.int64)
            places = np.arange(len(value))
            start = np.minimum.reduceat(np.where(self.usable, places, len(value)), begins)
            start = np.minimum(start, len(value) - 1)
            stop = np.maximum(np.maximum.reduceat(np.where(self.usable, places, -1), begins), 0)
        columns = {"start_ts": self.ts[start], "start_value": value[start]}
        columns |= {"stop_ts": self.ts[stop], "stop_value": value[stop]}
        return {**columns, "n": n, "n_bad": counts - n}

    def _extremes(self, fields: Collection[str]) -> dict[str, Values]:
        columns: dict[str, Values] = {}
        for name, worst, least in (("low", np.inf, np.minimum), ("high", -np.inf, np.maximum)):
            if name not in fields:
                continue
            values = self.value if self.all_usable else np.where(self.usable, self.value, worst)
            columns[name] = extreme = least.reduceat(values, self.begins)
            if f"{name}_ts" in fields:
                places = np.flatnonzero(values == self._spread(extreme))  # each row has one
                columns[f"{name}_ts"] = self.ts[places[np.searchsorted(places, self.begins)]]
        return columns

    def _sums(self, fields: Collection[str]) -> dict[str, Values]:
        if "sum" not in fields:
            return {}
        total = np.add.reduceat(self.value, self.begins)
        if "m2" not in fields:
            return {"sum": total}
        n = np.add.reduceat(self.usable, self.begins, dtype=np.int64)
        mean = np.divide(total, n, out=np.zeros(len(total)), where=n > 0)
        apart = self.value - self._spread(mean)
        if not self.all_usable:
            apart *= self.usable
        apart *= apart
        return {"sum": total, "m2": np.add.reduceat(apart, self.begins)}

    def _steps(self, fields: Collection[str]) -> dict[str, Values]:
        """The changes and the increase between usable points of a row."""
        columns: dict[str, Values] = {}
        if not {"transitions", "increase"} & set(fields):
            return columns
        if self.all_usable:
            now, step = self.value[1:], np.diff(self.value)
            if "transitions" in fields:
                columns["transitions"] = self._within((step != 0) & self.follows)
            if "increase" in fields:
                rises = np.where(step >= 0, step, now)
                rises *= self.follows
                columns["increase"] = self._within(rises)
            return columns
        value, of = self.value[self.usable], self.row[self.usable]
        before, now, rows = value[:-1], value[1:], len(self.begins)
        within = of[1:] == of[:-1]
        if "transitions" in fields:
            columns["transitions"] = np.bincount(of[1:][within & (now != before)], minlength=rows).astype(np.int64)
        if "increase" in fields:
            rises = np.where(within, np.where(now >= before, now - before, now), 0.0)
            columns["increase"] = np.bincount(of[1:], rises, minlength=rows).astype(np.float64)
        return columns

    def _times(self) -> pl.DataFrame:
        has_states = self.ways.has_states[self.starts.of_points[:-1]]
        return times_of(self.keys[self.row[:-1]], self.parts.mean, self.parts, has_states)

    def _sketch(self) -> pl.DataFrame:
        frame = self.keys[self.row[self.usable]].with_columns(key=pl.Series(keys_of(self.value[self.usable])))
        return frame.group_by(*KEY, "key", maintain_order=True).agg(pl.len().cast(pl.Int64).alias("count"))


def _nulled(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with nulls: in columns made of usable points if there is none, and in the values of bad points."""
    if rows["n_bad"].sum() == 0:
        return rows
    has_usable = pl.col("n") > 0
    of_usable = [n for which in ("start", "stop") for n in (f"{which}_ts", f"{which}_value")]
    of_usable += [n for n in ("low", "low_ts", "high", "high_ts") if n in rows.columns]
    ends = [
        pl.when(pl.col(f"{w}_quality") > BAD).then(pl.col(f"{w}_value")).alias(f"{w}_value") for w in ("first", "last")
    ]
    return rows.with_columns(*(pl.when(has_usable).then(pl.col(name)).alias(name) for name in of_usable), *ends)
