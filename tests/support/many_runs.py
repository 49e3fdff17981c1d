"""Runs a small job again and again, and counts what each run costs.

`python -m support.many_runs ROOT RUNS [SETTING ...]`

Each run has one new file; every tenth a vacuum follows, which takes whatever is not needed, however young. What is
counted does not depend on the machine: operations of storage and files. Prints JSON: a `Cost` for each ten runs.
"""

import gc
import json
import resource
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from support.fleet import NOON, World, record
from support.new_python import printed_by
from support.operations import Operations, watch
from support.stories import vacuum_all

EVERY = 10


@dataclass(frozen=True)
class Cost:
    """What ten runs and a vacuum cost: storage operations of the runs and of the vacuum, files of the lake after it
    (but the Delta log, which Delta keeps for its own time), and the most memory that the process has had, in MiB."""

    runs: int
    operations: int
    vacuum: int
    files: int
    memory_mb: int


def many_runs(root: Path, runs: int, settings: Sequence[str]) -> list[Cost]:
    """The cost of each ten runs."""
    world, operations, found = World(root), Operations(), []
    watch(operations)
    operations.is_armed = True
    for number in range(1, runs + 1):
        place = f"BRCB/DEV{number % 7}/202512{10 + number % 20:02d}{number // 20 % 24:02d}"
        world.deliver({place: [record(NOON + number * 60, n=number)]})
        world.compact("optimize.closed_after_hours=0", *settings)
        if number % EVERY == 0:
            of_runs = len(operations.done)
            vacuum_all(root, "datalog")
            of_vacuum = len(operations.done) - of_runs
            operations.done.clear()
            gc.collect()
            files = sum(path.is_file() and "_delta_log" not in path.parts for path in world.lake.rglob("*"))
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
            found.append(Cost(number, of_runs, of_vacuum, files, memory))
    return found


def costs(root: Path, runs: int, *settings: str) -> list[Cost]:
    """The same in a new Python, which has no other memory."""
    found = printed_by("support.many_runs", str(root), str(runs), *settings, threads=1)
    return [Cost(**cost) for cost in found]


if __name__ == "__main__":
    print(json.dumps([asdict(cost) for cost in many_runs(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])]))
