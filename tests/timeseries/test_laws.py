"""What must hold of every series: the kernel against the exact reference, and against itself, cut in other ways."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from siltstone.timeseries import kernel
from siltstone.timeseries.interpretation import Interpretation
from siltstone.timeseries.intervals import SeriesRules
from siltstone.timeseries.measures import measures_of
from siltstone.timeseries.points import BAD, GOOD, UNCERTAIN, Points
from siltstone.timeseries.states import COLUMNS, OF_MEASURE, OPTIONAL, States, concat_states, fields_of, merge_states
from support import reference
from support.rounds import examples
from support.strategies import DAY, HOUR, MINUTE, Case, Every, cases, points_of, splits

Row = dict[str, Any]
EXACT = ["transitions", "count", "n", "n_bad", "carried_in", "first", "last", "first_ts", "last_ts"]
VALUES = ["time_weighted_average", "start_value", "end_value", "min", "max", "mean"]
DEVIATIONS = ["stddev", "time_weighted_stddev"]


# --- the doors of the kernel, as these tests use them ---


def states_of(points: Points, interpretations: Sequence[Interpretation], width: int) -> Any:
    return kernel.states(points, interpretations, Every(width), times=True)


def put_together(found: Sequence[Any], interpretations: Sequence[Interpretation]) -> Any:
    return merge_states(concat_states(found), SeriesRules.of(list(interpretations)))


def rolled(states: Any, interpretations: Sequence[Interpretation], fine: int, coarse: int) -> Any:
    coarser = (pl.col("bucket") * fine // coarse).alias("bucket")
    frames = (frame.with_columns(coarser) for frame in (states.rows, states.times, states.sketch))
    return put_together([States(*frames)], interpretations)


def told(states: Any, case: Case, width: int, empty: str = "skip") -> list[Row]:
    """A dict for each row in order, time_in_state in it."""
    found = measures_of(states, case.interpretations, Every(width), case.watermark, empty=empty)
    times: dict[tuple[int, int], dict[float, float]] = {}
    for series, bucket, value, us in found.times.select("series", "bucket", "value", "us").iter_rows():
        times.setdefault((series, bucket), {})[value] = us / 1e6
    rows = found.rows.to_dicts()
    return [row | {"time_in_state": times.get((row["series"], row["bucket"]), {})} for row in rows]


def directly(case: Case, width: int, empty: str = "skip") -> list[Row]:
    return told(states_of(case.points, case.interpretations, width), case, width, empty)


# --- what is compared ---


def assert_near(row: Row, other: Row, scale: float, relative: float, name: str = "") -> None:
    """All measures of two rows; those of values are as near as rounding of numbers of that scale lets them be."""
    where = f"{name} series {row['series']} bucket {row['bucket']}"
    assert [row[key] for key in ("series", "bucket", "bucket_start", "bucket_end")] == [
        other[key] for key in ("series", "bucket", "bucket_start", "bucket_end")
    ]
    for key in EXACT:
        assert row[key] == other[key], f"{where}: {key}"
    assert row["time_in_state"] == pytest.approx(other["time_in_state"], rel=1e-15), where
    for key in ("covered_s", "good_s"):
        assert math.isclose(row[key], other[key], rel_tol=1e-15), f"{where}: {key}: {row[key]}, {other[key]}"
    tolerances = dict.fromkeys([*VALUES, *DEVIATIONS], scale * relative)
    tolerances["integral"] = scale * relative * max(1.0, row["covered_s"])
    tolerances["sum"] = tolerances["increase"] = scale * relative * max(1, row["n"])
    tolerances["pct_good"] = 100 * relative
    for key, tolerance in tolerances.items():
        a, b = row[key], other[key]
        assert (a is None) == (b is None), f"{where}: {key}: {a}, {b}"
        assert a is None or math.isclose(a, b, rel_tol=0, abs_tol=tolerance), f"{where}: {key}: {a}, {b}"


def expected(case: Case, width: int, empty: str) -> list[Row]:
    """The rows of the reference, its fractions as doubles."""
    found = []
    for number, (series, read) in enumerate(zip(case.series, case.interpretations, strict=True)):
        with_points = sorted({ts // width for ts, _, _ in series})
        newest = max(with_points[-1], (case.watermark - 1) // width)
        buckets = with_points if empty == "skip" else list(range(with_points[0], newest + 1))
        windows = [(bucket * width, (bucket + 1) * width) for bucket in buckets]
        for bucket, window, row in zip(
            buckets, windows, reference.rows(series, read, windows, case.watermark), strict=True
        ):
            keys = {"series": number, "bucket": bucket, "bucket_start": window[0], "bucket_end": window[1]}
            found.append(keys | {key: as_double(value) for key, value in row.items()})
    return [
        row | {name: row[f"{name}_squared"] and math.sqrt(row[f"{name}_squared"]) for name in DEVIATIONS}
        for row in found
    ]


def as_double(value: Any) -> Any:
    if isinstance(value, dict):
        return {float(k): float(v) for k, v in value.items()}
    return value if value is None or isinstance(value, bool | int) else float(value)


# --- the laws ---

BEGINS_AT_AN_EDGE = Case(
    [[(0, 0.0, GOOD), (2 * HOUR, 0.0, GOOD)]], [Interpretation("next", max_hold_us=HOUR)], 2 * HOUR
)
"""Known from the edge of a bucket on, which has no point and to which nothing is carried."""

AT_THE_LIMITS = Case(
    [
        [(0, 1.0, GOOD), (MINUTE, 3.0, UNCERTAIN), (2 * MINUTE, 5.0, GOOD), (3 * MINUTE, 4.0, GOOD)],
        [(0, 5.0, GOOD), (30 * MINUTE, 2.0, GOOD), (40 * MINUTE, 9.0, BAD), (50 * MINUTE, 2.0, GOOD)],
    ],
    [Interpretation("linear", max_gap_us=MINUTE, max_hold_us=2 * MINUTE, uncertain="keep"), Interpretation("counter")],
    2 * HOUR,
)
"""Gaps as long as the longest that a line crosses; the watermark on the edge of a bucket; a restart; a bad point."""


@settings(max_examples=examples(50), deadline=None)
@example(BEGINS_AT_AN_EDGE, HOUR, "carry")
@example(AT_THE_LIMITS, HOUR, "carry")
@given(cases(), st.sampled_from([HOUR, 7 * HOUR, DAY]), st.sampled_from(["skip", "carry"]))
def test_every_measure_is_the_references(case: Case, width: int, empty: str) -> None:
    rows, wanted = directly(case, width, empty), expected(case, width, empty)
    assert [(r["series"], r["bucket"]) for r in rows] == [(r["series"], r["bucket"]) for r in wanted]
    for row, want in zip(rows, wanted, strict=True):
        assert_near(row, want, case.scale, 1e-11, "reference:")
        for key in ("min", "max"):
            # where rounding chose another extreme, or made one of the ends as extreme, another time is right
            if row[key] == want[key] and row[key] not in (row["start_value"], row["end_value"]):
                assert row[f"{key}_ts"] == want[f"{key}_ts"]


@settings(max_examples=examples(20), deadline=None)
@example(AT_THE_LIMITS, "carry")
@given(cases(), st.sampled_from(["skip", "carry"]))
def test_minutes_rolled_up_to_hours_and_days_are_the_days(case: Case, empty: str) -> None:
    ways = case.interpretations
    hours = rolled(states_of(case.points, ways, MINUTE), ways, MINUTE, HOUR)
    for row, want in zip(told(hours, case, HOUR), directly(case, HOUR), strict=True):
        assert_near(row, want, case.scale, 1e-12, "1m to 1h:")
    days = rolled(hours, ways, HOUR, DAY)
    for row, want in zip(told(days, case, DAY, empty), directly(case, DAY, empty), strict=True):
        assert_near(row, want, case.scale, 1e-12, "1m to 1h to 1d:")


@settings(max_examples=examples(20), deadline=None)
@given(st.data(), cases(), st.sampled_from([MINUTE, HOUR, DAY]))
def test_any_split_by_time_gives_the_same(data: st.DataObject, case: Case, width: int) -> None:
    chunks = data.draw(splits(case.series))
    found = [states_of(points_of(chunk), case.interpretations, width) for chunk in chunks]
    whole = put_together(found, case.interpretations)
    for row, want in zip(told(whole, case, width), directly(case, width), strict=True):
        assert_near(row, want, case.scale, 1e-12, "split:")


@settings(max_examples=examples(20), deadline=None)
@example(AT_THE_LIMITS, "min_ts", "carry")
@given(cases(), st.sampled_from([*OF_MEASURE, "integral"]), st.sampled_from(["skip", "carry"]))
def test_a_measure_alone_is_what_it_is_among_all(case: Case, measure: str, empty: str) -> None:
    """Minutes that hold what it needs and nothing else, rolled up to hours."""
    fields, ways = fields_of([measure]), case.interpretations
    minutes = kernel.states(case.points, ways, Every(MINUTE), fields=fields)
    assert set(minutes.rows.columns) == (set(COLUMNS) - OPTIONAL) | fields
    alone = told(rolled(minutes, ways, MINUTE, HOUR), case, HOUR, empty)
    among = told(rolled(states_of(case.points, ways, MINUTE), ways, MINUTE, HOUR), case, HOUR, empty)
    shared = ("series", "bucket", measure, "n", "n_bad", "covered_s", "good_s", "carried_in", "first_ts", "last_ts")
    assert [[row[name] for name in shared] for row in alone] == [[row[name] for name in shared] for row in among]
    told_of = {name for name, needed in OF_MEASURE.items() if fields.issuperset(needed)}
    assert told_of == {name for name in OF_MEASURE if name in alone[0]}


@settings(max_examples=examples(20), deadline=None)
@given(cases(max_series=1), st.sampled_from([HOUR, 5 * HOUR]))
def test_integrals_of_the_parts_add_up_to_that_of_the_whole(case: Case, width: int) -> None:
    rows = directly(case, width, "carry")
    all_time = 2_000 * 365 * DAY
    wholes = directly(case, all_time, "carry")  # two, where the series begins before 1970
    whole_s = sum(w["covered_s"] for w in wholes)
    assert math.isclose(sum(p["covered_s"] for p in rows), whole_s, rel_tol=1e-12, abs_tol=1e-6)
    added, whole = sum(p["integral"] or 0.0 for p in rows), sum(w["integral"] or 0.0 for w in wholes)
    assert math.isclose(added, whole, rel_tol=0, abs_tol=1e-12 * case.scale * max(1.0, whole_s))


@settings(max_examples=examples(20), deadline=None)
@given(cases("step", "counter", "linear", "next"), st.sampled_from([HOUR, DAY]))
def test_averages_lie_between_the_extremes_and_states_fill_the_covered_time(case: Case, width: int) -> None:
    slack = 1e-12 * case.scale
    for row in directly(case, width, "carry"):
        if row["time_weighted_average"] is not None:
            assert row["min"] - slack <= row["time_weighted_average"] <= row["max"] + slack
        assert 0 <= row["good_s"] <= row["covered_s"] <= (row["bucket_end"] - row["bucket_start"]) / 1e6
        if case.interpretations[row["series"]].kind != "linear":
            assert math.isclose(sum(row["time_in_state"].values()), row["covered_s"], rel_tol=1e-12, abs_tol=1e-9)


@settings(max_examples=examples(20), deadline=None)
@given(cases(), st.sampled_from([-17.0, 0.25, 4096.0]), st.integers(-50, 50))
def test_a_constant_moves_values_only_and_a_shift_times_only(case: Case, constant: float, buckets: int) -> None:
    plain = replace(case, interpretations=[replace(i, sentinels=()) for i in case.interpretations])
    higher = replace(plain, series=[[(ts, v + constant, q) for ts, v, q in one] for one in plain.series])
    for row, other in zip(directly(plain, HOUR), directly(higher, HOUR), strict=True):
        assert [row[key] for key in ("covered_s", "good_s", "n")] == [other[k] for k in ("covered_s", "good_s", "n")]
        if row["time_weighted_average"] is None:
            assert other["time_weighted_average"] is None
        else:
            moved = other["time_weighted_average"] - row["time_weighted_average"]
            assert math.isclose(moved, constant, rel_tol=0, abs_tol=1e-12 * higher.scale)
    by = buckets * HOUR
    later = replace(
        plain, series=[[(ts + by, v, q) for ts, v, q in one] for one in plain.series], watermark=case.watermark + by
    )
    for row, other in zip(directly(plain, HOUR), directly(later, HOUR), strict=True):
        back = {"bucket": -buckets} | dict.fromkeys(TIMES, -by)
        assert row == {k: v if v is None else v + back.get(k, 0) if k in back else v for k, v in other.items()}


TIMES = ("bucket_start", "bucket_end", "min_ts", "max_ts", "first_ts", "last_ts")
