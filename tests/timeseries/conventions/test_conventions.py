"""The one door to all conventions."""

import numpy as np
import pytest

from siltstone.errors import UsageError
from siltstone.timeseries.conventions import MEASURES, RULES, evaluate
from siltstone.timeseries.interpretation import Interpretation
from siltstone.timeseries.points import Points
from support.one_series import points, values, windows

ROWS, SPANS, STEP = points((0, 1.0), (5, 2.0)), windows(0, 10, 20), Interpretation()


def test_every_measure_of_every_convention_answers_also_for_no_points_at_all() -> None:
    for convention, measures in MEASURES.items():
        assert {"time_weighted_average", "time_in_state", "count", "mean", "min", "max"} <= set(measures)
        for rows in (ROWS, points()):
            columns = evaluate(convention, rows, SPANS, measures, STEP)
            assert {len(column) for column in columns.values()} == {2}
            assert set(measures) <= set(columns)
        assert len(RULES[convention]) > 500
        assert "\n" not in RULES[convention]


def test_one_series_differs_by_convention() -> None:
    # 1 for 5 s, 2 for 5 s; the Toolkit sees first to last point, Flux the line from 1 to 2 prolonged to 3
    averages = {name: values(name, ROWS, SPANS[:1], "time_weighted_average") for name in MEASURES}
    assert averages == {"flux": [2.0], "opcua": [1.5], "sitewise": [1.5], "toolkit": [1.0]}


def test_of_two_points_with_one_time_the_peers_own_choice_counts() -> None:
    rows = points((0, 1.0), (0, 9.0), (5, 2.0))
    first = {name: values(name, rows, windows(-1, 10), "first") for name in MEASURES}
    assert first == {"flux": [1.0], "opcua": [9.0], "sitewise": [9.0], "toolkit": [1.0]}


def test_wrong_calls_say_what_would_be_right() -> None:
    with pytest.raises(UsageError, match=r"no convention pi\. Choose one of: default, flux"):
        evaluate("pi", ROWS, SPANS, ["count"], STEP)
    with pytest.raises(UsageError, match=r"flux has no measure PercentGood\. It has: integral"):
        evaluate("flux", ROWS, SPANS, ["PercentGood"], STEP)
    with pytest.raises(UsageError, match=r"opcua has no option unit_s\. It has: percent_data_good"):
        evaluate("opcua", ROWS, SPANS, ["Count"], STEP, unit_s=60)
    with pytest.raises(UsageError, match="opcua reads a series as step or linear, not as next"):
        evaluate("opcua", ROWS, SPANS, ["Count"], Interpretation("next"))
    with pytest.raises(UsageError, match="points not in time order: 1000000 us"):
        evaluate("toolkit", points((2, 1.0), (1, 1.0)), SPANS, ["count"], STEP)
    two = Points(np.array([0, 1, 2]), ROWS.ts, ROWS.value, ROWS.quality)
    with pytest.raises(UsageError, match="one series at a time, not 2"):
        evaluate("toolkit", two, SPANS, ["count"], STEP)
