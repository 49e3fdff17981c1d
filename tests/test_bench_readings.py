"""The rig's inputs of readings are what their layouts say, and its check sees what is lost. Nothing here is timed."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import fastavro
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(Path(__file__).parent / "bench"))

import check_readings
import haltian_exports
import mortar_buildings
import sitewise_exports
from readings_truth import (
    Entity,
    Reading,
    ReadingsTruth,
    load_readings_truth,
    problems_of,
    save_readings_truth,
    series_of,
    states_of,
)

SECOND = 1_000_000


def test_a_plants_files_hold_what_the_cold_tiers_do(tmp_path: Path) -> None:
    exports = sitewise_exports.Exports(series=9, windows=2, points=4, corrections=9)
    truth = sitewise_exports.write_exports(tmp_path, exports)
    files = sorted(tmp_path.rglob("*.avro"))
    assert len(files) == 27 == exports.files  # 9 series x 2 windows, and a correction of each
    asset = "e9687d2a-0dbe-4f65-9ed6-6f443cba41f7_95e63da7-d34e-43e1-bc6f-1b490154b07a"
    day = "raw/startYear=2025/startMonth=12/startDay=1"  # months and days without zeros
    assert sitewise_exports.folder(asset, sitewise_exports.START) == f"{day}/seriesBucket=a3"
    with next(f for f in files if f.stem.endswith(f"{sitewise_exports.START}_GOOD")).open("rb") as file:
        schema = fastavro.reader(file).metadata["avro.schema"]
    assert json.loads(schema) == json.loads(sitewise_exports.SCHEMA.read_text())
    rows = pl.concat([pl.read_avro(f).with_columns(start=pl.lit(int(f.stem.split("_")[-2]))) for f in files])
    assert rows.height == 108 == exports.records
    after = (rows["timeInSeconds"] - rows["start"]).unique().sort().to_list()
    assert after[:4] == [5_400, 10_800, 16_200, 21_600]  # a start is exclusive, an end is not
    # Series 0 and 8 keep their version 5 against 3; of 6 the later word is BAD and no value; the others' is UNCERTAIN.
    assert truth.counts["quality"] == {"bad": 4, "good": 72 - 4 - 24, "uncertain": 24}
    assert truth.rows == 72
    assert sorted(s.versions for s in truth.series) == [28] * 6 + [40, 40, 20 + 28]
    assert sum(s.values + s.texts for s in truth.series) == 72 - 4


def test_the_newest_versions_of_a_plants_files_are_the_truth(tmp_path: Path) -> None:
    truth = sitewise_exports.write_exports(
        tmp_path / "in", sitewise_exports.Exports(series=9, windows=2, points=4, corrections=9)
    )
    rows = pl.concat([pl.read_avro(f) for f in sorted((tmp_path / "in").rglob("*.avro"))])
    keys = ["seriesId", "timeInSeconds", "offsetInNanos"]
    newest = rows.sort("recordVersion", nulls_last=False).unique(keys, keep="last", maintain_order=True)
    assert _checked(tmp_path, _as_readings(newest), truth) == []
    any_row = rows.unique(keys, keep="first", maintain_order=True)
    assert "series have other sums" in _checked(tmp_path, _as_readings(any_row), truth)[0]


def test_an_organizations_hours_repeat_rows_and_can_be_empty(tmp_path: Path) -> None:
    export = haltian_exports.Export(hours=8, thinned=100)
    truth = haltian_exports.write_export(tmp_path, export)
    assert len(list(tmp_path.rglob("*.parquet"))) == 64 == export.files
    night = tmp_path / "measurementOccupancyStatus/2025/12/2025_12_01_06_measurementOccupancyStatus.parquet"
    assert pq.read_table(night).num_rows == 0  # its last event would be of 05:59, and days begin at 06:00
    assert pq.read_schema(night).types == [pa.string(), haltian_exports.TIME, pa.string(), pa.int8()]
    distance = sorted((tmp_path / "measurementDistance").rglob("*.parquet"))
    assert pq.read_schema(distance[0]).field("distance").type == pa.decimal128(10, 0)
    # One device, a reading in each five minutes: an hour has 12, the files of eight hours 12, 24, 36 and five times 48.
    assert [pq.read_table(f).num_rows for f in distance] == [12, 24, 36, 48, 48, 48, 48, 48]
    assert truth.series[4].rows == 96  # after two devices of AmbientTemperature and two of CO2
    devices = [pl.read_parquet(f) for f in sorted((tmp_path / "device").rglob("*.parquet"))]
    assert truth.entities["device"].current == devices[-1].height


def test_buildings_are_the_real_one_under_other_names(tmp_path: Path) -> None:
    truth = mortar_buildings.write_buildings(tmp_path, buildings=2, sensors=2)
    first, second = (sorted((tmp_path / site).glob("*.csv")) for site in ("bldg1", "bldg2"))
    assert [f.name.replace("BLDG2", "BLDG1") for f in second] == [f.name for f in first]
    mine, theirs = pl.read_csv(first[0]), pl.read_csv(second[0])
    assert mine.select("time", "value", "type").equals(theirs.select("time", "value", "type"))
    assert theirs["site"].unique().to_list() == ["bldg2"]
    assert theirs["id"][0].startswith("http://buildsys.org/ontologies/BLDG2#BLDG2.AHU.")
    assert truth.counts == {"site": {"bldg1": 2 * 192, "bldg2": 2 * 192}}


def test_states_are_counted_from_snapshots() -> None:
    one, two = {"name": "one"}, {"name": "two"}
    snapshots = [(10, {"a": one, "b": one}), (20, {"a": one}), (30, {"a": two, "b": one}), (40, {"a": two, "b": one})]
    # a: one 10-30, two from 30 on; b: one 10-20, and again from 30 on.
    assert states_of(snapshots) == Entity(states=4, current=2, valid_from_s=10 + 30 + 10 + 30, valid_to_s=30 + 20)


ROWS = [Reading(SECOND, 7, 1.5, None, 2), Reading(2 * SECOND, 0, None, "on", None)]
OTHER = [Reading(SECOND, 0, 4.0)]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (ROWS, []),
        (ROWS[:1], ["2 rows instead of 3", "1 series have other sums", "site S: 2 rows instead of 3"]),
        ([ROWS[0]._replace(version=1), ROWS[1]], ["1 series have other sums"]),
        ([ROWS[0]._replace(value=1.6), ROWS[1]], ["1 series have other sums"]),
        ([ROWS[0], ROWS[1]._replace(text="off")], ["1 series have other sums"]),
        ([ROWS[0]._replace(ts_nanos=8), ROWS[1]], ["1 series have other sums"]),
        ([], ["1 rows instead of 3", "1 series instead of 2", "site S: 1 rows"]),
    ],
)
def test_the_check_names_what_is_wrong(tmp_path: Path, rows: list[Reading], expected: list[str]) -> None:
    truth = ReadingsTruth([series_of(ROWS), series_of(OTHER)], {"site": {"S": 3}})
    schema = {"series_id": pl.String, "ts_us": pl.Int64, "ts_nanos": pl.Int32, "value": pl.Float64, "text": pl.String}
    data = [("x", *row) for row in rows] + [("y", *row) for row in OTHER]
    frame = pl.DataFrame(data, schema | {"version": pl.Int64}, orient="row")
    frame = frame.with_columns(ts=pl.from_epoch("ts_us", "us"), site=pl.lit("S"))
    found = _checked(tmp_path, frame, truth)
    assert [told[: len(start)] for told, start in zip(found, expected, strict=True)] == expected


def test_the_check_reads_the_states_beside_the_readings(tmp_path: Path) -> None:
    bounds = {"valid_from": [10, 30], "valid_to": [30, None]}
    states = pl.DataFrame(bounds).select(pl.from_epoch(pl.all(), "s"))
    (tmp_path / "out" / "device").mkdir(parents=True)
    states.write_parquet(tmp_path / "out" / "device" / "states.parquet")
    truth = ReadingsTruth([series_of(OTHER)], {}, {"device": Entity(2, 1, 40, 30)})
    frame = pl.DataFrame(
        [("y", *OTHER[0])], ["series_id", "ts_us", "ts_nanos", "value", "text", "version"], orient="row"
    )
    frame = frame.with_columns(pl.col("text").cast(pl.String), pl.col("version").cast(pl.Int64))
    frame = frame.with_columns(ts=pl.from_epoch("ts_us", "us"))
    assert _checked(tmp_path, frame, truth) == []
    deleted = replace(truth, entities={"device": Entity(2, 0, 40, 70)})
    assert _checked(tmp_path, frame, deleted)[0].startswith("device: Entity(states=2, current=1,")


def _as_readings(rows: pl.DataFrame) -> pl.DataFrame:
    """SiteWise's columns as the contract has them."""
    ns = pl.col("timeInSeconds") * 10**9 + pl.col("offsetInNanos")
    kinds = ("double", "integer", "boolean", "string")
    quality = pl.col("quality").str.to_lowercase()
    return rows.select(
        pl.col("seriesId").alias("series_id"),
        pl.from_epoch(ns // 1_000, "us").alias("ts"),
        (ns % 1_000).cast(pl.Int32).alias("ts_nanos"),
        pl.coalesce(pl.col("doubleValue", "integerValue", "booleanValue").cast(pl.Float64)).alias("value"),
        pl.col("stringValue").alias("text"),
        pl.coalesce(pl.when(pl.col(f"{k}Value").is_not_null()).then(pl.lit(k)) for k in kinds).alias("kind"),
        quality.alias("quality"),
        pl.col("recordVersion").alias("version"),
    )


def _checked(folder: Path, rows: pl.DataFrame, truth: ReadingsTruth) -> list[str]:
    """What the check says of a contender that wrote these readings."""
    (folder / "out" / "readings").mkdir(parents=True, exist_ok=True)
    rows.write_parquet(folder / "out" / "readings" / "part.parquet")
    save_readings_truth(folder / "truth.json", truth)
    kept = load_readings_truth(folder / "truth.json")
    assert kept == truth
    return problems_of(check_readings.found_in(folder / "out", kept), kept)
