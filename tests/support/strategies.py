"""Series that are hard on an aggregate, ways to read them, and ways to cut them apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from hypothesis import strategies as st

from siltstone.timeseries.interpretation import NO_LIMIT, Interpretation
from siltstone.timeseries.points import BAD, GOOD, UNCERTAIN, Ints, Points

SECOND, MINUTE, HOUR, DAY = 1_000_000, 60_000_000, 3_600_000_000, 86_400_000_000

Series = list[tuple[int, float, int]]
"""(microseconds, value, quality), in order of time, no time twice."""


@dataclass(frozen=True)
class Every:
    """Buckets of one width, counted from 1970."""

    width: int

    @property
    def name(self) -> str:
        return f"{self.width} us"

    def number(self, ts: Ints) -> Ints:
        return ts // self.width

    def bounds(self, numbers: Ints) -> tuple[Ints, Ints]:
        return numbers * self.width, (numbers + 1) * self.width

    def divides(self, coarser: "Every", first_us: int, last_us: int) -> bool:
        return coarser.width % self.width == 0


_BEGINS = st.sampled_from([0, -3 * DAY - 7, 1_767_225_600 * SECOND, 1_767_225_599_999_999])
_GAPS = st.one_of(
    st.sampled_from([1, SECOND, MINUTE, 90 * SECOND, HOUR, DAY]),
    st.integers(1, 2 * HOUR),
    st.integers(HOUR, 20 * HOUR),  # over many buckets
)
_EDGES = st.sampled_from([1, 1, 1, MINUTE, HOUR, DAY])  # what a time is put on
_FEW = st.sampled_from([0.0, 1.0, 2.0, -1.5])  # so that values repeat
_VALUES = st.sampled_from(
    [
        _FEW,
        st.integers(0, 5).map(float),
        st.floats(-1e6, 1e6, width=32),
        st.integers(-100, 100).map(lambda k: 1e9 + k / 4),  # a small signal on a large offset
        st.floats(-1e3, 1e3),
    ]
)
_QUALITIES = st.sampled_from([(GOOD,), (GOOD, GOOD, GOOD, BAD), (GOOD, UNCERTAIN, BAD), (BAD, BAD, UNCERTAIN)])


@st.composite
def series(draw: st.DrawFn, begin: int, max_points: int = 12) -> Series:
    """Irregular times, some exactly on edges; values that repeat, or are large, or negative; bad and uncertain ones."""
    values, qualities = draw(_VALUES), st.sampled_from(draw(_QUALITIES))
    ts = begin + draw(st.sampled_from([0, 0, 1, 20 * MINUTE, 5 * HOUR, DAY]))
    found: Series = []
    for _ in range(draw(st.integers(1, max_points))):
        found.append((ts, draw(values), draw(qualities)))
        edge = draw(_EDGES)
        ts = -((ts + draw(_GAPS)) // -edge) * edge
    return found


_LIMITS = st.sampled_from([NO_LIMIT, NO_LIMIT, SECOND, MINUTE, 90 * SECOND, HOUR, 3 * HOUR, 2 * DAY])


def interpretations(*kinds: str) -> st.SearchStrategy[Interpretation]:
    """Ways to read a series, of the given kinds or of all."""
    return st.builds(
        Interpretation,
        kind=st.sampled_from(kinds or ("step", "linear", "next", "counter", "bucketed")),
        max_hold_us=_LIMITS,
        max_gap_us=_LIMITS,
        uncertain=st.sampled_from(["bad", "good", "keep"]),
        sentinels=st.sampled_from([(), (), (1.0,), (-200.0, 0.0)]),
    )


@dataclass(frozen=True)
class Case:
    """Some series, how each is read, and until when something is known of them."""

    series: list[Series]
    interpretations: list[Interpretation]
    watermark: int

    @property
    def points(self) -> Points:
        return points_of(self.series)

    @property
    def scale(self) -> float:
        """The largest value: what rounding errors are measured by."""
        return max([1.0, *(abs(value) for one in self.series for _, value, _ in one)])


@st.composite
def cases(draw: st.DrawFn, *kinds: str, max_series: int = 3) -> Case:
    begin = draw(_BEGINS)
    found = draw(st.lists(series(begin), min_size=1, max_size=max_series))
    ways = [draw(interpretations(*kinds)) for _ in found]
    after = draw(st.sampled_from([0, 1, MINUTE, HOUR, 5 * HOUR + 1, DAY]))
    return Case(found, ways, max(one[-1][0] for one in found) + after)


def points_of(series: Sequence[Series]) -> Points:
    flat = [point for one in series for point in one]
    return Points(
        np.cumsum([0, *map(len, series)], dtype=np.int64),
        np.array([ts for ts, _, _ in flat], np.int64),
        np.array([value for _, value, _ in flat], np.float64),
        np.array([quality for _, _, quality in flat], np.int8),
    )


@st.composite
def splits(draw: st.DrawFn, series: Sequence[Series], max_cuts: int = 4) -> list[list[Series]]:
    """The series in chunks of time, cut anywhere, in any order; a chunk may lack points of some series."""
    times = sorted({ts for one in series for ts, _, _ in one})
    cuts = sorted(draw(st.sets(st.sampled_from(times), max_size=max_cuts)))
    bounds = [times[0], *cuts, times[-1] + 1]
    chunks = [
        [[point for point in one if begin <= point[0] < end] for one in series] for begin, end in pairwise(bounds)
    ]
    return draw(st.permutations([chunk for chunk in chunks if any(chunk)]))
