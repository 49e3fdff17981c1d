"""The layout of a picture: panels one below the other over one axis of time, each with its coverage."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from siltstone.plotting.axis import Tick, day_text, local, time_ticks, value_ticks
from siltstone.plotting.gap_marks import PALE, THIN
from siltstone.plotting.palette import FAINT, GOOD, GRID, INK, MISSING, REST, STATES, VALUE
from siltstone.plotting.panel_marks import marks_of
from siltstone.plotting.panels import Panel, states_by_time
from siltstone.plotting.scene import Box, Frame, Label, Line, Mark, Scene

WIDTH = 1200
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 28, 98, 64
_HEIGHTS = {1: 600, 2: 318, 3: 212}
_LEAST_HEIGHT = 160
_TITLE, _APART, _STRIP, _GAP = 26, 8, 8, 18
_TICK_PX, _UNDER_PX = 76, 92
_LEGEND_LINE = 24
_TEXTS = "texts have no such number: --measure time_in_state, of siltstone aggregate and here, tells how long each was"
_LETTER = 0.6  # of the size: the mean width of a letter, about


@dataclass(frozen=True)
class Heading:
    """The text above the panels. `span`: first and last instant of the axis, microseconds."""

    table: str
    every: str
    zone: str
    span: tuple[int, int]


def scene_of(panels: Sequence[Panel], heading: Heading) -> Scene:
    """The picture of one panel or more, 1200 pixels wide."""
    height = _HEIGHTS.get(len(panels), _LEAST_HEIGHT)
    states = states_by_time(list(panels), len(STATES))
    colours = dict(zip(states, STATES, strict=False))
    most = (WIDTH - _LEFT - _RIGHT) // _TICK_PX
    ticks = time_ticks(*heading.span, heading.zone, most)
    legend, depth = _legend(panels, colours, heading.span)
    marks: list[Mark] = [*_heading(heading), *legend]
    for number, panel in enumerate(panels):
        top = _TOP + depth + number * height
        low, high = bounds_of(panel, heading.span)
        frame = Frame(
            left=_LEFT,
            right=WIDTH - _RIGHT,
            top=top + _TITLE,
            bottom=top + height - _GAP - _STRIP - _APART,
            span=heading.span,
            low=low,
            high=high,
        )
        marks += _titles(panel, top)
        marks += _grid(panel, frame, ticks)
        marks += marks_of(panel, frame, colours, strip=(frame.bottom + _APART, _STRIP), zone=heading.zone)
    bottom = _TOP + depth + len(panels) * height - _GAP
    marks += _time_axis(ticks, heading, bottom)
    return Scene(WIDTH, bottom + _BOTTOM, f"{heading.table}, {heading.every} buckets", marks)


def bounds_of(panel: Panel, span: tuple[int, int]) -> tuple[float, float]:
    """The lowest and the highest value on the axis of a panel: the values in the span, and some room."""
    if panel.shape == "states":
        return 0.0, 100.0
    if panel.measure == "pct_good":
        return 0.0, 104.0
    gap_values = [value for gap in panel.gaps_to_draw(span) for value in (gap.first, gap.last)]
    values = np.concatenate((panel.value, panel.low, panel.high, gap_values))
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    if panel.shape == "bars":
        low, high = min(low, 0.0), max(high, 0.0)
    room = (high - low) * 0.06 or abs(high) * 0.05 or 1.0
    is_from_zero = panel.shape == "bars" and low == 0
    return (0.0 if is_from_zero else low - room), (0.0 if panel.shape == "bars" and high == 0 < -low else high + room)


def _heading(heading: Heading) -> Iterator[Mark]:
    yield Label(_LEFT, 34, _cut(heading.table, 17, 500), 17, INK, is_bold=True)
    ends = [local(us, heading.zone) for us in heading.span]
    clock = "%H:%M:%S" if any(t.second or t.microsecond for t in ends) else "%H:%M"
    span = " to ".join(f"{day_text(t.date())} {t:{clock}}" for t in ends)
    yield Label(WIDTH - _RIGHT, 34, f"{heading.every} buckets, {span}, {heading.zone}", 12, FAINT, "end")


def _legend(panels: Sequence[Panel], colours: dict[str, str], span: tuple[int, int]) -> tuple[list[Mark], int]:
    """The legend of the marks, in as many lines as it needs; and the height of the lines after the first, in pixels."""
    marks: list[Mark] = []
    x, y = float(_LEFT), 68
    for sample, text in _samples(panels, colours, span):
        width = 30 + _LETTER * 12 * len(text)
        if x + width > WIDTH - _RIGHT and x > _LEFT:
            x, y = float(_LEFT), y + _LEGEND_LINE
        marks += (replace(mark, x=x + mark.x, y=y + mark.y) for mark in sample)
        marks.append(Label(x + 30, y + 5, text, 12, INK))
        x += width + 18
    return marks, y - 68


def _samples(
    panels: Sequence[Panel], colours: dict[str, str], span: tuple[int, int]
) -> Iterator[tuple[list[Box], str]]:
    if any(p.shape in ("step", "linear") for p in panels):
        yield [Box(0, -1, 24, 2, VALUE)], "value"
    if any(np.isfinite(p.low).any() for p in panels):
        yield [Box(0, -6, 24, 12, VALUE, 0.2)], "min to max"
    if any(p.shape == "bars" for p in panels):
        yield [Box(0, -6, 24, 12, VALUE, 0.75)], "amount in the bucket"
    for state, colour in colours.items():
        yield [Box(0, -6, 24, 12, colour)], _cut(state, 12, 180)
    if any(set(times) - set(colours) for p in panels for times in p.states):
        yield [Box(0, -6, 24, 12, REST)], "other states"
    holding = [p for p in panels if p.gaps_to_draw(span)]
    if any(p.shape != "states" for p in holding):
        yield [Box(0, -THIN / 2, 24, THIN, VALUE)], "no points: holds"
    if any(p.shape == "states" for p in holding):
        yield [Box(0, -6, 24, 12, REST, PALE)], "no points: state holds"
    if any(p.can_cover for p in panels):
        yield [Box(0, -4, 24, 4, MISSING), Box(0, 0, 24, 4, GOOD)], "coverage: good time, the rest"
    if any(p.provisional.any() for p in panels):
        yield [Box(0, -6, 24, 12, is_hatched=True)], "provisional"


def _titles(panel: Panel, top: float) -> Iterator[Mark]:
    how = {"states": "share of each state, %", "bars": panel.measure}.get(panel.shape)
    name = _cut(panel.name, 13, 560)
    room = WIDTH - _RIGHT - _LEFT - len(name) * 13 * _LETTER * 1.1 - 24
    about = _about(how or f"{panel.measure}, {panel.shape}", panel.about, room)
    yield Label(_LEFT, top + 16, name, 13, INK, is_bold=True)
    yield Label(WIDTH - _RIGHT, top + 16, about, 11, FAINT, "end")


def _about(how: str, parts: Sequence[str], room: float) -> str:
    """The text on what is drawn and the series; if it is too wide, without its longest part."""
    text = "  ·  ".join((how, *parts))
    if len(parts) > 1 and len(text) > room / (11 * _LETTER):
        return _about(how, [part for part in parts if part != max(parts, key=len)], room)
    return _cut(text, 11, room)


def _grid(panel: Panel, frame: Frame, ticks: Sequence[Tick]) -> Iterator[Mark]:
    is_drawn = panel.is_known.any() or panel.gaps_to_draw(frame.span)
    rows = max(2, int((frame.bottom - frame.top) // 30))
    levels = value_ticks(frame.low, frame.high, rows if panel.shape != "states" else min(rows, 4))
    for tick in levels:
        y = frame.y(tick.at)
        yield Line([(frame.left, y), (frame.right, y)], GRID)
        if is_drawn:
            yield Label(frame.left - 8, y + 4, tick.label, 11, FAINT, "end")
    for tick in ticks:
        x = frame.x(tick.at)
        yield Line([(x, frame.top), (x, frame.bottom)], GRID)
    if panel.can_cover:
        yield Label(frame.left - 8, frame.bottom + _APART + _STRIP, "coverage", 10, FAINT, "end")
    if not is_drawn:
        middle = (frame.left + frame.right) / 2, (frame.top + frame.bottom) / 2
        yield Label(*middle, _TEXTS if panel.is_text else "nothing is known here", 12, FAINT, "middle")


def _time_axis(ticks: Sequence[Tick], heading: Heading, bottom: float) -> Iterator[Mark]:
    start, end = heading.span
    places = [_LEFT + (t.at - start) / max(end - start, 1) * (WIDTH - _LEFT - _RIGHT) for t in ticks]
    unders = [(x, t.under) for x, t in zip(places, ticks, strict=True) if t.under]
    if len(unders) > 1 and unders[1][0] - unders[0][0] < _UNDER_PX:
        unders = unders[1:]
    for x, tick in zip(places, ticks, strict=True):
        yield Line([(x, bottom + 1), (x, bottom + 5)], FAINT)
        yield Label(min(x, WIDTH - 24), bottom + 17, tick.label, 11, INK, "middle")
    for x, under in unders:
        yield Label(min(x, WIDTH - 46), bottom + 33, under, 11, INK, "middle", is_bold=True)
    yield Label((_LEFT + WIDTH - _RIGHT) / 2, bottom + 53, f"time, {heading.zone}", 12, FAINT, "middle")


def _cut(text: str, size: float, room: float) -> str:
    """The text; without its middle if it would be wider than `room`, in pixels."""
    most = max(8, int(room / (size * _LETTER)))
    if len(text) <= most:
        return text
    head = most // 2
    return f"{text[: head - 1]}…{text[len(text) - (most - head) :]}"
