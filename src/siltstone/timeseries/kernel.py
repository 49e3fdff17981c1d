"""Sorted points to partial states, many millions a second: every step is one pass over arrays."""

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
from siltstone.timeseries.states import COLUMNS, KEY, OPTIONAL, States, times_of, united

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
    """The state of each series and bucket that has points; `interpretations`: of each series of the points, which are
    numbered from `first_series`. Of the columns that states may have, those among `fields`. With `times` also the time
    at each value, with `sketch` that of the quantiles."""
    ways = SeriesRules.of(list(interpretations))
    quality = effective(points, interpretations)
    columns: list[dict[str, Values]] = []
    long: list[States] = []
    is_cut = False
    begin = 0
    while begin < len(points.ts):
        end = _cut(points, buckets, begin)
        is_cut |= end == begin + _BLOCK
        chosen = slice(begin, end)
        block = _Block(
            _starts(points, begin, end), points.ts[chosen], points.value[chosen], quality[chosen], ways, buckets
        )
        columns.append(block.columns(fields))
        if times or sketch:
            long.append(block.long(times=times, sketch=sketch))
        begin = end
    if not columns:
        return States.empty()
    rows = _frame(columns)
    whole = States(rows, *(pl.concat([getattr(s, n) for s in (States.empty(), *long)]) for n in ("times", "sketch")))
    if is_cut or times or sketch:
        whole = united(whole, ways, times=times)
    return _numbered(whole, first_series)


def _frame(blocks: Sequence[Mapping[str, Values]]) -> pl.DataFrame:
    """The columns of all blocks."""
    kinds = {name: kind for name, kind in COLUMNS.items() if name in blocks[0]}
    whole = {name: np.concatenate([block[name] for block in blocks]) for name in kinds}
    return _nulled(pl.DataFrame([pl.Series(name, whole[name], dtype=kind) for name, kind in kinds.items()]))


def _cut(points: Points, buckets: Buckets, begin: int) -> int:
    """Where a block of points that begins there ends: where a series does or a bucket, if that can be."""
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
    """Where the series `first`, `first` + 1, ... of a block begin in it, and where it ends."""

    first: int
    offsets: Ints

    @property
    def of_points(self) -> Ints:
        """The series of each point."""
        return np.repeat(np.arange(len(self.offsets) - 1) + self.first, np.diff(self.offsets))

    def at(self, places: Ints) -> Ints:
        """The series of the points at some places."""
        found: Ints = np.searchsorted(self.offsets, places, side="right") - 1 + self.first
        return found


def _numbered(found: States, first: int) -> States:
    if not first:
        return found
    return States(*(f.with_columns(pl.col("series") + first) for f in (found.rows, found.times, found.sketch)))


def effective(points: Points, interpretations: Sequence[Interpretation]) -> npt.NDArray[np.int8]:
    """The quality that counts: sentinels and what is no number are bad, uncertain ones what their series says."""
    finite = np.isfinite(points.value)
    quality = points.quality if finite.all() else np.where(finite, points.quality, np.int8(BAD))
    has_uncertain = bool((quality == UNCERTAIN).any())
    told = [n for n, how in enumerate(interpretations) if how.sentinels or (has_uncertain and how.uncertain != "keep")]
    quality = quality.copy() if told else quality
    for series in told:
        interpretation = interpretations[series]
        own = slice(points.starts[series], points.starts[series + 1])
        if interpretation.uncertain != "keep":
            counts_as = BAD if interpretation.uncertain == "bad" else GOOD
            quality[own][quality[own] == UNCERTAIN] = counts_as
        if interpretation.sentinels:
            quality[own][np.isin(points.value[own], interpretation.sentinels)] = BAD
    return quality


class _Block:
    """Points of one or several series, in order. A row is what the points of a series and bucket say; `begins` are the
    places of their first points, `counts` how many they have."""

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
        """For each point what its row has."""
        return np.repeat(values, self.counts)

    @cached_property
    def keys(self) -> pl.DataFrame:
        series = self.starts.at(self.begins)
        return pl.DataFrame({"series": series, "bucket": self.bucket[self.begins]})

    def columns(self, fields: Collection[str]) -> dict[str, Values]:
        """The columns of the rows' states, of those that may be left out the ones among `fields`."""
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
        """The tables beside the rows."""
        empty = States.empty()
        return States(empty.rows, self._times() if times else empty.times, self._sketch() if sketch else empty.sketch)

    def _ends(self, which: str, at: Ints) -> dict[str, Values]:
        return {f"{which}_ts": self.ts[at], f"{which}_value": self.value[at], f"{which}_quality": self.quality[at]}

    def _within(self, values: Ints | Floats | Mask) -> Values:
        """The sums of each row, of what there is behind each point but the last of the block; of marks how many."""
        begins, dtype = self.begins, np.int64 if values.dtype == np.bool_ else values.dtype
        if begins[-1] < len(values):
            return np.add.reduceat(values, begins, dtype=dtype)
        sums = np.zeros(len(begins), dtype)
        if len(begins) > 1:
            np.add.reduceat(values, begins[:-1], dtype=dtype, out=sums[:-1])
        return sums

    def _time(self, fields: Collection[str]) -> dict[str, Values]:
        """What the pieces between the points of a row say."""
        parts = self.parts
        covered, area = self._within(parts.width), self._within(parts.area)
        found: dict[str, Values] = {
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
            found["area_m2"] = self._within(apart)
        return found

    def _usable(self) -> dict[str, Values]:
        """How many points a row can use, the first and the last of them; what is null where there are none is 0."""
        value, begins, counts = self.value, self.begins, self.counts
        if self.all_usable:
            n, start, stop = counts, begins, begins + counts - 1
        else:
            n = np.add.reduceat(self.usable, begins, dtype=np.int64)
            places = np.arange(len(value))
            start = np.minimum.reduceat(np.where(self.usable, places, len(value)), begins)
            start = np.minimum(start, len(value) - 1)
            stop = np.maximum(np.maximum.reduceat(np.where(self.usable, places, -1), begins), 0)
        found = {"start_ts": self.ts[start], "start_value": value[start]}
        found |= {"stop_ts": self.ts[stop], "stop_value": value[stop]}
        return {**found, "n": n, "n_bad": counts - n}

    def _extremes(self, fields: Collection[str]) -> dict[str, Values]:
        found: dict[str, Values] = {}
        for name, worst, least in (("low", np.inf, np.minimum), ("high", -np.inf, np.maximum)):
            if name not in fields:
                continue
            values = self.value if self.all_usable else np.where(self.usable, self.value, worst)
            found[name] = extreme = least.reduceat(values, self.begins)
            if f"{name}_ts" in fields:
                places = np.flatnonzero(values == self._spread(extreme))  # each row has one
                found[f"{name}_ts"] = self.ts[places[np.searchsorted(places, self.begins)]]
        return found

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
        """Changes and rises between usable points of a row."""
        found: dict[str, Values] = {}
        if not {"transitions", "increase"} & set(fields):
            return found
        if self.all_usable:
            now, step = self.value[1:], np.diff(self.value)
            if "transitions" in fields:
                found["transitions"] = self._within((step != 0) & self.follows)
            if "increase" in fields:
                rises = np.where(step >= 0, step, now)
                rises *= self.follows
                found["increase"] = self._within(rises)
            return found
        value, of = self.value[self.usable], self.row[self.usable]
        before, now, rows = value[:-1], value[1:], len(self.begins)
        within = of[1:] == of[:-1]
        if "transitions" in fields:
            found["transitions"] = np.bincount(of[1:][within & (now != before)], minlength=rows).astype(np.int64)
        if "increase" in fields:
            rises = np.where(within, np.where(now >= before, now - before, now), 0.0)
            found["increase"] = np.bincount(of[1:], rises, minlength=rows).astype(np.float64)
        return found

    def _times(self) -> pl.DataFrame:
        told = self.ways.has_states[self.starts.of_points[:-1]]
        return times_of(self.keys[self.row[:-1]], self.parts.mean, self.parts, told)

    def _sketch(self) -> pl.DataFrame:
        frame = self.keys[self.row[self.usable]].with_columns(key=pl.Series(keys_of(self.value[self.usable])))
        return frame.group_by(*KEY, "key", maintain_order=True).agg(pl.len().cast(pl.Int64).alias("count"))


def _nulled(rows: pl.DataFrame) -> pl.DataFrame:
    """Null for what only usable points tell, where there are none, and for the values of bad points."""
    if rows["n_bad"].sum() == 0:
        return rows
    there = pl.col("n") > 0
    told = [n for which in ("start", "stop") for n in (f"{which}_ts", f"{which}_value")]
    told += [n for n in ("low", "low_ts", "high", "high_ts") if n in rows.columns]
    ends = [
        pl.when(pl.col(f"{w}_quality") > BAD).then(pl.col(f"{w}_value")).alias(f"{w}_value") for w in ("first", "last")
    ]
    return rows.with_columns(*(pl.when(there).then(pl.col(name)).alias(name) for name in told), *ends)
