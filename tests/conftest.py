"""Fixtures of all tests: one Spark session for the whole run, built when first asked for, and a small world."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from siltstone.storage import access, local
from siltstone.table import writer as writer_module
from support import no_skips, rounds
from support.fleet import World
from support.parts import PARTS

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from support.s3_bucket import Bucket
    from support.s3_server import FaultyS3

pytest_runtest_makereport = no_skips.pytest_runtest_makereport
pytest_make_collect_report = no_skips.pytest_make_collect_report

# A run of `make test` draws the same examples each time, so what turns red is the change and not the day. Chance has
# its place in `make test-slow`, which gives a seed and prints it.
settings.register_profile(
    "siltstone", derandomize=rounds.SEED == 0, database=None, max_examples=rounds.examples(100), deadline=None
)
settings.load_profile("siltstone")

_NO_ACCOUNT = {
    "AWS_ACCESS_KEY_ID": "key-of-the-tests",
    "AWS_SECRET_ACCESS_KEY": "secret-of-the-tests",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    told = "only the tests of this part of `make test-slow`, slow ones too; `all`: every test, slow or not"
    parser.addoption("--part", choices=(*PARTS, "all"), help=told)


def pytest_configure(config: pytest.Config) -> None:
    """Register marks and take credentials away; py4j opens a socket for each collect and leaves closing it to the
    garbage collector."""
    config.addinivalue_line("markers", "part(name): this test is also in a part of `make test-slow`, with more rounds")
    no_skips.pytest_configure(config)
    local.reach_disk = lambda _: None  # tests of it (end_to_end/tables/test_synced.py) set it back
    if hasattr(config, "workerinput"):  # `make test` gives each worker one thread; what tests start must not inherit it
        os.environ.pop("POLARS_MAX_THREADS", None)
    config.addinivalue_line("markers", "slow(name): this test is only in a part of `make test-slow`")
    config.addinivalue_line("filterwarnings", "ignore:unclosed <socket:ResourceWarning")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ |= _NO_ACCOUNT


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes that are no text are called as their argument: gzip writes the time, and workers must agree on names."""
    is_data = isinstance(val, bytes) and not (val.isascii() and val.decode().isprintable())
    return argname if is_data else None


@pytest.hookimpl(trylast=True)  # hypothesis marks its tests first
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave only the tests of the part that is asked for, or those that are not slow.

    Where workers of pytest-xdist share the run, tests with Spark come first: one worker has them all, and the only
    Spark session. `--dist worksteal` gives each a contiguous half to begin with and takes from its end."""
    part = config.getoption("--part")
    dropped = [item for item in items if part != "all" and not _is_wanted(item, part)]
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = [item for item in items if item not in set(dropped)]
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: not _needs_spark(item))


def _is_wanted(item: pytest.Item, part: str | None) -> bool:
    if part is None:
        return item.get_closest_marker("slow") is None
    return part in parts_of(item)


def parts_of(item: pytest.Item) -> set[str]:
    """The parts of `make test-slow` that a test is in: each law is in `laws`, whatever needs a session in `spark`."""
    marks = {name for mark in (*item.iter_markers("slow"), *item.iter_markers("part")) for name in mark.args}
    unknown = marks - set(PARTS)
    assert not unknown, f"{item.nodeid}: no part of the tests is called {sorted(unknown)}; known: {PARTS}"
    is_law = item.get_closest_marker("hypothesis") is not None
    return marks | ({"laws"} if is_law else set()) | ({"spark"} if _needs_spark(item) else set())


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
    from support.s3_server import FaultyS3

    server = FaultyS3()
    yield server
    server.close()


@pytest.fixture
def bucket(s3_server: "FaultyS3", monkeypatch: pytest.MonkeyPatch) -> "Bucket":
    """An empty bucket of a server without faults; retries come at once."""
    from support.s3_bucket import Bucket

    for name in ("FIRST_WAIT_MS", "LONGEST_WAIT_MS"):
        monkeypatch.setattr(access, name, 1)
    return Bucket(s3_server, s3_server.bucket())


@pytest.fixture(scope="module")
def large_dictionaries() -> Iterator[None]:
    """Dictionaries that hold all texts and no numbers: small files with small row groups then differ little in size."""
    texts = ["unitno", "deviceid", "source_file", "_rescued"]
    options = writer_module.parquet_options() | {"use_dictionary": texts, "dictionary_pagesize_limit": 1 << 20}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer_module, "parquet_options", lambda: options)
        yield
