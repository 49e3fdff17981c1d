"""A run that is killed at any point leaves the table as it was, or done; the next run makes it whole."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from killed import POINTS
from polars.testing import assert_frame_equal
from worlds import NOON, World, record

MIDNIGHT = 1_765_382_400  # 2025-12-10T16:00:00Z, where 2025-12-11 begins in Asia/Makassar
CASES = [
    *((point, False) for point in POINTS),
    # a table with an earlier run is neither created nor surveyed again
    *(
        (point, True)
        for point in POINTS
        if point not in ("before the creation", "after the creation", "after the survey")
    ),
]


def _deliver_first(world: World) -> None:
    world.deliver({"BRCB/SLS30I009/2025121012": [record(NOON, a=1.5), record(NOON + 1, a=None), "{"]})


def _deliver_second(world: World) -> None:
    """New columns, a stray, a misfit, duplicates, a bad line, a bad file and a damaged one."""
    twice = record(NOON + 3602, b=1)
    world.deliver(
        {
            "BRCB/SLS30I009/2025121013": [record(NOON + 3600, b=2.5), twice, twice, record(NOON + 3601, b="n/a", A=3)],
            "BRCB/SLS30I009/2025121023": [record(MIDNIGHT - 1), record(MIDNIGHT, c=True), "[]"],
            "BRCG/SLS30I623/2025121100": [record(MIDNIGHT + 5, "LD783", "SLS30I623", c=False)],
            "BRCG/SLS30I623/2025121101": b"no gzip",
        }
    )


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """The table of two undisturbed runs."""
    world = World(tmp_path_factory.mktemp("undisturbed"))
    _deliver_first(world)
    world.compact()
    _deliver_second(world)
    world.compact()
    return world.frame()


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, bool], World]:
    """For each case a world whose last run was killed; all by one process that forks, so Python starts only once."""
    worlds = {case: World(tmp_path_factory.mktemp("killed")) for case in CASES}
    for (_, has_earlier_run), world in worlds.items():
        _deliver_first(world)
        if has_earlier_run:
            world.compact()
        _deliver_second(world)
    pairs = [f"{point}={world.root}" for (point, _), world in worlds.items()]
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, here / "killed.py", *pairs],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(here.parent), *sys.path])},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    signals = json.loads(done.stdout)
    assert dict(zip(CASES, signals, strict=True)) == dict.fromkeys(CASES, signal.SIGKILL)
    return worlds


@pytest.mark.parametrize(("point", "has_earlier_run"), CASES)
def test_the_next_run_makes_the_table_whole(
    killed: dict[tuple[str, bool], World], expected: pl.DataFrame, point: str, has_earlier_run: bool
) -> None:
    world = killed[point, has_earlier_run]
    is_committed = point == "after the commit"
    seen = world.frame() if (world.table / "_delta_log").exists() else pl.DataFrame()
    # Rows: two of the first delivery; 3 + 2 + 1 of the second.
    assert seen.height == (8 if is_committed else 2 if has_earlier_run else 0)
    summary = world.compact()
    assert summary["files_ingested"] == (0 if is_committed else 3 if has_earlier_run else 4)
    assert summary["rows_out"] == (0 if is_committed else 6 if has_earlier_run else 8)
    assert_frame_equal(world.frame(), expected, check_column_order=has_earlier_run)
    refused = [reason.split(":")[0] for _, _, _, reason, _ in world.quarantine()]
    assert sorted(refused) == ["neither gzip, zstd nor NDJSON text", "no key at character 1", "not a JSON object"]
    version = world.version()
    assert world.compact()["files_skipped"] == 5
    assert world.version() == version
