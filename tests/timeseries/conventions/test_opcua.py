"""Part 13's averages over time, which the peers' own tests leave thin."""

import numpy as np

from siltstone.timeseries.conventions import evaluate
from siltstone.timeseries.interpretation import Interpretation
from support.one_series import points, values, windows

# Good 0 to 10, Bad to 20, Good from 20 on; the last sample is at 30
ROWS = points((0, 10.0), (10, 0.0, "B"), (20, 30.0), (30, 50.0))
WHOLE = windows(0, 40)


def test_time_average_draws_lines_across_bad_samples() -> None:
    # (10 + 30) / 2 x 20 + 40 x 10 + 50 held x 10, whatever the kind
    for kind in ("step", "linear"):
        assert values("opcua", ROWS, WHOLE, "TimeAverage", kind) == [(400 + 400 + 500) / 40]
    # 50 + 2 a second beyond the last sample
    assert values("opcua", ROWS, WHOLE, "Total", "linear", sloped_extrapolation=True) == [400 + 400 + 600]


def test_time_average2_leaves_bad_time_out_of_area_and_time() -> None:
    # lines: 10 held flat to the Bad sample, 20 to 30, 50 held; steps: 30 for 10 s instead of the line
    assert values("opcua", ROWS, WHOLE, "time_weighted_average", "linear") == [(100 + 400 + 500) / 30]
    assert values("opcua", ROWS, WHOLE, "TimeAverage2", "step") == [(100 + 300 + 500) / 30]
    assert values("opcua", ROWS, WHOLE, "integral", "step") == [900.0]


def test_beyond_the_data_lines_are_extrapolated_and_simple_bounds_are_no_data() -> None:
    spans = windows(-20, -10, 40, 60)[::2] + windows(-10, 0)
    columns = evaluate("opcua", ROWS, spans, ["TimeAverage", "TimeAverage2", "Count"], Interpretation("linear"))
    assert columns["TimeAverage_status"].tolist() == ["BadNoData", "UncertainDataSubNormal", "BadNoData"]
    assert columns["TimeAverage"][1] == 50.0
    assert columns["TimeAverage2_status"].tolist() == ["BadNoData"] * 3
    assert np.isnan(columns["Count"]).all()


def test_a_window_that_starts_before_the_data_is_partial() -> None:
    # lines from 0 to 10 s only: the average is over those; the time before counts as Bad
    spans = windows(-10, 10)
    assert values("opcua", ROWS, spans, "TimeAverage", "linear") == [15.0]
    assert values("opcua", ROWS, spans, "PercentBad", "linear") == [50.0]
    assert values("opcua", ROWS, spans, "DurationGood", "linear") == [10_000.0]


def test_shares_decide_between_good_sub_normal_and_bad() -> None:
    spans = windows(0, 20, 30)
    how = Interpretation("step")
    lenient = evaluate("opcua", ROWS, spans, ["TimeAverage2"], how, percent_data_good=50.0)
    strict = evaluate("opcua", ROWS, spans, ["TimeAverage2"], how, percent_data_bad=50.0)
    usual = evaluate("opcua", ROWS, spans, ["TimeAverage2"], how)
    assert lenient["TimeAverage2_status"].tolist() == ["Good", "Good"]
    assert usual["TimeAverage2_status"].tolist() == ["UncertainDataSubNormal", "Good"]
    assert strict["TimeAverage2_status"].tolist() == ["Bad", "Good"]
    np.testing.assert_array_equal(strict["TimeAverage2"], [np.nan, 30.0])


def test_without_another_word_the_data_ends_with_the_window_of_the_last_sample() -> None:
    spans = windows(20, 40, 60)
    assert values("opcua", ROWS, spans, "DurationGood") == [20_000.0, None]
    assert values("opcua", ROWS, spans, "DurationGood", data_end_us=35_000_000) == [15_000.0, None]
    assert values("opcua", ROWS, spans, "pct_good", data_end_us=50_000_000) == [100.0, 100.0]


def test_bounds_and_samples() -> None:
    spans = windows(5, 25)
    expected = {"first": None, "last": 30.0, "start_value": 15.0, "end_value": 40.0, "DeltaBounds": 25.0, "max": 30.0}
    assert {name: values("opcua", ROWS, spans, name, "linear")[0] for name in expected} == expected
    # 10 is held until 10 s, then nothing is known until 20 s
    assert values("opcua", ROWS, spans, "time_in_state") == [{10.0: 5.0, 30.0: 5.0}]
