"""The parts of a convention."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from siltstone.timeseries.conventions.series import Series, Window
from siltstone.timeseries.interpretation import Interpretation

Column = npt.NDArray[Any]
"""One entry per window: float64 with NaN for null; objects for maps (None for null) and for status texts."""
Read = Callable[[Series, Sequence[Window], Sequence[str], Interpretation, Any], dict[str, Column]]


@dataclass(frozen=True)
class Convention:
    """The definitions of another system.

    - `rules`: a paragraph for people.
    - `stamp`: the edge of a window that is its time.
    - `keep`: which of two points with the same time counts.
    - `names`: the measures, by siltstone's names and by those of the other system.
    - `options`: the class of its options.
    """

    rules: str
    stamp: Literal["start", "end"]
    keep: Literal["first", "last"]
    names: Sequence[str]
    options: type
    read: Read


def by_both_names(own: Mapping[str, Any], project_names: Mapping[str, str]) -> dict[str, Any]:
    """The measures by the names of the other system, and again by those of siltstone."""
    return {**own, **{name: own[of_peer] for name, of_peer in project_names.items()}}


def column(values: Sequence[Any]) -> Column:
    """Floats as float64, anything else as objects."""
    if any(isinstance(value, dict | str) for value in values):
        objects = np.empty(len(values), object)
        objects[:] = [value if isinstance(value, dict | str) else None for value in values]
        return objects
    return np.array(values, np.float64)
