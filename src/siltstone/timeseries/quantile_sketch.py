"""Quantiles that merge: counts of values by the logarithm of their size; a quantile is within 1 % of the exact value.

Source: C. Masson, J. E. Rim, H. K. Lee, "DDSketch: a fast and fully-mergeable quantile sketch with relative-error
guarantees", VLDB 2019.
"""

import numpy as np
import numpy.typing as npt
import polars as pl

from siltstone.timeseries.points import Floats

ACCURACY = 0.01
_LOG_GAMMA = np.log((1 + ACCURACY) / (1 - ACCURACY))
_ZERO = 1e-300  # smaller sizes count as 0
_OFFSET = (
    1 << 20
)  # keys of positive numbers lie above 0, those of negative ones below, with the larger sizes further off


def keys_of(values: Floats) -> npt.NDArray[np.int32]:
    """The key of each finite value; keys rise with the values."""
    size = np.abs(values)
    with np.errstate(divide="ignore"):
        power = np.ceil(np.log(np.maximum(size, _ZERO)) / _LOG_GAMMA)
    return np.where(size <= _ZERO, 0, np.sign(values) * (power + _OFFSET)).astype(np.int32)


def value_of(key: pl.Expr) -> pl.Expr:
    """The value that stands for a key; every value with this key is within ACCURACY of it."""
    gamma = float(np.exp(_LOG_GAMMA))
    power = (key.abs() - _OFFSET).cast(pl.Float64())
    size = (power * float(_LOG_GAMMA)).exp() * 2 / (gamma + 1)
    return pl.when(key == 0).then(0.0).otherwise(size * key.sign())


def quantiles(sketch: pl.DataFrame, keys: list[str], shares: dict[str, float]) -> pl.DataFrame:
    """A row for each of the `keys` with a column for each of the `shares`, name -> share q (0 to 1): the value at place
    floor(q x (n - 1)) of the sorted values."""
    ordered = sketch.sort(*keys, "key")
    below = pl.col("count").cum_sum().over(keys)
    rank = pl.col("count").sum().over(keys) - 1
    frame = ordered.with_columns(below=below, rank=rank, value=value_of(pl.col("key")))
    return frame.group_by(keys, maintain_order=True).agg(
        pl.col("value").filter(pl.col("below") > (pl.col("rank") * q).floor()).first().alias(name)
        for name, q in shares.items()
    )
