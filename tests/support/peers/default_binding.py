"""Where the cases meet the `default` convention: the kernels, on windows that lie anywhere."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from siltstone.timeseries import kernel
from siltstone.timeseries.buckets import Buckets
from siltstone.timeseries.conventions import Window
from siltstone.timeseries.interpretation import Interpretation
from siltstone.timeseries.measures import measures_of
from siltstone.timeseries.points import Ints, Points


@dataclass(frozen=True)
class DefaultCase:
    """`points`: one series, Bad where no value is known."""

    points: Points
    windows: Sequence[Window]
    measures: Sequence[str]
    interpretation: Interpretation = field(default_factory=Interpretation)


@dataclass(frozen=True)
class _Only:
    """A window, what is before it and what comes after, as buckets -1, 0 and 1."""

    window: Window
    name: str = "window"

    def number(self, ts: Ints) -> Ints:
        return np.where(ts < self.window.start_us, -1, np.where(ts < self.window.end_us, 0, 1)).astype(np.int64)

    def bounds(self, numbers: Ints) -> tuple[Ints, Ints]:
        edges = np.array([-(1 << 60), self.window.start_us, self.window.end_us, 1 << 60])
        return edges[numbers + 1], edges[numbers + 2]

    def divides(self, coarser: Buckets, first_us: int, last_us: int) -> bool:
        return False


def default_results(case: DefaultCase) -> dict[str, list[Any]]:
    """Per measure one value per window, None for null. Durations in seconds; what is known ends with the window."""
    found: dict[str, list[Any]] = {measure: [] for measure in case.measures}
    for window in case.windows:
        row = _row(case, window)
        for measure in case.measures:
            found[measure].append(row.get(measure))
    return found


def _row(case: DefaultCase, window: Window) -> dict[str, Any]:
    buckets, how = _Only(window), [case.interpretation]
    states = kernel.states(case.points, how, buckets, times=True)
    latest = max([window.end_us, *(case.points.ts[-1:] + 1).tolist()])
    result = measures_of(states, how, buckets, latest, empty="carry", within=(window.start_us, window.end_us))
    if not result.rows.height:
        return {"count": 0, "covered_s": 0.0, "pct_good": 0.0, "transitions": 0, "time_in_state": {}}
    times = {value: us / 1e6 for _, _, value, us in result.times.iter_rows()}
    return {**result.rows.row(0, named=True), "time_in_state": times}
