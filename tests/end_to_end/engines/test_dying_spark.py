"""Processes of a Spark cluster that die: Spark does their tasks again, and each row is in the table once."""

from pathlib import Path
from typing import Any

import pytest

from support.fleet import NOON, World, record
from support.new_python import printed_by


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
    found: dict[str, Any] = printed_by("support.dying_spark", str(root), seconds=600)
    return found
