"""Runs tasks as Spark tasks: each reads its plan file, and writes its own files."""

import os
import re
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from siltstone.engine.codec import encode
from siltstone.engine.plan_files import plan_of, result_of
from siltstone.engine.tasks import R, Task, TasksDone
from siltstone.errors import StorageError

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

_LOST = re.compile(r"(?:ExecutorLostFailure \([^)\n]*\)\s*Reason:\s*|(?=Python worker exited unexpectedly))([^\n]+)")
_PYTHON_ERROR = re.compile(r"^(?:siltstone\.errors\.|pyspark\.\S*\.)?\w*(?:Error|Exception): (?=\S)(.+)$", re.MULTILINE)


@dataclass(frozen=True)
class SparkEngine:
    """One Spark task each; a task reads its plan from the table's folder and writes its own files."""

    spark: "SparkSession"
    name: str = "spark"

    def start(self) -> None:
        """Nothing to do: Spark starts its executors."""

    def warm_up(self, tasks: int, modules: Sequence[str]) -> None:
        """Nothing to do: Spark starts its executors."""

    def run(self, tasks: Sequence[Task[R]], done: TasksDone) -> list[R]:
        if not tasks:
            return []
        from siltstone.model.layout import FOLDER

        table = tasks[0].table
        plans = f"{FOLDER}/plans/{uuid.uuid4().hex}"
        paths = [f"{plans}/{i}.json" for i in range(len(tasks))]
        texts = [plan_of(task) for task in tasks]
        list(table.ahead(lambda plan: table.put(*plan, is_kept=False), zip(paths, texts, strict=True)))
        try:
            numbers = self.spark.range(0, len(tasks), 1, len(tasks))
            frame = numbers.mapInArrow(_spark_task(encode(table), plans), "id bigint, result binary")
            rows = _collected(self.spark, frame.collect, done)
        finally:
            with suppress(StorageError):  # vacuum deletes plans too, and the run has its result, or its own error
                list(table.ahead(table.delete, paths))
        outcomes = {row["id"]: bytes(row["result"]) for row in rows}
        return [result_of(task, outcomes[i]) for i, task in enumerate(tasks)]


def _spark_task(
    table: Mapping[str, Any], plans: str
) -> Callable[[Iterable["pa.RecordBatch"]], Iterator["pa.RecordBatch"]]:
    """A function for mapInArrow: each id is a task; what `run_plan` gives for it.

    `table` is an encoded Storage, since Spark sends the function to its workers.
    """

    def run(batches: Iterable["pa.RecordBatch"]) -> Iterator["pa.RecordBatch"]:
        # Nothing of siltstone from outside this function: a worker must not import polars before this line.

        os.environ["POLARS_MAX_THREADS"] = "1"
        import pyarrow as pa

        from siltstone.engine.plan_files import run_plan

        for batch in batches:
            for number in batch.column(0).to_pylist():
                result = run_plan(table, f"{plans}/{number}.json")
                yield pa.RecordBatch.from_arrays(
                    [pa.array([number], pa.int64()), pa.array([result], pa.binary())], ["id", "result"]
                )

    return run


def _collected(spark: "SparkSession", collect: Callable[[], list[Any]], done: TasksDone) -> list[Any]:
    """The rows of one collect; meanwhile the finished tasks are told where Spark can say (not over Connect)."""
    from py4j.protocol import Py4JError  # type: ignore[import-untyped]
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
    if failure and isinstance(failure[0], PySparkException | Py4JError):
        raise _explained(str(failure[0])) from failure[0]
    if failure:
        raise failure[0]
    return result


def _explained(trace: str) -> StorageError:
    """What a trace of Spark's is about: a process that died, a Python error, or its first lines."""
    if lost := _LOST.search(trace):
        return StorageError(
            f"Spark lost an executor with its task, in the last of its tries: {' '.join(lost[1].split()).rstrip('.')}",
            "Most likely it was killed for want of memory: give executors more of it beside Java's "
            "(spark.executor.memoryOverhead), or tasks less (--set engine.memory_mb).",
        )
    python_errors = _PYTHON_ERROR.findall(trace)
    reason = python_errors[0] if python_errors else _first_line(trace)
    next_move = "--debug shows Spark's trace."
    if "No module named" in reason:
        next_move = "Spark's workers run another Python: set PYSPARK_PYTHON, or ship the environment (make archive)."
    return StorageError(f"a Spark task failed: {reason.rstrip('.')}", next_move)


def _first_line(trace: str) -> str:
    """The first line that says something: Py4J begins with the name of a call."""
    lines = [line.lstrip(": ") for line in trace.strip().splitlines() if not line.startswith("An error occurred while")]
    return lines[0] if lines else trace.strip()


def _finished_tasks(spark: "SparkSession") -> int | None:
    try:
        tracker = spark.sparkContext.statusTracker()
        stages = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
        return sum(stage.numCompletedTasks for stage in stages if stage is not None)
    except Exception:  # Spark Connect has no context, and each version refuses it in its own way
        return None
