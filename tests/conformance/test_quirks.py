"""Habits of the peers that the default does not copy: their cases, and what the default says instead."""

from typing import Any

import pytest

from siltstone.timeseries.conventions import Window
from siltstone.timeseries.interpretation import Interpretation
from support.peers.cases import file_of, micros, points_of
from support.peers.default_binding import DefaultCase, default_results

STEP, LINEAR = Interpretation("step"), Interpretation("linear")
NODE = file_of("opcua-node-opcua-aggregates")["historians"]
NETSTANDARD = file_of("opcua-netstandard")


def case_of(name: str, case_id: str) -> dict[str, Any]:
    return next(case for case in file_of(name)["cases"] if case["id"] == case_id)


def flux(case_id: str, how: Interpretation = LINEAR) -> dict[str, Any]:
    """What the default says of a case of Flux's integral, as {measure: value}."""
    case = case_of("flux-integral", case_id)
    window = Window(*map(micros, case["range"]))
    measures = ["integral", "covered_s", "time_weighted_average"]
    return {
        m: v[0] for m, v in default_results(DefaultCase(points_of(case["points"]), [window], measures, how)).items()
    }


def over(rows: list[Any], spans: list[tuple[float, float]], measure: str, how: Interpretation) -> list[Any]:
    windows = [Window(micros(a), micros(b)) for a, b in spans]
    return default_results(DefaultCase(points_of(rows), windows, [measure], how))[measure]


def test_a_slope_is_not_prolonged_to_the_edges() -> None:
    # 1 until 2, down to 0 at 3, held: 2 + 0.5, where the peer falls on to -3 and says -2
    assert flux("go_interpolate3") == {"integral": 2.5, "covered_s": 6.0, "time_weighted_average": 2.5 / 6}
    # from 1 at 10 s to 0 at 30 s, held to 60 s, nothing before: 10 over 50 s, where the peer says 0
    assert flux("twa_test/RR") == {"integral": 10.0, "covered_s": 50.0, "time_weighted_average": 0.2}
    # 1 at 1 to 4 at 4, held to 5: 7.5 + 4, where the peer adds the triangle before 1 and rises on to 5
    assert flux("go_interpolate0") == {"integral": 11.5, "covered_s": 4.0, "time_weighted_average": 2.875}


def test_no_point_is_null_and_not_0() -> None:
    assert flux("go_no_points") == {"integral": None, "covered_s": 0.0, "time_weighted_average": None}


def test_one_point_counts_from_its_time_on() -> None:
    # 3 from 2 to 10; the peer says 0, or 30 with the time before
    held = {"integral": 24.0, "covered_s": 8.0, "time_weighted_average": 3.0}
    assert flux("go_single_value_no_interpolation") == held
    assert flux("go_single_value_interpolation", STEP) == held
    # -2 from 10 s to 60 s
    assert flux("integral_interpolate_single/QQ")["integral"] == -100.0


def test_no_line_is_drawn_across_a_null() -> None:
    # 2.5 + 2 + 1 held for 1 s, nothing from 4 to 5, then 4 held for 1 s
    assert flux("go_float_with_null_values") == {"integral": 9.5, "covered_s": 4.0, "time_weighted_average": 2.375}
    assert flux("go_float_with_null_values", STEP)["integral"] == 2 + 3 + 1 + 4


def test_a_state_lasts_until_the_next_point_and_is_never_minus_1() -> None:
    points = case_of("flux-state-events", "state_duration/hostA.local")["points"]
    rows = [[at, float(value > 80)] for at, value in points]
    window = Window(micros("2018-05-22T19:53:26Z"), micros("2018-05-22T19:54:26Z"))
    got = default_results(DefaultCase(points_of(rows), [window], ["time_in_state"], STEP))
    # above 80 from :36 to :56 and from :16 on, where the peer's runs of samples make 10 and 0
    assert got["time_in_state"] == [{0.0: 30.0, 1.0: 30.0}]


def test_an_interpolated_integer_stays_a_double() -> None:
    assert over(NETSTANDARD["series"]["ramp"], [(50, 73.8)], "start_value", LINEAR) == [pytest.approx(4.8766)]


def test_the_first_sample_of_a_series_is_no_transition() -> None:
    rows = case_of("opcua-netstandard", "NumberOfTransitions")["raw"]
    # 5 5 6 7: only 6 lies in [0, 3) and differs; 7 falls in the next window
    assert over(rows, [(0, 3), (3, 6)], "transitions", STEP) == [1, 1]
    mixed = NETSTANDARD["series"]["mixed_quality"]
    # 24 samples before 24 s, less 2 Bad, 2 Uncertain and the first
    assert over(mixed, [(0, 24)], "transitions", STEP) == [19]


def test_the_last_sample_holds_to_the_end_of_the_interval() -> None:
    # Historian2: Uncertain from 77, Good from 83 on; the peer counts to 90.001
    rows = NODE["Historian2"]["raw"]
    assert over(rows, [(80, 96)], "covered_s", LINEAR) == [13.0]
    assert over(rows, [(80, 96)], "pct_good", LINEAR) == [81.25]
    assert over(NODE["Historian1"]["raw"], [(80, 96)], "pct_good", LINEAR) == [100.0]


def test_good_time_counts_without_a_sample_in_the_interval() -> None:
    # Historian1: Good from 30 to 40, Bad to 50; Good from 60 to 70, Uncertain to 80
    rows, spans = NODE["Historian1"]["raw"], [(32.0, 48.0), (64.0, 80.0)]
    for uncertain in ("bad", "keep"):
        how = Interpretation("linear", uncertain=uncertain)
        assert over(rows, spans, "pct_good", how) == [50.0, 37.5]


def test_a_count_is_0_where_only_bad_samples_are() -> None:
    assert over(NODE["Historian1"]["raw"], [(32, 48)], "count", LINEAR) == [0]
    assert over(NODE["Historian3"]["raw"], [(32, 48)], "count", STEP) == [1]


def test_uncertain_is_bad_good_or_known_but_not_good() -> None:
    rows = case_of("opcua-netstandard", "PercentGood_uncertainAsBad_False")["raw"]
    # Good 0 to 5, Uncertain 5 to 10, Bad 10 to 20
    shares = {"bad": (5.0, 25.0), "good": (10.0, 50.0), "keep": (10.0, 25.0)}
    for uncertain, (covered, good) in shares.items():
        how = Interpretation("step", uncertain=uncertain)  # type: ignore[arg-type]
        assert over(rows, [(0, 20)], "covered_s", how) == [covered]
        assert over(rows, [(0, 20)], "pct_good", how) == [good]


def test_a_value_is_held_after_the_last_sample_and_unknown_after_a_bad_one() -> None:
    rows = file_of("opcua-node-opcua-interpolated-value")["raw"]
    keep = Interpretation("linear", uncertain="keep")
    # 70 held at 70 s, where a prolonged slope says 75; 55 s is Bad, where the peer steps over it
    assert over(rows, [(70, 71)], "start_value", keep) == [70.0]
    assert over(rows, [(55, 56), (54, 55)], "start_value", keep) == [None, 50.0]


def test_the_average_of_nothing_is_null_and_of_one_point_its_value() -> None:
    assert over([], [(1, 11)], "time_weighted_average", LINEAR) == [None]
    assert over([[1, 4.0]], [(1, 11)], "time_weighted_average", LINEAR) == [4.0]
