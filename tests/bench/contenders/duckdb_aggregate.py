"""DuckDB: hourly time-weighted averages by window functions; rows for hours with a reading.

`split` cuts what each reading holds at every hour's edge (generate_series); hours without a reading fall out at the
end. `sides` knows that they do, so that a reading counts in two hours at most: its own, and that of the next one.
Of a wide table `unpivot` makes readings and goes on as `sides`; `columns` has windows for each column.
Nothing is sorted, partitioned or committed.
"""

from collections.abc import Sequence
from pathlib import Path

import duckdb
from arguments import arguments

HOUR_US = 3_600_000_000

_SIDES = """
WITH readings AS (
    SELECT {key} AS series_id, epoch_us(ts) AS t, value FROM {rows}
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
    SELECT {key} AS series_id, epoch_us(ts) AS t, value FROM {rows}
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
_UNPIVOT = """(
    UNPIVOT (SELECT unitno, ts, {names} FROM {rows}) ON {names} INTO NAME name VALUE value
)"""
_OF_COLUMN = """
        lead(CASE WHEN {c} IS NOT NULL THEN t END IGNORE NULLS) OVER same AS until_{c},
        lag(CASE WHEN {c} IS NOT NULL THEN t END IGNORE NULLS) OVER same AS before_{c},
        lag({c} IGNORE NULLS) OVER same AS carried_{c}"""
_OWN = "least(coalesce(until_{c}, (SELECT max(t) FROM readings)), hour + {hour}) - t"
_HEAD = "CASE WHEN before_{c} < hour THEN t - hour ELSE 0 END"
_SUMS = """
        sum({c} * own_{c} + coalesce(carried_{c} * head_{c}, 0)) FILTER ({c} IS NOT NULL) AS area_{c},
        sum(own_{c} + head_{c}) FILTER ({c} IS NOT NULL) AS width_{c}"""
_COLUMNS = """
WITH readings AS (
    SELECT unitno, epoch_us(ts) AS t, t - t % {hour} AS hour, {names} FROM {rows}
), held AS (
    SELECT *, {windows} FROM readings WINDOW same AS (PARTITION BY unitno ORDER BY t)
), parts AS (
    SELECT *, {parts} FROM held
), sums AS (
    SELECT unitno, make_timestamptz(hour) AS bucket_start, {sums} FROM parts GROUP BY unitno, hour
)
{united}
"""
_ONE = """SELECT unitno || '/{c}' AS series_id, bucket_start, area_{c} / nullif(width_{c}, 0) AS time_weighted_average,
    width_{c} / 1e6 AS covered_s FROM sums WHERE width_{c} IS NOT NULL"""
WAYS = {"sides": _SIDES, "split": _SPLIT}


def main() -> None:
    parser = arguments("input", "out")
    parser.add_argument("--way", choices=[*WAYS, "unpivot", "columns"], required=True)
    parser.add_argument("--columns", nargs="+", help="of a wide table")
    args = parser.parse_args()
    connection = duckdb.connect(config={"threads": args.cores})
    connection.sql("SET enable_progress_bar = false; SET preserve_insertion_order = false")
    args.out.mkdir(parents=True)
    query = query_of(args.way, args.input, args.columns)
    connection.execute(f"COPY ({query}) TO '{args.out}/hours.parquet' (FORMAT parquet, COMPRESSION zstd)")


def query_of(way: str, table: Path, columns: Sequence[str]) -> str:
    rows = f"read_parquet('{table}/*=*/**/data_*.parquet', hive_partitioning = false)"
    if way == "columns":
        return _columns_query(rows, columns)
    if way == "unpivot":
        cells = _UNPIVOT.format(names=", ".join(columns), rows=rows)
        return _SIDES.format(rows=cells, key="unitno || '/' || name", hour=HOUR_US)
    return WAYS[way].format(rows=rows, key="series_id", hour=HOUR_US)


def _columns_query(rows: str, columns: Sequence[str]) -> str:
    def each(*templates: str, between: str = ", ") -> str:
        return between.join(template.format(c=c, hour=HOUR_US) for c in columns for template in templates)

    parts = each(f"{_OWN} AS own_{{c}}", f"{_HEAD} AS head_{{c}}")
    return _COLUMNS.format(
        rows=rows,
        hour=HOUR_US,
        names=", ".join(columns),
        windows=each(_OF_COLUMN),
        parts=parts,
        sums=each(_SUMS),
        united=each(_ONE, between=" UNION ALL "),
    )


if __name__ == "__main__":
    main()
