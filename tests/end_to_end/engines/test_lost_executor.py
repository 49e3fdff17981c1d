"""An executor of a real cluster dies with its task: one sentence, exit code 6, and the next run does the work."""

import os
import subprocess
import sys

import pytest

from support.fleet import NOON, World, record

DYING = """
import sys
import siltstone.engine.spark as engine
from siltstone.cli import main

def dying(table, plans):
    def run(batches):
        import os, signal
        daemon = os.getppid()
        java = int(open(f"/proc/{daemon}/stat").read().rsplit(")", 1)[1].split()[1])
        os.kill(java, signal.SIGKILL)
        yield from batches

    return run

engine._spark_task = dying
sys.exit(main.main(["compact", "datalog", *sys.argv[1:], "--engine", "spark"]))
"""


@pytest.mark.slow("spark")
def test_a_lost_executor_is_told_in_a_sentence(world: World) -> None:
    world.deliver({"BRCB/SLS30I009/2025121004": [record(NOON, gpsspeed=1.5)]})
    settings = "--conf spark.task.maxFailures=1 --conf spark.executor.memory=512m"
    environment = os.environ | {
        "SPARK_MASTER": "local-cluster[1,1,1024]",
        "PYSPARK_SUBMIT_ARGS": f"{settings} pyspark-shell",
        "PYSPARK_PYTHON": sys.executable,
    }
    words = [sys.executable, "-c", DYING, str(world.input), str(world.lake)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 6, done.stderr
    told = [line for line in done.stderr.splitlines() if line.startswith("siltstone: Spark lost an executor")]
    assert len(told) == 1
    assert "in the last of its tries: Command exited with code 137. " in told[0]
    assert "spark.executor.memoryOverhead" in told[0]
    assert "report" not in told[0]
    assert world.compact()["files_ingested"] == 1
