"""Compares a table of aggregates with the truth; prints one JSON object. Runs in the project's environment, in its own
process.

The table has series_id, bucket_start, time_weighted_average and covered_s, as Delta or as plain Parquet.
"""

import argparse
import json
from pathlib import Path

import polars as pl
from aggregate_truth import START_US, Sums, load_sums, problems_of
from check import live_files
from check_readings import rows_of


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--every-s", type=int, default=3_600, help="length of a bucket")
    parser.add_argument("--first", type=int, help="only so many series were asked for")
    args = parser.parse_args()
    files = live_files(args.out)
    problems = problems_of(found_in(args.out, args.every_s), load_sums(args.truth, first=args.first))
    print(json.dumps({"files": len(files), "bytes": sum(p.stat().st_size for p in files), "problems": problems}))


def found_in(out: Path, every_s: int) -> Sums:
    """The sums of each series over the rows of a result."""
    covered = pl.col("covered_s").fill_null(0)
    integral = pl.col("time_weighted_average").fill_null(0) * covered
    number = (pl.col("bucket_start").dt.epoch("us") - START_US) // (every_s * 1_000_000)
    sums = (
        rows_of(out)
        .group_by("series_id")
        .agg(
            rows=pl.len().cast(pl.Int64),
            covered_s=covered.sum(),
            integral=integral.sum(),
            moment=(integral * number).sum(),
        )
    )
    found = sums.collect()
    return Sums(found["series_id"].to_list(), *(found[name].to_numpy() for name in found.columns[1:]))


if __name__ == "__main__":
    main()
