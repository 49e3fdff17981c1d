"""One series and its windows, in the form that every convention reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from siltstone.errors import UsageError
from siltstone.timeseries.interpretation import Interpretation
from siltstone.timeseries.points import BAD, GOOD, UNCERTAIN, Floats, Ints, Mask, Points

NULL = float("nan")


@dataclass(frozen=True)
class Window:
    """A span of time in microseconds since 1970 UTC; each convention says which of its edges belongs to it."""

    start_us: int
    end_us: int

    @property
    def seconds(self) -> float:
        return (self.end_us - self.start_us) / 1e6


@dataclass(frozen=True)
class Series:
    """The points of one series, sorted by time, one per time."""

    ts: Ints
    value: Floats
    quality: npt.NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.ts)

    def where(self, mask: Mask) -> "Series":
        return Series(self.ts[mask], self.value[mask], self.quality[mask])

    def inside(self, window: Window, side: Literal["left", "right"] = "left") -> "Series":
        """The points in [start, end); with `right`, those in (start, end]."""
        first, beyond = np.searchsorted(self.ts, (window.start_us, window.end_us), side)
        return Series(self.ts[first:beyond], self.value[first:beyond], self.quality[first:beyond])

    def last_until(self, at_us: int) -> int:
        """The place of the last point at or before `at_us`; -1 if there is none."""
        return int(np.searchsorted(self.ts, at_us, "right")) - 1


def series_of(points: Points, keep: Literal["first", "last"]) -> Series:
    """The one series in `points`; of several points with one time the first or the last is kept.

    Raises UsageError for several series, and for points out of time order."""
    if len(points.starts) != 2:
        raise UsageError(
            f"a convention takes one series at a time, not {len(points.starts) - 1}", "Call it once per series."
        )
    steps = np.diff(points.ts)
    if (steps < 0).any():
        at = int(points.ts[int(np.argmax(steps < 0)) + 1])
        raise UsageError(f"points not in time order: {at} us comes after a later point", "Sort the points by time.")
    apart = steps > 0
    kept = np.append(apart, True) if keep == "last" else np.append(True, apart)
    return Series(points.ts, points.value, points.quality).where(kept[: len(points.ts)])


def graded(series: Series, uncertain: Literal["bad", "good", "keep"]) -> npt.NDArray[np.int8]:
    """The quality of each point, with Uncertain counted as `uncertain` says; a value that is not finite is Bad."""
    as_what = {"bad": BAD, "good": GOOD, "keep": UNCERTAIN}[uncertain]
    counted = np.where(series.quality == UNCERTAIN, as_what, series.quality)
    return np.where(np.isfinite(series.value), counted, BAD).astype(np.int8)


def is_stepped(convention: str, interpretation: Interpretation) -> bool:
    """Whether a value holds until the next point (else straight lines are drawn). Raises UsageError for other kinds."""
    if interpretation.kind not in ("step", "counter", "linear"):
        raise UsageError(
            f"the convention {convention} reads a series as step or linear, not as {interpretation.kind}",
            "Set the kind of this series, or use the convention default.",
        )
    return interpretation.kind != "linear"


def horizon(windows: Sequence[Window], series: Series) -> int:
    """The latest instant of all windows and points."""
    ends = [window.end_us for window in windows]
    return max([*ends, *(int(t) for t in series.ts[-1:])], default=0)
