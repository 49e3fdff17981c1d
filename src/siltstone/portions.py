"""Runs of much input, in portions: as much of each device at a time as a task can hold, each a commit of its own."""

from collections.abc import Callable

import polars as pl


def first_portion(todo: pl.DataFrame, device_of: Callable[[str], str], most_bytes: int) -> pl.DataFrame:
    """Of each device's files (columns identity and size, in order of identity) the first ones: one, and as many more as
    keep them within so many bytes."""
    devices = pl.Series("{device}", [device_of(identity) for identity in todo["identity"]], dtype=pl.String())
    before = (pl.col("size").cum_sum() - pl.col("size")).over("{device}")
    portion = todo.with_columns(devices).with_columns(before.alias("{before}"))
    is_first = (pl.col("{before}") == 0) | (pl.col("{before}") + pl.col("size") <= most_bytes)
    return portion.filter(is_first).select(todo.columns)
