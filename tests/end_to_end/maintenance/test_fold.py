"""Old runs are folded by vacuum: the files beside a table stay few, and nothing that reads the chain can tell."""

import json
import os
import shutil
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from siltstone.maintenance.describe import describe_lake, quarantined
from siltstone.maintenance.vacuum import vacuum
from siltstone.model.access import Access
from siltstone.model.contracts import DATALOG
from siltstone.storage import Storage
from siltstone.table import ledger, parquet_table
from siltstone.table.folded_runs import folded_paths
from siltstone.table.open import table_at
from siltstone.table.refusals import Refused
from support.aggregates import Aggregates
from support.fleet import NOON, World, quiet, record

EVERY = 4
FORMATS = ["delta", "parquet"]


@pytest.fixture(autouse=True)
def _snapshots_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "SNAPSHOT_EVERY", EVERY)
    monkeypatch.setattr(parquet_table, "_CHECKPOINT_EVERY", EVERY)


def place(run: int) -> str:
    day, hour = divmod(run // 3, 24)
    return f"BRCB/DEV{run % 3}/202512{10 + day}{hour:02d}"


def runs_of(world: World, start: int, end: int, kind: str = "delta") -> None:
    """A run for each number: a file with rows and a refused line; every fourth replaces one of before, every fifth has
    a damaged file beside it, and every seventh merges files."""
    for run in range(start, end):
        world.deliver({place(run): [record(NOON + run, device=f"DEV{run % 3}", a=run), "{"]})
        if run % 4 == 3:
            world.deliver({place(run - 3): [record(NOON + run - 3, device=f"DEV{(run - 3) % 3}", a=-run)]})
        if run % 5 == 4:
            world.deliver({place(run).replace("DEV", "BAD"): b"no gzip"})
        merging = "true" if run % 7 == 6 else "false"
        world.compact(f"optimize.after_compact={merging}", f"compaction.format={kind}")


def vacuumed(world: World, hours: int = 0, *, dry_run: bool = False) -> list[str]:
    """What a vacuum deletes that takes everything for old."""
    table = table_at(Storage(os.path.realpath(world.table)), DATALOG)
    summary = vacuum(table, world.config(f"vacuum.grace_hours={hours}"), quiet, dry_run=dry_run, force=True)
    return sorted(summary["files"])


def beside(world: World) -> list[str]:
    """The files of the table's own folder but the quarantine, which only grows with what is refused."""
    found = (p.relative_to(world.table) for p in (world.table / "_siltstone").rglob("*") if p.is_file())
    return sorted(str(p) for p in found if "quarantine" not in str(p))


def told(world: World) -> dict[str, Any]:
    """All that commands say of the table by what its runs wrote down."""
    lake, access = str(world.lake), Access()
    checked = world.verify("optimize.after_compact=false")
    shown = describe_lake(lake, "datalog", world.config())["tables"][0]
    return {
        "verify": {k: v for k, v in checked.items() if k != "seconds"},
        "show": json.loads(json.dumps({k: v for k, v in shown.items() if k != "format"})),
        "quarantine": quarantined(lake, "datalog", access).rows(),
    }


def aggregated(world: World) -> Aggregates:
    return Aggregates(world.root / "hourly", world.table)


def later(world: World) -> dict[str, Any]:
    """What comes next: a replaced old file, a run without anything new, an aggregate that last ran before the fold."""
    world.deliver({place(1): [record(NOON + 1, device="DEV1", a=1000.0)]})
    names = ("rows_out", "files_superseded", "rows_superseded", "files_skipped")
    replaced = world.compact("optimize.after_compact=false")
    again = world.compact("optimize.after_compact=false")
    summary = aggregated(world).run("1h", ["count", "sum"], columns=("a",))
    chosen = {name: summary[name] for name in ("rows", "rows_out", "files_read", "buckets_touched") if name in summary}
    rows = pl.read_delta(str(world.root / "hourly")).drop("run", strict=False)
    return {
        "replaced": [replaced[n] for n in names],
        "again": [again[n] for n in names],
        "aggregate": chosen,
        "rows": sorted(map(repr, rows.rows())),
    }


def restored(world: World, act: Callable[[], Any]) -> Any:
    """What `act` gives; then all is as it was before."""
    kept = world.root / "kept"
    names = [name for name in ("in", "lake", "hourly") if (world.root / name).exists()]
    for name in names:
        shutil.copytree(world.root / name, kept / name)
    given = act()
    for name in names:
        shutil.rmtree(world.root / name)
        shutil.move(kept / name, world.root / name)
    return given


def fold_story(world: World, runs: int) -> None:
    """Many runs with vacuums in between: see the tests."""
    runs_of(world, 0, runs // 3)
    aggregated(world).run("1h", ["count", "sum"], columns=("a",))
    runs_of(world, runs // 3, runs)
    files = beside(world)
    first = vacuumed(world)
    assert [path for path in first if path.endswith(".manifest")] == [], "older releases could read it until now"
    assert len(folded_paths(Storage(str(world.table)))) == 1
    runs_of(world, runs, runs + EVERY)  # one of them writes a ledger snapshot, and says format 2
    before, expected = told(world), restored(world, lambda: later(world))
    assert before["verify"]["problems"] == []
    second = vacuumed(world)
    assert len([path for path in second if path.endswith(".manifest")]) > runs // 2
    assert len(beside(world)) < len(files) / 2
    assert told(world) == before
    assert later(world) == expected


@pytest.mark.slow("laws")
@pytest.mark.parametrize("runs", [18, 120])
def test_after_a_fold_every_command_says_and_does_the_same(world: World, runs: int) -> None:
    fold_story(world, runs)


@pytest.mark.slow("laws")
@pytest.mark.parametrize("kind", FORMATS)
def test_the_files_beside_a_table_stay_few(world: World, kind: str) -> None:
    counts = []
    for start in range(0, 120, 2 * EVERY):
        runs_of(world, start, start + 2 * EVERY, kind)
        vacuumed(world)
        counts.append(len(beside(world)))
    assert max(counts[6:]) <= max(counts[3:6]) + 3, counts
    assert world.verify("optimize.after_compact=false")["problems"] == []


def test_a_plain_table_forgets_the_log_behind_its_checkpoints_and_no_sleeper_writes_there(world: World) -> None:
    runs_of(world, 0, 2 * EVERY, "parquet")
    table = table_at(Storage(os.path.realpath(world.table)), DATALOG)
    newest = table.snapshot()
    assert newest is not None
    gone = [p for p in vacuumed(world) if "/log/" in p]
    # with a checkpoint at each fourth version, all before the one before the newest checkpoint
    assert f"_siltstone/log/{0:020d}.json" in gone
    assert f"_siltstone/log/{newest.version:020d}.json" not in gone
    assert world.verify("optimize.after_compact=false")["problems"] == []
    sleeper = type(newest)(1, newest.schema, newest.head)
    with pytest.raises(Refused, match="planned was 1"):
        table._append({"head": 1, "add": [], "remove": []}, sleeper)  # type: ignore[attr-defined]
    assert not (world.table / f"_siltstone/log/{2:020d}.json").exists()
    runs_of(world, 2 * EVERY, 2 * EVERY + 1, "parquet")
    assert world.verify("optimize.after_compact=false")["problems"] == []
