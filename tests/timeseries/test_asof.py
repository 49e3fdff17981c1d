"""As-of joins: worked examples, and each row by itself against a search of all others."""

from datetime import UTC, datetime
from typing import Any, Literal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from siltstone.errors import UsageError
from siltstone.timeseries.asof import Direction, asof
from support.rounds import examples

T = pl.Datetime("us", "UTC")


def table(columns: str, *rows: tuple[Any, ...]) -> pl.DataFrame:
    frame = pl.DataFrame(rows, columns.split(), orient="row")
    return frame.with_columns(pl.col("ts").cast(pl.Int64()).cast(T))


LEFT = table("series_id ts load", ("a", 10, 1.0), ("b", 5, 2.0), ("a", 3, 3.0), ("a", None, 4.0), (None, 10, 5.0))
RIGHT = table(
    "series_id ts state",
    *(("a", 12, "late"), ("a", 7, "first"), ("a", 7, "again"), ("a", 10, None), ("c", 1, "other"), (None, 10, "none")),
    ("a", None, "never"),
)


def states(**options: Any) -> list[str | None]:
    """Which rows of RIGHT the rows of LEFT get, told by their time and state."""
    joined = asof(LEFT, RIGHT, **options)
    times = joined["ts_right"].to_physical()
    return [None if ts is None else f"{ts} {state}" for ts, state in zip(times, joined["state"], strict=True)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # the row of 10 matches though its state is null; b has no row; a null matches nothing
        ({}, ["10 None", None, None, None, None]),
        # of the two rows of 7, the last
        ({"allow_exact": False}, ["7 again", None, None, None, None]),
        ({"direction": "forward"}, ["10 None", None, "7 again", None, None]),
        ({"direction": "forward", "allow_exact": False}, ["12 late", None, "7 again", None, None]),
        ({"direction": "nearest", "allow_exact": False}, ["12 late", None, "7 again", None, None]),
        ({"direction": "nearest"}, ["10 None", None, "7 again", None, None]),
        # a distance of the tolerance itself is within it
        ({"direction": "forward", "tolerance_us": 4}, ["10 None", None, "7 again", None, None]),
        ({"direction": "forward", "tolerance_us": 3}, ["10 None", None, None, None, None]),
        ({"allow_exact": False, "tolerance_us": 2}, [None] * 5),
        ({"tolerance_us": 0}, ["10 None", None, None, None, None]),
        ({"how": "inner"}, ["10 None"]),
        ({"how": "inner", "direction": "forward"}, ["10 None", "7 again"]),
        (
            {"how": "right", "direction": "forward"},
            ["10 None", "7 again", "12 late", "7 first", "1 other", "10 none", None],
        ),
    ],
)
def test_which_row_is_taken(options: dict[str, Any], expected: list[str | None]) -> None:
    assert states(**options) == expected


def test_of_two_as_near_the_earlier_is_taken() -> None:
    left, right = table("ts", (10,)), table("ts v", (7, 1), (13, 2), (14, 3))
    assert asof(left, right, by=(), direction="nearest")["v"].to_list() == [1]
    assert asof(left, right.tail(2), by=(), direction="nearest")["v"].to_list() == [2]


@pytest.mark.parametrize("direction", ["backward", "forward", "nearest"])
def test_of_many_rows_at_one_time_the_last_is_taken(direction: Direction) -> None:
    right = table("series_id ts v", *(("ab"[i % 2], 7, i) for i in range(300)))
    left = table("series_id ts", ("b", 7), ("a", 7))
    assert asof(left, right, direction=direction)["v"].to_list() == [299, 298]


def test_rows_stay_in_order_with_the_columns_of_both() -> None:
    joined = asof(LEFT, RIGHT, direction="forward")
    assert_frame_equal(joined.select(LEFT.columns), LEFT)
    assert dict(joined.schema.items()) == {
        "series_id": pl.String,
        "ts": T,
        "load": pl.Float64,
        "ts_right": T,
        "state": pl.String,
    }


def test_rows_that_none_took_come_last_with_their_key() -> None:
    joined = asof(LEFT, RIGHT, how="right").tail(6)
    assert joined["series_id"].to_list() == ["a", "a", "a", "c", None, "a"]
    assert joined["load"].null_count() == 6
    assert joined["ts"].null_count() == 6


def test_one_common_series_and_names_that_both_have() -> None:
    left, right = table("ts v", (5, 1.0), (9, 2.0)), table("ts v w", (9, 3.0, 4), (4, 5.0, 6))
    expected = table("ts v ts_then v_then w", (5, 1.0, 4, 5.0, 6), (9, 2.0, 9, 3.0, 4))
    found = asof(left, right, by=(), suffix="_then")
    assert_frame_equal(found, expected.with_columns(pl.col("ts_then").cast(T)))


def test_keys_of_several_columns() -> None:
    left = table("site device ts", ("x", "1", 5), ("x", "2", 5), ("y", "1", 5))
    right = table("site device ts v", ("x", "1", 4, 1), ("y", "1", 3, 2), ("x", None, 5, 3))
    assert asof(left, right, by=("site", "device"))["v"].to_list() == [1, None, 2]


def test_times_of_other_units_meet() -> None:
    noon = datetime(2025, 12, 10, 12, tzinfo=UTC)
    left = pl.DataFrame({"ts": pl.Series([noon]).cast(pl.Datetime("ns", "UTC"))})
    right = pl.DataFrame({"ts": pl.Series([noon.replace(minute=1)]).cast(pl.Datetime("ms", "Asia/Makassar")), "v": [1]})
    for tolerance_us, expected in ((60_000_000, 1), (59_999_999, None)):
        assert asof(left, right, by=(), direction="forward", tolerance_us=tolerance_us)["v"].to_list() == [expected]


@pytest.mark.parametrize("how", ["left", "inner", "right"])
def test_empty_tables(how: Literal["left", "inner", "right"]) -> None:
    rows = {"left": (5, 0), "inner": (0, 0), "right": (0, 7)}[how]
    assert (asof(LEFT, RIGHT.head(0), how=how).height, asof(LEFT.head(0), RIGHT, how=how).height) == rows


@pytest.mark.parametrize(
    ("left", "right", "options", "message"),
    [
        (LEFT, RIGHT.drop("ts"), {}, "^as-of join: the right table has no column ts. Join by one that both have"),
        (LEFT, RIGHT, {"by": ("device",)}, "the left table has no column device"),
        (LEFT, RIGHT.cast({"series_id": pl.Categorical}), {}, "series_id is String on the left and Categorical on"),
        (LEFT, RIGHT.cast({"ts": pl.Int64}), {}, "ts is Datetime.* on the left and Int64 on the right. Cast both"),
        (LEFT, RIGHT.cast({"ts": pl.Datetime("us")}), {}, "Cast both to timestamps with a zone"),
        (LEFT.cast({"ts": pl.Float64}), RIGHT.cast({"ts": pl.Float64}), {}, "ts is Float64"),
        (LEFT, RIGHT, {"suffix": ""}, "^as-of join: ts would stand twice in the result. Give another `suffix`"),
        (LEFT, RIGHT.rename({"state": "ts_right"}), {}, "ts_right would stand twice"),
    ],
)
def test_columns_that_do_not_fit_are_refused(
    left: pl.DataFrame, right: pl.DataFrame, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        asof(left, right, **options)


Row = tuple[str | None, int | None]


def one_by_one(row: Row, events: list[Row], direction: str, tolerance: int | None, allow_exact: bool) -> int | None:
    """The definition, row by row: the place of the event."""
    best: tuple[int, bool, int] | None = None
    for place, (key, ts) in enumerate(events):
        if None in (*row, key, ts) or key != row[0] or ts is None or row[1] is None:
            continue
        away = ts - row[1]
        is_wrong_side = (direction == "backward" and away > 0) or (direction == "forward" and away < 0)
        is_out = (tolerance is not None and abs(away) > tolerance) or (away == 0 and not allow_exact)
        rank = (abs(away), away > 0, -place)
        if not is_wrong_side and not is_out and (best is None or rank < best):
            best = rank
    return None if best is None else -best[2]


ROWS = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c", None]), st.one_of(st.integers(-9, 9), st.none())), max_size=12
)


@settings(deadline=None, max_examples=examples(150))
@given(
    ROWS,
    ROWS,
    st.sampled_from(["backward", "forward", "nearest"]),
    st.sampled_from([None, 0, 1, 4]),
    st.booleans(),
)
def test_every_row_gets_what_the_definition_says(
    left: list[Row], right: list[Row], direction: Direction, tolerance: int | None, allow_exact: bool
) -> None:
    schema = {"series_id": pl.String, "ts": pl.Int64}
    events = pl.DataFrame(right, schema, orient="row").with_row_index("place")
    joined = asof(
        *(pl.DataFrame(left, schema, orient="row"), events),
        direction=direction,
        tolerance_us=tolerance,
        allow_exact=allow_exact,
    )
    expected = [one_by_one(row, right, direction, tolerance, allow_exact) for row in left]
    assert joined["place"].to_list() == expected
