"""A compact on a small Spark cluster whose processes die: the Python worker of one task and the executor of another,
each once its task has written its files and before Spark has the result.

`python -m support.dying_spark ROOT`

Prints JSON: how many rows the run wrote, and how often each task came to its end.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import siltstone.engine.spark
from siltstone.engine.session import spark_session
from siltstone.engine.spark import SparkEngine
from support.fleet import World

_CLUSTER = "local-cluster[2,1,1024]"  # executors, cores and MiB of each


def _deadly(told: str, real: Callable[..., Any]) -> Callable[..., Any]:
    """`_spark_task`, with tasks that kill: number 0 its own process, number 1 its executor, each in its first try."""

    def task(*given: Any) -> Callable[[Iterable[Any]], Iterator[Any]]:
        run = real(*given)

        def deadly(batches: Iterable[Any]) -> Iterator[Any]:
            for result in run(batches):
                number = result.column(0)[0].as_py()
                with open(f"{told}/{number}", "a") as tries:
                    tries.write("x")
                if os.path.getsize(f"{told}/{number}") == 1:
                    with open(f"/proc/{os.getppid()}/stat") as of_daemon:
                        executor = int(of_daemon.read().rpartition(")")[2].split()[1])
                    os.kill(executor if number else os.getpid(), signal.SIGKILL)
                    signal.pause()  # until the executor's end ends this process
                yield result

        return deadly

    return task


def main(root: Path) -> dict[str, Any]:
    """The run; tasks leave in `root/tries` how often they were done."""
    os.environ |= {"SPARK_MASTER": _CLUSTER, "PYSPARK_SUBMIT_ARGS": "--conf spark.driver.memory=512m pyspark-shell"}
    tries = root / "tries"
    tries.mkdir()
    siltstone.engine.spark._spark_task = _deadly(str(tries), siltstone.engine.spark._spark_task)
    spark = spark_session("processes die")
    try:
        summary = World(root).compact("survey.files=1", "optimize.after_compact=false", engine=SparkEngine(spark))
    finally:
        spark.stop()
    return {"rows_out": summary["rows_out"], "tries": {p.name: p.stat().st_size for p in tries.iterdir()}}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
