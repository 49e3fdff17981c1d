"""The time between two neighbouring points: while which value is known.

Definitions: a step has its value until the next point of any quality, a line runs between two usable points, `next`
gives the value of a point to the time before it. Each of them is a straight piece, so parts of it have exact areas.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from siltstone.timeseries.interpretation import Interpretation
from siltstone.timeseries.points import BAD, GOOD, Floats, Ints, Mask

NONE = -1
"""Quality of a neighbour that does not exist."""
_STEP, _LINEAR, _NEXT, _NEVER = range(4)
_CODES = {"step": _STEP, "counter": _STEP, "linear": _LINEAR, "next": _NEXT, "bucketed": _NEVER}


@dataclass(frozen=True)
class SeriesRules:
    """How to read each of some intervals: the code of its kind, max_hold and max_gap in microseconds."""

    kind: npt.NDArray[np.int8]
    hold: Ints
    gap: Ints

    @classmethod
    def of(cls, interpretations: list[Interpretation]) -> "SeriesRules":
        """The rules of series, in order."""
        return cls(
            np.array([_CODES[i.kind] for i in interpretations], np.int8),
            np.array([i.max_hold_us for i in interpretations], np.int64),
            np.array([i.max_gap_us for i in interpretations], np.int64),
        )

    @cached_property
    def differ(self) -> bool:
        """Whether two series have different rules."""
        return any(bool((values != values[0]).any()) for values in (self.kind, self.hold, self.gap) if len(values))

    def at(self, series: Ints) -> "SeriesRules":
        """The rules of the series at some places; one rule, which numpy repeats, if all series have the same."""
        chosen = series if self.differ else slice(0, 1)
        return SeriesRules(self.kind[chosen], self.hold[chosen], self.gap[chosen])

    @property
    def has_states(self) -> Mask:
        """Whether the value stays the same between points, so that there is a time in each state."""
        stands: Mask = (self.kind == _STEP) | (self.kind == _NEXT)
        return stands


@dataclass(frozen=True)
class BoundaryPoints:
    """The points at one end of some intervals."""

    ts: Ints
    value: Floats
    quality: npt.NDArray[np.int8]

    def where(self, chosen: Ints | Mask | slice) -> "BoundaryPoints":
        return BoundaryPoints(self.ts[chosen], self.value[chosen], self.quality[chosen])


@dataclass(frozen=True)
class Intervals:
    """Times [begin, end) with known values: `value` at `begin`, changing by `slope` per microsecond. An interval with
    `end` equal to `begin` has no known value."""

    begin: Ints
    end: Ints
    value: Floats
    slope: Floats
    is_good: Mask

    def where(self, chosen: Ints | Mask) -> "Intervals":
        return Intervals(
            self.begin[chosen], self.end[chosen], self.value[chosen], self.slope[chosen], self.is_good[chosen]
        )

    def at(self, ts: Ints) -> Floats:
        """The value of each interval at one instant, which may be its end."""
        return self.value + self.slope * (ts - self.begin)

    @property
    def whole(self) -> "IntervalParts":
        """All of each interval, from begin to end."""
        width = self.end - self.begin
        mean = self.value + self.slope * (width / 2) if self.slope.any() else self.value
        return IntervalParts(width, mean, self.slope, self.is_good)

    def part(self, start: Ints, end: Ints) -> "IntervalParts":
        """The part of each interval in [start, end)."""
        begin, stop = np.maximum(self.begin, start), np.minimum(self.end, end)
        width = np.maximum(stop - begin, 0)
        mean = self.value + self.slope * ((begin - self.begin) + width / 2)
        return IntervalParts(width, np.where(width > 0, mean, 0.0), self.slope, self.is_good)


@dataclass(frozen=True)
class IntervalParts:
    """Parts of intervals: width in microseconds, mean value (0 if the width is 0), slope per microsecond."""

    width: Ints
    mean: Floats
    slope: Floats
    is_good: Mask

    @property
    def area(self) -> Floats:
        return self.mean * self.width

    @property
    def good_us(self) -> Ints:
        return np.where(self.is_good, self.width, 0)

    @property
    def squares(self) -> Floats:
        """For each part the integral over time of the squared distance of the value from the part's mean."""
        return self.slope * self.slope * self.width.astype(np.float64) ** 3 / 12


def parts_between(left: BoundaryPoints, right: BoundaryPoints, rules: SeriesRules) -> IntervalParts:
    """All of the interval between each left point and its right one."""
    if not (rules.kind == _STEP).all():
        return pieces_between(left, right, rules).whole
    width = right.ts - left.ts
    np.minimum(width, rules.hold, out=width)
    is_usable = left.quality > BAD
    if not is_usable.all():
        width *= is_usable
    return IntervalParts(width, left.value, np.zeros(1), left.quality == GOOD)


def pieces_between(left: BoundaryPoints, right: BoundaryPoints, rules: SeriesRules) -> Intervals:
    """The interval between each left point and its right one. A right point of quality NONE is no point, only the
    instant at which the interval ends."""
    is_usable = left.quality > BAD
    begin, width = left.ts, right.ts - left.ts
    np.minimum(width, rules.hold, out=width)
    if not is_usable.all():
        width *= is_usable
    end = begin + width
    value, slope = left.value, np.zeros(len(begin))
    is_good = left.quality == GOOD
    if (linear := rules.kind == _LINEAR).any():
        span = right.ts - left.ts
        is_line = linear & is_usable & (right.quality > BAD) & (span <= rules.gap) & (span > 0)
        rise = np.subtract(right.value, left.value, out=np.zeros(len(begin)), where=is_line)
        slope = np.divide(rise, span, out=slope, where=is_line)
        end = np.where(is_line, right.ts, end)
    if (backwards := rules.kind == _NEXT).any():
        reach = np.where(right.quality > BAD, np.minimum(right.ts - left.ts, rules.hold), 0)
        begin = np.where(backwards, right.ts - reach, begin)
        end = np.where(backwards, right.ts, end)
        value = np.where(backwards, right.value, value)
        is_good = np.where(backwards, right.quality == GOOD, is_good)
    if (never := rules.kind == _NEVER).any():
        end = np.where(never, begin, end)
    return Intervals(begin, end, np.where(end > begin, value, 0.0), slope, is_good)
