"""Between two neighbouring points: when a value is known, and which.

Definitions: a step holds until the next point of any quality, a line runs between two usable points, `next` gives a
point's value to the time before it. Each is a straight piece, so that parts of it have exact areas.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from siltstone.timeseries.interpretation import Interpretation
from siltstone.timeseries.points import BAD, GOOD, Floats, Ints, Mask

NONE = -1
"""Quality of a neighbour that is not there."""
_STEP, _LINEAR, _NEXT, _NEVER = range(4)
_CODES = {"step": _STEP, "counter": _STEP, "linear": _LINEAR, "next": _NEXT, "bucketed": _NEVER}


@dataclass(frozen=True)
class SeriesRules:
    """How each of some pieces is read: the code of its kind, max_hold and max_gap in microseconds."""

    kind: npt.NDArray[np.int8]
    hold: Ints
    gap: Ints

    @classmethod
    def of(cls, interpretations: list[Interpretation]) -> "SeriesRules":
        """One for each series."""
        return cls(
            np.array([_CODES[i.kind] for i in interpretations], np.int8),
            np.array([i.max_hold_us for i in interpretations], np.int64),
            np.array([i.max_gap_us for i in interpretations], np.int64),
        )

    @cached_property
    def differ(self) -> bool:
        """Whether the series are read in more than one way."""
        return any(bool((values != values[0]).any()) for values in (self.kind, self.hold, self.gap) if len(values))

    def at(self, series: Ints) -> "SeriesRules":
        """Those of some series; a single one, which stands for all, where they are all alike."""
        chosen = series if self.differ else slice(0, 1)
        return SeriesRules(self.kind[chosen], self.hold[chosen], self.gap[chosen])

    @property
    def has_states(self) -> Mask:
        """Whether the value stands still between points, so that the time in each can be told."""
        stands: Mask = (self.kind == _STEP) | (self.kind == _NEXT)
        return stands


@dataclass(frozen=True)
class BoundaryPoints:
    """The points at one end of some pieces."""

    ts: Ints
    value: Floats
    quality: npt.NDArray[np.int8]

    def where(self, chosen: Ints | Mask | slice) -> "BoundaryPoints":
        return BoundaryPoints(self.ts[chosen], self.value[chosen], self.quality[chosen])


@dataclass(frozen=True)
class Intervals:
    """Time [begin, end) with a known value, which is `value` at `begin` and changes by `slope` per microsecond; nothing
    is known where `end` is `begin`."""

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
        """The value at an instant of each piece, also at its end."""
        return self.value + self.slope * (ts - self.begin)

    @property
    def whole(self) -> "IntervalParts":
        """Each piece from its begin to its end."""
        width = self.end - self.begin
        mean = self.value + self.slope * (width / 2) if self.slope.any() else self.value
        return IntervalParts(width, mean, self.slope, self.is_good)

    def part(self, start: Ints, end: Ints) -> "IntervalParts":
        """What of each piece lies in [start, end)."""
        begin, stop = np.maximum(self.begin, start), np.minimum(self.end, end)
        width = np.maximum(stop - begin, 0)
        mean = self.value + self.slope * ((begin - self.begin) + width / 2)
        return IntervalParts(width, np.where(width > 0, mean, 0.0), self.slope, self.is_good)


@dataclass(frozen=True)
class IntervalParts:
    """Parts of pieces: microseconds, mean value (0 where there is no time), slope."""

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
        """The integral of the squared distance from the mean of each."""
        return self.slope * self.slope * self.width.astype(np.float64) ** 3 / 12


def parts_between(left: BoundaryPoints, right: BoundaryPoints, ways: SeriesRules) -> IntervalParts:
    """The whole piece between each left point and its right one."""
    if not (ways.kind == _STEP).all():
        return pieces_between(left, right, ways).whole
    width = right.ts - left.ts
    np.minimum(width, ways.hold, out=width)
    known = left.quality > BAD
    if not known.all():
        width *= known
    return IntervalParts(width, left.value, np.zeros(1), left.quality == GOOD)


def pieces_between(left: BoundaryPoints, right: BoundaryPoints, ways: SeriesRules) -> Intervals:
    """The piece between each left point and its right one; `right` of quality NONE: only an instant that ends it."""
    known = left.quality > BAD
    begin, held = left.ts, right.ts - left.ts
    np.minimum(held, ways.hold, out=held)
    if not known.all():
        held *= known
    end = begin + held
    value, slope = left.value, np.zeros(len(begin))
    is_good = left.quality == GOOD
    if (linear := ways.kind == _LINEAR).any():
        span = right.ts - left.ts
        is_line = linear & known & (right.quality > BAD) & (span <= ways.gap) & (span > 0)
        rise = np.subtract(right.value, left.value, out=np.zeros(len(begin)), where=is_line)
        slope = np.divide(rise, span, out=slope, where=is_line)
        end = np.where(is_line, right.ts, end)
    if (backwards := ways.kind == _NEXT).any():
        reach = np.where(right.quality > BAD, np.minimum(right.ts - left.ts, ways.hold), 0)
        begin = np.where(backwards, right.ts - reach, begin)
        end = np.where(backwards, right.ts, end)
        value = np.where(backwards, right.value, value)
        is_good = np.where(backwards, right.quality == GOOD, is_good)
    if (never := ways.kind == _NEVER).any():
        end = np.where(never, begin, end)
    return Intervals(begin, end, np.where(end > begin, value, 0.0), slope, is_good)
