"""A series as OPC UA Part 13 reads it: qualities, bounding values and known time."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from siltstone.timeseries.conventions.segments import Segments, segments_between
from siltstone.timeseries.conventions.series import NULL, Series, Window, graded, horizon, is_stepped
from siltstone.timeseries.interpretation import Interpretation
from siltstone.timeseries.points import BAD, GOOD, UNCERTAIN

ALL_GOOD, SUBNORMAL, UNCERTAIN_RAW, ALL_BAD, NO_DATA = "Good", "UncertainDataSubNormal", "Uncertain", "Bad", "BadNoData"
Judged = tuple[float, str]
"""A value and its status; the value is null where the status is Bad or BadNoData."""


@dataclass(frozen=True)
class Options:
    """`percent_data_good`, `percent_data_bad`: shares from which a result is Good, or Bad and null.
    `sloped_extrapolation`: the last line is drawn on beyond the last sample. `data_end_us`: where the known data ends
    (default: with the window that holds the last sample). `round_integers`: bounding values of an integer tag are
    rounded, as the .NET server does."""

    percent_data_good: float = 100.0
    percent_data_bad: float = 100.0
    sloped_extrapolation: bool = False
    data_end_us: int | None = None
    round_integers: bool = False


@dataclass(frozen=True)
class Reading:
    """`series`: every sample; `grade`: its quality, with Uncertain counted as the options say; `until_us`:
    nothing later is evaluated."""

    series: Series
    grade: npt.NDArray[np.int8]
    stepped: bool
    until_us: int
    options: Options

    @cached_property
    def usable(self) -> Series:
        return self.series.where(self.grade != BAD)

    @cached_property
    def samples_from(self) -> int:
        """The place of the first usable sample: a Bad one before it only says that there is no data yet."""
        return int(np.argmax(self.grade != BAD)) if len(self.usable) else len(self.grade)

    def has_data(self, window: Window) -> bool:
        """Whether the window touches the span from the first sample to the end of the data."""
        if not len(self.series) or window.end_us <= self.series.ts[0]:
            return False
        end = self.options.data_end_us
        return bool(window.start_us <= self.series.ts[-1] if end is None else window.start_us < end)

    def known_end_us(self, window: Window) -> int:
        end = self.options.data_end_us
        return window.end_us if end is None else min(window.end_us, end)

    def grades_inside(self, window: Window) -> npt.NDArray[np.int8]:
        """The grades of the samples in [start, end)."""
        first, beyond = np.searchsorted(self.series.ts, (window.start_us, window.end_us))
        return self.grade[max(int(first), self.samples_from) : beyond]

    def good_inside(self, window: Window) -> Series:
        """The Good samples in [start, end)."""
        return self._good.inside(window)

    @cached_property
    def _good(self) -> Series:
        return self.series.where(self.grade == GOOD)

    @cached_property
    def held_good(self) -> Segments:
        """The time after each Good sample until the next sample of any quality, at its value."""
        return segments_between(self.series, self.until_us, stepped=True, held=self.grade == GOOD)

    @cached_property
    def held_uncertain(self) -> Segments:
        """The time after each sample that counts neither as Good nor as Bad, until the next sample, at its value."""
        return segments_between(self.series, self.until_us, stepped=True, held=self.grade == UNCERTAIN)

    @cached_property
    def simple(self) -> Segments:
        """Good time with simple bounds: steps or lines, held flat to a Bad sample."""
        to_bad = np.append(self.grade[1:] == BAD, True)[: len(self.grade)]
        return segments_between(self.series, self.until_us, stepped=self.stepped, held=self.grade == GOOD, flat=to_bad)

    @cached_property
    def interpolated(self) -> Segments:
        """Lines between usable samples, also across Bad ones, and extrapolated behind the last one."""
        line = self.usable
        if self.options.sloped_extrapolation and len(line) > 1 and line.ts[-1] < self.until_us:
            at_end = _on_line(line, len(line) - 2, self.until_us)
            line = Series(
                np.append(line.ts, self.until_us), np.append(line.value, at_end), np.append(line.quality, GOOD)
            )
        return segments_between(line, self.until_us, stepped=False)

    def value_at(self, at_us: int) -> Judged:
        """The interpolated bounding value; a usable sample at that time gives its own value and quality."""
        used, before = self.usable, self.usable.last_until(at_us)
        if before < 0:
            return NULL, NO_DATA
        if used.ts[before] == at_us:
            return float(used.value[before]), ALL_GOOD if used.quality[before] == GOOD else UNCERTAIN_RAW
        if before + 1 == len(used):
            sloped = self.options.sloped_extrapolation and not self.stepped and before > 0
            return _on_line(used, before - 1, at_us) if sloped else float(used.value[before]), SUBNORMAL
        if self.stepped:
            sure = used.quality[before] == GOOD and not self._bad_between(int(used.ts[before]), at_us + 1)
            return float(used.value[before]), ALL_GOOD if sure else SUBNORMAL
        sure = (used.quality[before : before + 2] == GOOD).all()
        sure = sure and not self._bad_between(int(used.ts[before]), int(used.ts[before + 1]))
        return _on_line(used, before, at_us), ALL_GOOD if sure else SUBNORMAL

    def line_status(self, window: Window) -> str:
        """Good if the lines over the window pass over no Bad sample, use no Uncertain one and end at a sample."""
        used, after = self.usable, int(np.searchsorted(self.usable.ts, window.end_us))
        first = max(used.last_until(window.start_us), 0)
        if after == len(used) or (used.quality[first : after + 1] != GOOD).any():
            return SUBNORMAL
        return SUBNORMAL if self._bad_between(int(used.ts[first]), int(used.ts[after])) else ALL_GOOD

    def _bad_between(self, after_us: int, before_us: int) -> bool:
        first = int(np.searchsorted(self.series.ts, after_us, "right"))
        beyond = int(np.searchsorted(self.series.ts, before_us, "left"))
        return bool((self.grade[first:beyond] == BAD).any())


def reading_of(series: Series, windows: Sequence[Window], interpretation: Interpretation, options: Options) -> Reading:
    stepped = is_stepped("opcua", interpretation)
    return Reading(series, graded(series, interpretation.uncertain), stepped, horizon(windows, series), options)


def _on_line(series: Series, place: int, at_us: int) -> float:
    """The value at `at_us` of the line from the point at `place` to the next."""
    (t0, t1), (v0, v1) = series.ts[place : place + 2], series.value[place : place + 2]
    return float(v0 + (at_us - t0) * (v1 - v0) / (t1 - t0))
