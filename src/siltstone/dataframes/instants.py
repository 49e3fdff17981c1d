"""Instants of a Spark DataFrame as numbers, independent of the session's time zone and kind of timestamps."""

from typing import TYPE_CHECKING

from siltstone.errors import UsageError

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

INSTANT = "timestamp_ltz"
"""Spark's type of instants; the setting spark.sql.timestampType may give `timestamp` another meaning."""


def microseconds(df: "DataFrame", name: str) -> "Column":
    """A column of timestamps as microseconds since 1970 UTC (bigint, null for null). Dates and timestamps without a
    zone are UTC, whatever the session's time zone is.

    Raises UsageError for a column of another type.
    """
    from pyspark.sql import functions as sql

    kind, column = df.schema[name].dataType.typeName(), sql.col(f"`{name}`")
    if kind == "timestamp":
        return sql.unix_micros(column)
    if kind not in ("timestamp_ntz", "date"):
        raise UsageError(f"column {name} is a {kind}, not a time", "Give a timestamp: to_timestamp makes one.")
    text = sql.concat(column.cast("timestamp_ntz").cast("string"), sql.lit("Z"))
    return sql.unix_micros(text.cast(INSTANT))
