"""Runs the same tasks on a local pool of processes or on Spark; the driver sees no difference.

This module and `session` are the only ones that know Spark. Nothing heavy is imported here: so the imports for workers
begin before the driver's own, and no process imports polars before it was told to use one thread.
"""

import gc
import importlib
import json
import multiprocessing
import os
import re
import signal
import sys
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import forkserver, resource_tracker
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from siltstone import errors
from siltstone.errors import SiltstoneError, StorageError, rebuilt

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

    from siltstone.storage import Storage

_PYTHON_ERROR = re.compile(r"^(?:siltstone\.errors\.|pyspark\.\S*\.)?\w*(?:Error|Exception): (?=\S)(.+)$", re.MULTILINE)

OBJECTS_BETWEEN_LOOKS = 100_000
"""For the collector of cycles in processes of siltstone's own: a run makes many objects, and hardly any cycles."""

_SHARED_IMPORTS = [
    *("pyarrow.compute", "pyarrow.parquet", "obstore.store"),
    *("siltstone.config", "siltstone.contracts", "siltstone.aggregates.buckets", "siltstone.aggregates.pieces"),
]
"""What workers are forked with: two thirds of what they import. Not polars, whose threads a fork would leave behind."""

_WAITS_S = (0.0, 0.1, 1.0)
_YEAR_S = 365 * 86_400.0  # with polars loaded, Ctrl-C ends only a wait that has a timeout

Told = Callable[[int], None]
"""Called in the driver with the number of tasks that are done."""


class Result(Protocol):
    """What a task gives back; plain values."""

    def as_dict(self) -> dict[str, Any]: ...


T = TypeVar("T")
R = TypeVar("R", bound=Result)
R_co = TypeVar("R_co", bound=Result, covariant=True)


class Task(Protocol[R_co]):
    """What a task is told; plain values, so that it travels between processes, to Spark as JSON."""

    @property
    def table(self) -> "Storage": ...

    def run(self) -> R_co: ...

    def as_dict(self) -> dict[str, Any]: ...

    def result(self, row: Mapping[str, Any]) -> R_co:
        """The result from its `as_dict`."""
        ...


class Engine(Protocol):
    """Where tasks run."""

    @property
    def name(self) -> str: ...

    def prepare(self, tasks: int = 0, source: str = "", modules: Sequence[str] = ()) -> None:
        """Get ready to run about so many tasks (0: some, perhaps) of a source, or tasks of some modules, without
        waiting for it."""
        ...

    def run(self, tasks: Sequence[Task[R]], done: Told) -> list[R]:
        """The result of each task, in the order of the tasks; all are of one kind and write to one table."""
        ...


@dataclass(frozen=True)
class LocalEngine:
    """A pool of processes on this machine; no Java. They start when they are needed and end with the engine, what they
    are forked from with the driver."""

    workers: int = 0
    name: str = "local"
    _pools: list[ProcessPoolExecutor] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        weakref.finalize(self, _shut, self._pools)

    def prepare(self, tasks: int = 0, source: str = "", modules: Sequence[str] = ()) -> None:
        start_server()
        for _ in range(min(tasks, self._limit)):
            self._submit(_import_tasks, source, modules)

    def run(self, tasks: Sequence[Task[R]], done: Told) -> list[R]:
        if not tasks:
            return []
        results: dict[int, R] = {}
        try:
            futures: dict[Future[R], int] = {self._submit(_run, task): i for i, task in enumerate(tasks)}
            for future in as_completed(futures, timeout=_YEAR_S):
                results[futures[future]] = future.result()
                done(len(results))
        except BaseException as error:
            self._end(at_once=not isinstance(error, Exception))
            if not isinstance(error, BrokenProcessPool):
                raise
            raise SiltstoneError(
                "a worker process died, most likely killed for want of memory; nothing was committed",
                "Run again with fewer workers (--set engine.workers=1) or less --set engine.memory_mb.",
            ) from error
        return [results[i] for i in range(len(tasks))]

    @property
    def _limit(self) -> int:
        return self.workers or len(os.sched_getaffinity(0))

    def _submit(self, function: Callable[..., T], *args: Any) -> "Future[T]":
        """Hand a call to the pool, to a new one where a worker died since the last round, or where what workers are
        forked from is dying: it may take a moment until that is noticed."""
        for wait_s in _WAITS_S:
            try:
                return self._handed(function, *args)
            except (BrokenProcessPool, ConnectionError):
                self._end(at_once=False)
                time.sleep(wait_s)
        return self._handed(function, *args)

    def _handed(self, function: Callable[..., T], *args: Any) -> "Future[T]":
        pool = self._pool()
        with _as_workers_need_it():
            return pool.submit(function, *args)

    def _pool(self) -> ProcessPoolExecutor:
        if not self._pools:
            context = multiprocessing.get_context("forkserver" if start_server() else "spawn")
            environment = {**os.environ, "POLARS_MAX_THREADS": "1"}
            self._pools.append(ProcessPoolExecutor(self._limit, context, initializer=_begin, initargs=(environment,)))
        return self._pools[0]

    def _end(self, *, at_once: bool) -> None:
        """End the pool's processes; `at_once` in the middle of their tasks."""
        while self._pools:
            pool = self._pools.pop()
            for process in list((pool._processes or {}).values()) if at_once else ():
                process.terminate()
            pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class SparkEngine:
    """One Spark task each; a task reads its plan from the table's folder and writes its own files."""

    spark: "SparkSession"
    name: str = "spark"

    def prepare(self, tasks: int = 0, source: str = "", modules: Sequence[str] = ()) -> None:
        """Nothing to do: Spark's executors are its own."""

    def run(self, tasks: Sequence[Task[R]], done: Told) -> list[R]:
        if not tasks:
            return []
        from siltstone.ledger import FOLDER

        table = tasks[0].table
        plans = f"{FOLDER}/plans/{uuid.uuid4().hex}"
        paths = [f"{plans}/{i}.json" for i in range(len(tasks))]
        texts = [json.dumps({"kind": type(task).__name__, "task": task.as_dict()}).encode() for task in tasks]
        list(table.ahead(lambda plan: table.put(*plan), zip(paths, texts, strict=True)))
        try:
            numbers = self.spark.range(0, len(tasks), 1, len(tasks))
            frame = numbers.mapInArrow(_spark_task(table.as_dict(), plans), "id bigint, result binary")
            rows = _collected(self.spark, frame.collect, done)
        finally:
            list(table.ahead(table.delete, paths))
        results = {row["id"]: json.loads(bytes(row["result"])) for row in rows}
        for result in results.values():
            if "error" in result:
                kind, text = result["error"]
                raise rebuilt(getattr(errors, kind, SiltstoneError), text)
        return [task.result(results[i]) for i, task in enumerate(tasks)]


def _shut(pools: list[ProcessPoolExecutor]) -> None:
    """Wait until pools have ended: one that ends by itself while Python does may print a trace of it."""
    while pools:
        pools.pop().shutdown(cancel_futures=True)


def start_server() -> bool:
    """Start the process that workers are forked from, unless it runs; it imports meanwhile. It ends with this process.

    False where it can't run: its socket is below TMPDIR, whose path may be too long for one.
    """
    multiprocessing.get_context("forkserver").set_forkserver_preload(_SHARED_IMPORTS)
    resource_tracker.ensure_running()  # its start would end the deafness
    with _as_workers_need_it():
        try:
            forkserver.ensure_running()
        except OSError:
            return False
    return True


@contextmanager
def _as_workers_need_it() -> Iterator[None]:
    """Processes started inside never hear Ctrl-C, have one thread for polars, for the pool itself is the parallelism,
    and import from where this one does, whose server would look into the current folder first."""
    ours = {"POLARS_MAX_THREADS": "1", "PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    before = {name: os.environ.get(name) for name in ours}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    os.environ.update(ours)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _begin(environment: Mapping[str, str]) -> None:
    """Give a worker the driver's environment of today, make it deaf to Ctrl-C and let it look for cycles rarely, and
    end when its driver is gone, however that ended."""
    os.environ.clear()
    os.environ.update(environment)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    gc.set_threshold(OBJECTS_BETWEEN_LOOKS)
    threading.Thread(target=_end_with_driver, daemon=True).start()


def _end_with_driver() -> None:
    driver = multiprocessing.parent_process()
    assert driver is not None
    driver.join()
    os._exit(1)


def _import_tasks(source: str, modules: Sequence[str]) -> None:
    """Import what tasks of a source, or of modules, need, while the driver does something else."""
    if modules:
        for name in modules:
            importlib.import_module(name)
        return
    import siltstone.task
    from siltstone import sources

    if source and sources.load(source).CONTRACTS[0].key:
        siltstone.task.import_keyed()


def _run(task: Task[R]) -> R:
    """Run a task in a worker. Its surprises become errors of siltstone's own: not every exception can be pickled."""
    try:
        return task.run()
    except SiltstoneError:
        raise
    except BaseException as error:
        what = f"{type(error).__name__}: {error}".partition("\n")[0]
        next_move = "--debug shows the trace; please report it."
        raise SiltstoneError(f"{_place(task)}: unexpected {what}", next_move) from error


def _place(task: Task[Any]) -> str:
    """What a task does, for which table, and the first file that it was told of."""
    files = getattr(task, "files", ()) or (getattr(task, "path", "no files"),)
    first = files[0][1] if isinstance(files[0], tuple) else getattr(files[0], "identity", files[0])
    others = f" and {len(files) - 1:,} more" if len(files) > 1 else ""
    return f"{type(task).__name__} for {task.table.root} ({first}{others})"


def _spark_task(
    table: Mapping[str, Any], plans: str
) -> Callable[[Iterable["pa.RecordBatch"]], Iterator["pa.RecordBatch"]]:
    """A function for mapInArrow: each id is a task; its result, or the error that no retry would mend, as JSON.

    `table` is a storage as plain values, for the function travels.
    """

    def run(batches: Iterable["pa.RecordBatch"]) -> Iterator["pa.RecordBatch"]:
        # Nothing of siltstone from outside this function: a worker must not import polars before this line.
        import os

        os.environ["POLARS_MAX_THREADS"] = "1"
        import pyarrow as pa

        from siltstone.plans import run_plan

        for batch in batches:
            for number in batch.column(0).to_pylist():
                result = run_plan(table, f"{plans}/{number}.json")
                yield pa.RecordBatch.from_arrays(
                    [pa.array([number], pa.int64()), pa.array([result], pa.binary())], ["id", "result"]
                )

    return run


def _collected(spark: "SparkSession", collect: Callable[[], list[Any]], done: Told) -> list[Any]:
    """The rows of one collect; meanwhile the finished tasks are told where Spark can say (not over Connect)."""
    from pyspark.errors import PySparkException

    result: list[Any] = []
    failure: list[BaseException] = []

    def work() -> None:
        try:
            result.extend(collect())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    most = 0
    while thread.is_alive():
        thread.join(timeout=0.5)
        finished = _finished_tasks(spark)
        if finished is not None and finished > most:
            done(most := finished)
    if failure and isinstance(failure[0], PySparkException):
        reason = _reason(str(failure[0]))
        next_move = "Nothing was committed; --debug shows Spark's trace."
        if "No module named" in reason:
            next_move = (
                "Spark's workers run another Python: set PYSPARK_PYTHON, or ship the environment (make archive)."
            )
        raise StorageError(f"a Spark task failed: {reason.rstrip('.')}", next_move) from failure[0]
    if failure:
        raise failure[0]
    return result


def _reason(trace: str) -> str:
    """The Python error that a Spark trace is about, else its first line."""
    python_errors = _PYTHON_ERROR.findall(trace)
    return python_errors[0] if python_errors else trace.strip().partition("\n")[0]


def _finished_tasks(spark: "SparkSession") -> int | None:
    try:
        tracker = spark.sparkContext.statusTracker()
        stages = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
        return sum(stage.numCompletedTasks for stage in stages if stage is not None)
    except Exception:  # Spark Connect has no context, and each version refuses it in its own way
        return None
