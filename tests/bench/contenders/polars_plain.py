"""polars: each file read with its own types, united by name, written to partitioned Parquet.

All files are scanned in one streaming query; with `--batch` so many are read whole at a time, which is cheaper when
they are tiny. One `scan_ndjson` over all files is shorter, but takes the first file's columns for those of all: it
refuses a fleet.
"""

import argparse
from pathlib import Path

import polars as pl


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("input", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--batch", type=int, default=0, help="files that are read whole at a time; 0: scan all")
    args = parser.parse_args()
    files = sorted(args.input.rglob("*.gz"))
    batch = args.batch or len(files)
    for start in range(0, len(files), batch):
        frames = [
            with_keys((pl.read_ndjson if args.batch else pl.scan_ndjson)(path, infer_schema_length=None), path)
            for path in files[start : start + batch]
        ]
        parts = pl.PartitionBy(args.out, key=["hiveperiod", "dstrct_code"], file_path_provider=named(start))
        pl.concat(frames, how="diagonal_relaxed").lazy().sink_parquet(parts, mkdir=True)


def with_keys(rows: pl.DataFrame | pl.LazyFrame, path: Path) -> pl.DataFrame | pl.LazyFrame:
    local = pl.from_epoch("heartbeat").dt.offset_by("8h")
    site = path.parts[-4]
    return rows.with_columns(source_file=pl.lit(str(path)), dstrct_code=pl.lit(site), hiveperiod=local.dt.date())


def named(batch: int):
    """Where a partition's file of this batch goes: polars would give each batch the same names."""

    def path(file) -> str:
        date, site = file.partition_keys.row(0)
        return f"hiveperiod={date}/dstrct_code={site}/{batch}-{file.index_in_partition}.parquet"

    return path


if __name__ == "__main__":
    main()
