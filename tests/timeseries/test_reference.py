"""The reference itself: numbers worked by hand, and the published numbers of real series.

Times are in seconds: the series of a test begins at 0 and its window is [0, 100) unless it says otherwise.
"""

import csv
import json
from collections.abc import Sequence
from datetime import datetime
from fractions import Fraction as F
from typing import Any

import pytest

from siltstone.timeseries.interpretation import NO_LIMIT, Interpretation
from siltstone.timeseries.points import BAD, GOOD, UNCERTAIN
from support import reference
from support.places import SAMPLES

S = 1_000_000
STEP, LINEAR = Interpretation(), Interpretation("linear")


def row(
    *points: tuple[Any, ...], read: Interpretation = STEP, window: Sequence[int] = (0, 100), until: int = 1000
) -> Any:
    """The measures of one window; points of (seconds, value) are good."""
    return rows(points, read, [window], until)[0]


def rows(points: Sequence[tuple[Any, ...]], read: Interpretation, windows: Sequence[Sequence[int]], until: int) -> Any:
    given = [(p[0] * S, p[1], p[2] if len(p) == 3 else GOOD) for p in points]
    return reference.rows(given, read, [(s * S, e * S) for s, e in windows], until * S)


def has(found: dict[str, Any], **expected: Any) -> bool:
    """Whether the row says so, all at once for a readable failure."""
    assert {name: found[name] for name in expected} == expected
    return True


# 10 on [20, 50), 40 on [50, 100)
TWO = ((20, 10), (50, 40))


def test_a_step_holds_until_the_next_point_and_to_the_end_of_the_window() -> None:
    assert has(
        row(*TWO),
        covered_s=80,
        good_s=80,
        pct_good=80,
        integral=30 * 10 + 50 * 40,
        time_weighted_average=F(2300, 80),
        # (30 x 100 + 50 x 1600) / 80 - 28.75^2 = 1037.5 - 826.5625
        time_weighted_stddev_squared=F("210.9375"),
        time_in_state={10: 30, 40: 50},
        start_value=None,
        end_value=40,
        first=10,
        last=40,
        first_ts=20 * S,
        last_ts=50 * S,
        min=10,
        min_ts=20 * S,
        max=40,
        max_ts=50 * S,
        count=2,
        n=2,
        n_bad=0,
        sum=50,
        mean=25,
        stddev_squared=450,  # (15^2 + 15^2) / 1
        transitions=1,
        increase=30,
        carried_in=False,
    )


def test_a_line_runs_between_two_points_and_flat_after_the_last() -> None:
    assert has(
        row(*TWO, read=LINEAR),
        covered_s=80,
        integral=30 * 25 + 50 * 40,
        time_weighted_average=F(2750, 80),
        # the line's square: 30 (100 + 400 + 1600) / 3 = 21000; flat: 80000; 101000 / 80 - 34.375^2
        time_weighted_stddev_squared=F("1262.5") - F("34.375") ** 2,
        time_in_state={},
        start_value=None,
        end_value=40,
    )


def test_next_gives_a_value_to_the_time_before_its_point() -> None:
    read = Interpretation("next")
    assert has(row(*TWO, read=read), covered_s=30, integral=30 * 40, time_in_state={40: 30}, end_value=None)
    # at most 10 s of it: [40, 50), so that the value at 45 is known and that at 30 is not
    short = Interpretation("next", max_hold_us=10 * S)
    assert has(
        row(*TWO, read=short, window=(30, 45)), covered_s=5, start_value=None, end_value=40, n=0, carried_in=False
    )


def test_a_counter_is_a_step_whose_fall_is_a_restart_from_0() -> None:
    # rises 3, restart at 2, rises 5; the rise to 5 is of the point in the window, though its foot is before it
    found = rows([(0, 2), (20, 5), (40, 2), (70, 7)], Interpretation("counter"), [(0, 10), (10, 50), (50, 100)], 1000)
    assert [w["increase"] for w in found] == [0, 3 + 2, 5]
    assert [w["transitions"] for w in found] == [0, 2, 1]
    assert found[1]["integral"] == 10 * 2 + 20 * 5 + 10 * 2


def test_of_a_bucketed_series_only_the_points_count() -> None:
    found = row((20, 300), (60, 120), read=Interpretation("bucketed"))
    assert has(found, sum=420, count=2, mean=210, covered_s=0, pct_good=0, integral=None, time_weighted_average=None)
    assert has(found, min=120, max=300, start_value=None, end_value=None, time_in_state={}, carried_in=False)


def test_a_value_is_carried_over_any_number_of_empty_windows() -> None:
    windows = [(0, 10), (10, 20), (500, 510), (510, 520)]
    first, empty, far, after = rows([(5, 7), (512, 9)], STEP, windows, 1000)
    assert has(first, carried_in=False, start_value=None, covered_s=5, time_weighted_average=7)
    for window in (empty, far):
        assert has(window, carried_in=True, start_value=7, end_value=7, covered_s=10, time_weighted_average=7)
        assert has(window, n=0, count=0, sum=None, mean=None, first=None, first_ts=None, min=7, max=7, transitions=0)
    assert has(
        after, carried_in=True, integral=2 * 7 + 8 * 9, min=7, min_ts=510 * S, transitions=1, stddev_squared=None
    )


def test_before_the_first_point_nothing_is_known() -> None:
    assert has(row((150, 1)), covered_s=0, integral=None, time_weighted_average=None, min=None, max_ts=None, sum=None)


def test_a_line_that_crosses_windows_is_cut_at_their_edges() -> None:
    left, right = rows([(0, 0), (200, 100)], LINEAR, [(0, 50), (50, 200)], 1000)
    assert has(
        left, start_value=0, end_value=25, min=0, max=25, max_ts=50 * S, integral=50 * F(25, 2), carried_in=False
    )
    assert has(
        right, start_value=25, end_value=100, min=25, min_ts=50 * S, max=100, max_ts=200 * S, n=0, carried_in=True
    )
    assert left["integral"] + right["integral"] == 200 * 50


def test_a_point_on_the_edge_belongs_to_the_window_that_it_begins() -> None:
    left, right = rows([(10, 1), (50, 2)], STEP, [(0, 50), (50, 100)], 1000)
    assert has(left, n=1, end_value=1, covered_s=40, max=1)
    assert has(right, n=1, start_value=2, covered_s=50, carried_in=False, min=2, min_ts=50 * S, transitions=1)


@pytest.mark.parametrize(
    ("read", "known"),
    [
        (Interpretation(max_hold_us=30 * S), {1: 30, 3: 30}),  # [0, 30) and [60, 90)
        (Interpretation(max_hold_us=60 * S), {1: 60, 3: 40}),
        (Interpretation("counter", max_hold_us=30 * S), {1: 30, 3: 30}),
        (Interpretation("next", max_hold_us=30 * S), {3: 30}),  # [30, 60)
    ],
)
def test_max_hold_bounds_the_time_a_value_holds(read: Interpretation, known: dict[int, int]) -> None:
    assert has(row((0, 1), (60, 3), read=read), time_in_state=known, covered_s=sum(known.values()))


@pytest.mark.parametrize(
    ("gap", "hold", "covered", "integral"),
    [
        (60, NO_LIMIT // S, 100, 60 * 2 + 40 * 3),  # exactly the gap: a line from 1 to 3
        (59, NO_LIMIT // S, 100, 60 * 1 + 40 * 3),  # too long: held flat to the next point
        (59, 10, 20, 10 * 1 + 10 * 3),  # too long: held for 10 s
        (60, 10, 70, 60 * 2 + 10 * 3),  # max_hold does not bound a line
    ],
)
def test_max_gap_bounds_a_line(gap: int, hold: int, covered: int, integral: int) -> None:
    read = Interpretation("linear", max_gap_us=gap * S, max_hold_us=hold * S)
    assert has(row((0, 1), (60, 3), read=read), covered_s=covered, integral=integral)


@pytest.mark.parametrize(
    ("kind", "known", "integral"),
    [
        ("step", 20 + 40, 20 * 1 + 40 * 5),  # known on [0, 20) and [60, 100)
        ("linear", 20 + 40, 20 * 1 + 40 * 5),  # held flat to the bad point; no line across
        ("next", 40, 40 * 5),  # the time before the bad point is unknown, that after it is of the next one
    ],
)
def test_a_bad_point_ends_what_is_known(kind: Any, known: int, integral: int) -> None:
    found = row((0, 1), (20, 99, BAD), (60, 5), read=Interpretation(kind))
    assert has(found, covered_s=known, integral=integral, pct_good=known, n=2, n_bad=1, count=2, mean=3, max=5)
    assert has(found, transitions=1, increase=4)  # from 1 to 5, across the bad point


def test_a_bad_point_at_the_start_is_not_carried_over() -> None:
    assert has(row((-50, 1), (0, 0, BAD), (60, 5)), start_value=None, carried_in=False, covered_s=40, n_bad=1)
    assert has(row((-50, 1), (60, 0, BAD)), start_value=1, carried_in=True, covered_s=60, end_value=None, max=1)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -200.0])
def test_no_numbers_and_sentinels_are_bad(value: float) -> None:
    assert has(
        row((0, 1), (20, value), (60, 5), read=Interpretation(sentinels=(-200.0,))), covered_s=60, n_bad=1, min=1
    )


@pytest.mark.parametrize(
    ("counts_as", "covered", "good", "n"), [("bad", 20, 20, 1), ("good", 100, 100, 2), ("keep", 100, 20, 2)]
)
def test_uncertain_points_count_as_the_interpretation_says(counts_as: Any, covered: int, good: int, n: int) -> None:
    found = row((0, 1), (20, 5, UNCERTAIN), read=Interpretation(uncertain=counts_as))
    assert has(found, covered_s=covered, good_s=good, pct_good=good, n=n, n_bad=2 - n)


def test_a_line_is_as_good_as_the_point_that_it_begins_at() -> None:
    read = Interpretation("linear", uncertain="keep")
    assert has(row((0, 1), (20, 5), (60, 5, UNCERTAIN), (90, 1), read=read), covered_s=100, good_s=60 + 10)


def test_what_is_known_ends_at_the_watermark() -> None:
    assert has(row((20, 4), until=70), covered_s=50, pct_good=50, integral=200, end_value=None)
    assert has(row((20, 4), until=20), covered_s=0, n=1, time_weighted_average=None, min=4, start_value=None, sum=4)
    assert has(row((20, 4), until=100), covered_s=80, end_value=4)


def test_the_earliest_of_equal_extremes_counts() -> None:
    assert has(row((-5, 3), (10, 3), (20, 1), (30, 1), (40, 3)), max=3, max_ts=0, min=1, min_ts=20 * S)


# --- real series ---


def series_of(path: str, time: str, value: str) -> list[tuple[int, float, int]]:
    with (SAMPLES / path).open() as file:
        found = [
            (datetime.fromisoformat(r[time] + ("" if "+" in r[time] else "+00:00")), r) for r in csv.DictReader(file)
        ]
    return [(round(ts.timestamp()) * S, float(r[value]), GOOD) for ts, r in found]


@pytest.mark.parametrize(
    ("path", "columns", "n", "mean", "locf", "trapezoid", "seconds"),
    [
        (
            "nab/realTraffic/TravelTime_451.csv",
            ("timestamp", "value"),
            2162,
            327.22155411655876,
            296.01552479221186,
            304.13723509552153,
            4425180,
        ),
        (
            "nab/realTraffic/speed_7578.csv",
            ("timestamp", "value"),
            1127,
            64.04880212954747,
            64.28536548145887,
            64.58442698000916,
            786360,
        ),
        (
            "mortar-parquet-support/a0dd74ce-05ee-5fee-8335-2d9856bd52be.csv",
            ("datetime", "/delta/m5/c12"),
            9999,
            0.48383058032365694,
            0.48817727545745154,
            0.48630715731420643,
            1043237,
        ),
    ],
    ids=["TravelTime_451", "speed_7578", "a0dd74ce"],
)
def test_published_averages_of_real_series(
    path: str, columns: tuple[str, str], n: int, mean: float, locf: float, trapezoid: float, seconds: int
) -> None:
    series = series_of(path, *columns)
    begin, end = series[0][0], series[-1][0]
    [step] = reference.rows(series, STEP, [(begin, end + 1)], end)  # with the last point, which holds for no time
    [line] = reference.rows(series, LINEAR, [(begin, end)], end)
    assert (step["n"], step["covered_s"], line["n"], line["covered_s"]) == (n, seconds, n - 1, seconds)
    assert float(step["mean"]) == pytest.approx(mean, rel=1e-9)
    assert float(step["time_weighted_average"]) == pytest.approx(locf, rel=1e-9)
    assert float(line["time_weighted_average"]) == pytest.approx(trapezoid, rel=1e-9)


def test_published_times_in_state_of_a_real_car() -> None:
    lines = (SAMPLES / "openxc/austator-driving.json").read_text().splitlines()
    messages = [json.loads(line) for line in lines if line]
    end = max(F(m["timestamp"]) for m in messages) * S  # exact: in whole microseconds 42 changes would add up to 3
    expected = {
        "ignition_status": ({"run": 84.581936, "start": 0.500011, "accessory": 0.035001}, 2),
        "transmission_gear_position": (
            {
                "first": 15.910364,
                "second": 21.745498,
                "third": 26.310602,
                "fourth": 13.275304,
                "fifth": 0.795018,
                "neutral": 6.890158,
                "reverse": 0.085002,
            },
            42,
        ),
        "brake_pedal_status": ({True: 39.365901, False: 57.811323}, 21),
    }
    for name, (states, changes) in expected.items():
        codes = {state: code for code, state in enumerate(states)}
        latest = {F(m["timestamp"]) * S: codes[m["value"]] for m in messages if m["name"] == name}
        series = [(ts, code, GOOD) for ts, code in sorted(latest.items())]
        [found] = reference.rows(series, STEP, [(series[0][0], end)], end)
        seconds = {state: float(found["time_in_state"][code]) for state, code in codes.items()}
        assert seconds == pytest.approx(states, abs=1e-6), name
        assert found["transitions"] == changes
