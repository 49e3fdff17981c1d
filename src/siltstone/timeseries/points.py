"""The points of many series, as the kernels take them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

BAD, UNCERTAIN, GOOD = 0, 1, 2
"""Of a point: nothing is known after it; its value is known, but not counted as good; good."""


@dataclass(frozen=True)
class Points:
    """Points of series: `starts` (series + 1 offsets), `ts` (microseconds, rising within a series, none twice), `value`
    (anything where `quality` is BAD), `quality` (int8: BAD, UNCERTAIN, GOOD)."""

    starts: Ints
    ts: Ints
    value: Floats
    quality: npt.NDArray[np.int8]
