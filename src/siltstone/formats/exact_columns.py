"""Columns by names that a file has chosen, which may be patterns to polars."""

import polars as pl
import polars.selectors as cs

from siltstone.model.column_names import is_pattern


def column_named(name: str) -> pl.Expr:
    """The column of this very name."""
    return cs.by_name(name).as_expr() if is_pattern(name) else pl.col(name)
