"""OPC UA Part 13 aggregates, as the .NET and node-opcua servers test themselves."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from siltstone.timeseries.conventions.convention import Column, Convention, by_both_names, column
from siltstone.timeseries.conventions.opcua_reading import (
    ALL_BAD,
    ALL_GOOD,
    NO_DATA,
    SUBNORMAL,
    Judged,
    Options,
    Reading,
    reading_of,
)
from siltstone.timeseries.conventions.plain import population_deviation, sample_deviation
from siltstone.timeseries.conventions.series import NULL, Series, Window
from siltstone.timeseries.interpretation import Interpretation
from siltstone.timeseries.points import BAD, GOOD, Floats

RULES = """\
Window [start, end), stamped at start; the known data ends with the window that holds the last sample, or at
`data_end_us`; windows before the first sample or beyond the end are BadNoData (null). Quality: `uncertain` = bad is
TreatUncertainAsBad; good counts Uncertain as Good (as the .NET server does), keep as neither, but usable for lines
(as node-opcua does). Values that are not finite are Bad. Of points with one time the last is used. Every measure
comes with a status; where that is Bad the value is null. `Interpolative`, `StartBound`, `EndBound`: a usable sample
at that time, else the last usable value (stepped) or the line between usable neighbours, across Bad ones; after the
last sample flat, or sloped with `sloped_extrapolation`. `TimeAverage`, `Total`: lines with interpolated bounds
whatever the kind; the average divides by the window, less the time before the first usable sample. `TimeAverage2`,
`Total2`: simple bounds, steps or lines by kind; time that is not Good leaves the area and the time; held flat to a
Bad sample. `DurationGood`, `DurationBad`, `DurationInStateZero`, `DurationInStateNonZero` in milliseconds,
`PercentGood`, `PercentBad` of the window up to the end of the data: a sample's quality holds until the next one,
time before the first is Bad. `Minimum`, `Maximum`, `Range`, `Average`, `Count` and the deviations: Good samples in
the window, no bounds. One sample: held flat after it. Empty windows within the data: the bounds still give values,
the measures of samples are null, Count 0. `NumberOfTransitions`: samples that are not Bad and differ from the one
before them; the very first of a series counts, which is the peer's habit."""


def _of_samples(measure: Callable[[Floats], float]) -> Callable[[Reading, Window], Judged]:
    """A measure of the Good samples in the window: Good if no other sample is there, else sub-normal."""

    def judged(reading: Reading, window: Window) -> Judged:
        good = reading.good_inside(window)
        return (measure(good.value), _purity(reading, window)) if len(good) else (NULL, NO_DATA)

    return judged


def _purity(reading: Reading, window: Window) -> str:
    return ALL_GOOD if (reading.grades_inside(window) == GOOD).all() else SUBNORMAL


def _judged_by_share(value: float, good: float, bad: float, options: Options) -> Judged:
    """The status by the shares of Good and Bad, in percent. If both reach their limits, it is Bad."""
    if bad >= options.percent_data_bad:
        return NULL, ALL_BAD
    return value, ALL_GOOD if good >= options.percent_data_good else SUBNORMAL


def _count(reading: Reading, window: Window) -> Judged:
    grades = reading.grades_inside(window)
    if not reading.has_data(window):
        return NULL, NO_DATA
    good, bad = int((grades == GOOD).sum()), int((grades == BAD).sum())
    if not len(grades):
        return 0.0, ALL_GOOD
    return _judged_by_share(float(good), 100 * good / len(grades), 100 * bad / len(grades), reading.options)


def _first_or_last(place: int) -> Callable[[Reading, Window], Judged]:
    """The first (0) or last (-1) sample in the window, of any quality; null if it is Bad."""

    def judged(reading: Reading, window: Window) -> Judged:
        points, grades = reading.series.inside(window), reading.grades_inside(window)
        if not len(grades):
            return NULL, NO_DATA
        value = float(points.value[len(points) - len(grades) :][place])
        return {GOOD: (value, ALL_GOOD), BAD: (NULL, ALL_BAD)}.get(int(grades[place]), (value, SUBNORMAL))

    return judged


def _delta(reading: Reading, window: Window) -> Judged:
    return _difference(_first_or_last(0)(reading, window), _first_or_last(-1)(reading, window))


def _difference(start: Judged, end: Judged) -> Judged:
    statuses = (start[1], end[1])
    worst = next((s for s in (NO_DATA, ALL_BAD) if s in statuses), None)
    return end[0] - start[0], worst or (ALL_GOOD if statuses == (ALL_GOOD, ALL_GOOD) else SUBNORMAL)


def _rounded(reading: Reading, judged: Judged) -> Judged:
    return (float(np.rint(judged[0])), judged[1]) if reading.options.round_integers else judged


def _start_bound(reading: Reading, window: Window) -> Judged:
    return _rounded(reading, reading.value_at(window.start_us))


def _end_bound(reading: Reading, window: Window) -> Judged:
    return _rounded(reading, reading.value_at(window.end_us))


def _delta_bounds(reading: Reading, window: Window) -> Judged:
    return _difference(_start_bound(reading, window), _end_bound(reading, window))


def _total(reading: Reading, window: Window) -> Judged:
    known = reading.interpolated.within(window.start_us, window.end_us)
    return (known.area(), reading.line_status(window)) if known.seconds() else (NULL, NO_DATA)


def _time_average(reading: Reading, window: Window) -> Judged:
    known = reading.interpolated.within(window.start_us, window.end_us)
    area, status = _total(reading, window)
    return (area / known.seconds(), status) if known.seconds() else (NULL, NO_DATA)


def _shares_us(reading: Reading, window: Window) -> tuple[int, int, int]:
    """Good, Bad and known time of a window with data, microseconds."""
    start, end = window.start_us, reading.known_end_us(window)
    good = int(reading.held_good.within(start, end).held_us.sum())
    neither = int(reading.held_uncertain.within(start, end).held_us.sum())
    return good, end - start - good - neither, end - start


def _total2(reading: Reading, window: Window) -> Judged:
    if not reading.has_data(window):
        return NULL, NO_DATA
    good, bad, known = _shares_us(reading, window)
    area = reading.simple.within(window.start_us, reading.known_end_us(window)).area()
    return _judged_by_share(area if good else NULL, 100 * good / known, 100 * bad / known, reading.options)


def _time_average2(reading: Reading, window: Window) -> Judged:
    area, status = _total2(reading, window)
    if np.isnan(area):
        return NULL, status
    return area / (_shares_us(reading, window)[0] / 1e6), status


def _of_time(measure: Callable[[Reading, Window], Any]) -> Callable[[Reading, Window], tuple[Any, str]]:
    """A measure of time; it is Good if the window has data."""
    return lambda reading, window: (measure(reading, window), ALL_GOOD) if reading.has_data(window) else (NULL, NO_DATA)


def _by_state(reading: Reading, window: Window) -> dict[float, float]:
    return reading.held_good.within(window.start_us, reading.known_end_us(window)).seconds_by_state()


def _transitions(reading: Reading, window: Window) -> Judged:
    if not reading.has_data(window):
        return NULL, NO_DATA
    # Uncertain samples count here even where they are treated as Bad: so the peer's own test has it.
    not_bad = reading.series.where((reading.series.quality != BAD) & np.isfinite(reading.series.value))
    changed = np.append(True, np.diff(not_bad.value) != 0)[: len(not_bad)]
    changes = Series(not_bad.ts, changed.astype(np.float64), not_bad.quality)
    return float(changes.inside(window).value.sum()), _purity(reading, window)


_OWN: dict[str, Callable[[Reading, Window], tuple[Any, str]]] = {
    "Interpolative": _start_bound,
    "StartBound": _start_bound,
    "EndBound": _end_bound,
    "DeltaBounds": _delta_bounds,
    "TimeAverage": _time_average,
    "TimeAverage2": _time_average2,
    "Total": _total,
    "Total2": _total2,
    "Average": _of_samples(lambda values: float(values.mean())),
    "Minimum": _of_samples(lambda values: float(values.min())),
    "Maximum": _of_samples(lambda values: float(values.max())),
    "Range": _of_samples(lambda values: float(values.max() - values.min())),
    "StandardDeviationSample": _of_samples(sample_deviation),
    "StandardDeviationPopulation": _of_samples(population_deviation),
    "Count": _count,
    "Start": _first_or_last(0),
    "End": _first_or_last(-1),
    "Delta": _delta,
    "DurationGood": _of_time(lambda r, w: _shares_us(r, w)[0] / 1e3),
    "DurationBad": _of_time(lambda r, w: _shares_us(r, w)[1] / 1e3),
    "PercentGood": _of_time(lambda r, w: 100 * _shares_us(r, w)[0] / _shares_us(r, w)[2]),
    "PercentBad": _of_time(lambda r, w: 100 * _shares_us(r, w)[1] / _shares_us(r, w)[2]),
    "DurationInStateZero": _of_time(lambda r, w: 1e3 * _by_state(r, w).get(0.0, 0.0)),
    "DurationInStateNonZero": _of_time(lambda r, w: 1e3 * sum(s for v, s in _by_state(r, w).items() if v != 0)),
    "NumberOfTransitions": _transitions,
    "time_in_state": _of_time(_by_state),
    "sum": _of_samples(lambda values: float(values.sum())),
}
_MEASURES = by_both_names(
    _OWN,
    {
        "time_weighted_average": "TimeAverage2",
        "integral": "Total2",
        "transitions": "NumberOfTransitions",
        "first": "Start",
        "last": "End",
        "start_value": "StartBound",
        "end_value": "EndBound",
        "min": "Minimum",
        "max": "Maximum",
        "count": "Count",
        "mean": "Average",
        "stddev": "StandardDeviationSample",
        "pct_good": "PercentGood",
    },
)


def _read(
    series: Series,
    windows: Sequence[Window],
    measures: Sequence[str],
    interpretation: Interpretation,
    options: Options,
) -> dict[str, Column]:
    reading = reading_of(series, windows, interpretation, options)
    columns: dict[str, Column] = {}
    for name in measures:
        judged = [_MEASURES[name](reading, window) for window in windows]
        columns[name] = column([value for value, _ in judged])
        columns[f"{name}_status"] = np.array([status for _, status in judged], object)
    return columns


OPCUA = Convention(RULES, "start", "last", tuple(_MEASURES), Options, _read)
