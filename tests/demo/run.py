"""`make demo`: a real building's 19,536 tiny files and a car's trace become a handful, on Spark; then one query.

The building's 1,284 streams and the trace, as they were published, become one table of readings.
"""

import gzip
import shutil
import sys
import time
import zipfile
from pathlib import Path

import polars as pl
from building import SAMPLE as BUILDING
from building import write_building
from car import SAMPLE as TRACE
from car import write_trace

from siltstone import SparkEngine, aggregate, compact, load_config
from siltstone.spark import spark_session

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".demo"
OPENXC = ROOT / "conf/examples/openxc.yaml"
HOLDS = ROOT / "conf/examples/openxc_measurements.yaml"
SETTINGS = ["sources.datalog.earliest='2012-01-01'"]  # the car drove in 2012


def main() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    tree, lake = FOLDER / "input", FOLDER / "lake"
    say("Making the input: two days of a real building, one file per device and hour, and a real car's trace ...")
    files = write_building(tree) + write_trace(tree)
    say("Starting Spark ...")
    began = time.perf_counter()
    engine = SparkEngine(spark_session("siltstone demo"))
    started = time.perf_counter() - began
    say(f"Spark is up after {started:.1f} s. siltstone compact datalog {tree} {lake} --engine spark")
    config = load_config(settings=SETTINGS)
    first = compacted("datalog", tree, lake, config, engine)
    say("\nThe same command again:")
    second = compacted("datalog", tree, lake, config, engine)

    say("\nOne query: the mean zone temperature of each site on 2015-01-02, local time.")
    raw_answer, raw_seconds = timed(lambda: query_raw(tree))
    answer, seconds = timed(lambda: query_lake(Path(first.table)))
    print(answer)
    if not answer.equals(raw_answer):
        sys.exit("the lake's answer is not that of the raw files")

    began = time.perf_counter()
    streams, of_building, of_car = compact_readings(lake, engine)
    readings_seconds = time.perf_counter() - began
    say("\nOne table for both: SELECT source, site, series, readings, first, last FROM lake/readings")
    print(summary_of(lake / "readings"))

    hourly = aggregate_readings(lake, engine)

    s = first
    lines = [
        "",
        "Report",
        f"  files    {files:,} became {s.files_written:,}",
        f"  bytes    {s.bytes_in / 1e6:.2f} MB of gzip ({disk_mb(tree):,.0f} MB on disk) became"
        f" {s.bytes_written / 1e6:.2f} MB",
        f"  records  {s.records_in:,} in = {s.rows_out:,} rows + {s.records_quarantined:,} quarantined"
        f" + {s.duplicates_dropped:,} duplicates",
        f"  cells    {s.keys_seen:,} keys = {s.cells_stored:,} stored + {s.nulls:,} nulls"
        f" + {s.values_rescued:,} rescued",
        f"  time     {s.seconds:.1f} s for the job on Spark (and {started:.1f} s for Spark to start),"
        f" {second.seconds:.1f} s to find nothing new",
        f"  readings {streams + 1:,} files of two sources became {of_building.rows_out + of_car.rows_out:,} rows"
        f" of one table, in {readings_seconds:.1f} s",
        f"  hourly   {hourly.points:,} of them became {hourly.rows_out:,} hours of {hourly.series:,} series,"
        f" in {hourly.seconds:.1f} s",
        f"  query    {seconds:.3f} s on the table, {raw_seconds:.2f} s on the raw files:"
        f" {raw_seconds / seconds:,.0f} times faster",
        "",
        f"Next: .venv/bin/siltstone show {lake}",
    ]
    say("\n".join(lines))


def compacted(source, folder, lake, config, engine):
    """Compact, and say what came of it; the summary of the table."""
    (s,) = compact(source, folder, lake, config=config, engine=engine, progress=Steps()).tables
    say(
        f"{s.records_in:,} records of {s.files_ingested:,} files became {s.rows_out:,} rows, {s.records_quarantined:,} "
        f"refused; {s.files_skipped:,} files were known ({s.table}, {s.seconds:.1f} s)"
    )
    return s


def compact_readings(lake: Path, engine: SparkEngine):
    """The building's CSVs by the source `mortar` and the car's trace by a block of conf, into LAKE/readings."""
    streams, traces = FOLDER / "streams", FOLDER / "traces"
    with zipfile.ZipFile(BUILDING) as archive:
        names = [name for name in archive.namelist() if name.endswith(".csv")]
        archive.extractall(streams, names)
    traces.mkdir()
    shutil.copy(TRACE, traces)
    say(f"\nTwo more sources: siltstone compact mortar {streams} {lake} --engine spark")
    building = compacted("mortar", streams, lake, load_config(), engine)
    say(f"\nsiltstone compact records.openxc {traces} {lake} --conf {OPENXC.relative_to(ROOT)} --engine spark")
    car = compacted("records.openxc", traces, lake, load_config([str(OPENXC)]), engine)
    return len(names), building, car


def aggregate_readings(lake: Path, engine: SparkEngine):
    """Hourly time-weighted averages, of sensors as lines and of states as steps, into LAKE/hourly."""
    table, out = lake / "readings", lake / "hourly"
    say(f"\nsiltstone aggregate {table} {out} --every 1h --rules {HOLDS.relative_to(ROOT)} --engine spark")
    summary = aggregate(table, out, every="1h", rules=HOLDS, engine=engine, progress=Steps())
    say(f"{summary.points:,} points became {summary.rows_out:,} buckets ({summary.table}, {summary.seconds:.1f} s)")
    say("\nThe car's speed, weighted by time, beside the mean of its messages:")
    columns = ("bucket_start", "time_weighted_average", "mean", "min", "max", "covered_s", "pct_good", "n")
    print(pl.scan_delta(str(out)).filter(pl.col("measurement") == "vehicle_speed").select(columns).collect())
    return summary


class Steps:
    """What goes on, a line for each step, on stderr."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, what: str, files: int, of: int, byte_count: int) -> None:
        if what != self._last:
            print(f"siltstone: {what}", file=sys.stderr, flush=True)
        self._last = what


def summary_of(readings: Path) -> pl.DataFrame:
    rows = pl.scan_delta(str(readings))
    first, last = pl.col("ts").min().alias("first"), pl.col("ts").max().alias("last")
    series = pl.col("series_id").n_unique().alias("series")
    return rows.group_by("source", "site").agg(series, pl.len().alias("readings"), first, last).sort("source").collect()


def query_lake(table: Path) -> pl.DataFrame:
    rows = pl.scan_delta(str(table)).filter(pl.col("hiveperiod") == pl.date(2015, 1, 2))
    return means(rows.select("dstrct_code", "Zone_Air_Temp"))


def query_raw(tree: Path) -> pl.DataFrame:
    """The same from the raw files, each read once: unpack, parse, find the local day."""
    frames = []
    for site in ("SITA", "SITB"):
        text = b"".join(gzip.decompress(path.read_bytes()) for path in sorted((tree / site).rglob("*.gz")))
        local = pl.from_epoch("heartbeat").dt.offset_by("8h").dt.date()
        rows = pl.read_ndjson(text, infer_schema_length=None).filter(local == pl.date(2015, 1, 2))
        frames.append(rows.select(dstrct_code=pl.lit(site), Zone_Air_Temp="Zone Air Temp"))
    return means(pl.concat(frames).lazy())


def means(rows: pl.LazyFrame) -> pl.DataFrame:
    mean = pl.col("Zone_Air_Temp").mean().round(6)
    return (
        rows.group_by("dstrct_code").agg(mean, readings=pl.col("Zone_Air_Temp").count()).sort("dstrct_code").collect()
    )


def timed(work):
    began = time.perf_counter()
    result = work()
    return result, time.perf_counter() - began


def disk_mb(tree: Path) -> float:
    return sum(path.stat().st_blocks * 512 for path in tree.rglob("*.gz")) / 1e6


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
