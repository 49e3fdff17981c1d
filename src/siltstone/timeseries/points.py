"""The points of many series, as the kernels take them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

BAD, UNCERTAIN, GOOD = 0, 1, 2
"""The quality of a point. BAD: nothing is known after it. UNCERTAIN: its value is known, but does not count as good."""


@dataclass(frozen=True)
class Points:
    """Points of series: `starts` (series + 1 offsets), `ts` (microseconds, strictly rising within a series), `value`
    (any number if `quality` is BAD), `quality` (int8: BAD, UNCERTAIN, GOOD)."""

    starts: Ints
    ts: Ints
    value: Floats
    quality: npt.NDArray[np.int8]
