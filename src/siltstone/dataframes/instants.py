"""Instants of a Spark DataFrame as numbers, whatever the session's time zone and its kind of timestamps."""

from typing import TYPE_CHECKING

from siltstone.errors import UsageError

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

INSTANT = "timestamp_ltz"
"""Spark's type of instants; `timestamp` is another one where spark.sql.timestampType says so."""


def microseconds(df: "DataFrame", name: str) -> "Column":
    """Microseconds since 1970 UTC (bigint, null for null) of a column of timestamps; of dates and of timestamps without
    a zone as the clock of UTC shows them, not the one of the session's time zone.

    Raises UsageError for a column of another type.
    """
    from pyspark.sql import functions as sql

    kind, column = df.schema[name].dataType.typeName(), sql.col(f"`{name}`")
    if kind == "timestamp":
        return sql.unix_micros(column)
    if kind not in ("timestamp_ntz", "date"):
        raise UsageError(f"column {name} is a {kind}, not a time", "Give a timestamp: to_timestamp makes one.")
    told = sql.concat(column.cast("timestamp_ntz").cast("string"), sql.lit("Z"))
    return sql.unix_micros(told.cast(INSTANT))
