"""Sorted points to partial states, many millions a second: every step is one pass over arrays."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import polars as pl

from siltstone.aggregates.buckets import Buckets
from siltstone.aggregates.interpretation import Interpretation
from siltstone.aggregates.pieces import Ends, Mask, Ways, pieces_between
from siltstone.aggregates.points import BAD, GOOD, UNCERTAIN, Floats, Ints, Points
from siltstone.aggregates.sketch import keys_of
from siltstone.aggregates.states import COLUMNS, KEY, States, joined, times_of, united

_BLOCK = 1 << 17  # points that are worked on at a time: their arrays stay in the processor's caches
Values = npt.NDArray[np.generic]


def states(
    points: Points,
    interpretations: Sequence[Interpretation],
    buckets: Buckets,
    *,
    times: bool = False,
    sketch: bool = False,
    first_series: int = 0,
) -> States:
    """The state of each series and bucket that has points; `interpretations`: of each series of the points, which are
    numbered from `first_series`. With `times` also the time at each value, with `sketch` that of the quantiles."""
    ways = Ways.of(list(interpretations))
    quality = effective(points, interpretations)
    found = []
    is_cut = False
    begin = 0
    while begin < len(points.ts):
        end = _cut(points, buckets, begin)
        is_cut |= end == begin + _BLOCK
        series = np.searchsorted(points.starts, np.array([begin, end - 1]), side="right") - 1
        offsets = np.clip(points.starts[series[0] : series[1] + 2], begin, end) - begin
        of = np.repeat(np.arange(series[0], series[1] + 1), np.diff(offsets))
        chosen = slice(begin, end)
        block = _Block(of, points.ts[chosen], points.value[chosen], quality[chosen], ways, buckets)
        found.append(block.states(times=times, sketch=sketch))
        begin = end
    if not found:
        return States.empty()
    whole = joined(found)
    if is_cut or times or sketch:
        whole = united(whole, ways)
    return _numbered(whole, first_series)


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


def _numbered(found: States, first: int) -> States:
    if not first:
        return found
    return States(*(f.with_columns(pl.col("series") + first) for f in (found.rows, found.times, found.sketch)))


def effective(points: Points, interpretations: Sequence[Interpretation]) -> npt.NDArray[np.int8]:
    """The quality that counts: sentinels and what is no number are bad, uncertain ones what their series says."""
    quality = np.where(np.isfinite(points.value), points.quality, np.int8(BAD))
    for series, interpretation in enumerate(interpretations):
        own = slice(points.starts[series], points.starts[series + 1])
        if interpretation.uncertain != "keep":
            counts_as = BAD if interpretation.uncertain == "bad" else GOOD
            part = quality[own]
            if (part == UNCERTAIN).any():
                quality[own] = np.where(part == UNCERTAIN, np.int8(counts_as), part)
        if interpretation.sentinels:
            quality[own][np.isin(points.value[own], interpretation.sentinels)] = BAD
    return quality


class _Block:
    """Points of one or several series, in order."""

    def __init__(
        self, series: Ints, ts: Ints, value: Floats, quality: npt.NDArray[np.int8], ways: Ways, buckets: Buckets
    ) -> None:
        self.series, self.ts, self.quality, self.ways = series, ts, quality, ways
        self.usable = quality > BAD
        self.all_usable, self.all_good = bool(self.usable.all()), bool((quality == GOOD).all())
        self.value = value if self.all_usable else np.where(self.usable, value, 0.0)
        self.bucket = buckets.number(ts)
        self.follows = (series[1:] == series[:-1]) & (self.bucket[1:] == self.bucket[:-1])
        ends = Ends(ts, self.value, quality)
        left, right = ends.where(slice(None, -1)), ends.where(slice(1, None))
        self.pieces = pieces_between(left, right, ways.at(series[:-1]))
        whole = self.pieces.whole
        self.parts = replace(whole, width=whole.width * self.follows)

    def states(self, *, times: bool, sketch: bool) -> States:
        begins = np.concatenate(([0], np.flatnonzero(~self.follows) + 1))
        counts = np.diff(np.append(begins, len(self.ts)))
        row = np.repeat(np.arange(len(begins)), counts)
        columns: dict[str, Values] = {
            "series": self.series[begins],
            "bucket": self.bucket[begins],
            **self._ends("first", begins),
            **self._ends("last", begins + counts - 1),
            **self._time(begins, row),
            **self._points(begins, row, counts),
        }
        rows = pl.DataFrame({name: pl.Series(columns[name], dtype=kind) for name, kind in COLUMNS.items()})
        keys = rows.select(KEY)
        empty = States.empty()
        return States(
            _nulled(rows),
            self._times(keys, row) if times else empty.times,
            self._sketch(keys, row) if sketch else empty.sketch,
        )

    def _ends(self, which: str, at: Ints) -> dict[str, Values]:
        return {f"{which}_ts": self.ts[at], f"{which}_value": self.value[at], f"{which}_quality": self.quality[at]}

    def _time(self, begins: Ints, row: Ints) -> dict[str, Values]:
        """What the pieces between the points of a row say."""
        parts = self.parts
        width, area = np.append(parts.width, 0), np.append(parts.area, 0.0)
        covered, whole = np.add.reduceat(width, begins), np.add.reduceat(area, begins)
        average = np.divide(whole, covered, out=np.zeros(len(begins)), where=covered > 0)
        apart = parts.mean - average[row[:-1]]
        apart *= apart
        apart *= parts.width
        if parts.slope.any():
            apart += parts.squares
        good = covered if self.all_good else np.add.reduceat(np.append(parts.good_us, 0), begins)
        return {
            "covered_us": covered,
            "good_us": good,
            "area": whole,
            "area_m2": np.add.reduceat(np.append(apart, 0.0), begins),
        }

    def _points(self, begins: Ints, row: Ints, counts: Ints) -> dict[str, Values]:
        """What the usable points of a row say; what is null where there are none is 0 here."""
        value, usable = self.value, self.usable
        if self.all_usable:
            n, start, stop = counts, begins, begins + counts - 1
            lows = highs = value
        else:
            n = np.add.reduceat(usable.astype(np.int64), begins)
            places = np.arange(len(value))
            start = np.minimum.reduceat(np.where(usable, places, len(value)), begins)
            start = np.minimum(start, len(value) - 1)
            stop = np.maximum(np.maximum.reduceat(np.where(usable, places, -1), begins), 0)
            lows, highs = np.where(usable, value, np.inf), np.where(usable, value, -np.inf)
        total = np.add.reduceat(value, begins)
        mean = np.divide(total, n, out=np.zeros(len(begins)), where=n > 0)
        apart = value - mean[row]
        if not self.all_usable:
            apart *= usable
        apart *= apart
        low, high = np.minimum.reduceat(lows, begins), np.maximum.reduceat(highs, begins)
        transitions, increase = self._steps(begins, row)
        return {
            "start_ts": self.ts[start],
            "start_value": value[start],
            "stop_ts": self.ts[stop],
            "stop_value": value[stop],
            "low": low,
            "low_ts": self.ts[_first(lows == low[row], row, len(begins))],
            "high": high,
            "high_ts": self.ts[_first(highs == high[row], row, len(begins))],
            "n": n,
            "n_bad": counts - n,
            "sum": total,
            "m2": np.add.reduceat(apart, begins),
            "transitions": transitions,
            "increase": increase,
        }

    def _steps(self, begins: Ints, row: Ints) -> tuple[Ints, Floats]:
        """Changes and rises between usable points of a row."""
        if self.all_usable:
            step = np.diff(self.value)
            rises = np.where(step >= 0, step, self.value[1:]) * self.follows
            changes = (step != 0) & self.follows
            return np.add.reduceat(np.append(changes, 0), begins), np.add.reduceat(np.append(rises, 0.0), begins)
        value, of = self.value[self.usable], row[self.usable]
        within = of[1:] == of[:-1]
        step = np.diff(value)
        steps = np.bincount(of[1:][within & (step != 0)], minlength=len(begins)).astype(np.int64)
        rises = np.where(step >= 0, step, value[1:])
        return steps, np.bincount(of[1:], np.where(within, rises, 0.0), minlength=len(begins)).astype(np.float64)

    def _times(self, keys: pl.DataFrame, row: Ints) -> pl.DataFrame:
        told = self.ways.has_states[self.series[:-1]]
        return times_of(keys[row[:-1]], self.pieces.value, self.parts, told)

    def _sketch(self, keys: pl.DataFrame, row: Ints) -> pl.DataFrame:
        frame = keys[row[self.usable]].with_columns(key=pl.Series(keys_of(self.value[self.usable])))
        return frame.group_by(*KEY, "key", maintain_order=True).agg(pl.len().cast(pl.Int64).alias("count"))


def _first(marks: Mask, row: Ints, rows: int) -> Ints:
    """The place of the first mark of each row; the last place where it has none."""
    places = np.flatnonzero(marks)
    of = row[places]
    found = np.full(rows, len(marks) - 1)
    is_first = np.append(True, of[1:] != of[:-1]) if len(of) else np.zeros(0, bool)
    found[of[is_first]] = places[is_first]
    return found


def _nulled(rows: pl.DataFrame) -> pl.DataFrame:
    """Null for what only usable points tell, where there are none, and for the values of bad points."""
    if rows["n_bad"].sum() == 0:
        return rows
    there = pl.col("n") > 0
    told = [n for which in ("start", "stop") for n in (f"{which}_ts", f"{which}_value")]
    told += ["low", "low_ts", "high", "high_ts"]
    ends = [
        pl.when(pl.col(f"{w}_quality") > BAD).then(pl.col(f"{w}_value")).alias(f"{w}_value") for w in ("first", "last")
    ]
    return rows.with_columns(*(pl.when(there).then(pl.col(name)).alias(name) for name in told), *ends)
