"""The one place that builds a Spark session, and knows which versions of Spark, Delta and Java run together."""

import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from siltstone.errors import UsageError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

JAVA_OF_SPARK = {"3.5": (8, 11, 17), "4.0": (17, 21), "4.1": (17, 21)}
DELTA_OF_SPARK = {"3.5": "3.3.2", "4.0": "4.4.0", "4.1": "4.4.0"}

_DELTA_MODULES = ("delta-spark_{spark}_2.13", "delta-storage", "delta-kernel-api", "delta-kernel-defaults")
_NOT_NEEDED = (
    *("com.fasterxml.jackson.core", "com.fasterxml.jackson.dataformat", "com.fasterxml.jackson.datatype"),
    *("com.fasterxml.jackson.module", "com.github.luben", "com.google.guava", "commons-io", "io.unitycatalog"),
    *("jakarta.annotation", "org.antlr", "org.apache.commons", "org.apache.hadoop", "org.apache.logging.log4j"),
    *("org.apache.parquet", "org.apache.spark", "org.locationtech.jts", "org.lz4", "org.openapitools"),
    *("org.scala-lang", "org.slf4j", "org.xerial.snappy", "software.amazon.awssdk"),
)


def is_inside_spark() -> bool:
    """Whether this process was started by spark-submit or has a Spark session already."""
    if "PYSPARK_GATEWAY_PORT" in os.environ or "DATABRICKS_RUNTIME_VERSION" in os.environ:
        return True
    if "pyspark.sql" not in sys.modules:
        return False
    from pyspark.sql import SparkSession

    return SparkSession.getActiveSession() is not None


def spark_session(app: str, *, delta: bool = False) -> "SparkSession":
    """The running Spark session, else one of the server that SPARK_REMOTE names (Spark Connect), else a new one in UTC;
    to a new one `delta` adds what Spark needs to read Delta tables.

    Raises UsageError when pyspark or a fitting Java is missing. Nobody stops the session but its owner.
    """
    try:
        import pyspark
        from pyspark.sql import SparkSession
    except ImportError:
        raise UsageError("pyspark is not installed", "pip install 'siltstone[spark]', or use --engine local.") from None
    if "SPARK_REMOTE" in os.environ:
        return _remote_session(SparkSession)
    active = SparkSession.getActiveSession()
    if active is not None:
        return active
    line = ".".join(pyspark.__version__.split(".")[:2])
    if not is_inside_spark():
        _require_java(line)
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName(app).config("spark.sql.session.timeZone", "UTC")
    if not is_inside_spark():
        master = os.environ.get("SPARK_MASTER", "local[*]")
        if master.startswith("local"):
            os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        builder = builder.master(master)
        builder = builder.config("spark.ui.enabled", "false").config("spark.ui.showConsoleProgress", "false")
        builder = builder.config("spark.log.level", "ERROR")
    if delta:
        for key, value in delta_conf(line).items():
            builder = builder.config(key, value)
    return builder.getOrCreate()


def _remote_session(sessions: type["SparkSession"]) -> "SparkSession":
    """A session of a Connect server, which has a master, a Java and jars of its own."""
    try:
        return sessions.getActiveSession() or sessions.builder.getOrCreate()
    except ImportError as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise UsageError(
            f"Spark Connect, which SPARK_REMOTE asks for, can't begin: {reason}",
            "pip install 'pyspark[connect]', or unset SPARK_REMOTE.",
        ) from error


def delta_conf(spark_line: str) -> dict[str, str]:
    """Spark settings for reading Delta: the pinned jars without the 700 MB that local reading does not need."""
    version = DELTA_OF_SPARK[spark_line]
    modules = [f"io.delta:{name.format(spark=spark_line)}:{version}" for name in _DELTA_MODULES]
    return {
        "spark.jars.packages": ",".join(modules),
        "spark.jars.excludes": ",".join(f"{group}:*" for group in _NOT_NEEDED),
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    }


def java_version() -> int | None:
    """The major version of the Java that Spark would start, or None if there is none."""
    home = os.environ.get("JAVA_HOME")
    java = os.path.join(home, "bin", "java") if home else shutil.which("java")
    if not java or not os.path.exists(java):
        return None
    told = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr  # noqa: S603
    match = re.search(r'version "(?:1\.)?(\d+)', told)
    return int(match[1]) if match else None


def _require_java(spark_line: str) -> None:
    found, needed = java_version(), JAVA_OF_SPARK.get(spark_line, (17,))
    if found not in needed:
        have = "no Java" if found is None else f"Java {found}"
        raise UsageError(
            f"Spark {spark_line} needs Java {' or '.join(map(str, needed))}, found {have}",
            "sudo apt-get install openjdk-17-jre-headless, or use --engine local.",
        )
