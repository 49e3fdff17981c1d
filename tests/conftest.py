"""Fixtures of all tests: one Spark session for the whole run, built when first asked for, and a small world."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from worlds import World

from siltstone.storage import access
from siltstone.table import writer as writing

if TYPE_CHECKING:
    from buckets import Bucket
    from faulty_s3 import FaultyS3
    from pyspark.sql import SparkSession

_NO_ACCOUNT = {
    "AWS_ACCESS_KEY_ID": "key-of-the-tests",
    "AWS_SECRET_ACCESS_KEY": "secret-of-the-tests",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}


def pytest_configure(config: pytest.Config) -> None:
    """py4j opens a socket for each collect and leaves closing it to the garbage collector."""
    config.addinivalue_line("filterwarnings", "ignore:unclosed <socket:ResourceWarning")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ |= _NO_ACCOUNT


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes that are no text are called as their argument: gzip writes the time, and workers must agree on names."""
    is_data = isinstance(val, bytes) and not (val.isascii() and val.decode().isprintable())
    return argname if is_data else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where workers of pytest-xdist share the run, tests with Spark come first: one worker has them all, and the only
    Spark session. `--dist worksteal` gives each a contiguous half to begin with and takes from its end."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: not _needs_spark(item))


def _needs_spark(item: pytest.Item) -> bool:
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return "spark" in (*getattr(item, "fixturenames", ()), *(p for p in parameters if isinstance(p, str)))


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator["SparkSession"]:
    """Spark on two cores with Delta, built by siltstone's own builder; stopped at the end of the run."""
    home = tmp_path_factory.mktemp("spark")
    settings = {
        "spark.sql.shuffle.partitions": "2",
        "spark.databricks.delta.snapshotPartitions": "1",
        "spark.sql.warehouse.dir": str(home / "warehouse"),
        "spark.local.dir": str(home / "local"),
        "spark.ui.enabled": "false",
        "spark.driver.memory": "1g",
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1",  # a short run never pays back the second compiler
    }
    given = " ".join(f"--conf {key}={value}" for key, value in settings.items())
    before = {name: os.environ.get(name) for name in ("SPARK_MASTER", "PYSPARK_SUBMIT_ARGS")}
    os.environ |= {"SPARK_MASTER": "local[2]", "PYSPARK_SUBMIT_ARGS": f"{given} pyspark-shell"}
    try:
        from siltstone.engine.session import spark_session

        session = spark_session("tests", delta=True)
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)
    yield session
    session.stop()


@pytest.fixture
def world(tmp_path: Path) -> World:
    """An empty input folder, a lake beside it, and an engine that works in this process."""
    (tmp_path / "in").mkdir()
    return World(tmp_path)


@pytest.fixture(scope="session")
def s3_server() -> Iterator["FaultyS3"]:
    """The S3 server of all tests, started when first asked for."""
    from faulty_s3 import FaultyS3

    server = FaultyS3()
    yield server
    server.close()


@pytest.fixture
def bucket(s3_server: "FaultyS3", monkeypatch: pytest.MonkeyPatch) -> "Bucket":
    """An empty bucket of a server without faults; retries come at once."""
    from buckets import Bucket

    for name in ("FIRST_WAIT_MS", "LONGEST_WAIT_MS"):
        monkeypatch.setattr(access, name, 1)
    return Bucket(s3_server, s3_server.bucket())


@pytest.fixture(scope="module")
def large_dictionaries() -> Iterator[None]:
    """Dictionaries that hold all texts and no numbers: small files with small row groups then differ little in size."""
    texts = ["unitno", "deviceid", "source_file", "_rescued"]
    options = writing.parquet_options() | {"use_dictionary": texts, "dictionary_pagesize_limit": 1 << 20}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "parquet_options", lambda: options)
        yield
