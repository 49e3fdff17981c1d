"""pandas: hourly time-weighted averages of the first so many series of a table of readings: what each reading holds by
shifts, then a function that is applied to each series and hour. Imports are done before READY."""

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
from arguments import arguments


def main() -> None:
    parser = arguments("input", "out")
    parser.add_argument("--below", required=True, help="series whose ids are less than this")
    args = parser.parse_args()
    print("READY", flush=True)
    args.out.mkdir(parents=True)
    rows = averages(args.input, args.below)
    rows.to_parquet(args.out / "hours.parquet", compression="zstd", index=False)
    print("DONE", flush=True)


def averages(table: Path, below: str) -> pd.DataFrame:
    files = sorted(table.glob("date=*/**/*.parquet"))
    latest = max(_latest(path) for path in files)
    wanted = [("series_id", "<", below)]
    parts = [pd.read_parquet(path, columns=["series_id", "ts", "value"], filters=wanted) for path in files]
    rows = pd.concat(parts).sort_values(["series_id", "ts"], ignore_index=True)
    hour = rows["ts"].dt.floor("h")
    same = rows.groupby("series_id", observed=True)
    until, before = same["ts"].shift(-1).fillna(latest), same["ts"].shift()
    end = hour + pd.Timedelta(hours=1)
    rows["hour"] = hour
    rows["own"] = (until.where(until < end, end) - rows["ts"]).dt.total_seconds()
    rows["head"] = (rows["ts"] - hour).dt.total_seconds().where(before < hour, 0.0)
    rows["carried"] = same["value"].shift().fillna(0.0)
    groups = rows.groupby(["series_id", "hour"], observed=True)
    return groups.apply(_average, include_groups=False).reset_index().rename(columns={"hour": "bucket_start"})


def _latest(path: Path) -> pd.Timestamp:
    return pd.Timestamp(pq.read_table(path, columns=["ts"]).column("ts").to_pandas().max())


def _average(rows: pd.DataFrame) -> pd.Series:
    covered = (rows["own"] + rows["head"]).sum()
    area = (rows["value"] * rows["own"] + rows["carried"] * rows["head"]).sum()
    average = area / covered if covered else None
    return pd.Series({"time_weighted_average": average, "covered_s": covered, "n": len(rows)})


if __name__ == "__main__":
    main()
