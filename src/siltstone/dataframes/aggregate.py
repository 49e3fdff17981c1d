"""Time aggregates of any Spark DataFrame, for notebooks and for your own jobs.

Only the DataFrame API is used, so it runs on Spark 3.5 to 4.1 and over Spark Connect. Spark sorts the rows by series
and time, on disk if they are many; the kernels read them as a stream of Arrow batches.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from siltstone.aggregation.spec import TIME_IN_STATE, AggregateSpec, checked_measures, rows_of
from siltstone.config.series_rules import load_interpretations
from siltstone.dataframes.instants import INSTANT, microseconds
from siltstone.errors import UsageError
from siltstone.timeseries.interpretation import Interpretation, Interpretations
from siltstone.timeseries.measures import Empty

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column as SparkColumn
    from pyspark.sql import DataFrame

_NEEDED = ("series_id", "ts", "value")
_NUMBERS = {"transitions": "bigint", "count": "bigint", "min_ts": INSTANT, "max_ts": INSTANT}
_TRUST = {
    **dict.fromkeys(("n", "n_bad"), "bigint"),
    **dict.fromkeys(("covered_s", "good_s", "pct_good"), "double"),
    "carried_in": "boolean",
    **dict.fromkeys(("first_ts", "last_ts"), INSTANT),
    "provisional": "boolean",
}


def aggregate(
    df: "DataFrame",
    every: str,
    measures: str | Sequence[str] = (),
    *,
    zone: str = "UTC",
    origin: str = "",
    empty: Empty = "skip",
    min_pct_good: float = 0.0,
    rules: str | None = None,
    interpretation: Interpretation | None = None,
    interpretations: Interpretations | None = None,
    until: datetime | None = None,
) -> "DataFrame":
    """Time aggregates of a DataFrame with `series_id` (string), `ts` (timestamp; without a zone it is UTC), `value` (a
    number) and perhaps `text` (a state that counts instead of the number), `quality` (good or null, uncertain, anything
    else is bad), `source`, `device_id`, `measurement`, `site`, `version`, `ts_nanos`: the columns of siltstone's table
    of readings.

    The result has a row for each series and bucket, with the measures of `siltstone aggregate` as columns. Of rows with
    the same series and instant only one counts, the last by nanoseconds, version and value.

    - `rules`: a YAML file that says how series are read between points; siltstone's own rules follow those in it. A
      series that no rule fits is a step. `interpretations` are such rules, loaded before. `interpretation`: how every
      series is read.
    - `until`: the instant at which what is known ends, in local time of `zone` if it has no zone. Without it that is
      the latest instant, for which the DataFrame is read once more.

    siltstone must be installed on Spark's workers. The session's time zone has no effect.

    Raises UsageError for missing columns, a `ts` that is no time, and unknown names of measures, zones or lengths.
    """
    from pyspark.sql import functions as sql

    from siltstone.dataframes.partitions import SITE

    if missing := [name for name in _NEEDED if name not in df.columns]:
        raise UsageError(f"the DataFrame has no column {', '.join(missing)}", f"Needed: {', '.join(_NEEDED)}.")
    chosen = rows_of(load_interpretations(rules) if interpretations is None else interpretations)
    has_site = "site" in df.columns
    series = sql.col("series_id").cast("string")
    if has_site:
        both = sql.concat_ws(SITE, series, sql.col("site").cast("string"))
        series = sql.when(series.isNotNull(), both)
    terms = AggregateSpec(
        every=every,
        zone=zone,
        origin=origin,
        measures=checked_measures((measures,) if isinstance(measures, str) else tuple(measures)),
        empty=empty,
        min_pct_good=min_pct_good,
        rules=chosen,
    )
    assert terms.buckets
    optional = ("quality", "source", "device_id", "measurement")
    columns = [_given(df, name, "string") for name in optional]
    rows = df.select(
        series.alias("series_id"),
        microseconds(df, "ts").alias("ts"),
        sql.col("value").cast("double").alias("value"),
        _given(df, "text", "string"),
        _given(df, "ts_nanos", "int"),
        _given(df, "version", "bigint"),
        *columns,
    ).where("series_id is not null and ts is not null")
    if until is None:
        (latest,) = rows.agg(sql.max("ts")).head() or (None,)
        watermark = 0 if latest is None else int(latest)
    else:
        end = until if until.tzinfo else until.replace(tzinfo=ZoneInfo(zone))
        watermark = round(end.timestamp() * 1e6)
    order = ("series_id", "ts", "ts_nanos", "version", "value", "text", "quality")
    sorted_rows = rows.repartition("series_id").sortWithinPartitions(*order)
    how = None if interpretation is None else asdict(interpretation)
    return sorted_rows.mapInArrow(
        _of_partition(terms.as_dict(), how, watermark, has_site), _schema(terms, has_site=has_site)
    )


def _given(df: "DataFrame", name: str, kind: str) -> "SparkColumn":
    """A column of the DataFrame; null if it has no column of that name."""
    from pyspark.sql import functions as sql

    return (sql.col(name) if name in df.columns else sql.lit(None)).cast(kind).alias(name)


def _schema(terms: AggregateSpec, *, has_site: bool) -> str:
    measures = {name: _NUMBERS.get(name, "double") for name in terms.measures if name != TIME_IN_STATE}
    names = dict.fromkeys(("series_id", "site") if has_site else ("series_id",), "string")
    columns = {**names, "bucket_start": INSTANT, "bucket_end": INSTANT, **measures, **_TRUST}
    if terms.wants_times:
        columns[TIME_IN_STATE] = "map<string, double>"
    return ", ".join(f"`{name}` {kind}" for name, kind in columns.items())


def _of_partition(terms: Mapping[str, Any], how: Mapping[str, Any] | None, watermark_us: int, has_site: bool) -> Any:
    """A function for mapInArrow; Spark sends it to workers with plain values only."""

    def run(batches: Iterable["pa.RecordBatch"]) -> Iterator["pa.RecordBatch"]:
        import os

        os.environ.setdefault("POLARS_MAX_THREADS", "1")
        from siltstone.dataframes.partitions import rows_of_partition

        yield from rows_of_partition(batches, terms, how, watermark_us, has_site)

    return run
