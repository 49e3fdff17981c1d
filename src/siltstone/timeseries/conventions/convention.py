"""What a convention is made of."""

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
    """`rules`: one paragraph for people. `stamp`: the edge that dates a window. `keep`: which of two points with one
    time counts. `names`: the measures, by the project's name and by the peer's. `options`: the class of its options."""

    rules: str
    stamp: Literal["start", "end"]
    keep: Literal["first", "last"]
    names: Sequence[str]
    options: type
    read: Read


def by_both_names(own: Mapping[str, Any], project_names: Mapping[str, str]) -> dict[str, Any]:
    """Measures by the peer's own name, and again by the project's."""
    return {**own, **{name: own[of_peer] for name, of_peer in project_names.items()}}


def column(values: Sequence[Any]) -> Column:
    """Floats as float64, anything else as objects."""
    if any(isinstance(value, dict | str) for value in values):
        objects = np.empty(len(values), object)
        objects[:] = [value if isinstance(value, dict | str) else None for value in values]
        return objects
    return np.array(values, np.float64)
