"""Plain PySpark, twice. Naive: infer the schema, repartition by partition, write. Best: known schema, no shuffle.

The session is up, and a two-file tree has gone the same way, before READY.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from arguments import arguments
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, DoubleType, LongType, StringType, StructField, StructType

_TYPES = {"double": DoubleType(), "bigint": LongType(), "boolean": BooleanType(), "string": StringType()}


def main() -> None:
    parser = arguments("input", "out", "warm_input", "scratch")
    parser.add_argument("--schema", type=Path, help="JSON: field to kind; without it the schema is inferred")
    args = parser.parse_args()
    spark = session(args.cores)
    schema = read_schema(args.schema) if args.schema else None
    compact(spark, args.warm_input, args.scratch / "warm", schema)
    print("READY", flush=True)
    compact(spark, args.input, args.out, schema)
    print("DONE", flush=True)
    spark.stop()


def session(cores: int, more: Mapping[str, str] = MappingProxyType({})) -> SparkSession:
    """Spark in this process on so many cores, with more settings."""
    os.environ |= {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    settings = {
        "spark.driver.memory": "4g",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.parquet.compression.codec": "zstd",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "ERROR",
        **more,
    }
    builder = SparkSession.builder.appName("bench").master(f"local[{cores}]")
    for key, value in settings.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def read_schema(path: Path) -> StructType:
    kinds = json.loads(path.read_text())
    return StructType([StructField(name, _TYPES[kind]) for name, kind in kinds.items()])


def compact(spark: SparkSession, tree: Path, out: Path, schema: StructType | None) -> None:
    reader = spark.read if schema is None else spark.read.schema(schema)
    rows = with_keys(reader.option("recursiveFileLookup", True).json(str(tree)))  # a glob of many files costs more
    if schema is None:
        rows = rows.repartition("hiveperiod", "dstrct_code")
    rows.write.partitionBy("hiveperiod", "dstrct_code").parquet(str(out))


def with_keys(rows: DataFrame) -> DataFrame:
    file = F.input_file_name()
    local = F.expr("timestamp_seconds(heartbeat) + INTERVAL 8 HOURS")
    site = F.element_at(F.split(file, "/"), -4)
    return (
        rows.withColumn("source_file", file)
        .withColumn("dstrct_code", site)
        .withColumn("hiveperiod", local.cast("date"))
    )


if __name__ == "__main__":
    main()
