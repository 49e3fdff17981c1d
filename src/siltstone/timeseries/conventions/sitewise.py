"""AWS IoT SiteWise: metrics over (start, end], stamped at their end."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from siltstone.timeseries.conventions.convention import Column, Convention, by_both_names, column
from siltstone.timeseries.conventions.plain import PLAIN, population_deviation
from siltstone.timeseries.conventions.segments import Segments, segments_between
from siltstone.timeseries.conventions.series import NULL, Series, Window, graded, horizon, is_stepped
from siltstone.timeseries.interpretation import Interpretation
from siltstone.timeseries.points import GOOD

RULES = """\
Window (start, end], stamped at end: a point at the end belongs to it, one at the start to the window before. Only
Good points with a finite value count (Uncertain if the interpretation calls it good). Of points with one time the
last is used. `avg`, `count`, `min`, `max`, `sum`, `stdev`, `first`, `last`: over the points in the window; null
(count 0) without one. `earliest` and `latest`: the last value at or before start and end, however old. `statetime`:
seconds during which the value is above 0; a value holds until the next Good point, also the one before the window
and after the last point; before the first point nothing is counted; null if there is no point up to the end, 0 if
there is but it was never positive. `TimeWeightedAvg`: LOCF for the kinds step and counter, lines between two Good
points for linear, else the Good value held to the next point; from a point that is not Good to the next Good one
nothing is known; divided by the known time. `TimeWeightedStDev`: on LOCF, weighted by seconds, with the sum of
weights less one below (`stdev_algorithm` p: the sum). `interpolated`: the value at the stamp: LOCF, or the line
between the Good points around it (null beyond the last point). Whether the peer's stdev divides by n - 1 or n is not
documented: n - 1, or n with `stdev_algorithm` p."""


@dataclass(frozen=True)
class Options:
    """`stdev_algorithm`: f divides by the weights less one (a sample), p by the weights (a population)."""

    stdev_algorithm: Literal["f", "p"] = "f"


@dataclass(frozen=True)
class _Reading:
    good: Series
    held: Segments
    """The pieces from every Good value to the next Good one."""
    known: Segments
    """The pieces as `TimeWeightedAvg` reads the series: a point that is not Good ends a piece."""
    stepped: bool
    options: Options


def _reading(series: Series, windows: Sequence[Window], interpretation: Interpretation, options: Options) -> _Reading:
    is_good = graded(series, interpretation.uncertain) == GOOD
    good, until_us = series.where(is_good), horizon(windows, series)
    stepped = is_stepped("sitewise", interpretation)
    before_other = np.append(~is_good[1:], True)[: len(series)]
    return _Reading(
        good,
        segments_between(good, until_us, stepped=True),
        segments_between(series, until_us, stepped=stepped, held=is_good, flat=before_other),
        stepped,
        options,
    )


def _value_at(reading: _Reading, at_us: int) -> float:
    place = reading.good.last_until(at_us)
    return float(reading.good.value[place]) if place >= 0 else NULL


def _statetime(reading: _Reading, window: Window) -> float:
    if reading.good.last_until(window.end_us) < 0:
        return NULL
    held = reading.held.within(window.start_us, window.end_us)
    return int(held.held_us[held.first > 0].sum()) / 1e6


def _time_in_state(reading: _Reading, window: Window) -> dict[float, float] | float:
    if reading.good.last_until(window.end_us) < 0:
        return NULL
    return reading.held.within(window.start_us, window.end_us).seconds_by_state()


def _time_weighted_avg(reading: _Reading, window: Window) -> float:
    known = reading.known.within(window.start_us, window.end_us)
    return known.area() / known.seconds() if known.seconds() else NULL


def _time_weighted_stdev(reading: _Reading, window: Window) -> float:
    held = reading.held.within(window.start_us, window.end_us)
    below = held.seconds() - (1 if reading.options.stdev_algorithm == "f" else 0)
    if below <= 0:
        return NULL
    weights = held.held_us / 1e6
    mean = float((weights * held.first).sum()) / held.seconds()
    return float(np.sqrt((weights * (held.first - mean) ** 2).sum() / below))


def _stdev(reading: _Reading, window: Window) -> float:
    values = reading.good.inside(window, "right").value
    return population_deviation(values) if reading.options.stdev_algorithm == "p" else PLAIN["stddev"](values)


def _interpolated(reading: _Reading, window: Window) -> float:
    at_us, good = window.end_us, reading.good
    before = good.last_until(at_us)
    if reading.stepped or before < 0 or good.ts[before] == at_us:
        return _value_at(reading, at_us)
    if before + 1 == len(good):
        return NULL
    share = (at_us - good.ts[before]) / (good.ts[before + 1] - good.ts[before])
    return float(good.value[before] + share * (good.value[before + 1] - good.value[before]))


def _plain(name: str) -> Callable[[_Reading, Window], float]:
    return lambda reading, window: PLAIN[name](reading.good.inside(window, "right").value)


_OWN: dict[str, Callable[[_Reading, Window], Any]] = {
    "avg": _plain("mean"),
    "count": _plain("count"),
    "min": _plain("min"),
    "max": _plain("max"),
    "sum": _plain("sum"),
    "stdev": _stdev,
    "first": _plain("first"),
    "last": _plain("last"),
    "earliest": lambda reading, window: _value_at(reading, window.start_us),
    "latest": lambda reading, window: _value_at(reading, window.end_us),
    "statetime": _statetime,
    "TimeWeightedAvg": _time_weighted_avg,
    "TimeWeightedStDev": _time_weighted_stdev,
    "interpolated": _interpolated,
    "time_in_state": _time_in_state,
}
_MEASURES = by_both_names(
    _OWN,
    {
        "mean": "avg",
        "stddev": "stdev",
        "start_value": "earliest",
        "end_value": "latest",
        "time_weighted_average": "TimeWeightedAvg",
        "time_weighted_stddev": "TimeWeightedStDev",
    },
)


def _read(
    series: Series,
    windows: Sequence[Window],
    measures: Sequence[str],
    interpretation: Interpretation,
    options: Options,
) -> dict[str, Column]:
    reading = _reading(series, windows, interpretation, options)
    return {name: column([_MEASURES[name](reading, window) for window in windows]) for name in measures}


SITEWISE = Convention(RULES, "end", "last", tuple(_MEASURES), Options, _read)
