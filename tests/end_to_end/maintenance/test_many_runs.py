"""Many runs in a row: the last ones cost what the first ones did, in calls of storage, files and memory.
`test_fold` has the short form."""

from pathlib import Path

import pytest

from support.many_runs import Cost, costs
from support.rounds import IS_SOAK


def most(found: list[Cost]) -> tuple[int, int, int]:
    """The most of each count: calls of ten runs, calls of a vacuum, files."""
    return max(c.operations for c in found), max(c.vacuum for c in found), max(c.files for c in found)


@pytest.mark.slow("faults")
@pytest.mark.parametrize("settings", [[], ["compaction.format=parquet"]], ids=["delta", "plain"])
def test_the_cost_of_a_run_stays_flat(tmp_path: Path, settings: list[str]) -> None:
    found = costs(tmp_path, 1000 if IS_SOAK else 300, *settings)
    first, last = found[10:20], found[-10:]  # of 100 runs each: a snapshot of the ledger comes every 50
    for early, late in zip(most(first), most(last), strict=True):
        assert late <= early * 1.1
    assert last[-1].memory_mb - first[0].memory_mb < 32
