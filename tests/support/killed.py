"""Runs jobs that die by SIGKILL at a named point, each in a fork of its own.

`python -m support.killed JOB:POINT=ROOT ...`

Prints a JSON list: the signal that ended each (0 when it came to its end alive).
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from siltstone.aggregation import state_tasks
from siltstone.ingest import job as job_module
from siltstone.ingest import survey
from siltstone.ingest.replace import RowReplacer
from siltstone.ingest.two_pass import TwoPass
from siltstone.maintenance import optimize as optimize_module
from siltstone.table import ledger
from siltstone.table.delta_table import Table
from siltstone.table.quarantine import QuarantineWriter
from siltstone.table.writer import PartitionWriter
from support.aggregates import Aggregates
from support.fleet import World

POINTS: dict[str, tuple[Any, str, bool]] = {
    "after the listing": (job_module, "list_input", True),
    "before the creation": (Table, "create", False),
    "after the creation": (Table, "create", True),
    "after the survey": (survey, "take_survey", True),
    "before a file is closed": (PartitionWriter, "close", False),
    "after a file is closed": (PartitionWriter, "close", True),
    "after rows are written": (PartitionWriter, "write", True),
    "after a quarantine file": (QuarantineWriter, "_flush", True),
    "between the passes": (TwoPass, "_late_plans", False),
    "after the tasks": (TwoPass, "accounts", False),
    "before the columns": (Table, "add_columns", False),
    "after the columns": (Table, "add_columns", True),
    "before the manifest": (ledger, "write_manifest", False),
    "after the manifest": (ledger, "write_manifest", True),
    "before the commit": (Table, "commit", False),
    "after the commit": (Table, "commit", True),
    "before the rewrite": (RowReplacer, "drop", False),
    "after the rewrite": (RowReplacer, "drop", True),
    "after the plan": (optimize_module, "plan_merges", True),
    "after the states": (state_tasks, "write_states", True),
}
"""Where jobs die: whose function, its name, and whether the real call comes first."""

JOBS: dict[str, Callable[[World], Any]] = {
    "compact": World.compact,
    "replace": lambda world: world.compact("optimize.after_compact=false"),
    "settle": lambda world: world.settle("optimize.closed_after_hours=0"),
    "aggregate": lambda world: Aggregates(world.root / "output", world.table).run("1h", ["integral"], columns=("a",)),
}


def arm(point: str) -> None:
    """Make the point deadly."""
    owner, name, is_after = POINTS[point]
    real: Callable[..., Any] = getattr(owner, name)

    def deadly(*args: Any, **kwargs: Any) -> None:
        if is_after:
            real(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, deadly)


def start(job: str, point: str, root: str) -> int:
    """The process that does the job at this root until it dies."""
    child = os.fork()
    if child == 0:
        arm(point)
        JOBS[job](World(Path(root)))
        os._exit(0)
    return child


def die(cases: Sequence[tuple[str, str, Path]]) -> list[int]:
    """Run each (job, point, root) in a new Python's fork; the signal that ended each."""
    done = subprocess.run(
        [sys.executable, "-m", "support.killed", *(f"{job}:{point}={root}" for job, point, root in cases)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    signals: list[int] = json.loads(done.stdout)
    assert len(signals) == len(cases), done.stderr
    return signals


if __name__ == "__main__":
    cases = [(*what.split(":"), root) for what, root in (argument.split("=", 1) for argument in sys.argv[1:])]
    pa.array(np.zeros(1))  # here pyarrow looks for pandas, 0.4 s that no fork has to wait for again
    children = [start(job, point, root) for job, point, root in cases]
    print(json.dumps([os.WTERMSIG(os.waitpid(child, 0)[1]) for child in children]))
