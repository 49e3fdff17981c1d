"""Values at given instants: worked examples, and each instant by itself against a search of all points."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siltstone.timeseries.buckets import buckets_of
from siltstone.timeseries.fill import Filling, Instants, fill, grid
from siltstone.timeseries.points import BAD, GOOD, UNCERTAIN, Ints, Points
from support.rounds import examples

S = 1_000_000
Point = tuple[int, float, int]


def points(*series: list[Point]) -> Points:
    """Series of (second, value, quality)."""
    flat = [point for one in series for point in one]
    return Points(
        np.cumsum([0, *map(len, series)]),
        np.array([ts * S for ts, _, _ in flat], np.int64),
        np.array([value for _, value, _ in flat], float),
        np.array([quality for _, _, quality in flat], np.int8),
    )


def instants(*series: list[int]) -> Instants:
    return Instants(np.cumsum([0, *map(len, series)]), np.array([ts * S for one in series for ts in one], np.int64))


def known(filled: Points) -> list[float | None]:
    values = zip(filled.value.tolist(), filled.quality.tolist(), strict=True)
    return [value if quality > BAD else None for value, quality in values]


# good until 40, bad from 40 to 50, nothing after 60
SERIES = [(10, 1.0, GOOD), (20, 3.0, UNCERTAIN), (40, float("inf"), BAD), (50, 5.0, GOOD), (60, 4.0, GOOD)]
AT = [5, 10, 15, 20, 24, 31, 40, 44, 46, 50, 57, 60, 65]


@pytest.mark.parametrize(
    ("how", "limit_s", "expected"),
    [
        ("previous", None, [None, 1, 1, 3, 3, 3, None, None, None, 5, 5, 4, 4]),
        ("next", None, [1, 1, 3, 3, None, None, None, 5, 5, 5, 4, 4, None]),
        # 15 is as near to 10 as to 20; at 31 the bad point is nearer, at 46 the good one after it
        ("nearest", None, [1, 1, 1, 3, 3, None, None, None, 5, 5, 4, 4, 4]),
        # 15: halfway between 1 and 3; 20 to 40: held up to the bad point; 57: 5 - 0.7; 65: held
        ("linear", None, [None, 1, 2, 3, 3, 3, None, None, None, 5, 4.3, 4, 4]),
        # a distance of the limit itself is within it
        ("previous", 5, [None, 1, 1, 3, 3, None, None, None, None, 5, None, 4, 4]),
        ("next", 5, [1, 1, 3, 3, None, None, None, None, 5, 5, 4, 4, None]),
        ("nearest", 3, [None, 1, None, 3, None, None, None, None, None, 5, 4, 4, None]),
        ("linear", 10, [None, 1, 2, 3, 3, None, None, None, None, 5, 4.3, 4, 4]),
        # no line over 10 s: the value before is held for 9 s
        ("linear", 9, [None, 1, 1, 3, 3, None, None, None, None, 5, 5, 4, 4]),
    ],
)
def test_each_way_to_fill(how: Filling, limit_s: int | None, expected: list[float | None]) -> None:
    filled = fill(points(SERIES), instants(AT), how, None if limit_s is None else limit_s * S)
    assert known(filled) == pytest.approx(expected)
    assert np.isnan(filled.value[filled.quality == BAD]).all()


def test_the_quality_is_that_of_the_points() -> None:
    at = instants([15, 20, 25, 50])
    assert fill(points(SERIES), at, "previous").quality.tolist() == [GOOD, UNCERTAIN, UNCERTAIN, GOOD]
    assert fill(points(SERIES), at, "linear").quality.tolist() == [UNCERTAIN, UNCERTAIN, UNCERTAIN, GOOD]
    assert fill(points(SERIES), at, "next").quality.tolist() == [UNCERTAIN, UNCERTAIN, BAD, GOOD]


def test_series_do_not_see_each_other() -> None:
    three = points([(10, 1.0, GOOD)], [], [(0, 2.0, GOOD), (100, 3.0, GOOD)])
    at = instants([0, 20], [5], [50])
    assert known(fill(three, at, "previous")) == [None, 1, None, 2]
    assert known(fill(three, at, "next")) == [1, None, None, 3]
    assert known(fill(three, at, "linear")) == [None, 1, None, 2.5]
    assert fill(points([], []), at, "nearest").quality.tolist() == [BAD] * 4


def test_series_of_all_times_fit_though_their_keys_do_not() -> None:
    # 300 series over 200,000 years: more than one number of 64 bits can tell apart
    far = 3 * 10**18
    ts: Ints = np.tile([-far, 0, far], 300)
    three = Points(np.arange(0, 901, 3), ts, np.arange(900.0), np.full(900, GOOD, np.int8))
    filled = fill(three, Instants(np.arange(301), np.full(300, 5)), "previous")
    assert filled.value.tolist() == np.arange(1.0, 900, 3).tolist()


def test_a_grid_reaches_from_the_first_point_to_the_last() -> None:
    two = points([(10, 1.0, GOOD), (25, 1.0, GOOD)], [], [(11, 1.0, GOOD), (14, 1.0, GOOD)], [(29, 1.0, GOOD)])
    found = grid(two, buckets_of("5s"))
    assert found.starts.tolist() == [0, 4, 4, 4, 4]
    assert (found.ts // S).tolist() == [10, 15, 20, 25]
    given_range = grid(two, buckets_of("10s"), 0, 20 * S)
    assert given_range.starts.tolist() == [0, 3, 3, 6, 9]
    assert (given_range.ts // S).tolist() == [0, 10, 20] * 3
    to_its_end = grid(two, buckets_of("10s"), last_us=40 * S)
    assert (to_its_end.ts // S).tolist() == [10, 20, 30, 40, 20, 30, 40, 30, 40]


def test_a_grid_of_local_days() -> None:
    # the midnights of Berlin: 2026-03-28 23:00Z, and 22:00Z from the 29th on
    day = 1_774_656_000  # 2026-03-28T00:00:00Z
    found = grid(points([(day, 1.0, GOOD), (day + 3 * 86_400, 1.0, GOOD)]), buckets_of("1d", "Europe/Berlin"))
    assert ((found.ts // S - day) // 3600).tolist() == [23, 46, 70]


def one_by_one(series: list[Point], at: int, how: str, limit: int) -> tuple[float | None, int]:
    """The definition, point by point."""
    before = max((p for p in series if p[0] <= at), default=None)
    after = min((p for p in series if p[0] >= at), default=None)
    chosen = {"previous": before, "linear": before, "next": after, "nearest": before or after}[how]
    if how == "nearest" and before and after and after[0] - at < at - before[0]:
        chosen = after
    is_pair = before and after and before[2] > BAD and after[2] > BAD and 0 < after[0] - before[0] <= limit
    if how == "linear" and before and after and is_pair:
        share = (at - before[0]) / (after[0] - before[0])
        return before[1] + share * (after[1] - before[1]), min(before[2], after[2])
    if chosen is None or chosen[2] == BAD or abs(chosen[0] - at) > limit:
        return None, BAD
    return chosen[1], chosen[2]


SOME = st.lists(
    st.tuples(st.integers(0, 40), st.integers(-9, 9).map(float), st.sampled_from([BAD, UNCERTAIN, GOOD, GOOD])),
    max_size=8,
    unique_by=lambda point: point[0],
).map(sorted)
TIMES = st.lists(st.integers(-5, 45), max_size=6, unique=True).map(sorted)


@settings(deadline=None, max_examples=examples(150))
@given(
    st.lists(st.tuples(SOME, TIMES), min_size=1, max_size=4),
    st.sampled_from(["previous", "next", "nearest", "linear"]),
    st.sampled_from([None, 0, 1, 3, 10]),
)
def test_many_series_at_once_are_each_as_by_definition(
    series: list[tuple[list[Point], list[int]]], how: Filling, limit_s: int | None
) -> None:
    at = instants(*(times for _, times in series))
    filled = fill(points(*(one for one, _ in series)), at, how, None if limit_s is None else limit_s * S)
    limit = 10**9 if limit_s is None else limit_s
    expected = [one_by_one(one, ts, how, limit) for one, times in series for ts in times]
    assert known(filled) == pytest.approx([value for value, _ in expected])
    assert filled.quality.tolist() == [quality for _, quality in expected]


@settings(deadline=None, max_examples=examples(50))
@given(st.lists(st.floats(-1e308, 1e308), min_size=2, max_size=5))
def test_a_line_never_leaves_the_range_of_its_ends(values: list[float]) -> None:
    one = points([(7 * i, value, GOOD) for i, value in enumerate(values)])
    filled = fill(one, instants(list(range(7 * len(values) - 7))), "linear").value.reshape(-1, 7)
    for line, (first, last) in zip(filled, pairwise(values), strict=True):
        assert min(first, last) <= line.min() <= line.max() <= max(first, last)
