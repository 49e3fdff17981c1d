"""A wide table as arrays: a row a second of each unit, columns that hold values for a while, cells without any."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from aggregate_truth import START_US

Ints = npt.NDArray[np.int64]
FROM_US = START_US + 22 * 3_600_000_000  # so that the rows are of two dates
SITES = ("north", "south")
_TOP = 800  # eighths


@dataclass(frozen=True)
class WideSpec:
    """`units`, each with a row a second for `hours`; every sixth is off for an hour and a half after the first."""

    name: str = "wide"
    units: int = 60
    hours: int = 4
    columns: int = 20

    @property
    def rows(self) -> int:
        return self.units * self.hours * 3_600

    @property
    def names(self) -> list[str]:
        return [f"sensor_{n:02}" for n in range(self.columns)]

    def scaled(self, scale: float) -> "WideSpec":
        if scale == 1:
            return self
        return replace(self, name=f"{self.name}-{scale:g}", units=max(2, round(self.units * scale)))


@dataclass(frozen=True)
class Unit:
    """A unit's rows: microseconds; by column values in eighths, and where there are any."""

    name: str
    site: str
    ts: Ints
    eighths: Ints
    there: npt.NDArray[np.bool_]


def seconds_of(spec: WideSpec, unit: int) -> Ints:
    seconds = np.arange(spec.hours * 3_600)
    return np.where(seconds < 3_600, seconds, seconds + 5_400) if unit % 6 == 5 else seconds


def made_units(spec: WideSpec) -> list[Unit]:
    """The same everywhere; every second column has no value in 2 % of the rows, the last one none in runs of 15
    minutes."""
    random = np.random.default_rng(spec.units)
    units = []
    for number in range(spec.units):
        seconds = seconds_of(spec, number)
        shape = len(seconds), spec.columns
        changes = random.random(shape) < np.linspace(0.02, 0.5, spec.columns)
        walk = np.cumsum(changes * random.integers(-9, 10, shape), axis=0) + random.integers(0, 2 * _TOP, spec.columns)
        there = np.ones(shape, bool)
        there[:, 1::2] = random.random(there[:, 1::2].shape) >= 0.02
        there[:, -1] &= (seconds // 900) % 2 == 0
        name, site = f"unit-{number:03}", SITES[number % 2]
        units.append(Unit(name, site, FROM_US + seconds * 1_000_000, np.abs(walk % (2 * _TOP) - _TOP), there))
    return units
