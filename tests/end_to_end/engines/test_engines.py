"""Engines and readers: the table is the same whoever wrote it, and whoever reads it."""

import os
import pickle
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cache, reduce
from multiprocessing import forkserver
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import duckdb_extension_delta
import polars as pl
import pytest
from chispa import assert_df_equality
from deltalake import DeltaTable
from polars.testing import assert_frame_equal

import siltstone.engine.spark
from siltstone.engine import local as local_module
from siltstone.engine import tasks
from siltstone.engine.local import LocalEngine
from siltstone.engine.spark import SparkEngine
from siltstone.errors import AccountsError, SiltstoneError, StorageError
from siltstone.ingest.task_spec import IngestReport, IngestTask
from siltstone.storage import Storage
from support import sleepers
from support.fleet import MIDNIGHT, NOON, World, every_kind, record

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def _told(summary: dict[str, Any]) -> dict[str, Any]:
    """What must not depend on the engine."""
    told_apart = ("run", "runs", "table", "engine", "seconds", "bytes_written", "settled")
    return {k: v for k, v in summary.items() if k not in told_apart}


@pytest.fixture(scope="module")
def in_process(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, dict[str, Any]]:
    """A world of every kind of row, compacted in this process; nobody changes it."""
    world = World(tmp_path_factory.mktemp("in_process"))
    world.deliver(every_kind())
    return world, world.compact("survey.files=1")


def _assert_same_as(in_process: tuple[World, dict[str, Any]], world: World, engine: tasks.Engine) -> None:
    world.deliver(every_kind())
    summary = world.compact("survey.files=1", engine=engine)
    assert _told(summary) == _told(in_process[1])
    # Records: 1 + 30 + 4 + 2 + 1; `twice` is there three times; one bad line.
    assert (summary["records_in"], summary["rows_out"], summary["duplicates_dropped"]) == (38, 35, 2)
    assert_frame_equal(world.frame(), in_process[0].frame())
    assert world.quarantine() == in_process[0].quarantine()


def test_the_pool_of_processes_writes_the_same_table(in_process: tuple[World, dict[str, Any]], world: World) -> None:
    _assert_same_as(in_process, world, LocalEngine(workers=2))


@dataclass(frozen=True)
class Who:
    """A task that gives its process, or dies."""

    dies: bool = False
    table_root: str = ""

    def run(self) -> int:
        if self.dies:
            os._exit(9)
        return os.getpid()


class Environment(Who):
    """A task that gives a setting of its process that only what workers are forked from should have."""

    def run(self) -> Any:
        return os.environ.get("PYTHONSAFEPATH")


def test_workers_have_the_environment_of_the_driver_also_after_one_died() -> None:
    engine: Any = LocalEngine(workers=1)
    (worker,) = engine.run([Who()], print)
    assert engine.run([Environment()], print) == [os.environ.get("PYTHONSAFEPATH")]
    os.kill(worker, signal.SIGKILL)
    with pytest.raises(BrokenProcessPool):
        engine._pools[0].submit(os.getpid).result()
    assert engine.run([Environment()], print) == [os.environ.get("PYTHONSAFEPATH")]


def _server() -> int:
    pid: int = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    return pid


def test_one_process_serves_all_rounds_until_it_dies() -> None:
    engine: Any = LocalEngine(workers=1)
    engine.warm_up(3, [])
    (first,), (again, once_more) = engine.run([Who()], print), engine.run([Who(), Who()], print)
    assert first == again == once_more != os.getpid()
    with pytest.raises(SiltstoneError, match="a worker process died"):
        engine.run([Who(), Who(dies=True)], print)
    (other,) = engine.run([Who()], print)
    assert other not in (first, os.getpid())
    os.kill(other, signal.SIGKILL)  # between two rounds
    with pytest.raises(BrokenProcessPool):
        engine._pools[0].submit(os.getpid).result()
    engine.warm_up(1, [])
    (third,) = engine.run([Who()], print)
    assert third not in (other, os.getpid())
    os.kill(_server(), signal.SIGKILL)  # what workers are forked from
    with pytest.raises(SiltstoneError, match="a worker process died"):
        engine.run([Who(dies=True)], print)
    (last,) = engine.run([Who()], print)
    assert last not in (third, os.getpid())


def test_a_server_of_workers_that_refuses_for_a_moment_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    real, refused = forkserver.connect_to_new_process, []

    def dying(fds: Any) -> Any:
        if len(refused) < 2:
            refused.append(fds)
            raise ConnectionRefusedError
        return real(fds)

    monkeypatch.setattr(forkserver, "connect_to_new_process", dying)
    (worker,) = LocalEngine(workers=1).run([Who()], print)
    assert worker != os.getpid()
    assert len(refused) == 2


_POLARS_AT_TOP = """
from multiprocessing import forkserver

from threads import Threads

from siltstone.engine.local import LocalEngine

print(LocalEngine(workers=1).run([Threads()], lambda _: None), forkserver._forkserver._forkserver_pid is None)
"""
_THREADS = """
from dataclasses import dataclass

import polars as pl

@dataclass(frozen=True)
class Threads:
    def run(self):
        return pl.thread_pool_size()
"""


@pytest.mark.parametrize(("deep", "is_spawned"), [("t", False), ("t" * 120, True)])
def test_workers_have_one_thread_and_import_nothing_from_the_current_folder(
    tmp_path: Path, deep: str, is_spawned: bool
) -> None:
    """Also where TMPDIR is too long a path for the socket of the process that workers are forked from."""
    script, temporary = tmp_path / "script/run.py", tmp_path / deep
    script.parent.mkdir()
    temporary.mkdir()
    script.write_text(_POLARS_AT_TOP)
    (script.parent / "threads.py").write_text(_THREADS)
    (tmp_path / "pyarrow.py").write_text("raise RuntimeError('imported from the current folder')")
    done = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == (f"[1] {is_spawned}\n", "")


class Odd(Exception):
    """Can be pickled, but not back again."""

    def __init__(self, what: str, code: int) -> None:
        super().__init__(what)


class Closed(Exception):
    """Can't be pickled."""

    def __reduce__(self) -> Any:
        raise TypeError("closed")


@dataclass(frozen=True)
class Raising:
    """A task that ends with an error."""

    error: BaseException
    table: Storage = field(default_factory=lambda: Storage("/lake/datalog"))
    files: tuple[str, ...] = ("a.parquet", "b.parquet")

    def run(self) -> int:
        raise self.error


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Odd("left\nright", 1), "Odd: left"),
        (Closed("shut"), "Closed: shut"),
        (pl.exceptions.PanicException("at the disco"), "PanicException: at the disco"),
    ],
)
def test_a_surprise_in_a_worker_is_told_with_its_place(error: BaseException, told: str) -> None:
    with pytest.raises(SiltstoneError) as raised:
        local_module._run(Raising(error))  # type: ignore[type-var, arg-type]
    arrived = pickle.loads(pickle.dumps(raised.value))
    place = "Raising for /lake/datalog (a.parquet and 1 more)"
    assert (type(arrived), arrived.exit_code) == (SiltstoneError, 1)
    assert str(arrived) == f"{place}: unexpected {told}. --debug shows the trace; please report it."


def test_an_error_of_siltstones_own_leaves_a_worker_as_it_is() -> None:
    with pytest.raises(StorageError, match=r"^the disk is full$") as raised:
        local_module._run(Raising(StorageError("the disk is full")))  # type: ignore[type-var, arg-type]
    assert str(pickle.loads(pickle.dumps(raised.value))) == "the disk is full"


def test_a_surprise_comes_through_the_pool() -> None:
    engine: Any = LocalEngine(workers=1)
    with pytest.raises(SiltstoneError, match="unexpected ZeroDivisionError: of a kind"):
        engine.run([Raising(ZeroDivisionError("of a kind"))], print)


STOPPED = "siltstone: stopped. Run it again: it goes on from what was committed.\n"


@pytest.mark.parametrize(
    ("number", "reaches_workers", "code"),
    [
        (signal.SIGINT, True, 130),  # a terminal sends it to the whole group
        (signal.SIGTERM, False, 143),
        (signal.SIGKILL, False, -signal.SIGKILL),
    ],
)
def test_a_driver_that_is_stopped_leaves_no_process(number: signal.Signals, reaches_workers: bool, code: int) -> None:
    driver = subprocess.Popen(
        [sys.executable, sleepers.__file__],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert driver.stdout is not None
    try:
        assert [driver.stdout.readline() for _ in range(2)] == ["['SIGINT']\n"] * 2
        (os.killpg if reaches_workers else os.kill)(driver.pid, number)
        # Both pipes end when the last process that holds them has: driver, workers, multiprocessing's own.
        _, told = driver.communicate(timeout=60)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(driver.pid, signal.SIGKILL)
    assert driver.returncode == code
    if number != signal.SIGKILL:
        assert told == STOPPED


_PLAIN_RUNS = """
import sys
from pathlib import Path
from support.fleet import NOON, World, record

world = World(Path(sys.argv[1]))
for hour in (12, 13):
    world.deliver({f"BRCB/SLS30I009/20251210{hour}": [record(NOON + 3_600 * hour, x=1.5)]})
    assert world.compact()["rows_out"] == 1
print("pandas" in sys.modules)
"""


def test_neither_driver_nor_tasks_import_pandas(tmp_path: Path) -> None:
    """pyarrow does when it takes a list: half a second in each process, for nothing."""
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", _PLAIN_RUNS, tmp_path],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_spark_writes_the_same_table(
    in_process: tuple[World, dict[str, Any]], world: World, spark: "SparkSession"
) -> None:
    _assert_same_as(in_process, world, SparkEngine(spark))
    assert list((world.table / "_siltstone/plans").rglob("*.json")) == []  # plans are taken away again
    assert world.compact(engine=SparkEngine(spark))["files_skipped"] == 6


def test_spark_reads_the_rows_that_were_written(world: World, spark: "SparkSession") -> None:
    from pyspark.sql.functions import unix_micros

    world.deliver({"BRCB/SLS30I009/2025121012": [record(NOON, x=1.5, on=True), record(MIDNIGHT, x="n/a", on=None)]})
    world.compact()
    found = spark.read.format("delta").load(str(world.table))
    rescued = '{"x":"\\"n/a\\""}'
    expected = spark.createDataFrame(
        [
            (date(2025, 12, 10), "BRCB", NOON * 1_000_000, "LD772", NOON, 1.5, True, None),
            (date(2025, 12, 11), "BRCB", MIDNIGHT * 1_000_000, "LD772", MIDNIGHT, None, None, rescued),
        ],
        "hiveperiod date, dstrct_code string, us bigint, unitno string, heartbeat bigint, x double, on boolean, "
        "_rescued string",
    )
    assert dict(found.dtypes)["ts"] == "timestamp"
    rows = found.withColumn("us", unix_micros("ts")).select(*expected.columns)
    assert_df_equality(rows, expected, ignore_row_order=True, ignore_nullable=True, ignore_metadata=True)


def _polars(world: World, where: str) -> int:
    return pl.scan_delta(str(world.table)).filter(BOUNDARIES[where][0]).collect().height


def _pyarrow(world: World, where: str) -> int:
    dataset = DeltaTable(str(world.table)).to_pyarrow_dataset()
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.register("self", dataset)
    return int(connection.execute(f"select count(*) from self where {where}").fetchone()[0])  # type: ignore[index]


def _duckdb(world: World, where: str) -> int:
    return int(
        _delta_connection().execute(f"select count(*) from delta_scan('{world.table}') where {where}").fetchone()[0]
    )  # type: ignore[index]


@cache
def _delta_connection() -> duckdb.DuckDBPyConnection:
    """DuckDB with the extension that lies in its own Python package: nothing is downloaded. To load it takes half a
    second, so there is one for all."""
    folder = Path(duckdb_extension_delta.__file__).parent / "extensions" / f"v{duckdb.__version__}"
    connection = duckdb.connect()
    connection.execute(f"LOAD '{folder / 'delta.duckdb_extension'}'")
    connection.execute("SET TimeZone = 'UTC'")
    return connection


LONG_UNIT = "Z" * 40  # longer than the 32 characters that other writers cut statistics to
NOON_UTC = datetime(2025, 12, 10, 4, tzinfo=UTC)
BOUNDARIES: dict[str, tuple[pl.Expr, int]] = {
    # the least instant, in microseconds, and the greatest of its day, with the two rows of the next day
    "ts = TIMESTAMP '2025-12-10 04:00:00.000001'": (pl.col("ts") == NOON_UTC + timedelta(microseconds=1), 1),
    "ts < TIMESTAMP '2025-12-10 04:00:00.000002'": (pl.col("ts") < NOON_UTC + timedelta(microseconds=2), 1),
    "ts >= TIMESTAMP '2025-12-10 04:00:08.999999'": (pl.col("ts") >= NOON_UTC + timedelta(microseconds=8_999_999), 3),
    "ts > TIMESTAMP '2025-12-10 04:00:08.999999'": (pl.col("ts") > NOON_UTC + timedelta(microseconds=8_999_999), 2),
    f"unitno = '{LONG_UNIT}'": (pl.col("unitno") == LONG_UNIT, 1),
    f"unitno >= '{LONG_UNIT}'": (pl.col("unitno") >= LONG_UNIT, 2),
    "unitno = 'Ω1'": (pl.col("unitno") == "Ω1", 1),
    "unitno IS NULL": (pl.col("unitno").is_null(), 1),
    "deviceid = 'A'": (pl.col("deviceid") == "A", 1),
    "deviceid IS NULL": (pl.col("deviceid").is_null(), 4),
    "x IS NOT NULL": (pl.col("x").is_not_null(), 0),
    "hiveperiod = DATE '2025-12-11'": (pl.col("hiveperiod") == date(2025, 12, 11), 2),
    "dstrct_code = 'BRCG'": (pl.col("dstrct_code") == "BRCG", 1),
}


@pytest.fixture(scope="module")
def boundaries(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Rows at the edges of their files' statistics; a column that is null in one file and away in another."""
    world = World(tmp_path_factory.mktemp("boundaries"))
    us = NOON * 1_000_000
    world.deliver(
        {
            "BRCB/D1/2025121012": [
                {"heartbeat": us + 1, "unitno": LONG_UNIT, "deviceid": "A"},
                {"heartbeat": us + 8_999_999, "unitno": "Ω1"},
                {"heartbeat": us + 5_000_000, "unitno": None, "x": None},
            ],
            "BRCB/D1/2025121112": [{"heartbeat": us + 86_400_000_000, "unitno": "B"}],
            "BRCG/D2/2025121112": [{"heartbeat": us + 86_400_000_000, "unitno": "C"}],
        }
    )
    world.compact()
    world.deliver({"BRCG/D2/2025121011": [{"heartbeat": us - 1, "deviceid": "E", "unitno": "C", "x": 1}]})
    world.compact()
    DeltaTable(str(world.table)).delete("deviceid = 'E'")  # so that x is null in every row, and the log has a remove
    return world


@pytest.mark.parametrize("where", BOUNDARIES)
@pytest.mark.parametrize("count", [_polars, _pyarrow, _duckdb])
def test_statistics_never_hide_a_row(boundaries: World, count: Any, where: str) -> None:
    assert count(boundaries, where) == BOUNDARIES[where][1]


@pytest.mark.slow("spark")  # in each run it is test_skipping that asks Spark for rows at the bounds of statistics
def test_statistics_never_hide_a_row_from_spark(boundaries: World, spark: "SparkSession") -> None:
    from pyspark.sql import DataFrame

    frame = spark.read.format("delta").load(str(boundaries.table))
    cases = [frame.where(where).selectExpr(f"{n} AS number") for n, where in enumerate(BOUNDARIES)]
    found = Counter(row.number for row in reduce(DataFrame.unionAll, cases).collect())
    assert {where: found[n] for n, where in enumerate(BOUNDARIES)} == {w: count for w, (_, count) in BOUNDARIES.items()}


def test_duckdb_and_polars_read_the_same_rows(in_process: tuple[World, dict[str, Any]]) -> None:
    world, _ = in_process
    found = _delta_connection().execute(f"select * from delta_scan('{world.table}')").pl()
    columns = sorted(found.columns)
    expected = pl.scan_delta(str(world.table)).collect()
    assert columns == sorted(expected.columns)
    assert_frame_equal(found.select(columns).sort(pl.all()), expected.select(columns).sort(pl.all()), check_dtypes=True)


def _die(task: IngestTask) -> IngestReport:
    os._exit(9)


def _miscount(task: IngestTask) -> IngestReport:
    raise AccountsError(task.files[0].identity, ["1 records in, but 0 rows out"])


def test_a_worker_that_dies_is_a_clear_error(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.deliver({"BRCB/SLS30I009/2025121012": [record()]})
    with monkeypatch.context() as patch:
        patch.setattr(local_module, "_run", _die)
        with pytest.raises(SiltstoneError, match=r"a worker process died.*engine.workers=1") as raised:
            world.compact(engine=LocalEngine(workers=1))
    assert raised.value.exit_code == 1
    assert world.headers() == []
    assert world.compact()["rows_out"] == 1


def test_an_error_in_a_worker_arrives_as_itself(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.deliver({"BRCB/SLS30I009/2025121012": [record()]})
    monkeypatch.setattr(local_module, "_run", _miscount)
    with pytest.raises(AccountsError, match=r"2025121012.txt.gz do not close.*\n  1 records in, but 0 rows out"):
        world.compact(engine=LocalEngine(workers=1))
    assert world.headers() == []


def test_an_accounts_error_in_a_spark_task_arrives_as_itself(
    world: World, spark: "SparkSession", monkeypatch: pytest.MonkeyPatch
) -> None:
    real = siltstone.engine.spark._spark_task

    def faulty(table_root: str, plans: str) -> Any:
        run = real(table_root, plans)

        def wrapped(batches: Any) -> Iterator[Any]:
            from siltstone.errors import AccountsError
            from siltstone.ingest.wide_task import WideTask

            def miscount(task: Any) -> Any:
                raise AccountsError(task.files[0].identity, ["1 records in, but 0 rows out"])

            before, WideTask.run = WideTask.run, miscount  # type: ignore[method-assign]
            try:
                yield from run(batches)
            finally:
                WideTask.run = before  # type: ignore[method-assign]  # Spark keeps its workers

        return wrapped

    world.deliver({"BRCB/SLS30I009/2025121012": [record()]})
    with monkeypatch.context() as patch:
        patch.setattr("siltstone.engine.spark._spark_task", faulty)
        with pytest.raises(AccountsError, match=r"2025121012.txt.gz do not close.*\n  1 records in, but 0 rows out"):
            world.compact(engine=SparkEngine(spark))
    assert world.headers() == []
    assert world.compact(engine=SparkEngine(spark))["rows_out"] == 1


@pytest.mark.parametrize("engine_name", ["spark", "local"])
def test_a_task_that_cannot_write_is_one_storage_error(
    world: World, engine_name: str, request: pytest.FixtureRequest
) -> None:
    engine: tasks.Engine = LocalEngine(1)
    if engine_name == "spark":
        engine = SparkEngine(request.getfixturevalue("spark"))
    world.deliver({"BRCB/SLS30I009/2025121012": [record()]})
    world.compact()
    world.put(world.table / "hiveperiod=2025-12-11", b"a file where a folder should be")
    world.deliver({"BRCB/SLS30I009/2025121112": [record(NOON + 86_400)]})
    with pytest.raises(StorageError, match="hiveperiod=2025-12-11") as raised:
        world.compact(engine=engine)
    assert raised.value.exit_code == 6
    assert len(str(raised.value).splitlines()) == 1
    assert ".." not in str(raised.value)
    assert len(world.headers()) == 1
    (world.table / "hiveperiod=2025-12-11").unlink()
    assert world.compact(engine=engine)["rows_out"] == 1
