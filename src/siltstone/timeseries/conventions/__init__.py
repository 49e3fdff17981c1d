"""Aggregates as other systems define them, for comparisons: a parameter names the system.

Times are microseconds. A convention reads all points of one series, also those before and after the windows, and
returns what the other system would, with its quirks; `RULES` names those that are left out. Nothing here is fast.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields

from siltstone.errors import UsageError
from siltstone.timeseries.conventions.convention import Column, Convention
from siltstone.timeseries.conventions.flux import FLUX
from siltstone.timeseries.conventions.opcua import OPCUA
from siltstone.timeseries.conventions.series import Window, series_of
from siltstone.timeseries.conventions.sitewise import SITEWISE
from siltstone.timeseries.conventions.toolkit import TOOLKIT
from siltstone.timeseries.interpretation import Interpretation
from siltstone.timeseries.points import Points

__all__ = ["MEASURES", "RULES", "Window", "evaluate", "stamps_us"]

_CONVENTIONS: Mapping[str, Convention] = {"flux": FLUX, "opcua": OPCUA, "sitewise": SITEWISE, "toolkit": TOOLKIT}

MEASURES: Mapping[str, tuple[str, ...]] = {name: tuple(c.names) for name, c in _CONVENTIONS.items()}
"""The measures of each convention, by the names of siltstone and by those of the other system."""

RULES: Mapping[str, str] = {name: " ".join(c.rules.split()) for name, c in _CONVENTIONS.items()}
"""Per convention: bounds, quality, NaN, duplicates, single points, empty windows, stamp."""


def evaluate(
    convention: str,
    points: Points,
    windows: Sequence[Window],
    measures: Sequence[str],
    interpretation: Interpretation,
    **options: object,
) -> dict[str, Column]:
    """Each measure of one series: one value per window, in their order; NaN (None in a column of maps) is null.

    A convention with statuses (opcua) adds `<measure>_status`. `max_hold_us`, `max_gap_us` and sentinels of the
    interpretation are siltstone's own and are not used. Raises UsageError for a name that the convention does not have,
    for points out of order, for more than one series."""
    chosen = _of(convention)
    unknown = [name for name in measures if name not in chosen.names]
    if unknown:
        raise UsageError(
            f"the convention {convention} has no measure {', '.join(unknown)}", f"It has: {', '.join(chosen.names)}."
        )
    options_of_convention = [field.name for field in fields(chosen.options)]
    strange = [name for name in options if name not in options_of_convention]
    if strange:
        raise UsageError(
            f"the convention {convention} has no option {', '.join(strange)}",
            f"It has: {', '.join(options_of_convention) or 'none'}.",
        )
    series = series_of(points, chosen.keep)
    return chosen.read(series, windows, measures, interpretation, chosen.options(**options))


def stamps_us(convention: str, windows: Sequence[Window]) -> list[int]:
    """The time that the convention gives each window: its start, or its end if windows are (start, end]."""
    return [w.start_us if _of(convention).stamp == "start" else w.end_us for w in windows]


def _of(name: str) -> Convention:
    if name not in _CONVENTIONS:
        raise UsageError(f"no convention {name}", f"Choose one of: default, {', '.join(_CONVENTIONS)}.")
    return _CONVENTIONS[name]
