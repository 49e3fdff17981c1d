"""The one place that builds a Spark session, and knows which versions of Spark, Delta and Java run together."""

import atexit
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from siltstone.errors import StorageError, UsageError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

JAVA_OF_SPARK = {"3.5": (8, 11, 17), "4.0": (17, 21), "4.1": (17, 21)}
DELTA_OF_SPARK = {"3.5": "3.3.2", "4.0": "4.4.0", "4.1": "4.4.0"}

_ANSWER_S = 20.0
_LOOK_EVERY_S = 0.2
_CONNECT_PORT = 15002

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
    try:
        return builder.getOrCreate()
    except Exception as error:
        raise StorageError(
            f"Spark can't start: {str(error).strip().partition(chr(10))[0]}",
            "Check the cluster that SPARK_MASTER names, and its logs; --debug shows the trace.",
        ) from error


def _remote_session(sessions: type["SparkSession"]) -> "SparkSession":
    """A session of a Connect server, which has a master, a Java and jars of its own.

    Raises StorageError where it does not answer in time: pyspark by itself would try again for ten minutes, deaf to
    SIGTERM.
    """
    active = sessions.getActiveSession()
    if active is not None:
        return active
    address = os.environ["SPARK_REMOTE"]

    def ask() -> str:
        _reach(address)
        session = sessions.builder.getOrCreate()
        _leave_without_asking(session)
        return str(session.version)

    try:
        _within(_ANSWER_S, ask)
        return sessions.builder.getOrCreate()
    except ImportError as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise UsageError(
            f"Spark Connect, which SPARK_REMOTE asks for, can't begin: {reason}",
            "pip install 'pyspark[connect]', or unset SPARK_REMOTE.",
        ) from error
    except Exception as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
        raise StorageError(
            f"the Spark Connect server at {address}, which SPARK_REMOTE names, does not answer: {reason}",
            "Check that it runs and can be reached from here, or unset SPARK_REMOTE.",
        ) from error


def _leave_without_asking(session: "SparkSession") -> None:
    """Let the process end also where the server is gone: pyspark would ask it to forget models, which there are none
    of, as long as it asks for anything."""
    forget = getattr(getattr(session, "client", None), "_cleanup_ml_cache", None)
    if forget is not None:
        atexit.unregister(forget)


def _reach(address: str) -> None:
    """Raise OSError where nobody listens at an address such as sc://host:15002/;token=..."""
    import socket  # only for this, which few commands ask
    from urllib.parse import urlsplit

    parts = urlsplit(address)
    if parts.scheme == "sc" and parts.hostname:
        socket.create_connection((parts.hostname, parts.port or _CONNECT_PORT), timeout=_ANSWER_S).close()


def _within(seconds: float, call: Callable[[], object]) -> None:
    """Wait for a call, in a thread of its own, so that signals are heard; TimeoutError where it takes longer."""
    failures: list[Exception] = []

    def work() -> None:
        try:
            call()
        except Exception as error:
            failures.append(error)

    thread, until = threading.Thread(target=work, daemon=True), time.monotonic() + seconds
    thread.start()
    while thread.is_alive() and time.monotonic() < until:
        thread.join(timeout=_LOOK_EVERY_S)
    if thread.is_alive():
        raise TimeoutError(f"no answer within {seconds:g} s")
    if failures:
        raise failures[0]


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
