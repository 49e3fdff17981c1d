"""One unit's day from a siltstone table, five columns: by polars, or by pyarrow, whose reads can be counted."""

import argparse
import json
import time
from datetime import date
from pathlib import Path

import polars as pl
import pyarrow.compute as pc
import pyarrow.dataset  # noqa: F401  (so that no import falls into the measured time)
from deltalake import DeltaTable

COLUMNS = ["heartbeat", "gpsspeed", "gpsnumsat", "VehicleSpeed", "speedsource"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("table")
    parser.add_argument("date", type=date.fromisoformat)
    parser.add_argument("site")
    parser.add_argument("unit")
    parser.add_argument("--reader", choices=("polars", "pyarrow"), required=True)
    args = parser.parse_args()
    query = by_polars if args.reader == "polars" else by_pyarrow
    print("READY", flush=True)
    began, before = time.perf_counter(), bytes_read()
    rows = query(args.table, args.date, args.site, args.unit)
    seconds = time.perf_counter() - began
    read = None if args.reader == "polars" else bytes_read() - before  # polars maps files
    print("DONE", flush=True)
    sums = {name: rows[name].sum() for name in COLUMNS[:4]}
    print(json.dumps({"seconds": seconds, "bytes_read": read, "rows": rows.height, "sums": sums}))


def by_polars(table: str, day: date, site: str, unit: str) -> pl.DataFrame:
    wanted = (pl.col("hiveperiod") == day) & (pl.col("dstrct_code") == site) & (pl.col("unitno") == unit)
    return pl.scan_delta(table).filter(wanted).select(COLUMNS).collect()


def by_pyarrow(table: str, day: date, site: str, unit: str) -> pl.DataFrame:
    wanted = (pc.field("hiveperiod") == day) & (pc.field("dstrct_code") == site) & (pc.field("unitno") == unit)
    found = DeltaTable(table).to_pyarrow_dataset().to_table(COLUMNS, filter=wanted)
    return pl.DataFrame(pl.from_arrow(found))


def bytes_read() -> int:
    """Bytes that this process has had from the kernel by read calls."""
    return int(Path("/proc/self/io").read_text().split()[1])


if __name__ == "__main__":
    main()
