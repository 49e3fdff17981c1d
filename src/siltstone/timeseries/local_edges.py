"""Edges of buckets in local time: the times, as the clocks of a zone show them, at which buckets begin.

Wall times are microseconds since 1970-01-01 00:00 as shown. Edges of each kind are numbered by whole numbers that rise
with time, without a first or last one: `number` gives the number of the last edge at or before each wall time, `wall`
the wall time of each edge.
"""

from dataclasses import dataclass

import numpy as np

from siltstone.timeseries.points import Ints

DAY_US = 86_400_000_000


@dataclass(frozen=True)
class Days:
    """Every `step_us`, a multiple of days, from `anchor_us` on and back."""

    step_us: int
    anchor_us: int

    def number(self, wall: Ints) -> Ints:
        return (wall - self.anchor_us) // self.step_us

    def wall(self, numbers: Ints) -> Ints:
        return numbers * self.step_us + self.anchor_us


@dataclass(frozen=True)
class Months:
    """Every `count` months from `anchor` (months since 1970-01), each `past_us` after the month begins."""

    count: int
    anchor: int
    past_us: int

    def number(self, wall: Ints) -> Ints:
        months = (wall - self.past_us).astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)
        return (months - self.anchor) // self.count

    def wall(self, numbers: Ints) -> Ints:
        months = (numbers * self.count + self.anchor).astype("datetime64[M]")
        return months.astype("datetime64[us]").astype(np.int64) + self.past_us


@dataclass(frozen=True)
class Shifts:
    """Each day at `times_us` (microseconds after midnight, rising)."""

    times_us: tuple[int, ...]

    def number(self, wall: Ints) -> Ints:
        days = wall // DAY_US
        begun = np.searchsorted(np.array(self.times_us), wall - days * DAY_US, side="right")
        numbers: Ints = days * len(self.times_us) + begun - 1
        return numbers

    def wall(self, numbers: Ints) -> Ints:
        days = numbers // len(self.times_us)
        times: Ints = np.array(self.times_us)
        walls: Ints = days * DAY_US + times[numbers - days * len(times)]
        return walls


LocalEdges = Days | Months | Shifts
