"""Flux: integrals over straight lines, and its functions over rows, for states."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from siltstone.timeseries.conventions.convention import Column, Convention, by_both_names, column
from siltstone.timeseries.conventions.plain import PLAIN
from siltstone.timeseries.conventions.segments import segments_between
from siltstone.timeseries.conventions.series import NULL, Series, Window, graded
from siltstone.timeseries.interpretation import Interpretation
from siltstone.timeseries.points import BAD, Floats, Ints, Mask

RULES = """\
Window [start, end), stamped at start; nothing outside it is looked at, so nothing is carried in. Quality: Bad
points, nulls and values that are not finite are left out and the line is drawn across them; Uncertain counts as the
interpretation says (kept: used). Of points with one time the first is used. Points out of time order are an error.
`integral` adds up the straight lines between the points whatever the kind, divided by `unit_s`: with `interpolate` =
none from the first to the last point only, so none or one point gives 0; with linear the first and the last line are
prolonged with their own slope to the edges, one point is a constant over the window, none gives 0. `timeWeightedAvg`
is the integral with linear, divided by the window's length: it can leave the range of the values, and is 0 for an
empty window. `stateDuration` and `stateCount` are the row of the window's last point: -1 outside the state, else
seconds or points since the run began inside the window. `time_in_state` holds each value until the next point or the
window's end. Other measures: null without a point."""

NOT_IN_STATE = -1.0


def positive(values: Floats) -> Mask:
    return values > 0


@dataclass(frozen=True)
class Options:
    """`unit_s`: the seconds of one unit of time. `in_state`: whether a value is in the state to be timed."""

    interpolate: Literal["none", "linear"] = "none"
    unit_s: float = 1.0
    in_state: Callable[[Floats], Mask] = positive


def state_durations(ts: Ints, in_state: Mask, unit_s: float = 1.0) -> Floats:
    """For each point the time since its run of points in the state began; -1 for points in another state."""
    return np.where(in_state, (ts - ts[_run_starts(in_state)]) / 1e6 / unit_s, NOT_IN_STATE)


def state_counts(in_state: Mask) -> Floats:
    """For each point its number in its run of points in the state, from 1; -1 for points in another state."""
    places = np.arange(len(in_state))
    return np.where(in_state, places - _run_starts(in_state) + 1, NOT_IN_STATE).astype(np.float64)


def elapsed(ts: Ints, unit_s: float = 1.0) -> Floats:
    """For each point except the first the time since the previous one."""
    return np.diff(ts) / 1e6 / unit_s


def event_durations(ts: Ints, stop_us: int, unit_s: float = 1.0) -> Floats:
    """For each point the time until the next one; for the last point until `stop_us`."""
    return np.diff(np.append(ts, stop_us)) / 1e6 / unit_s


def _run_starts(in_state: Mask) -> Ints:
    """For each point the place at which its run of equal flags begins."""
    begins = np.append(True, in_state[1:] != in_state[:-1])[: len(in_state)]
    return np.maximum.accumulate(np.where(begins, np.arange(len(in_state)), 0))


def _prolonged(points: Series, window: Window) -> Series:
    """The points, with points at the window's edges on the extended first and last line."""
    ts = np.array([window.start_us, *points.ts, window.end_us], np.int64)
    if len(points) == 1:
        return Series(ts, np.full(3, points.value[0]), np.full(3, points.quality[0]))
    rises = np.diff(points.value) / np.diff(points.ts)
    at_start = points.value[0] - rises[0] * (points.ts[0] - window.start_us)
    at_end = points.value[-1] + rises[-1] * (window.end_us - points.ts[-1])
    return Series(ts, np.array([at_start, *points.value, at_end]), np.pad(points.quality, 1, mode="edge"))


def _area(points: Series, window: Window, interpolate: Literal["none", "linear"]) -> float:
    """Value x seconds."""
    if not len(points):
        return 0.0
    line = _prolonged(points, window) if interpolate == "linear" else points
    return segments_between(line, int(line.ts[-1]), stepped=False).area()


def _integral(points: Series, window: Window, options: Options) -> float:
    return _area(points, window, options.interpolate) / options.unit_s


def _time_weighted_avg(points: Series, window: Window, options: Options) -> float:
    return _area(points, window, "linear") / window.seconds


def _state_duration(points: Series, window: Window, options: Options) -> float:
    return float(state_durations(points.ts, options.in_state(points.value), options.unit_s)[-1])


def _state_count(points: Series, window: Window, options: Options) -> float:
    return float(state_counts(options.in_state(points.value))[-1])


def _time_in_state(points: Series, window: Window, options: Options) -> dict[float, float]:
    return segments_between(points, window.end_us, stepped=True).seconds_by_state()


_OWN: dict[str, Callable[[Series, Window, Options], Any]] = {
    "integral": _integral,
    "timeWeightedAvg": _time_weighted_avg,
    "stateDuration": _state_duration,
    "stateCount": _state_count,
    "time_in_state": _time_in_state,
}
_MEASURES = by_both_names(_OWN, {"time_weighted_average": "timeWeightedAvg"})
_ZERO_WHEN_EMPTY = ("integral", "timeWeightedAvg", "time_weighted_average")


def _read(
    series: Series,
    windows: Sequence[Window],
    measures: Sequence[str],
    interpretation: Interpretation,
    options: Options,
) -> dict[str, Column]:
    used = series.where(graded(series, interpretation.uncertain) != BAD)

    def value(name: str, window: Window) -> Any:
        points = used.inside(window)
        if name in PLAIN:
            return PLAIN[name](points.value)
        if not len(points) and name not in _ZERO_WHEN_EMPTY:
            return NULL
        return _MEASURES[name](points, window, options)

    return {name: column([value(name, window) for window in windows]) for name in measures}


FLUX = Convention(RULES, "start", "first", (*_MEASURES, *PLAIN), Options, _read)
