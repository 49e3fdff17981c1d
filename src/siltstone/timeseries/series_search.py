"""Where instants stand among those of their own series, for all series in one search."""

from typing import Literal

import numpy as np

from siltstone.timeseries.points import Ints

_KEYS = 1 << 62


def places(starts: Ints, ts: Ints, series: Ints, at: Ints, side: Literal["left", "right"]) -> Ints:
    """For each instant `at` of a series: the place in `ts` before which it belongs, left or right of equal ones.

    `starts`: series + 1 offsets into `ts`, which rises within each series. A place is at least the start of its series
    and at most its end. Sorted (series, at) are found faster than others.
    """
    if len(at) == 0 or len(ts) == 0:
        return np.zeros(len(at), np.int64)
    low = min(int(ts.min()), int(at.min()))
    width = max(int(ts.max()), int(at.max())) - low + 1
    count = len(starts) - 1
    at_once = max(_KEYS // width, 1)
    if at_once >= count:
        return _placed(starts, ts, series, at, side, low, width)
    found: Ints = np.empty(len(at), np.int64)
    order = np.argsort(series, kind="stable")
    firsts = np.arange(0, count, at_once)
    cuts: Ints = np.searchsorted(series[order], np.append(firsts, count))
    for first, begin, end in zip(firsts.tolist(), cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
        rows = order[begin:end]
        own = starts[first : first + at_once + 1]
        placed = _placed(own - own[0], ts[own[0] : own[-1]], series[rows] - first, at[rows], side, low, width)
        found[rows] = placed + own[0]
    return found


def _placed(
    starts: Ints, ts: Ints, series: Ints, at: Ints, side: Literal["left", "right"], low: int, width: int
) -> Ints:
    """The places, by one number for series and instant, which an int64 holds."""
    keys, wanted = ts, at
    if len(starts) > 2:
        keys = np.repeat(np.arange(len(starts) - 1) * width - low, np.diff(starts)) + ts
        wanted = series * width - low + at
    found: Ints = np.searchsorted(keys, wanted, side=side)
    return found
