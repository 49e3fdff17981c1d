"""The values of series at the instants of a grid, or at any others: gaps are filled, series get common times."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from siltstone.timeseries.buckets import Buckets
from siltstone.timeseries.points import BAD, Floats, Ints, Points
from siltstone.timeseries.series_search import places

Filling = Literal["previous", "linear", "nearest", "next"]


@dataclass(frozen=True)
class Instants:
    """Times of series: `starts` (series + 1 offsets), `ts` (microseconds, strictly rising within a series)."""

    starts: Ints
    ts: Ints


def grid(points: Points, buckets: Buckets, first_us: int | None = None, last_us: int | None = None) -> Instants:
    """For each series with points the edges of buckets from its first point to its last one, both included. `first_us`
    and `last_us` are other first and last instants, for every series with points."""
    has_points = np.diff(points.starts) > 0
    begins, ends = points.starts[:-1][has_points], points.starts[1:][has_points] - 1
    first = points.ts[begins] if first_us is None else np.full(len(begins), first_us)
    last = points.ts[ends] if last_us is None else np.full(len(ends), last_us)
    # the first edge at or after an instant begins the bucket behind that of the instant before it
    numbers = buckets.number(first - 1) + 1
    counts = np.zeros(len(has_points), np.int64)
    counts[has_points] = np.maximum(buckets.number(last) - numbers + 1, 0)
    starts: Ints = np.r_[0, np.cumsum(counts)]
    of_grid = np.repeat(numbers - starts[:-1][has_points], counts[has_points]) + np.arange(starts[-1])
    return Instants(starts, buckets.bounds(of_grid)[0])


def fill(points: Points, at: Instants, how: Filling, limit_us: int | None = None, hold_us: int | None = None) -> Points:
    """The value of each series at its instants; quality BAD, and NaN, where it is not known.

    - previous: the value of the last point at or before the instant (last observation carried forward).
    - next: the value of the first point at or after the instant.
    - nearest: the value of the nearer one of these two, of the earlier one if both are as near.
    - linear: the value of the line between these two. Where one of them is bad or they are further apart than the
      limit, and after the last point, the value of the previous one, for at most `hold_us` (None: the limit).

    A point that is further away than `limit_us` (None: no limit) is not used. A bad point says that nothing is known
    from there on. Before the first point nothing is known, except with next and nearest. The quality is the quality of
    the point, of a line the worse one of its two points.
    """
    if len(points.ts) == 0:
        return Points(at.starts, at.ts, np.full(len(at.ts), np.nan), np.full(len(at.ts), BAD, np.int8))
    pair = _Neighbours.of(points, at)
    if how == "linear":
        return _lines(points, at, pair, limit_us, limit_us if hold_us is None else hold_us)
    if how == "previous":
        return _taken(points, at, pair.before, pair.has_before, limit_us)
    if how == "next":
        return _taken(points, at, pair.after, pair.has_after, limit_us)
    is_later = pair.has_after & (~pair.has_before | (points.ts[pair.after] - at.ts < at.ts - points.ts[pair.before]))
    chosen = np.where(is_later, pair.after, pair.before)
    return _taken(points, at, chosen, pair.has_before | pair.has_after, limit_us)


@dataclass(frozen=True)
class _Neighbours:
    """The places of the points beside instants: of the last one at or before each, and of the first one at or after it.
    Where there is none (`has_before`, `has_after`), the place is of any point."""

    before: Ints
    after: Ints
    has_before: npt.NDArray[np.bool_]
    has_after: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, points: Points, at: Instants) -> "_Neighbours":
        series = np.repeat(np.arange(len(at.starts) - 1), np.diff(at.starts))
        behind = places(points.starts, points.ts, series, at.ts, "right")
        has_before = behind > points.starts[series]
        before = np.maximum(behind - 1, 0)
        is_point = has_before & (points.ts[before] == at.ts)
        after = np.where(is_point, before, behind)
        has_after = after < points.starts[series + 1]
        return cls(before, np.minimum(after, len(points.ts) - 1), has_before, has_after)


def _taken(points: Points, at: Instants, chosen: Ints, is_there: npt.NDArray[np.bool_], limit_us: int | None) -> Points:
    """The values of the chosen points, unknown where there is none, it is bad or further away than the limit."""
    is_known = is_there & (points.quality[chosen] > BAD)
    if limit_us is not None:
        is_known &= np.abs(at.ts - points.ts[chosen]) <= limit_us
    value: Floats = np.where(is_known, points.value[chosen], np.nan)
    return Points(at.starts, at.ts, value, np.where(is_known, points.quality[chosen], BAD).astype(np.int8))


def _lines(points: Points, at: Instants, pair: _Neighbours, limit_us: int | None, hold_us: int | None) -> Points:
    filled = _taken(points, at, pair.before, pair.has_before, hold_us)
    quality = np.minimum(points.quality[pair.before], points.quality[pair.after])
    is_line = pair.has_before & pair.has_after & (quality > BAD) & (pair.before < pair.after)
    if limit_us is not None:
        is_line &= points.ts[pair.after] - points.ts[pair.before] <= limit_us
    rows = np.flatnonzero(is_line)
    before, after = pair.before[rows], pair.after[rows]
    share = (at.ts[rows] - points.ts[before]) / (points.ts[after] - points.ts[before])
    ends = points.value[before], points.value[after]
    # rounding must not lead out of the range of the two ends
    filled.value[rows] = np.clip(ends[0] * (1 - share) + ends[1] * share, np.minimum(*ends), np.maximum(*ends))
    filled.quality[rows] = quality[rows]
    return filled
