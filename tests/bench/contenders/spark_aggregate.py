"""Plain PySpark: hourly time-weighted averages of a table of readings by window functions, as in `duckdb_aggregate`.

`split` explodes a sequence of hours; `sides` counts a reading in two hours at most. The session is up, and a day of the
table has gone the same way, before READY.
"""

from pathlib import Path

from arguments import arguments
from pyspark.sql import DataFrame, SparkSession
from spark_plain import session

_HOUR = 3_600_000_000
_SIDES = """
SELECT series_id, timestamp_micros(hour) AS bucket_start,
    sum(value * own + coalesce(carried * head, 0)) / nullif(sum(own + head), 0) AS time_weighted_average,
    sum(own + head) / 1e6 AS covered_s, count(*) AS n
FROM (
    SELECT series_id, hour, value, carried, least(coalesce(until, {latest}), hour + {hour}) - t AS own,
        CASE WHEN before < hour THEN t - hour ELSE 0 END AS head
    FROM (
        SELECT series_id, t, value, t - t % {hour} AS hour, lead(t) OVER same AS until, lag(t) OVER same AS before,
            lag(value) OVER same AS carried
        FROM readings WINDOW same AS (PARTITION BY series_id ORDER BY t)
    )
) GROUP BY series_id, hour
"""
_SPLIT = """
SELECT series_id, timestamp_micros(hour) AS bucket_start,
    sum(value * width) / nullif(sum(width), 0) AS time_weighted_average, sum(width) / 1e6 AS covered_s,
    count_if(is_own) AS n
FROM (
    SELECT series_id, hour, value, least(until, hour + {hour}) - greatest(t, hour) AS width, t >= hour AS is_own
    FROM (
        SELECT *, explode(sequence(t - t % {hour}, greatest(t, until - 1), {hour})) AS hour
        FROM (
            SELECT series_id, t, value,
                lead(t, 1, {latest}L) OVER (PARTITION BY series_id ORDER BY t) AS until
            FROM readings
        )
    )
) GROUP BY series_id, hour HAVING n > 0
"""
WAYS = {"sides": _SIDES, "split": _SPLIT}


def main() -> None:
    parser = arguments("input", "out", "scratch")
    parser.add_argument("--way", choices=WAYS, required=True)
    args = parser.parse_args()
    spark = session(args.cores, {"spark.sql.shuffle.partitions": str(4 * args.cores)})
    first_day = min(args.input.glob("date=*"))
    aggregate(spark, first_day, args.scratch / "warm", args.way)
    print("READY", flush=True)
    aggregate(spark, args.input, args.out, args.way)
    print("DONE", flush=True)
    spark.stop()


def aggregate(spark: SparkSession, table: Path, out: Path, way: str) -> None:
    readings(spark, table).createOrReplaceTempView("readings")
    latest = spark.sql("SELECT max(t) FROM readings").first()[0]
    spark.sql(WAYS[way].format(hour=_HOUR, latest=latest)).write.option("compression", "zstd").parquet(str(out))


def readings(spark: SparkSession, table: Path) -> DataFrame:
    reader = spark.read.option("recursiveFileLookup", True).option("pathGlobFilter", "data_*.parquet")
    return reader.parquet(str(table)).selectExpr("series_id", "unix_micros(ts) AS t", "value")


if __name__ == "__main__":
    main()
