"""Readings of many series as arrays: irregular times, values that hold until the next one, gaps of many hours."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from aggregate_truth import START_US

Ints = npt.NDArray[np.int64]
MONTH_S = 30 * 86_400
HOUR_US = 3_600_000_000
_MEASUREMENTS = ("load", "mode", "speed", "torque")
_TOP = 800  # eighths: values go from 0 to 100
_BLOCK = 2_000_000


@dataclass(frozen=True)
class Spec:
    """`series` x `readings`, spread over about `span_s` seconds; with `gaps` every tenth series is silent six times for
    3 to 40 hours. `grain`: what a partition holds."""

    name: str
    series: int
    readings: int
    span_s: int = MONTH_S
    gaps: bool = False
    grain: Literal["day", "month"] = "day"

    @property
    def rows(self) -> int:
        return self.series * self.readings

    def scaled(self, scale: float) -> "Spec":
        """Fewer series, or of a single one fewer readings; the same number in each hour."""
        if scale == 1:
            return self
        named = replace(self, name=f"{self.name}-{scale:g}")
        if self.series > 1:
            return replace(named, series=max(2, round(self.series * scale)))
        return replace(named, readings=round(self.readings * scale), span_s=round(self.span_s * scale))


@dataclass(frozen=True)
class Readings:
    """`readings` of each series one after the other: microseconds, sorted, and values in eighths."""

    spec: Spec
    ts: Ints
    eighths: Ints

    @property
    def starts(self) -> Ints:
        return np.arange(self.spec.series + 1) * self.spec.readings

    @property
    def series_ids(self) -> list[str]:
        return [f"{device}/{measurement}" for device, measurement in self.about]

    @property
    def about(self) -> list[tuple[str, str]]:
        """Device and measurement of each series; series are in order of their ids."""
        return [(f"urn:plant/unit-{n // 4:06}", _MEASUREMENTS[n % 4]) for n in range(self.spec.series)]


def made(spec: Spec) -> Readings:
    """The same readings everywhere."""
    random = np.random.default_rng(spec.rows)
    ts, eighths = np.empty((spec.series, spec.readings), np.int64), np.empty((spec.series, spec.readings), np.int64)
    together = max(10, _BLOCK // spec.readings // 10 * 10)
    for first in range(0, spec.series, together):
        block = slice(first, min(first + together, spec.series))
        ts[block] = _times(spec, random, block.stop - first)
        eighths[block] = _values(spec, random, block.stop - first)
    return Readings(spec, ts.reshape(-1), eighths.reshape(-1))


def _times(spec: Spec, random: np.random.Generator, series: int) -> Ints:
    """Whole milliseconds, none twice in a series."""
    span_ms = spec.span_s * 1000
    between = random.integers(1, 2 * span_ms // spec.readings, (series, spec.readings))
    if spec.gaps:
        silent = random.integers(3 * 3_600_000, 40 * 3_600_000, (len(between[::10]), 6))
        left = 1 - silent.sum(axis=1, keepdims=True) / span_ms
        between[::10] = np.maximum(1, between[::10] * left)
        where = random.integers(1, spec.readings, silent.shape)
        np.add.at(between, (np.arange(0, series, 10)[:, None], where), silent)
    return START_US + np.cumsum(between, axis=1) * 1000


def _values(spec: Spec, random: np.random.Generator, series: int) -> Ints:
    steps = random.integers(-6, 7, (series, spec.readings), dtype=np.int64)
    walk = np.cumsum(steps, axis=1) + random.integers(0, 2 * _TOP, (series, 1))
    return np.abs(walk % (2 * _TOP) - _TOP)
