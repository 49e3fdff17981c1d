"""The known time of a series as straight pieces, and the area and times of them within a window."""

from dataclasses import dataclass

import numpy as np

from siltstone.timeseries.conventions.series import Series
from siltstone.timeseries.points import Floats, Ints, Mask


@dataclass(frozen=True)
class Segments:
    """Straight pieces, sorted by time, that don't overlap: from `first` at `start_us` to `last` at `end_us`."""

    start_us: Ints
    end_us: Ints
    first: Floats
    last: Floats

    def within(self, start_us: int, end_us: int) -> "Segments":
        """The parts in [start_us, end_us)."""
        low = int(np.searchsorted(self.end_us, start_us, "right"))
        high = max(low, int(np.searchsorted(self.start_us, end_us, "left")))
        starts, ends = self.start_us[low:high], self.end_us[low:high]
        first, last = self.first[low:high], self.last[low:high]
        cut_starts, cut_ends = np.maximum(starts, start_us), np.minimum(ends, end_us)
        slope = (last - first) / (ends - starts)
        cut_first = np.where(cut_starts > starts, first + slope * (cut_starts - starts), first)
        cut_last = np.where(cut_ends < ends, first + slope * (cut_ends - starts), last)
        return Segments(cut_starts, cut_ends, cut_first, cut_last)

    @property
    def held_us(self) -> Ints:
        return self.end_us - self.start_us

    def seconds(self) -> float:
        return int(self.held_us.sum()) / 1e6

    def area(self) -> float:
        """Value x seconds."""
        return float(((self.first + self.last) / 2 * self.held_us).sum()) / 1e6

    def seconds_by_state(self) -> dict[float, float]:
        """For steps: the seconds at each value, sorted by value; -0.0 is 0.0."""
        states, which = np.unique(self.first, return_inverse=True)
        held = np.zeros(len(states), np.int64)
        np.add.at(held, which, self.held_us)
        return {float(state) + 0.0: int(us) / 1e6 for state, us in zip(states, held, strict=True)}


def segments_between(
    series: Series, until_us: int, *, stepped: bool, held: Mask | None = None, flat: Mask | None = None
) -> Segments:
    """The pieces from each point to the next, and from the last one level to `until_us`, if that is later.

    `held`: the points at which a piece starts (default all). `flat`: the points behind which the piece is level, even
    if not `stepped`."""
    if not len(series):
        return Segments(series.ts, series.ts, series.value, series.value)
    ends = np.append(series.ts[1:], max(until_us, int(series.ts[-1])))
    level = np.append(np.full(len(series) - 1, stepped), True)
    if flat is not None:
        level = level | flat
    last = np.where(level, series.value, np.append(series.value[1:], 0.0))
    kept = ends > series.ts
    if held is not None:
        kept = kept & held
    return Segments(series.ts[kept], ends[kept], series.value[kept], last[kept])
