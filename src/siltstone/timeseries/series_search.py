"""The place of instants among the sorted instants of their series, for all series in one search."""

from typing import Literal

import numpy as np

from siltstone.timeseries.points import Ints

_KEYS = 1 << 62


def places(starts: Ints, ts: Ints, series: Ints, at: Ints, side: Literal["left", "right"]) -> Ints:
    """For each instant `at` of a `series` the place in `ts` at which it would be inserted, `left` or `right` of equal
    instants.

    `starts`: series + 1 offsets into `ts`, which rises within each series. A place is at least the start of its series
    and at most its end. The search is faster if (series, at) are sorted.
    """
    if len(at) == 0 or len(ts) == 0:
        return np.zeros(len(at), np.int64)
    low = min(int(ts.min()), int(at.min()))
    width = max(int(ts.max()), int(at.max())) - low + 1
    count = len(starts) - 1
    at_once = max(_KEYS // width, 1)
    if at_once >= count:
        return _placed(starts, ts, series, at, side, low, width)
    result: Ints = np.empty(len(at), np.int64)
    order = np.argsort(series, kind="stable")
    firsts = np.arange(0, count, at_once)
    cuts: Ints = np.searchsorted(series[order], np.append(firsts, count))
    for first, begin, end in zip(firsts.tolist(), cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
        rows = order[begin:end]
        own = starts[first : first + at_once + 1]
        placed = _placed(own - own[0], ts[own[0] : own[-1]], series[rows] - first, at[rows], side, low, width)
        result[rows] = placed + own[0]
    return result


def _placed(
    starts: Ints, ts: Ints, series: Ints, at: Ints, side: Literal["left", "right"], low: int, width: int
) -> Ints:
    """The places, searched by one int64 for series and instant."""
    keys, keys_at = ts, at
    if len(starts) > 2:
        keys = np.repeat(np.arange(len(starts) - 1) * width - low, np.diff(starts)) + ts
        keys_at = series * width - low + at
    result: Ints = np.searchsorted(keys, keys_at, side=side)
    return result
