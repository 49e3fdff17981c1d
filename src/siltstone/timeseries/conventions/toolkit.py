"""The TimescaleDB Toolkit's time-weighted averages, by their documented behaviour."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from siltstone.timeseries.conventions.convention import Column, Convention, column
from siltstone.timeseries.conventions.plain import PLAIN
from siltstone.timeseries.conventions.segments import Segments, segments_between
from siltstone.timeseries.conventions.series import NULL, Series, Window, is_stepped
from siltstone.timeseries.interpretation import Interpretation
from siltstone.timeseries.points import GOOD, UNCERTAIN, Mask

RULES = """\
Window [start, end), stamped at start. Between points: the last value (LOCF) for the kinds step and counter, straight
lines for linear. Bounds: with `bounds` = none (names `average`, `integral`) a window knows its own points only, from
the first to the last of them; with neighbour (`interpolated_average`, `interpolated_integral`) it also takes the
last point of the window directly before and the first of the one directly after, so LOCF covers start to end and a
line reaches the edges where there is such a point, but an empty window between stops the state. LOCF holds to the
end of the window, a line stops at its last point. Quality: it knows none; Bad points and nulls are left out without
leaving a gap, Uncertain counts as the interpretation says (kept: used); NaN is not handled and makes the result
null. Of points with one time the first is used. One point: integral 0 and average null without neighbours. Empty
window: null, whatever lies around it. The average is the area divided by the covered time."""

Bounds = Literal["none", "neighbour"]


@dataclass(frozen=True)
class Options:
    """`bounds`: what a window uses of the points around it, for the measures under siltstone's names."""

    bounds: Bounds = "none"


@dataclass(frozen=True)
class _Reading:
    used: Series
    windows: Sequence[Window]
    stepped: bool
    options: Options

    def known(self, place: int, bounds: Bounds, *, stepped: bool) -> Segments:
        """The known time of the window at `place`; the window has a point."""
        window = self.windows[place]
        if bounds == "none":
            own = self.used.inside(window)
            return segments_between(own, int(own.ts[-1]), stepped=stepped)
        before, after = self._neighbours(place)
        first, beyond = np.searchsorted(self.used.ts, (window.start_us, window.end_us))
        if before is not None and len(self.used.inside(before)):
            first -= 1
        if after is not None and len(self.used.inside(after)):
            beyond += 1
        line = Series(self.used.ts[first:beyond], self.used.value[first:beyond], self.used.quality[first:beyond])
        until_us = window.end_us if stepped else int(line.ts[-1])
        return segments_between(line, until_us, stepped=stepped).within(window.start_us, window.end_us)

    def _neighbours(self, place: int) -> tuple[Window | None, Window | None]:
        """The previous and the next window that touch this one; None if there is none."""
        here = self.windows[place]
        before = self.windows[place - 1] if place else None
        after = self.windows[place + 1] if place + 1 < len(self.windows) else None
        touches_start = before is not None and before.end_us == here.start_us
        touches_end = after is not None and after.start_us == here.end_us
        return (before if touches_start else None), (after if touches_end else None)


def _used(series: Series, uncertain: str) -> Mask:
    """Which points count. Values that are not finite count, too: the other system does not check for them."""
    return np.isin(series.quality, [GOOD] if uncertain == "bad" else [GOOD, UNCERTAIN])


def _average(bounds: Bounds) -> Callable[[_Reading, int], float]:
    def average(reading: _Reading, place: int) -> float:
        known = reading.known(place, bounds, stepped=reading.stepped)
        return known.area() / known.seconds() if known.seconds() else NULL

    return average


def _integral(bounds: Bounds) -> Callable[[_Reading, int], float]:
    return lambda reading, place: reading.known(place, bounds, stepped=reading.stepped).area()


def _time_in_state(reading: _Reading, place: int) -> dict[float, float]:
    return reading.known(place, reading.options.bounds, stepped=True).seconds_by_state()


_MEASURES: dict[str, Callable[[_Reading, int], Any]] = {
    "average": _average("none"),
    "integral": lambda reading, place: _integral(reading.options.bounds)(reading, place),
    "interpolated_average": _average("neighbour"),
    "interpolated_integral": _integral("neighbour"),
    "time_weighted_average": lambda reading, place: _average(reading.options.bounds)(reading, place),
    "time_in_state": _time_in_state,
    "first_ts": lambda reading, place: float(reading.used.inside(reading.windows[place]).ts[0]),
    "last_ts": lambda reading, place: float(reading.used.inside(reading.windows[place]).ts[-1]),
}


def _read(
    series: Series,
    windows: Sequence[Window],
    measures: Sequence[str],
    interpretation: Interpretation,
    options: Options,
) -> dict[str, Column]:
    used = series.where(_used(series, interpretation.uncertain))
    reading = _Reading(used, windows, is_stepped("toolkit", interpretation), options)

    def value(name: str, place: int) -> Any:
        points = used.inside(windows[place])
        if name in PLAIN:
            return PLAIN[name](points.value)
        return _MEASURES[name](reading, place) if len(points) else NULL

    return {name: column([value(name, place) for place in range(len(windows))]) for name in measures}


TOOLKIT = Convention(RULES, "start", "first", (*_MEASURES, *PLAIN), Options, _read)
