"""What is known between buckets, worked by hand, and as the rows say it that --empty carry gives those buckets."""

import json
import math
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from siltstone.aggregation.aggregate import aggregate_table
from siltstone.aggregation.read_plan import Period
from siltstone.aggregation.spec import MEASURES, AggregateSpec, rows_of
from siltstone.config.load import load_config
from siltstone.config.series_rules import load_interpretations
from siltstone.plotting import picture
from siltstone.plotting.gap_marks import gap_text
from siltstone.plotting.gaps import Gap, gaps_of
from siltstone.plotting.panels import panel_of
from siltstone.plotting.series_rows import SeriesPatterns, open_aggregates, read_series
from siltstone.timeseries.interpretation import Interpretation
from siltstone.timeseries.points import BAD, GOOD, UNCERTAIN
from support.aggregates import Aggregates, us
from support.fleet import quiet
from support.plant import Plant
from support.readings_table import Readings, reading

MINUTE, HOUR = 60_000_000, 3_600_000_000
OPENXC = str(Path(__file__).parents[2] / "conf/examples/openxc.yaml")


def bucket(hour: int, first: tuple[int, float, int], last: tuple[int, float, int], **more: Any) -> dict[str, Any]:
    """An hour whose first and last points are given: minutes after midnight, value, quality."""
    state = {
        f"{which}_{part}": value
        for which, point in (("first", (first[0] * MINUTE, *first[1:])), ("last", (last[0] * MINUTE, *last[1:])))
        for part, value in zip(("ts", "value", "quality"), point, strict=True)
    }
    about = {"bucket_start": hour * HOUR, "bucket_end": (hour + 1) * HOUR, "carried_in": False}
    return {**about, "state": {**state, "texts": None}, **more}


def frame(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema_overrides={"state": pl.Struct({
        "first_ts": pl.Int64, "first_value": pl.Float64, "first_quality": pl.Int8,
        "last_ts": pl.Int64, "last_value": pl.Float64, "last_quality": pl.Int8,
        "texts": pl.List(pl.Struct({"value": pl.Float64, "text": pl.String})),
    })})  # fmt: skip


def known(found: tuple[Gap, ...]) -> list[tuple[Any, ...]]:
    """Of each gap: from and to in hours, known from and to, first and last value."""
    return [
        (*(us / HOUR for us in (g.start, g.end, g.known_from, g.known_to)), g.first, g.last)
        if g.is_known
        else (g.start / HOUR, g.end / HOUR, "unknown")
        for g in found
    ]


POINTS = [bucket(0, (10, 1.0, GOOD), (30, 2.0, GOOD)), bucket(3, (180, 7.0, GOOD), (200, 8.0, GOOD))]


@pytest.mark.parametrize(
    ("how", "between", "behind"),
    [
        # the next point lies at the very start of its bucket, which carried_in does not tell
        (Interpretation(), (1, 3, 1, 3, 2.0, 2.0), (4, 6, 4, 6, 8.0, 8.0)),
        (Interpretation("counter"), (1, 3, 1, 3, 2.0, 2.0), (4, 6, 4, 6, 8.0, 8.0)),
        # 90 minutes after 0:30 and after 3:20
        (Interpretation(max_hold_us=90 * MINUTE), (1, 3, 1, 2, 2.0, 2.0), (4, 6, 4, 290 / 60, 8.0, 8.0)),
        (Interpretation(max_hold_us=20 * MINUTE), (1, 3, "unknown"), (4, 6, "unknown")),
        # 2 at 0:30, 7 at 3:00: 2 an hour
        (Interpretation("linear"), (1, 3, 1, 3, 3.0, 7.0), (4, 6, 4, 6, 8.0, 8.0)),
        (Interpretation("linear", max_gap_us=HOUR), (1, 3, 1, 3, 2.0, 2.0), (4, 6, 4, 6, 8.0, 8.0)),
        (Interpretation("next", max_hold_us=90 * MINUTE), (1, 3, 1.5, 3, 7.0, 7.0), (4, 6, "unknown")),
        (Interpretation("bucketed"), (1, 3, "unknown"), (4, 6, "unknown")),
    ],
)
def test_between_buckets_the_value_is_read_as_the_series_is(how: Interpretation, between: Any, behind: Any) -> None:
    assert known(gaps_of(frame(*POINTS), how, 6 * HOUR)) == [between, behind]


def test_after_a_bad_point_nothing_is_known_and_uncertain_ones_are_told_apart() -> None:
    rows = [bucket(0, (1, 5.0, GOOD), (2, 0.0, BAD)), bucket(2, (130, 5.0, UNCERTAIN), (130, 5.0, UNCERTAIN)),
            bucket(4, (250, 6.0, GOOD), (250, 6.0, GOOD))]  # fmt: skip
    found = gaps_of(frame(*rows), Interpretation(), 5 * HOUR)
    assert known(found) == [(1, 2, "unknown"), (3, 4, 3, 4, 5.0, 5.0)]
    assert not found[1].is_good
    assert known(gaps_of(frame(*rows), Interpretation(), 5 * HOUR, only_good=True))[1] == (3, 4, "unknown")


@pytest.mark.parametrize(("kind", "behind"), [("step", 1), ("counter", 1), ("linear", 0), ("next", 0)])
def test_where_later_rows_are_not_read_the_last_one_tells_of_what_holds_alone(kind: Any, behind: int) -> None:
    # a line goes from 8 at 3:20 to a point in a bucket after 6 o'clock that nobody read
    cut = gaps_of(frame(*POINTS), Interpretation(kind), 9 * HOUR, end_us=6 * HOUR)
    assert len(cut) == 1 + behind
    assert len(gaps_of(frame(*POINTS), Interpretation(kind), 6 * HOUR, end_us=6 * HOUR)) == 2


def test_buckets_that_touch_have_no_gap_and_rows_without_points_tell_of_none() -> None:
    no_points = {**POINTS[1], "bucket_start": HOUR, "bucket_end": 2 * HOUR, "state": None}
    assert gaps_of(frame(POINTS[0], no_points), Interpretation(), 2 * HOUR) == ()
    assert gaps_of(frame(POINTS[0], no_points, POINTS[1]), Interpretation(), 4 * HOUR) == ()
    assert gaps_of(frame(POINTS[0]).clear(), Interpretation(), HOUR) == ()


def test_what_is_carried_into_the_first_bucket_holds_from_where_the_picture_begins() -> None:
    carried = bucket(3, (190, 7.0, GOOD), (200, 8.0, GOOD), carried_in=True, start_value=4.0)
    step = Interpretation()
    assert known(gaps_of(frame(carried), step, 4 * HOUR, begin_us=HOUR)) == [(1, 3, 1, 3, 4.0, 4.0)]
    (untold,) = gaps_of(frame(carried).drop("start_value"), step, 4 * HOUR, begin_us=HOUR)
    assert (untold.is_known, untold.is_good, math.isnan(untold.first), untold.state) == (True, True, True, "")
    assert gaps_of(frame(carried), step, 4 * HOUR) == ()
    assert gaps_of(frame({**carried, "carried_in": False}), step, 4 * HOUR, begin_us=HOUR) == ()
    assert gaps_of(frame(carried), Interpretation("linear"), 4 * HOUR, begin_us=HOUR) == ()


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (Interpretation(), "2 holds"),
        (Interpretation(max_hold_us=90 * MINUTE), "2 holds until 1 Jan 1970 02:00, then nothing is known"),
        (Interpretation("next", max_hold_us=90 * MINUTE), "7 holds from 1 Jan 1970 01:30 on"),
        (Interpretation("linear"), "a line from 3 to 7"),
        (Interpretation(max_hold_us=MINUTE), "nothing is known"),
    ],
)
def test_a_gap_in_words(how: Interpretation, words: str) -> None:
    rows = frame(*({**p, "pct_good": 100.0, "n": 1, "provisional": False, "min": 1.0} for p in POINTS))
    gaps = gaps_of(rows, how, 4 * HOUR)
    panel = panel_of("level", (), how.kind, "min", rows, gaps)
    span = 0, 4 * HOUR
    assert gap_text(panel, gaps[0], span, "UTC") == f"1 Jan 1970 01:00 to 03:00\nno points, so no buckets\n{words}"
    of_points_alone = panel_of("level", (), how.kind, "n", rows, gaps)
    assert gap_text(of_points_alone, gaps[0], span, "UTC").endswith("no buckets")


RULES = """
measurements:
- {match: {measurement: "* line"}, kind: linear, max_gap: 2h, max_hold: 40m}
- {match: {measurement: "* next"}, kind: next, max_hold: 100m}
- {match: {measurement: "* held"}, kind: step, max_hold: 100m}
"""
MINUTES = [(0, 1.0), (7, 2.0), (95, 5.0), (300, 4.0), (315, 4.0), (600, 9.0)]


def test_the_gaps_of_a_table_are_what_carried_buckets_say(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    names = ("a line", "b next", "c held", "d step", "e text")
    lines = [
        {"timestamp": 1_764_568_800 + 60 * minute, "name": name, "value": str(value) if name == "e text" else value}
        for name in names
        for minute, value in MINUTES
    ] + [{"timestamp": 1_764_568_800 + 60 * 720, "name": "a line", "value": 3.0}]
    plant.deliver("records", {"a.json": "\n".join(map(json.dumps, lines)).encode()})
    plant.compact("records.openxc", conf=[OPENXC])
    (tmp_path / "rules.yaml").write_text(RULES)
    rules = rows_of(load_interpretations(str(tmp_path / "rules.yaml")))
    carried, *_ = tables = [
        AggregateSpec("15m", measures=(*MEASURES, "time_in_state"), rules=rules, empty=empty)  # type: ignore[arg-type]
        for empty in ("carry", "skip")
    ]
    for terms in tables:
        out, config = str(plant.lake / terms.empty), plant.config()
        aggregate_table(str(plant.lake / "readings"), out, terms, Period(), config, plant.engine, quiet)
    rows = pl.read_delta(str(plant.lake / carried.empty)).filter(pl.col("n") + pl.col("n_bad") == 0)
    rows = rows.with_columns(pl.col("bucket_start", "bucket_end").dt.epoch("us"))
    found = open_aggregates(str(plant.lake / "skip"), plant.config())
    series = read_series(found, SeriesPatterns(), Period(), None)
    gaps = {
        s.series_id: gaps_of(
            s.rows, found.terms.interpretations.of(s.source, s.device_id, s.measurement, s.series_id),
            found.watermark_us
        )
        for s in series
    }  # fmt: skip
    checked = dict.fromkeys(names, 0)
    for row in rows.iter_rows(named=True):
        name, start, end = row["series_id"], row["bucket_start"], row["bucket_end"]
        (gap,) = [g for g in gaps[name] if g.start <= start and end <= g.end]
        known_us = max(0, min(end, gap.known_to) - max(start, gap.known_from))
        assert row["covered_s"] == known_us / 1e6, (name, row["bucket_start"])
        for instant, value in ((start, row["start_value"]), (end, row["end_value"])):
            if value is not None:
                share = (instant - gap.known_from) / (gap.known_to - gap.known_from)
                assert value == pytest.approx(gap.first + share * (gap.last - gap.first))
                checked[name] += 1
        if name == "e text":
            assert [gap.state] == list(row["time_in_state"])
            checked[name] += 1
    assert min(checked.values()) > 3, checked


def test_a_picture_from_inside_a_bucket_on_begins_with_the_next_one(tmp_path: Path) -> None:
    lake = Readings(str(tmp_path / "lake"))
    times = {"07:00": 1.0, "08:45": 5.0, "12:10": 6.0}
    lake.add([reading("a", f"2025-12-01T{time}", value) for time, value in times.items()])
    output = Aggregates(tmp_path / "hourly", tmp_path / "lake" / "readings")
    output.run("1h", ["start_value"])
    found, period = open_aggregates(str(output.root), load_config()), Period(us("2025-12-01 08:30"))
    (series,) = read_series(found, SeriesPatterns(), period, None)
    first, *_ = picture._panel(series, found, period, None).gaps
    assert (first.known_from, first.known_to, first.first) == (us("2025-12-01 09:00"), us("2025-12-01 12:00"), 5.0)
