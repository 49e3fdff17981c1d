"""What a trace of Spark's becomes: one sentence with the reason, and the next move."""

import pytest

from siltstone.engine.spark import _explained

ABORTED = "org.apache.spark.SparkException: Job aborted due to stage failure: Task 0 in stage 0.0 failed 4 times, most "
LOST = "recent failure: Lost task 0.3 in stage 0.0 (TID 3) (127.0.0.1 executor 0): "


@pytest.mark.parametrize(
    ("trace", "reason"),
    [
        (
            f"An error occurred while calling o49.collectToPython.\n: {ABORTED}{LOST}ExecutorLostFailure (executor 0 "
            "exited caused by one of the running tasks) Reason: Command exited with code 137\nDriver stacktrace:",
            "Command exited with code 137",
        ),
        (
            f"{ABORTED}{LOST}ExecutorLostFailure (executor 1 exited) Reason: Container killed by YARN for exceeding "
            "memory limits. 5.5 GB of 5.5 GB physical memory used.\nDriver stacktrace:",
            "Container killed by YARN for exceeding memory limits. 5.5 GB of 5.5 GB physical memory used",
        ),
        (
            f"{ABORTED}{LOST}org.apache.spark.SparkException: Python worker exited unexpectedly (crashed)\n\tat x",
            "Python worker exited unexpectedly (crashed)",
        ),
    ],
)
def test_a_lost_executor_is_one_sentence_with_the_reason(trace: str, reason: str) -> None:
    told = str(_explained(trace))
    assert told.startswith(f"Spark lost an executor with its task, in the last of its tries: {reason}. Most likely")
    assert "spark.executor.memoryOverhead" in told
    assert "report" not in told


def test_a_trace_of_java_gives_its_first_line() -> None:
    told = str(
        _explained("An error occurred while calling o1.collectToPython.\n: java.io.IOException: no space\n\tat x")
    )
    assert told == "a Spark task failed: java.io.IOException: no space. --debug shows Spark's trace."


def test_an_error_of_a_task_is_told_as_it_is() -> None:
    trace = f"{ABORTED}{LOST}\n  File x\nsiltstone.errors.StorageError: can't read /in/a: gone. Check it.\n\n\tat x"
    assert str(_explained(trace)).startswith("a Spark task failed: can't read /in/a: gone. Check it. ")
