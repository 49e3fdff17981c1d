"""Compares readings, and tables of entities beside them, with the truth; prints one JSON object. Runs in the project's
environment, in its own process.

A contender's folder holds `readings` and the entities' tables, as Delta or as plain Parquet in whatever partitions.
"""

import argparse
import json
from pathlib import Path

import polars as pl
from check import live_files
from readings_truth import Entity, ReadingsTruth, Series, load_readings_truth, problems_of


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("truth", type=Path)
    args = parser.parse_args()
    truth = load_readings_truth(args.truth)
    files = live_files(args.out / "readings")
    for table in truth.entities:
        files = files + live_files(args.out / table)
    result = {"files": len(files), "bytes": sum(path.stat().st_size for path in files)}
    print(json.dumps(result | {"problems": problems_of(found_in(args.out, truth), truth)}))


def found_in(out: Path, truth: ReadingsTruth) -> ReadingsTruth:
    """The numbers of a contender's result, of the columns and tables that the truth tells of."""
    return ReadingsTruth(*_readings(out / "readings", list(truth.counts)), _entities(out, truth))


def _readings(table: Path, counted: list[str]) -> tuple[list[Series], dict[str, dict[str, int]]]:
    """The sums of each series, and the rows by the values of the counted columns."""
    rows = rows_of(table)
    text, value, us = pl.col("text"), pl.col("value"), pl.col("ts").dt.epoch("us")
    sums = rows.group_by("series_id").agg(
        rows=pl.len(),
        ts_us=us.cast(pl.Int128).sum(),
        ts_nanos=pl.col("ts_nanos").fill_null(0).cast(pl.Int64).sum(),
        versions=pl.col("version").cast(pl.Int64).sum(),
        texts=text.count(),
        text_bytes=text.str.len_bytes().cast(pl.Int64).sum(),
        values=value.count(),
        value_sum=value.cast(pl.Float64).sum(),
    )
    series = [Series(**row) for row in sums.drop("series_id").collect().iter_rows(named=True)]
    by_column = {column: rows.group_by(column).agg(rows=pl.len()).collect() for column in counted}
    return series, {column: {str(v): n for v, n in counts.iter_rows()} for column, counts in by_column.items()}


def _entities(out: Path, truth: ReadingsTruth) -> dict[str, Entity]:
    return {table: _entity(rows_of(out / table)) for table in truth.entities}


def _entity(rows: pl.LazyFrame) -> Entity:
    begun, ended = pl.col("valid_from").dt.epoch("s"), pl.col("valid_to").dt.epoch("s")
    found = rows.select(
        states=pl.len(), current=pl.col("valid_to").null_count(), valid_from_s=begun.sum(), valid_to_s=ended.sum()
    ).collect()
    return Entity(*found.row(0))


def rows_of(table: Path) -> pl.LazyFrame:
    """All rows of the live files, columns united by name, partition columns among them."""
    if (table / "_delta_log").exists():
        return pl.scan_delta(str(table))
    return pl.scan_parquet(table / "**/*.parquet", hive_partitioning=True, try_parse_hive_dates=False)


if __name__ == "__main__":
    main()
