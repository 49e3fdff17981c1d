"""The gaps between the buckets of a panel as marks: a thin line at the known value, the coverage, a tooltip."""

import math
from collections.abc import Iterator, Mapping

from siltstone.plotting.axis import day_text, local, number_text
from siltstone.plotting.gaps import Gap
from siltstone.plotting.palette import GOOD, MISSING, REST, VALUE
from siltstone.plotting.panels import Panel
from siltstone.plotting.scene import Box, Frame, Line, Mark, Point

THIN = 1.0
PALE = 0.45


def holding_lines(panel: Panel, frame: Frame, anchor: float | None) -> Iterator[Mark]:
    """A thin line where a value is known between buckets. It is connected to the values of neighbouring buckets: at the
    edge of the bucket, or with `anchor` at that share of its length, where its own line has the value."""
    has_value = panel.is_known
    for gap in panel.gaps_to_draw(frame.span):
        start, end = gap.shown(frame.span)
        points: list[Point] = [(frame.x(start), frame.y(gap.first)), (frame.x(end), frame.y(gap.last))]
        before, behind = gap.after, gap.after + 1
        if start == gap.start and before >= 0 and has_value[before]:
            points.insert(0, (frame.x(_joint(panel, before, anchor, 1.0)), frame.y(panel.value[before])))
        if end == gap.end and behind < len(has_value) and has_value[behind]:
            points.append((frame.x(_joint(panel, behind, anchor, 0.0)), frame.y(panel.value[behind])))
        yield Line(points, VALUE, THIN)


def holding_states(panel: Panel, frame: Frame, colours: Mapping[str, str]) -> Iterator[Mark]:
    """The state between buckets, in a paler colour than in buckets."""
    for gap in panel.gaps_to_draw(frame.span):
        left, right = (frame.x(us) for us in gap.shown(frame.span))
        colour = colours.get(gap.state, REST)
        yield Box(left, frame.y(100.0), right - left, frame.y(0.0) - frame.y(100.0), colour, PALE)


def gap_coverage(panel: Panel, frame: Frame, top: float, height: float) -> Iterator[Mark]:
    """The strip between buckets: good time, and the rest."""
    for gap in panel.gaps:
        start, end = max(gap.start, frame.span[0]), min(gap.end, frame.span[1])
        good_from, good_to = gap.shown(frame.span) if gap.is_good else (end, end)
        for first, last, colour in ((start, good_from, MISSING), (good_from, good_to, GOOD), (good_to, end, MISSING)):
            if first < last:
                yield Box(frame.x(first), top, frame.x(last) - frame.x(first), height, colour)


def gap_tips(panel: Panel, frame: Frame, bottom: float, zone: str) -> Iterator[Mark]:
    """The tooltip of each gap."""
    for gap in panel.gaps:
        left, right = frame.x(max(gap.start, frame.span[0])), frame.x(min(gap.end, frame.span[1]))
        if left < right:
            yield Box(left, frame.top, right - left, bottom - frame.top, tip=gap_text(panel, gap, frame.span, zone))


def gap_text(panel: Panel, gap: Gap, span: tuple[int, int], zone: str) -> str:
    """The tooltip of a gap."""
    lines = [period_text(max(gap.start, span[0]), min(gap.end, span[1]), zone), "no points, so no buckets"]
    if panel.holds:
        lines.append(_known(panel, gap, zone))
    return "\n".join(lines)


def _known(panel: Panel, gap: Gap, zone: str) -> str:
    if not gap.is_known:
        return "nothing is known"
    if math.isnan(gap.first) or panel.shape == "states":
        what = f"{gap.state or 'what was before'} holds"
    elif gap.first == gap.last:
        what = f"{number_text(gap.first)} holds"
    else:
        what = f"a line from {number_text(gap.first)} to {number_text(gap.last)}"
    since = f" from {_clock(gap.known_from, zone)} on" if gap.known_from > gap.start else ""
    until = f" until {_clock(gap.known_to, zone)}, then nothing is known" if gap.known_to < gap.end else ""
    return what + since + until


def period_text(start_us: int, end_us: int, zone: str) -> str:
    """A period of time for people, in local time of a zone."""
    begin, end = local(start_us, zone), local(end_us, zone)
    shown = "%H:%M" if begin.second == end.second == 0 else "%H:%M:%S"
    day = "" if begin.date() == end.date() else f"{day_text(end.date())} "
    return f"{day_text(begin.date())} {begin:{shown}} to {day}{end:{shown}}"


def _clock(ts_us: int, zone: str) -> str:
    moment = local(ts_us, zone)
    return f"{day_text(moment.date())} {moment:%H:%M:%S}".removesuffix(":00")


def _joint(panel: Panel, row: int, anchor: float | None, edge: float) -> float:
    share = edge if anchor is None else anchor
    return float(panel.start[row] * (1 - share) + panel.end[row] * share)
