"""Measures of the values in a window, not weighted by time: the same in every convention."""

from collections.abc import Callable, Mapping

import numpy as np

from siltstone.timeseries.conventions.series import NULL
from siltstone.timeseries.points import Floats


def sample_deviation(values: Floats) -> float:
    """The standard deviation with n - 1 as divisor; null for fewer than two values."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else NULL


def population_deviation(values: Floats) -> float:
    return float(np.std(values)) if len(values) else NULL


def _or_null(measure: Callable[[Floats], np.float64]) -> Callable[[Floats], float]:
    return lambda values: float(measure(values)) if len(values) else NULL


PLAIN: Mapping[str, Callable[[Floats], float]] = {
    "count": lambda values: float(len(values)),
    "sum": _or_null(np.sum),
    "mean": _or_null(np.mean),
    "min": _or_null(np.min),
    "max": _or_null(np.max),
    "stddev": sample_deviation,
    "first": _or_null(lambda values: values[0]),
    "last": _or_null(lambda values: values[-1]),
}
"""Null for no value, but a count of 0."""
