"""What every measure of a window is, by its definition: slow, exact (fractions), with no thought for speed.

A series becomes pieces of time with a known value; a window cuts them; each measure is a sentence about the cut pieces
or about the points in the window. The kernel is tested against this and shares no code with it.

Decided here, where the definitions are silent:

1.  A window is [s, e). The value at s is that of the point at s (even if it holds for no time; None if it is bad),
    and without such a point the known one from s on; the value at e is the one up to e (the limit from the left), so
    that a point at e, which is the next window's, does not show. Both are None where the value is unknown there.
2.  Known time ends at the watermark: so in a window that ends after it, the value at e is unknown. A watermark before
    the last point counts as the time of the last point.
3.  `next` is `step` in the mirror of time: P_i's value is known on [max(t_{i-1}, t_i - max_hold), t_i). The time
    before a bad point is unknown, that after it belongs to the point that follows; before the first point and after
    the last one nothing is known.
4.  linear: neighbours are points with no other point between them, bad ones included. max_gap is the longest gap that
    is crossed (equal to it still is), max_hold bounds flat time only. After a gap that is too long for a line the
    value is held flat, at most to the next point.
5.  Good time is that of pieces whose point is good: of a line the one at its begin, else the one whose value it is.
6.  min and max: the earliest time of an equal value counts; a value at e has the time e, though e is outside the
    window.
7.  count, n, n_bad, transitions and increase of an empty window are 0: they count or add what its points did. sum,
    mean, first and last are None then, never 0; min and max where nothing is known, integral and average where no time
    is covered.
8.  transitions and increase look past bad points to the usable one before, however far before s.
9.  increase: after a fall the new value itself is added, even if it is negative. It does not depend on the kind. The
    very first usable point of a series adds nothing.
10. bucketed: no time is covered; `sum` is over the points in the window.
11. Time in state of a linear series is empty: a line is in no state, and its flat parts alone would mislead.
12. carried_in: s lies inside a piece (known before s and at s) and no point of any quality is at s. True for a line
    that crosses s; for `next` too: its value then comes from a point after s.
13. Standard deviations are given as their squares: `stddev_squared` (sample, n - 1; None below two points) and
    `time_weighted_stddev_squared` (of the covered time).
14. A value that is no finite number or is a sentinel makes its point bad, whatever its quality.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any, Protocol

from siltstone.timeseries.points import BAD, GOOD, UNCERTAIN

SECOND_US = 1_000_000

Number = Fraction | int | float
Row = dict[str, Any]


class Read(Protocol):
    """What the reference asks of an interpretation."""

    @property
    def kind(self) -> str: ...
    @property
    def max_hold_us(self) -> int: ...
    @property
    def max_gap_us(self) -> int: ...
    @property
    def uncertain(self) -> str: ...
    @property
    def sentinels(self) -> tuple[float, ...]: ...


@dataclass(frozen=True)
class Point:
    """A point as it counts: its value is None where it is bad."""

    ts: int
    value: Fraction | None
    is_good: bool


@dataclass(frozen=True)
class Piece:
    """Time [begin, end) in which the value goes in a line from `left` at its begin to `right` at its end."""

    begin: int
    end: int
    left: Fraction
    right: Fraction
    is_good: bool

    def at(self, ts: int) -> Fraction:
        return self.left + (self.right - self.left) * Fraction(ts - self.begin, self.end - self.begin)

    def cut(self, begin: int, end: int) -> "Piece":
        return Piece(begin, end, self.at(begin), self.at(end), self.is_good)

    @property
    def seconds(self) -> Fraction:
        return Fraction(self.end - self.begin, SECOND_US)

    @property
    def area(self) -> Fraction:
        return self.seconds * (self.left + self.right) / 2

    @property
    def area_of_square(self) -> Fraction:
        """The integral of the squared value over a line from a to b: width x (a^2 + a b + b^2) / 3."""
        return self.seconds * (self.left**2 + self.left * self.right + self.right**2) / 3


def rows(
    series: Sequence[tuple[int, Number, int]],
    read: Read,
    windows: Sequence[tuple[int, int]],
    watermark_us: int,
) -> list[Row]:
    """The measures of each window [start, end) of one series of (microseconds, value, quality)."""
    points = [_point(*given, read) for given in sorted(series, key=lambda p: p[0])]
    pieces = _pieces(points, read, watermark_us)
    return [_row(points, pieces, start, end, read.kind) for start, end in windows]


def _point(ts: int, value: Number, quality: int, read: Read) -> Point:
    """Cleaned: not usable (bad) or usable, and whether it counts as good."""
    if quality == UNCERTAIN:
        quality = {"bad": BAD, "good": GOOD, "keep": UNCERTAIN}[read.uncertain]
    if quality == BAD or not math.isfinite(value) or value in read.sentinels:
        return Point(ts, None, False)
    return Point(ts, Fraction(value), quality == GOOD)


def _pieces(points: Sequence[Point], read: Read, watermark_us: int) -> list[Piece]:
    """The known time of the series, in order."""
    found: list[Piece | None] = []
    if read.kind == "bucketed" or not points:
        return []
    for a, b in pairwise(points):
        if read.kind == "next":
            found.append(_held(b, max(a.ts, b.ts - read.max_hold_us), b.ts))
        elif read.kind == "linear" and _is_line(a, b, read.max_gap_us):
            assert a.value is not None
            assert b.value is not None
            found.append(Piece(a.ts, b.ts, a.value, b.value, a.is_good))
        else:
            found.append(_held(a, a.ts, min(b.ts, a.ts + read.max_hold_us)))
    if read.kind != "next":
        last = points[-1]
        found.append(_held(last, last.ts, min(watermark_us, last.ts + read.max_hold_us)))
    return [piece for piece in found if piece is not None]


def _is_line(a: Point, b: Point, max_gap_us: int) -> bool:
    return a.value is not None and b.value is not None and b.ts - a.ts <= max_gap_us


def _held(point: Point, begin: int, end: int) -> Piece | None:
    if point.value is None or end <= begin:
        return None
    return Piece(begin, end, point.value, point.value, point.is_good)


def _row(points: Sequence[Point], pieces: Sequence[Piece], start: int, end: int, kind: str) -> Row:
    known = [p.cut(max(p.begin, start), min(p.end, end)) for p in pieces if p.begin < end and start < p.end]
    inside = [p for p in points if start <= p.ts < end]
    usable = [(p.ts, p.value) for p in inside if p.value is not None]
    return {
        **_of_time(known, end - start, kind),
        **_of_edges(points, pieces, start, end, usable),
        **_of_points([value for _, value in usable]),
        **_of_neighbours(points, start, end),
        "n": len(usable),
        "n_bad": len(inside) - len(usable),
        "first_ts": usable[0][0] if usable else None,
        "last_ts": usable[-1][0] if usable else None,
    }


def _of_time(known: Sequence[Piece], width_us: int, kind: str) -> Row:
    """What is weighted by the time of the known pieces in the window."""
    covered = sum((p.seconds for p in known), Fraction(0))
    good = sum((p.seconds for p in known if p.is_good), Fraction(0))
    integral = sum((p.area for p in known), Fraction(0))
    average = integral / covered if covered else None
    in_state: dict[Fraction, Fraction] = {}
    for piece in known if kind != "linear" else ():
        in_state[piece.left] = in_state.get(piece.left, Fraction(0)) + piece.seconds
    return {
        "covered_s": covered,
        "good_s": good,
        "pct_good": 100 * good * SECOND_US / width_us,
        "integral": integral if covered else None,
        "time_weighted_average": average,
        "time_weighted_stddev_squared": (
            None if average is None else sum(p.area_of_square for p in known) / covered - average**2
        ),
        "time_in_state": in_state,
    }


def _of_edges(
    points: Sequence[Point], pieces: Sequence[Piece], start: int, end: int, usable: Sequence[tuple[int, Fraction]]
) -> Row:
    """The values at both edges, and the extremes of these and the usable points."""
    at_start = next((p for p in pieces if p.begin <= start < p.end), None)
    at_end = next((p for p in pieces if p.begin < end <= p.end), None)
    start_value = None if at_start is None else at_start.at(start)
    at_point = next((p for p in points if p.ts == start), None)
    if at_point is not None:
        start_value = at_point.value
    end_value = None if at_end is None else at_end.at(end)
    edges = [(ts, v) for ts, v in ((start, start_value), (end, end_value)) if v is not None]
    candidates = sorted([*usable, *edges])
    low = min(candidates, key=lambda found: found[1], default=(None, None))  # the earliest of equal ones
    high = max(candidates, key=lambda found: found[1], default=(None, None))
    is_inside = at_start is not None and at_start.begin < start
    return {
        "start_value": start_value,
        "end_value": end_value,
        "min": low[1],
        "min_ts": low[0],
        "max": high[1],
        "max_ts": high[0],
        "carried_in": is_inside and at_point is None,
    }


def _of_points(values: Sequence[Fraction]) -> Row:
    """What every usable point in the window counts for once."""
    n = len(values)
    total, squares = sum(values, Fraction(0)), sum((v * v for v in values), Fraction(0))
    return {
        "count": n,
        "sum": total if n else None,
        "mean": total / n if n else None,
        "stddev_squared": (squares - total * total / n) / (n - 1) if n > 1 else None,
        "first": values[0] if n else None,
        "last": values[-1] if n else None,
    }


def _of_neighbours(points: Sequence[Point], start: int, end: int) -> Row:
    """What a usable point in the window is, compared to the usable one before it."""
    usable = [(p.ts, p.value) for p in points if p.value is not None]
    pairs = [(a, b) for (_, a), (ts, b) in pairwise(usable) if start <= ts < end]
    return {
        "transitions": sum(a != b for a, b in pairs),
        "increase": sum((b - a if b >= a else b for a, b in pairs), Fraction(0)),
    }
