"""Time weights with and without the neighbouring windows."""

from support.one_series import points, values, windows

ROWS = points((2, 4.0), (6, 8.0), (12, 2.0), (31, 6.0))
SPANS = windows(0, 10, 20, 30, 40)


def test_without_bounds_a_window_knows_first_to_last_point() -> None:
    # 4 for 4 s; one point has no length; nothing
    assert values("toolkit", ROWS, SPANS, "average") == [4.0, None, None, None]
    assert values("toolkit", ROWS, SPANS, "integral") == [16.0, 0.0, None, 0.0]
    assert values("toolkit", ROWS, SPANS, "average", "linear") == [6.0, None, None, None]


def test_with_bounds_the_last_value_is_carried_from_the_window_before() -> None:
    # 4 x 4 + 8 x 4 from 2 s on; 8 x 2 + 2 x 8; empty; an empty window before: 6 x 9 from 31 s on
    assert values("toolkit", ROWS, SPANS, "interpolated_integral") == [48.0, 32.0, None, 54.0]
    assert values("toolkit", ROWS, SPANS, "time_weighted_average", bounds="neighbour") == [6.0, 3.2, None, 6.0]
    states = values("toolkit", ROWS, SPANS, "time_in_state", bounds="neighbour")
    assert states == [{4.0: 4.0, 8.0: 4.0}, {2.0: 8.0, 8.0: 2.0}, None, {6.0: 9.0}]


def test_with_bounds_a_line_reaches_an_edge_only_where_the_next_window_has_a_point() -> None:
    # at 10 s the line from 8 to 2 stands at 4: 24 + (8 + 4) / 2 x 4; then (4 + 2) / 2 x 2, and it stops at 12 s
    assert values("toolkit", ROWS, SPANS, "interpolated_integral", "linear") == [48.0, 6.0, None, 0.0]
    assert values("toolkit", ROWS, SPANS, "interpolated_average", "linear") == [6.0, 3.0, None, None]


def test_bad_points_leave_no_gap_and_the_first_of_one_time_wins() -> None:
    rows = points((0, 1.0), (4, 9.0, "B"), (6, 3.0), (6, 100.0), (8, 0.0))
    # 1 x 6 + 3 x 2
    assert values("toolkit", rows, windows(0, 10), "integral") == [12.0]
    assert values("toolkit", rows, windows(0, 10), "count") == [3.0]


def test_minus_zero_is_the_state_of_zero() -> None:
    rows = points((0, -0.0), (4, 0.0), (6, -0.0), (8, 1.0))
    assert str(values("toolkit", rows, windows(0, 10), "time_in_state")) == "[{0.0: 8.0}]"
