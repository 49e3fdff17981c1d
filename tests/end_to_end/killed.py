"""Runs jobs that die by SIGKILL at a named point: `python killed.py JOB:POINT=ROOT ...`, each in a fork of its own.

Prints a JSON list: the signal that ended each (0 when it came to its end alive).
"""

import importlib
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from aggregate_lakes import Aggregates
from worlds import World

# point -> where it is: module, owner ("" for a function of the module), name, and whether the real call comes first.
POINTS: dict[str, tuple[str, str, str, bool]] = {
    "after the listing": ("siltstone.ingest.job", "", "list_input", True),
    "before the creation": ("siltstone.table.delta_table", "Table", "create", False),
    "after the creation": ("siltstone.table.delta_table", "Table", "create", True),
    "after the survey": ("siltstone.ingest.job", "", "take_survey", True),
    "before a file is closed": ("siltstone.table.writer", "PartitionWriter", "close", False),
    "after a file is closed": ("siltstone.table.writer", "PartitionWriter", "close", True),
    "after rows are written": ("siltstone.table.writer", "PartitionWriter", "write", True),
    "after a quarantine file": ("siltstone.table.quarantine", "QuarantineWriter", "_flush", True),
    "between the waves": ("siltstone.ingest.two_pass", "TwoPass", "_stray_bins", False),
    "after the tasks": ("siltstone.ingest.two_pass", "TwoPass", "accounts", False),
    "before the columns": ("siltstone.table.delta_table", "Table", "add_columns", False),
    "after the columns": ("siltstone.table.delta_table", "Table", "add_columns", True),
    "before the manifest": ("siltstone.table.ledger", "", "write_manifest", False),
    "after the manifest": ("siltstone.table.ledger", "", "write_manifest", True),
    "before the commit": ("siltstone.table.delta_table", "Table", "commit", False),
    "after the commit": ("siltstone.table.delta_table", "Table", "commit", True),
    "before the rewrite": ("siltstone.ingest.replace", "RowReplacer", "drop", False),
    "after the rewrite": ("siltstone.ingest.replace", "RowReplacer", "drop", True),
    "after the plan": ("siltstone.maintenance.optimize", "", "plan_merges", True),
    "after the states": ("siltstone.aggregation.state_tasks", "", "write_states", True),
}
JOBS: dict[str, Callable[[World], Any]] = {
    "compact": World.compact,
    "replace": lambda world: world.compact("settle.after_compact=false"),
    "settle": lambda world: world.settle("settle.closed_after_hours=0"),
    "aggregate": lambda world: Aggregates(world.root / "output", world.table).run("1h", ["integral"], columns=("a",)),
}


def arm(point: str) -> None:
    """Make the point deadly."""
    module_name, owner_name, name, is_after = POINTS[point]
    module = importlib.import_module(module_name)
    owner = getattr(module, owner_name) if owner_name else module
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


if __name__ == "__main__":
    cases = [(*what.split(":"), root) for what, root in (argument.split("=", 1) for argument in sys.argv[1:])]
    for module, _, _, _ in POINTS.values():
        importlib.import_module(module)
    pa.array(np.zeros(1))  # here pyarrow looks for pandas, 0.4 s that no fork has to wait for again
    children = [start(job, point, root) for job, point, root in cases]
    print(json.dumps([os.WTERMSIG(os.waitpid(child, 0)[1]) for child in children]))
