"""How a series is read between its points, and which rule decides it.

A rule applies to series by what their readings say: source, device, measurement and series id. Between its points a
series may be a step (a state: the last value stays), a line (a temperature), a count that restarts, or no signal at
all: totals of periods.
"""

import fnmatch
import re
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

Kind = Literal["step", "linear", "next", "counter", "bucketed"]
Uncertain = Literal["bad", "good", "keep"]

NO_LIMIT = 1 << 62


@dataclass(frozen=True)
class Interpretation:
    """How a series is read between its points.

    - `kind`: step: a value holds until the next point of any quality. linear: a line between usable neighbours.
      next: a value belongs to the time before its point. counter: a step whose fall means a restart from 0.
      bucketed: a value is the total of a period that ends at its time; its measure is `sum`, counted in the bucket of
      its stamp; between points nothing is known.
    - `max_hold_us`: longest time that a value holds. `max_gap_us`: longest gap that a line crosses. NO_LIMIT: none.
    - `uncertain`: what a point of uncertain quality counts as: bad, good, or keep: known, but not good.
    - `sentinels`: values that mean bad.
    """

    kind: Kind = "step"
    max_hold_us: int = NO_LIMIT
    max_gap_us: int = NO_LIMIT
    uncertain: Uncertain = "bad"
    sentinels: tuple[float, ...] = ()

    @property
    def looks_ahead(self) -> bool:
        """Whether a point says something of the time before it."""
        return self.kind in ("linear", "next")


@dataclass(frozen=True)
class Match:
    """The series that a rule is for: all that fit every pattern.

    `*` is any text, `?` one character, `[ab]` an a or a b. Capitals count, but with `ignores_case`, as in siltstone's
    own rules, they don't, since firmware spells one name in several ways. A series without a device or measurement has
    an empty text for it.
    """

    source: str = "*"
    device: str = "*"
    measurement: str = "*"
    series: str = "*"
    ignores_case: bool = False

    @property
    def looks_at_the_series(self) -> bool:
        """Whether device or series id decide, too, not only source and measurement."""
        return (self.device, self.series) != ("*", "*")

    def fits_kind(self, source: str, measurement: str) -> bool:
        """Whether a series of this source and measurement may be meant."""
        return self._fits(self.source, source) and self._fits(self.measurement, measurement)

    def fits_series(self, device: str, series: str) -> bool:
        """Whether a series of this device and name is meant, if its source and measurement fit."""
        return self._fits(self.device, device) and self._fits(self.series, series)

    def _fits(self, pattern: str, text: str) -> bool:
        return pattern == "*" or _compiled(pattern, re.IGNORECASE if self.ignores_case else 0).match(text) is not None


@cache
def _compiled(pattern: str, flags: int) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(pattern), flags)


@dataclass(frozen=True)
class Rule:
    """The interpretation of the series that match."""

    match: Match
    interpretation: Interpretation


@dataclass(frozen=True)
class Interpretations:
    """Rules in order: the first one that fits a series applies. A series that no rule fits is a step without limits."""

    rules: tuple[Rule, ...] = ()
    _of_kind: dict[tuple[str, str], tuple[Rule, ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def of(self, source: str | None, device: str | None, measurement: str | None, series: str | None) -> Interpretation:
        """How the series is read; None is an empty text."""
        for rule in self._candidates(source or "", measurement or ""):
            if not rule.match.looks_at_the_series or rule.match.fits_series(device or "", series or ""):
                return rule.interpretation
        return _STEP

    def _candidates(self, source: str, measurement: str) -> tuple[Rule, ...]:
        """The rules that fit source and measurement, up to the first one that fits all of their series; cached."""
        candidates = self._of_kind.get((source, measurement))
        if candidates is None:
            fitting = []
            for rule in self.rules:
                if rule.match.fits_kind(source, measurement):
                    fitting.append(rule)
                    if not rule.match.looks_at_the_series:
                        break
            candidates = self._of_kind[(source, measurement)] = tuple(fitting)
        return candidates


_STEP = Interpretation()

_UNITS_US = {
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
    "w": 604_800_000_000,
}
_DURATION = re.compile(r"([0-9]{1,9})(ms|[smhdw])")


def duration_us(text: object) -> int | None:
    """Microseconds of a duration such as 90s, 15m, 1h or 2d (of 24 hours); None for 0 and for other texts."""
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    return (int(match[1]) * _UNITS_US[match[2]] or None) if match else None
