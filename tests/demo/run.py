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

from siltstone.aggregation.aggregate import aggregate_table
from siltstone.aggregation.read_plan import Period
from siltstone.aggregation.spec import AggregateSpec, rows_of
from siltstone.cli.printing import print_summary
from siltstone.cli.printing_tables import print_aggregated
from siltstone.cli.progress import Reporter
from siltstone.config.load import load_config
from siltstone.config.series_rules import load_interpretations
from siltstone.engine.session import spark_session
from siltstone.engine.spark import SparkEngine
from siltstone.ingest.job import compact

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
    with Reporter() as progress:
        first = compact("datalog", str(tree), str(lake), config, engine, progress)
        print_summary(first, as_json=False)
        say("\nThe same command again:")
        second = compact("datalog", str(tree), str(lake), config, engine, progress)
        print_summary(second, as_json=False)

    say("\nOne query: the mean zone temperature of each site on 2015-01-02, local time.")
    raw_answer, raw_seconds = timed(lambda: query_raw(tree))
    answer, seconds = timed(lambda: query_lake(Path(first["table"])))
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
        "IngestReport",
        f"  files    {files:,} became {s['files_written']:,}",
        f"  bytes    {s['bytes_in'] / 1e6:.2f} MB of gzip ({disk_mb(tree):,.0f} MB on disk) became"
        f" {s['bytes_written'] / 1e6:.2f} MB",
        f"  records  {s['records_in']:,} in = {s['rows_out']:,} rows + {s['records_quarantined']:,} quarantined"
        f" + {s['duplicates_dropped']:,} duplicates",
        f"  cells    {s['keys_seen']:,} keys = {s['cells_stored']:,} stored + {s['nulls']:,} nulls"
        f" + {s['values_rescued']:,} rescued",
        f"  time     {s['seconds']:.1f} s for the job on Spark (and {started:.1f} s for Spark to start),"
        f" {second['seconds']:.1f} s to find nothing new",
        f"  readings {streams + 1:,} files of two sources became {of_building['rows_out'] + of_car['rows_out']:,} rows"
        f" of one table, in {readings_seconds:.1f} s",
        f"  hourly   {hourly['points']:,} of them became {hourly['rows_out']:,} hours of {hourly['series']:,} series,"
        f" in {hourly['seconds']:.1f} s",
        f"  query    {seconds:.3f} s on the table, {raw_seconds:.2f} s on the raw files:"
        f" {raw_seconds / seconds:,.0f} times faster",
        "",
        f"Next: .venv/bin/siltstone show {lake}",
    ]
    say("\n".join(lines))


def compact_readings(lake: Path, engine: SparkEngine) -> tuple[int, dict, dict]:
    """The building's CSVs by the source `mortar` and the car's trace by a block of conf, into LAKE/readings."""
    streams, traces = FOLDER / "streams", FOLDER / "traces"
    with zipfile.ZipFile(BUILDING) as archive:
        names = [name for name in archive.namelist() if name.endswith(".csv")]
        archive.extractall(streams, names)
    traces.mkdir()
    shutil.copy(TRACE, traces)
    say(f"\nTwo more sources: siltstone compact mortar {streams} {lake} --engine spark")
    with Reporter() as progress:
        building = compact("mortar", str(streams), str(lake), load_config(), engine, progress)
        print_summary(building, as_json=False)
        say(f"\nsiltstone compact records.openxc {traces} {lake} --conf {OPENXC.relative_to(ROOT)} --engine spark")
        car = compact("records.openxc", str(traces), str(lake), load_config([str(OPENXC)]), engine, progress)
        print_summary(car, as_json=False)
    return len(names), building, car


def aggregate_readings(lake: Path, engine: SparkEngine) -> dict:
    """Hourly time-weighted averages, of sensors as lines and of states as steps, into LAKE/hourly."""
    terms = AggregateSpec("1h", rules=rows_of(load_interpretations(str(HOLDS))))
    table, out = str(lake / "readings"), str(lake / "hourly")
    say(f"\nsiltstone aggregate {table} {out} --every 1h --rules {HOLDS.relative_to(ROOT)} --engine spark")
    with Reporter() as progress:
        summary = aggregate_table(table, out, terms, Period(), load_config(), engine, progress)
    print_aggregated(summary, as_json=False)
    say("\nThe car's speed, weighted by time, beside the mean of its messages:")
    columns = ("bucket_start", "time_weighted_average", "mean", "min", "max", "covered_s", "pct_good", "n")
    print(pl.scan_delta(out).filter(pl.col("measurement") == "vehicle_speed").select(columns).collect())
    return summary


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
