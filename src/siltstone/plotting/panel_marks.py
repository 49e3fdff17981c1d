"""Values, band, coverage and tooltips of a panel as marks."""

from collections.abc import Iterator, Mapping

import numpy as np

from siltstone.plotting.axis import number_text
from siltstone.plotting.gap_marks import gap_coverage, gap_tips, holding_lines, holding_states, period_text
from siltstone.plotting.palette import GOOD, MISSING, REST, VALUE
from siltstone.plotting.panels import Panel
from siltstone.plotting.scene import Area, Box, Dot, Frame, Line, Mark, Point

_DOTS_BELOW = 120  # buckets of a panel: more dots would make a line thick
_ANCHOR = {"start_value": 0.0, "end_value": 1.0}
_VEIL = "#ffffff"


def marks_of(
    panel: Panel, frame: Frame, colours: Mapping[str, str], *, strip: tuple[float, float], zone: str
) -> Iterator[Mark]:
    """All marks of a panel. `colours`: state -> colour; other states have one in common. `strip`: top and height of the
    coverage, in pixels."""
    if panel.shape == "states":
        yield from holding_states(panel, frame, colours)
        yield from _stacks(panel, frame, colours)
    elif panel.shape == "bars":
        yield from _bars(panel, frame)
    else:
        yield from _band(panel, frame)
        anchor = None if panel.shape == "step" else _ANCHOR.get(panel.measure, 0.5)
        yield from holding_lines(panel, frame, anchor)
        yield from _steps(panel, frame) if panel.shape == "step" else _slopes(panel, frame)
    yield from _provisional(panel, frame)
    if panel.can_cover:
        yield from _coverage(panel, frame, *strip)
        yield from gap_coverage(panel, frame, *strip)
    for i in range(len(panel.start)):
        left, right = frame.x(panel.start[i]), frame.x(panel.end[i])
        bottom = strip[0] + strip[1]
        yield Box(left, frame.top, right - left, bottom - frame.top, tip=bucket_text(panel, i, zone))
    yield from gap_tips(panel, frame, sum(strip), zone)


def _band(panel: Panel, frame: Frame) -> Iterator[Mark]:
    """The band of each bucket, from its lowest to its highest value and from its start to its end."""
    for first, last in panel.runs():
        upper: list[Point] = []
        lower: list[Point] = []
        for i in range(first, last + 1):
            if not (np.isfinite(panel.low[i]) and np.isfinite(panel.high[i])):
                continue
            for x in (frame.x(panel.start[i]), frame.x(panel.end[i])):
                upper.append((x, frame.y(panel.high[i])))
                lower.append((x, frame.y(panel.low[i])))
        if upper:
            yield Area([*upper, *reversed(lower)], VALUE, 0.2)


def _steps(panel: Panel, frame: Frame) -> Iterator[Mark]:
    for first, last in panel.runs():
        points = [
            (frame.x(edge[i]), frame.y(panel.value[i]))
            for i in range(first, last + 1)
            for edge in (panel.start, panel.end)
        ]
        yield Line(points, VALUE, 1.8)


def _slopes(panel: Panel, frame: Frame) -> Iterator[Mark]:
    """Lines from the middle of each bucket to the middle of the next (for values at the start or the end of a bucket,
    from there); a dot for a value without neighbours."""
    at = _ANCHOR.get(panel.measure, 0.5)
    for first, last in panel.runs():
        where = panel.start[first : last + 1] * (1 - at) + panel.end[first : last + 1] * at
        points = [(frame.x(x), frame.y(y)) for x, y in zip(where, panel.value[first : last + 1], strict=True)]
        if len(points) > 1:
            yield Line(points, VALUE, 1.8)
        if len(points) == 1 or len(panel.start) < _DOTS_BELOW:
            yield from (Dot(x, y, 2.6, VALUE) for x, y in points)


def _bars(panel: Panel, frame: Frame) -> Iterator[Mark]:
    zero = frame.y(0.0)
    for i in np.flatnonzero(panel.is_known):
        left, width = _inside(panel, frame, int(i))
        y = frame.y(panel.value[i])
        yield Box(left, min(y, zero), width, max(abs(zero - y), 0.6), VALUE, 0.75)


def _stacks(panel: Panel, frame: Frame, colours: Mapping[str, str]) -> Iterator[Mark]:
    """The time in states of each bucket, in per cent of its length, in the order of `colours`."""
    for i, times in enumerate(panel.states):
        left, width = _inside(panel, frame, i)
        length_s = (panel.end[i] - panel.start[i]) / 1e6
        rest = sum(s for state, s in times.items() if state not in colours)
        below = 0.0
        for seconds, colour in [*((times.get(state, 0.0), c) for state, c in colours.items()), (rest, REST)]:
            above = min(below + 100 * seconds / length_s, 100.0)
            if above > below:
                yield Box(left, frame.y(above), width, frame.y(below) - frame.y(above), colour)
            below = above


def _inside(panel: Panel, frame: Frame, i: int) -> Point:
    """Left side and width of the bar of a bucket: a little narrower than the bucket if there is room."""
    left, right = frame.x(panel.start[i]), frame.x(panel.end[i])
    gap = 1.0 if right - left > 4 else 0.0
    return left + gap, max(right - left - 2 * gap, 0.5)


def _provisional(panel: Panel, frame: Frame) -> Iterator[Mark]:
    for i in np.flatnonzero(panel.provisional):
        left, right = frame.x(panel.start[i]), frame.x(panel.end[i])
        place = left, frame.top, max(right - left, 1.5), frame.bottom - frame.top
        yield Box(*place, _VEIL, 0.45)
        yield Box(*place, is_hatched=True)


def _coverage(panel: Panel, frame: Frame, top: float, height: float) -> Iterator[Mark]:
    """The strip of coverage: good time below, the rest above it; neighbours with equal shares are one box."""
    i = 0
    while i < len(panel.start):
        j = i
        while (
            j + 1 < len(panel.start)
            and panel.end[j] == panel.start[j + 1]
            and round(panel.pct_good[j + 1]) == round(panel.pct_good[i])
        ):
            j += 1
        left, right = frame.x(panel.start[i]), frame.x(panel.end[j])
        good = height * min(max(panel.pct_good[i], 0.0), 100.0) / 100
        if good < height:
            yield Box(left, top, right - left, height - good, MISSING)
        if good:
            yield Box(left, top + height - good, right - left, good, GOOD)
        i = j + 1


def bucket_text(panel: Panel, i: int, zone: str) -> str:
    """The tooltip of a bucket: its time, value, band, points and coverage."""
    lines = [period_text(int(panel.start[i]), int(panel.end[i]), zone)]
    if panel.shape == "states":
        lines += [f"{state}: {number_text(s)} s" for state, s in sorted(panel.states[i].items(), key=lambda p: -p[1])]
    else:
        lines.append(f"{panel.measure} {_number(panel.value[i])}")
    if np.isfinite(panel.low[i]):
        lines.append(f"min {_number(panel.low[i])}, max {_number(panel.high[i])}")
    points = "1 point" if panel.n[i] == 1 else f"{int(panel.n[i]):,} points"
    lines.append(points + (f", good {panel.pct_good[i]:.4g} % of the time" if panel.can_cover else ""))
    if panel.provisional[i]:
        lines.append("provisional: later readings can change it")
    return "\n".join(lines)


def _number(value: float) -> str:
    return number_text(float(value)) if np.isfinite(value) else "unknown"
