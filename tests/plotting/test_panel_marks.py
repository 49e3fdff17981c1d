"""What is drawn of a series, in pixels worked by hand."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from siltstone.plotting.gap_marks import gap_text
from siltstone.plotting.gaps import Gap
from siltstone.plotting.layout import Heading, bounds_of, scene_of
from siltstone.plotting.palette import GOOD, MISSING, REST, STATES, VALUE
from siltstone.plotting.panel_marks import marks_of
from siltstone.plotting.panels import Panel, panel_of
from siltstone.plotting.scene import Area, Box, Dot, Frame, Label, Line, Mark

HOUR = 3_600_000_000
FRAME = Frame(left=0, right=400, top=0, bottom=100, span=(0, 4 * HOUR), low=0, high=10)  # 100 px an hour, 10 px a unit


def panel(*rows: Any, kind: Any = "step", measure: str = "mean", gaps: tuple[Gap, ...] = ()) -> Panel:
    """Rows of (hour, value, min, max) and what else differs from a good final bucket."""
    usual = {"pct_good": 100.0, "n": 1, "provisional": False}
    told = [
        {
            **usual, "bucket_start": hour * HOUR, "bucket_end": (hour + 1) * HOUR, measure: value,
            "min": low, "max": high, **(more[0] if more else {}),
        }
        for hour, value, low, high, *more in rows
    ]  # fmt: skip
    return panel_of("level", ("tank",), kind, measure, pl.DataFrame(told, strict=False), gaps)


def drawn(shown: Panel, kind: type[Mark], colours: dict[str, str] | None = None) -> list[Any]:
    marks = marks_of(shown, FRAME, colours or {}, strip=(105, 8), zone="UTC")
    return [m for m in marks if isinstance(m, kind) and not (isinstance(m, Box) and m.tip)]


def points(marks: Sequence[Any]) -> list[list[tuple[float, float]]]:
    return [list(m.points) for m in marks]


ROWS = [(0, 2.0, 1.0, 3.0), (1, 4.0, 4.0, 4.0), (3, 6.0, 5.0, 9.0)]


def test_steps_hold_from_start_to_end_and_cross_no_missing_bucket() -> None:
    shown = panel(*ROWS)
    assert points(drawn(shown, Line)) == [[(0, 80), (100, 80), (100, 60), (200, 60)], [(300, 40), (400, 40)]]
    upper, lower = [(300.0, 10.0), (400.0, 10.0)], [(400.0, 50.0), (300.0, 50.0)]
    assert points(drawn(shown, Area))[1] == [*upper, *lower]


def test_slopes_join_middles_and_a_value_alone_is_a_dot() -> None:
    shown = panel(*ROWS, kind="linear")
    assert points(drawn(shown, Line)) == [[(50, 80), (150, 60)]]
    assert [(d.x, d.y) for d in drawn(shown, Dot)] == [(50, 80), (150, 60), (350, 40)]


HELD = Gap(1, 2 * HOUR, 3 * HOUR, 2 * HOUR, 3 * HOUR, 3.0, 3.0, "3", is_good=True)
PARTLY = replace(HELD, known_to=5 * HOUR // 2)
LONG = Gap(2, 4 * HOUR, 9 * HOUR, 4 * HOUR, 9 * HOUR, 6.0, 6.0, "6", is_good=True)


def test_what_holds_between_buckets_is_a_thin_line_joined_to_what_it_touches() -> None:
    shown = panel(*ROWS, measure="time_weighted_average", gaps=(HELD,))
    (thin,) = [line for line in drawn(shown, Line) if line.width < 1.5]
    assert points([thin]) == [[(200, 60), (200, 70), (300, 70), (300, 40)]]
    shown = panel(*ROWS, measure="time_weighted_average", gaps=(PARTLY, LONG))  # the second is outside of the picture
    (thin,) = [line for line in drawn(shown, Line) if line.width < 1.5]
    assert points([thin]) == [[(200, 60), (200, 70), (250, 70)]]
    of_points_alone = panel(*ROWS, gaps=(HELD,))
    assert [line for line in drawn(of_points_alone, Line) if line.width < 1.5] == []


def test_a_line_goes_on_between_buckets_from_where_it_is_drawn_in_them() -> None:
    sloped = replace(HELD, first=4.0, last=5.0)
    shown = panel(*ROWS, kind="linear", measure="time_weighted_average", gaps=(sloped,))
    (thin,) = [line for line in drawn(shown, Line) if line.width < 1.5]
    assert points([thin]) == [[(150, 60), (200, 60), (300, 50), (350, 40)]]


def test_the_strip_goes_on_between_buckets() -> None:
    boxes = drawn(panel(*ROWS, gaps=(PARTLY,)), Box)
    assert [(b.fill, b.x, b.width) for b in boxes if b.y == 105] == [
        (GOOD, 0, 200), (GOOD, 300, 100), (GOOD, 200, 50), (MISSING, 250, 50)
    ]  # fmt: skip
    boxes = drawn(panel(*ROWS, gaps=(replace(HELD, is_good=False),)), Box)
    assert [(b.fill, b.x, b.width) for b in boxes if b.y == 105][2:] == [(MISSING, 200, 100)]
    totals = panel(*ROWS, kind="bucketed", measure="sum", gaps=(replace(HELD, known_to=HELD.start),))
    assert [b for b in drawn(totals, Box) if b.y == 105] == [], "no time is covered by totals, and none is missing"


def test_a_text_that_holds_is_no_number_to_draw() -> None:
    text = replace(HELD, first=math.nan, last=math.nan, state="off")
    shown = panel(*ROWS, measure="time_weighted_average", gaps=(text,))
    assert [line for line in drawn(shown, Line) if line.width < 1.5] == []
    assert bounds_of(shown, FRAME.span)[1] < 10
    assert gap_text(shown, text, FRAME.span, "UTC").endswith("\noff holds")
    assert [b.x for b in drawn(shown, Box) if b.fill == GOOD] == [0, 300, 200], "it covers the time"


def test_a_held_value_is_inside_of_the_axis() -> None:
    high = replace(HELD, first=50.0, last=50.0)
    assert bounds_of(panel(*ROWS, measure="time_weighted_average", gaps=(high,)), FRAME.span)[1] > 50
    assert bounds_of(panel(*ROWS, gaps=(high,)), FRAME.span)[1] < 10


def test_a_null_is_a_gap_with_no_band() -> None:
    shown = panel((0, 2.0, 2.0, 2.0), (1, None, 4.0, 4.0), (2, 2.0, 2.0, 2.0))
    assert points(drawn(shown, Line)) == [[(0, 80), (100, 80)], [(200, 80), (300, 80)]]
    assert [a.points[0] for a in drawn(shown, Area)] == [(0, 80), (200, 80)]


def test_amounts_are_bars_from_zero_without_a_band() -> None:
    shown = panel((0, 5.0, 1.0, 3.0), (1, 0.0, 4.0, 4.0), kind="linear", measure="sum")
    bars = [b for b in drawn(shown, Box) if b.fill == VALUE]
    assert [(b.x, b.y, b.width, b.height) for b in bars] == [(1, 50, 98, 50), (101, 100, 98, 0.6)]
    assert drawn(shown, Area) == []
    assert bounds_of(shown, FRAME.span) == (0.0, 5.3)  # 6 % more than the highest


def test_the_strip_tells_the_share_of_good_time_and_hatching_what_is_provisional() -> None:
    late = {"pct_good": 25.0, "provisional": True}
    boxes = drawn(panel((0, 1.0, 1.0, 1.0), (1, 1.0, 1.0, 1.0), (2, 1.0, 1.0, 1.0, late)), Box)
    assert [(b.x, b.width) for b in boxes if b.is_hatched] == [(200, 100)]
    strip = [(b.fill, b.x, b.y, b.width, b.height) for b in boxes if b.fill in (GOOD, MISSING)]
    assert strip == [(GOOD, 0, 105, 200, 8), (MISSING, 200, 105, 100, 6), (GOOD, 200, 111, 100, 2)]


def test_states_are_stacked_in_per_cent_of_the_bucket_and_rare_ones_share_a_colour() -> None:
    times = [{"key": f"s{i}", "value": 225.0} for i in range(8)]  # of 3,600 s: 6.25 % each
    rows = pl.DataFrame(
        {"bucket_start": [0], "bucket_end": [HOUR], "pct_good": [50.0], "n": [8], "provisional": [False],
         "time_in_state": pl.Series([{t["key"]: t["value"] for t in times}], dtype=pl.Object)}
    )  # fmt: skip
    shown = panel_of("use", (), "step", "time_in_state", rows)
    colours = {f"s{i}": STATES[i] for i in range(7)}
    frame = Frame(left=0, right=100, top=0, bottom=100, span=(0, HOUR), low=0, high=100)
    marks = list(marks_of(shown, frame, colours, strip=(105, 8), zone="UTC"))
    boxes = [b for b in marks if isinstance(b, Box) and b.width == 98]
    assert [(b.fill, b.y, b.height) for b in boxes] == [
        *((STATES[i], 93.75 - 6.25 * i, 6.25) for i in range(7)),
        (REST, 50.0, 6.25),
    ]
    held = replace(shown, gaps=(Gap(0, HOUR, 2 * HOUR, HOUR, 2 * HOUR, math.nan, math.nan, "s3", is_good=True),))
    pale = [b for b in drawn(held, Box, colours) if 0 < b.opacity < 1]
    assert [(b.fill, b.x, b.y, b.width, b.height) for b in pale] == [(STATES[3], 100, -900.0, 100, 1000.0)]


def test_panels_share_one_axis_of_time_and_stay_inside_the_picture() -> None:
    shown = panel(*ROWS)
    scene = scene_of([shown] * 12, Heading("hourly", "1h", "UTC", (0, 4 * HOUR)))
    labels = [m for m in scene.marks if isinstance(m, Label)]
    assert [m.text for m in labels].count("level") == 12
    assert [m.text for m in labels].count("time, UTC") == 1
    assert all(0 <= m.x <= scene.width and 0 <= m.y <= scene.height for m in labels)
    lines = [m for m in scene.marks if isinstance(m, Line)]
    assert all(84 <= x <= 1172 and 0 <= y <= scene.height for m in lines for x, y in m.points)


def test_names_too_long_for_the_picture_lose_their_middle() -> None:
    shown = replace(panel(*ROWS), name="a" + "x" * 300 + "b", about=("short", "y" * 300))
    scene = scene_of([shown], Heading("hourly", "1h", "UTC", (0, 4 * HOUR)))
    texts = [m.text for m in scene.marks if isinstance(m, Label)]
    (name,) = [text for text in texts if text.startswith("axxx")]
    assert name.endswith("xb")
    assert "…" in name
    assert len(name) <= 560 / 13 / 0.6
    assert "mean, step  ·  short" in texts
