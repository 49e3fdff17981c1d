"""Where the cases meet the `default` convention.

For now a tiny exact model of its definition answers; the kernel takes its place by replacing `default_results`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import Any

from siltstone.aggregates.conventions import Window
from siltstone.aggregates.interpretation import Interpretation
from siltstone.aggregates.points import BAD, GOOD, UNCERTAIN, Points

Piece = tuple[int, int, Fraction, Fraction, int]
"""Start and end in microseconds, the values there, the quality of the point it starts from."""


@dataclass(frozen=True)
class DefaultCase:
    """`points`: one series, Bad where no value is known."""

    points: Points
    windows: Sequence[Window]
    measures: Sequence[str]
    interpretation: Interpretation = field(default_factory=Interpretation)


def default_results(case: DefaultCase) -> dict[str, list[Any]]:
    """Per measure one value per window, None for null. Durations in seconds."""
    rows = _rows(case)
    return {m: [_MEASURES[m](rows, case.interpretation, w) for w in case.windows] for m in case.measures}


Rows = list[tuple[int, Fraction, int]]


def _rows(case: DefaultCase) -> Rows:
    counted_as = {"bad": BAD, "good": GOOD, "keep": UNCERTAIN}[case.interpretation.uncertain]
    p = case.points
    return [
        (int(t), Fraction(0) if q == BAD else Fraction(float(v)), counted_as if q == UNCERTAIN else int(q))
        for t, v, q in zip(p.ts, p.value, p.quality, strict=True)
    ]


def _pieces(rows: Rows, how: Interpretation, window: Window) -> list[Piece]:
    """The known time of the window."""
    pieces = []
    nexts = [*rows[1:], (window.end_us, Fraction(0), BAD)]
    for (t, v, q), (t_next, v_next, q_next) in zip(rows, nexts, strict=False):
        start, end = max(t, window.start_us), min(max(t_next, t), window.end_us)
        if q == BAD or start >= end:
            continue
        slope = (v_next - v) / (t_next - t) if how.kind == "linear" and q_next != BAD else Fraction(0)
        pieces.append((start, end, v + slope * (start - t), v + slope * (end - t), q))
    return pieces


def _covered(rows: Rows, how: Interpretation, window: Window) -> float:
    return float(Fraction(sum(end - start for start, end, *_ in _pieces(rows, how, window)), 10**6))


def _pct_good(rows: Rows, how: Interpretation, window: Window) -> float:
    good = sum(end - start for start, end, _, _, q in _pieces(rows, how, window) if q == GOOD)
    return float(Fraction(100 * good, window.end_us - window.start_us))


def _integral(rows: Rows, how: Interpretation, window: Window) -> float | None:
    pieces = _pieces(rows, how, window)
    return float(sum((a + b) / 2 * (end - start) for start, end, a, b, _ in pieces) / 10**6) if pieces else None


def _average(rows: Rows, how: Interpretation, window: Window) -> float | None:
    area = _integral(rows, how, window)
    return None if area is None else area / _covered(rows, how, window)


def _time_in_state(rows: Rows, how: Interpretation, window: Window) -> dict[float, float]:
    held: dict[float, Fraction] = {}
    for start, end, value, _, _ in _pieces(rows, how, window):
        held[float(value)] = held.get(float(value), Fraction(0)) + Fraction(end - start, 10**6)
    return {state: float(seconds) for state, seconds in held.items()}


def _count(rows: Rows, how: Interpretation, window: Window) -> int:
    return sum(q != BAD and window.start_us <= t < window.end_us for t, _, q in rows)


def _transitions(rows: Rows, how: Interpretation, window: Window) -> int:
    usable = [(t, v) for t, v, q in rows if q != BAD]
    pairs = pairwise(usable)
    return sum(a != b and window.start_us <= t < window.end_us for (_, a), (t, b) in pairs)


def _start_value(rows: Rows, how: Interpretation, window: Window) -> float | None:
    pieces = _pieces(rows, how, window)
    return float(pieces[0][2]) if pieces and pieces[0][0] == window.start_us else None


_MEASURES: dict[str, Callable[[Rows, Interpretation, Window], Any]] = {
    "covered_s": _covered,
    "pct_good": _pct_good,
    "integral": _integral,
    "time_weighted_average": _average,
    "time_in_state": _time_in_state,
    "count": _count,
    "transitions": _transitions,
    "start_value": _start_value,
}
