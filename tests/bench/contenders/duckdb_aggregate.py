"""DuckDB: hourly time-weighted averages of a table of readings, by window functions; rows for hours with a reading.

`split` cuts what each reading holds at every hour's edge (generate_series); hours without a reading fall out at the
end. `sides` knows that they do, so that a reading counts in two hours at most: its own, and that of the next one.
Nothing is sorted, partitioned or committed.
"""

from argparse import ArgumentParser
from pathlib import Path

import duckdb
from arguments import arguments

HOUR_US = 3_600_000_000

_SIDES = """
WITH readings AS (
    SELECT {key} AS series_id, epoch_us({time}) AS t, {value} AS value FROM {rows}
), held AS (
    SELECT series_id, t, value, t - t % {hour} AS hour, lead(t) OVER same AS until, lag(t) OVER same AS before,
        lag(value) OVER same AS carried
    FROM readings WINDOW same AS (PARTITION BY series_id ORDER BY t)
), parts AS (
    SELECT series_id, hour, value, carried,
        least(coalesce(until, (SELECT max(t) FROM readings)), hour + {hour}) - t AS own,
        CASE WHEN before < hour THEN t - hour ELSE 0 END AS head
    FROM held
)
SELECT series_id, make_timestamptz(hour) AS bucket_start,
    sum(value * own + coalesce(carried * head, 0)) / nullif(sum(own + head), 0) AS time_weighted_average,
    sum(own + head) / 1e6 AS covered_s, count(*) AS n
FROM parts GROUP BY series_id, hour
"""
_SPLIT = """
WITH readings AS (
    SELECT {key} AS series_id, epoch_us({time}) AS t, {value} AS value FROM {rows}
), held AS (
    SELECT series_id, t, value,
        lead(t, 1, (SELECT max(t) FROM readings)) OVER (PARTITION BY series_id ORDER BY t) AS until
    FROM readings
), parts AS (
    SELECT series_id, t, value, until,
        unnest(generate_series(t - t % {hour}, greatest(t, until - 1), {hour})) AS hour
    FROM held
), cut AS (
    SELECT series_id, hour, value, least(until, hour + {hour}) - greatest(t, hour) AS width, t >= hour AS is_own
    FROM parts
)
SELECT series_id, make_timestamptz(hour) AS bucket_start,
    sum(value * width) / nullif(sum(width), 0) AS time_weighted_average,
    sum(width) / 1e6 AS covered_s, count_if(is_own) AS n
FROM cut GROUP BY series_id, hour HAVING n > 0
"""
WAYS = {"sides": _SIDES, "split": _SPLIT}


def main() -> None:
    parser: ArgumentParser = arguments("input", "out")
    parser.add_argument("--way", choices=WAYS, required=True)
    args = parser.parse_args()
    connection = connect(args.cores)
    args.out.mkdir(parents=True)
    rows = f"read_parquet('{args.input}/date=*/**/*.parquet', hive_partitioning = false)"
    query = WAYS[args.way].format(rows=rows, key="series_id", time="ts", value="value", hour=HOUR_US)
    write(connection, query, args.out)


def connect(cores: int) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"threads": cores})
    connection.sql("SET enable_progress_bar = false; SET preserve_insertion_order = false")
    return connection


def write(connection: duckdb.DuckDBPyConnection, query: str, out: Path) -> None:
    connection.execute(f"COPY ({query}) TO '{out}/hours.parquet' (FORMAT parquet, COMPRESSION zstd)")


if __name__ == "__main__":
    main()
