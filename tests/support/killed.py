"""Runs jobs that die by SIGKILL at a named point, or sleep there by SIGSTOP while another job is done, each in a fork.

`python -m support.killed JOB:POINT[:MEANWHILE]=ROOT ...`

Prints a JSON list: the signal that ended each (0 when it came to its end alive).
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from deltalake import DeltaTable

from siltstone.aggregation import state_tasks
from siltstone.ingest import job as job_module
from siltstone.ingest import survey
from siltstone.ingest.replace import RowReplacer
from siltstone.ingest.two_pass import TwoPass
from siltstone.maintenance import optimize as optimize_module
from siltstone.maintenance import vacuum as vacuum_module
from siltstone.table import ledger
from siltstone.table.delta_table import Table
from siltstone.table.parquet_table import PlainTable
from siltstone.table.quarantine import QuarantineWriter
from siltstone.table.writer import PartitionWriter
from support.aggregates import Aggregates
from support.fleet import World
from support.new_python import printed_by

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
    "inside the commit": (DeltaTable, "create_write_transaction", False),
    "inside the commit, plain": (PlainTable, "_append", False),
    "after the commit": (Table, "commit", True),
    "before the rewrite": (RowReplacer, "drop", False),
    "after the rewrite": (RowReplacer, "drop", True),
    "after the plan": (optimize_module, "plan_merges", True),
    "after the states": (state_tasks, "write_states", True),
    "before the fence": (Table, "fence", False),
    "after the fence": (Table, "fence", True),
    "after a deletion": (vacuum_module, "_delete", True),
}
"""Where jobs die or sleep: whose function, its name, and whether the real call comes first."""


def _vacuum_after_weeks(world: World) -> None:
    world.age(1000)
    world.vacuum()


JOBS: dict[str, Callable[[World], Any]] = {
    "compact": World.compact,
    "replace": lambda world: world.compact("optimize.after_compact=false"),
    "settle": lambda world: world.settle("optimize.closed_after_hours=0"),
    "aggregate": lambda world: Aggregates(world.root / "output", world.table).run("1h", ["integral"], columns=("a",)),
    "vacuum": _vacuum_after_weeks,
}


def arm(point: str, sent: signal.Signals) -> None:
    """Let a process that comes to the point first send itself a signal."""
    owner, name, is_after = POINTS[point]
    real: Callable[..., Any] = getattr(owner, name)

    def struck(*args: Any, **kwargs: Any) -> Any:
        setattr(owner, name, real)
        result = real(*args, **kwargs) if is_after else None
        os.kill(os.getpid(), sent)
        return result if is_after else real(*args, **kwargs)

    setattr(owner, name, struck)


def start(job: str, root: str, point: str = "", sent: signal.Signals = signal.SIGKILL) -> int:
    """The process that does the job at this root until it comes to the point, or to its end."""
    child = os.fork()
    if child == 0:
        if point:
            arm(point, sent)
        JOBS[job](World(Path(root)))
        os._exit(0)
    return child


def ended(child: int) -> int:
    """The signal that ends a process; 0 where it does its job."""
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code <= 0, f"process {child} failed"
    return -code


def meanwhile(child: int, job: str, root: str) -> None:
    """Do a job while a process sleeps, then wake it."""
    assert os.WIFSTOPPED(os.waitpid(child, os.WUNTRACED)[1])
    assert ended(start(job, root)) == 0
    os.kill(child, signal.SIGCONT)


def die(cases: Sequence[tuple[str, str, str, Path]]) -> list[int]:
    """Run each (job, point, job meanwhile or "", root) in a new Python's fork; the signal that ended each."""
    words = [f"{':'.join(filter(None, names))}={root}" for *names, root in cases]
    signals: list[int] = printed_by("support.killed", *words, seconds=100)
    assert len(signals) == len(cases)
    return signals


if __name__ == "__main__":
    cases = [(what.split(":"), root) for what, root in (argument.split("=", 1) for argument in sys.argv[1:])]
    pa.array(np.zeros(1))  # here pyarrow looks for pandas, 0.4 s that no fork has to wait for again
    children = [
        start(job, root, point, signal.SIGSTOP if others else signal.SIGKILL) for (job, point, *others), root in cases
    ]
    for child, ((_, _, *others), root) in zip(children, cases, strict=True):
        if others:
            meanwhile(child, others[0], root)
    print(json.dumps([ended(child) for child in children]))
