"""Keyed tables wherever they lie and whoever runs the tasks: Spark, S3, plain Parquet; and what readers see of them."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from siltstone.engine.spark import SparkEngine
from siltstone.ingest.job import compact
from siltstone.maintenance.verify import verify
from siltstone.model.contracts import READINGS
from siltstone.table.open import table_at
from support.fleet import quiet
from support.haltian import file_of, path_of
from support.plant import NOON, SERIES, Plant, raw, raw_path

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from support.s3_bucket import Bucket

OTHER = "7020c8e2-e6db-40fa-9845-ed0dddd4c77d_c706d54d-4c11-42dc-9a01-63662fc697b4"


@pytest.fixture
def plant(tmp_path: Any) -> Plant:
    plant = Plant(tmp_path)
    plant.deliver("sitewise", {
        raw_path(1): raw((0, 1.0, 1), (1, 2.0, 1)),
        raw_path(2, OTHER): raw((0, 7.0, 1), series=OTHER),
        "asset_metadata/asset_a1.ndjson": b'{"assetId":"a1","timeSeriesId":"s1","assetLastUpdateDate":1600000000}\n',
    })  # fmt: skip
    return plant


NEWER = {raw_path(3): raw((1, 2.5, 2), (2, 3.0, 1))}
ROWS = [(OTHER, 0, 7.0), (SERIES, 0, 1.0), (SERIES, 1, 2.5), (SERIES, 2, 3.0)]


def test_spark_makes_the_same_tables(plant: Plant, spark: "SparkSession") -> None:
    engine = SparkEngine(spark)
    plant.compact("sitewise", engine=engine)
    plant.deliver("sitewise", NEWER)
    assert plant.compact("sitewise", engine=engine)["readings"]["keys_replaced"] == 1
    assert plant.rows("series_id", "s", "value") == ROWS
    assert plant.problems() == plant.problems("assets") == []
    found = spark.read.format("delta").load(str(plant.lake / "readings")).where(f"series_id = '{OTHER}'").collect()
    assert [(row.value, row.kind, row.site, row.version) for row in found] == [(7.0, "double", "_none", 1)]


def test_the_same_on_s3(plant: Plant, bucket: "Bucket") -> None:
    settings = (f"storage.endpoint={bucket.server.url}", "storage.path_style=true")
    lake = f"s3://{bucket.name}/lake"

    def run(source: str) -> dict[str, Any]:
        summary = compact(source, f"s3a://{bucket.name}/in", lake, plant.config(*settings), plant.engine, quiet)
        return {t["table"].rpartition("/")[2]: t for t in summary["tables"]}

    for path in sorted(p for p in plant.input("sitewise").rglob("*") if p.is_file()):
        bucket.put(f"in/{path.relative_to(plant.input('sitewise'))}", path.read_bytes())
    run("sitewise")
    for name, data in NEWER.items():
        bucket.put(f"in/{name}", data)
    hour = datetime(2025, 11, 1, 3, tzinfo=UTC)
    bucket.put(f"in/{path_of('organization', hour)}", file_of("organization", [{"id": "o", "createdTs": hour}]))
    assert run("sitewise")["readings"]["keys_replaced"] == 1
    assert run("haltian")["organization"]["rows_out"] == 1
    for name in ("readings", "assets"):
        table = table_at(bucket.root(f"lake/{name}"), READINGS if name == "readings" else _contract(name))
        assert verify(table, plant.config(*settings), plant.engine, quiet)["problems"] == []


def _contract(name: str) -> Any:
    from siltstone import sources

    return sources.contracts()[name]


def test_plain_parquet(plant: Plant) -> None:
    plant.compact("sitewise", "compaction.format=parquet")
    plant.deliver("sitewise", NEWER)
    assert plant.compact("sitewise")["readings"]["keys_replaced"] == 1
    frame = pl.read_parquet(plant.lake / "readings/**/*.parquet", hive_partitioning=True)
    seconds = (frame["ts"].dt.epoch("s") - NOON).to_list()
    assert sorted(zip(frame["series_id"], seconds, frame["value"], strict=True)) == ROWS
    assert pl.read_parquet(plant.lake / "assets/*.parquet")["time_series_id"].to_list() == ["s1"]
    assert plant.problems() == plant.problems("assets") == []


def test_files_carry_the_bounds_of_series_source_and_time(plant: Plant) -> None:
    plant.compact("sitewise", "optimize.after_compact=false")
    plant.deliver("sitewise", NEWER)
    plant.compact("sitewise", "optimize.after_compact=false")
    instant = datetime.fromtimestamp(NOON + 1, UTC)
    scan = pl.scan_delta(str(plant.lake / "readings"))
    assert scan.filter(pl.col("series_id") == SERIES, pl.col("ts") == instant).collect()["value"].to_list() == [2.5]
    adds = [a["add"] for a in plant.log() if "add" in a]
    assert adds
    for add in adds:
        assert '"series_id"' in add["stats"]
        assert '"source":"sitewise"' in add["stats"].replace(" ", "")
