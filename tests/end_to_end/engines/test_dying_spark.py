"""Processes of a Spark cluster that die: Spark does their tasks again, and each row is in the table once."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.fleet import NOON, World, record


@pytest.mark.slow("spark")
def test_a_worker_and_an_executor_die_after_their_task_has_written(world: World) -> None:
    world.deliver({"BRCB/DEV1/2025121012": [record(NOON, a=1)], "BRCG/DEV2/2025121012": [record(NOON, a=2)]})
    told = _compacted_by_dying_spark(world.root)
    assert told["rows_out"] == 2
    assert sorted(told["tries"]) == ["0", "1"]
    assert min(told["tries"].values()) >= 2
    assert world.rows("a") == [(1.0,), (2.0,)]
    written = [path for path in world.files() if path.endswith(".parquet") and "/data_" in path]
    assert len(written) == sum(told["tries"].values())  # those of the first tries too, which no commit names
    assert len(world.stored()) == 2
    assert world.verify()["problems"] == []


def _compacted_by_dying_spark(root: Path) -> dict[str, Any]:
    """In a session of its own: one process has one session, and that of the other tests is no cluster."""
    done = subprocess.run(
        [sys.executable, "-m", "support.dying_spark", str(root)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told
