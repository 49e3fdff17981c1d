"""SiteWise: windows (start, end], stamped at their end."""

import pytest

from siltstone.timeseries.conventions import stamps_us
from support.one_series import points, values, windows

# The documentation's metric rows: one value a second, 1 at 30 s of the first minute, 31 at its end, then 32 to 60.
START = 1_637_334_000
COUNTING = points(*((START + 29 + n, float(n)) for n in range(1, 61)))


def test_the_metrics_of_the_documentation() -> None:
    minutes = windows(START, START + 60, START + 120)
    expected = {
        "count": [31.0, 29.0],
        "avg": [16.0, 46.0],
        "min": [1.0, 32.0],
        "max": [31.0, 60.0],
        "sum": [496.0, 1334.0],
    }
    assert {name: values("sitewise", COUNTING, minutes, name) for name in expected} == expected
    assert [us // 1_000_000 for us in stamps_us("sitewise", minutes)] == [1_637_334_060, 1_637_334_120]


def test_a_point_on_the_edge_belongs_to_the_window_that_ends_there() -> None:
    rows = points((0, 5.0), (10, 7.0), (20, 9.0))
    spans = windows(0, 10, 20, 30)
    assert values("sitewise", rows, spans, "count") == [1.0, 1.0, 0.0]
    assert values("sitewise", rows, spans, "last") == [7.0, 9.0, None]
    assert values("sitewise", rows, spans, "earliest") == [5.0, 7.0, 9.0]
    assert values("sitewise", rows, spans, "end_value") == [7.0, 9.0, 9.0]


def test_statetime_carries_the_state_in_and_counts_nothing_before_the_first_point() -> None:
    # positive from 15 to 22 and from 48 on; the Bad point at 18 does not end it; no point before 15
    rows = points((15, 1.0), (18, 0.0, "B"), (22, 0.0), (48, 2.5))
    spans = windows(0, 10, 20, 30, 40, 50, 60)
    assert values("sitewise", rows, spans, "statetime") == [None, 5.0, 2.0, 0.0, 2.0, 10.0]
    states = values("sitewise", rows, spans, "time_in_state")
    assert states == [None, {1.0: 5.0}, {0.0: 8.0, 1.0: 2.0}, {0.0: 10.0}, {0.0: 8.0, 2.5: 2.0}, {2.5: 10.0}]


def test_a_state_that_ends_with_a_window_is_not_in_the_next() -> None:
    rows = points((0, 1.0), (10, 0.0))
    assert values("sitewise", rows, windows(0, 10, 20), "time_in_state") == [{1.0: 10.0}, {0.0: 10.0}]


def test_interpolated_values_stand_at_the_stamp() -> None:
    rows = points((5, 10.0), (15, 20.0), (25, 0.0, "B"), (35, 60.0))
    spans = windows(-10, 0, 10, 20, 30, 35, 40)
    assert values("sitewise", rows, spans, "interpolated", "linear") == [None, 15.0, 30.0, 50.0, 60.0, None]
    assert values("sitewise", rows, spans, "interpolated") == [None, 10.0, 20.0, 20.0, 60.0, 60.0]


def test_time_weights_stop_at_a_bad_point() -> None:
    rows = points((0, 2.0), (10, 6.0), (15, 0.0, "B"), (18, 4.0))
    spans = windows(0, 20)
    # steps: 2 x 10 + 6 x 5 + 4 x 2 over 17 s; lines: 40 + 6 held 5 s + 8
    assert values("sitewise", rows, spans, "TimeWeightedAvg") == [58 / 17]
    assert values("sitewise", rows, spans, "time_weighted_average", "linear") == [78 / 17]


def test_deviations_of_a_sample_or_a_population() -> None:
    rows, spans = points((0, 1.0), (5, 3.0), (10, 3.0)), windows(0, 10)
    # held 1 for 5 s and 3 for 5 s: mean 2, squares 10; in the window are 3 and 3
    assert values("sitewise", rows, spans, "TimeWeightedStDev") == [pytest.approx((10 / 9) ** 0.5)]
    assert values("sitewise", rows, spans, "TimeWeightedStDev", stdev_algorithm="p") == [1.0]
    assert values("sitewise", rows, windows(-5, 10), "stdev", stdev_algorithm="p") == [pytest.approx((8 / 9) ** 0.5)]
    assert values("sitewise", rows, windows(-5, 10), "stdev") == [pytest.approx((4 / 3) ** 0.5)]


def test_uncertain_counts_only_where_it_is_called_good() -> None:
    rows, spans = points((5, 1.0), (6, 5.0, "U")), windows(0, 10)
    counts = [values("sitewise", rows, spans, "count", uncertain=u)[0] for u in ("bad", "keep", "good")]
    assert counts == [1.0, 1.0, 2.0]
