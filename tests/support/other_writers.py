"""What another engine does to a table of siltstone's, by delta-rs; and a fleet's table with three runs to do it to."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from siltstone.maintenance.adopt import adopt
from siltstone.maintenance.describe import open_table
from siltstone.maintenance.repair import repair
from siltstone.model.run_summary import AdoptSummary, RepairSummary, VacuumSummary
from support.fleet import NOON, World, quiet, record
from support.stories import vacuum_all

SLOW = pytest.mark.slow("faults")
LATER = "optimize.after_compact=false"
CLOSED = "optimize.closed_after_hours=0"
DAY = "BRCB/SLS30I009"
HOURS = [f"{DAY}/20251210{hour}" for hour in (10, 11, 12)]


def _merged(table: DeltaTable) -> None:
    """n = 1 becomes 10, and one row more that names no source file."""
    stored = pl.from_arrow(pa.table(table.to_pyarrow_table()))
    assert isinstance(stored, pl.DataFrame)
    changed = stored.filter(pl.col("n") == 1).with_columns(n=pl.lit(10.0))
    new = stored.head(1).with_columns(unitno=pl.lit("NEW"), n=pl.lit(-1.0), source_file=pl.lit(None, pl.String()))
    source = pl.concat([changed, new])
    merge = table.merge(source, "s.ts = t.ts and s.unitno = t.unitno", source_alias="s", target_alias="t")
    merge.when_matched_update_all().when_not_matched_insert_all().execute()


OF_FILES: Mapping[str, Callable[[DeltaTable], Any]] = {
    "OPTIMIZE": lambda table: table.optimize.compact(),
    "ZORDER": lambda table: table.optimize.z_order(["heartbeat"]),
}
"""Operations that store the same rows in other files."""
OF_ROWS: Mapping[str, Callable[[DeltaTable], Any]] = {
    "DELETE": lambda table: table.delete("n = 1"),
    "UPDATE": lambda table: table.update({"n": "n + 100"}, predicate="n = 1"),
    "MERGE": _merged,
}
"""Operations that change rows of the source file of the second run, of 6 rows in all 2."""
OF_NEITHER: Mapping[str, Callable[[DeltaTable], Any]] = {
    "properties": lambda table: table.alter.set_table_properties({"delta.logRetentionDuration": "interval 60 days"}),
    "comment": lambda table: table.alter.set_table_description("fleet"),
    "statistics": lambda table: table.create_checkpoint(),
    "VACUUM": lambda table: table.vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False),
}
"""Operations that change no data file."""


def all_but(fast: str, cases: Iterable[tuple[str, ...]]) -> list[Any]:
    """The cases as parameters; in every run only those whose id is in the text `fast`."""
    return [pytest.param(*case, marks=() if "-".join(case) in fast else SLOW, id="-".join(case)) for case in cases]


def three_runs(world: World, *settings: str) -> World:
    """Three runs of a file of two records each: n is the run's number from 0 on."""
    for n, hour in enumerate(HOURS):
        world.deliver({hour: [record(NOON + n, n=n), record(NOON + n + 10, n=n)]})
        world.compact(LATER, *settings)
    return world


def deliver_a_new_file(world: World) -> None:
    world.deliver({f"{DAY}/2025121015": [record(NOON + 99, n=99)]})


def deliver_a_changed_file(world: World, hour: str = HOURS[0]) -> None:
    """The file of a run again, with three records in the place of two."""
    world.deliver({hour: [record(NOON, n=5), record(NOON + 10, n=6), record(NOON + 20, n=7)]})


def delta(root: Path) -> DeltaTable:
    return DeltaTable(str(root))


def insert(root: Path, rows: pa.Table) -> None:
    write_deltalake(str(root), rows, mode="append")


def clean_up_log(root: Path, kept: int = 1) -> None:
    """A checkpoint of the newest version, and of the log only so many entries."""
    table = DeltaTable(str(root))
    table.create_checkpoint()
    for entry in (root / "_delta_log").glob("*.json"):
        if int(entry.stem) <= table.version() - kept:
            entry.unlink()


def numbers(world: World) -> list[float]:
    """The column n of every row, sorted."""
    return sorted(world.frame()["n"].to_list())


def adopted(world: World, *, yes: bool = True) -> AdoptSummary:
    config = world.config()
    table = open_table(str(world.lake), "datalog", config.storage)
    return adopt(table, config, world.engine, quiet, does=yes)


def repaired(world: World, *, yes: bool = True) -> RepairSummary:
    config = world.config()
    table = open_table(str(world.lake), "datalog", config.storage)
    return repair(table, config, world.engine, quiet, does=yes)


def vacuumed(world: World, table: str = "datalog") -> VacuumSummary:
    """Vacuum without any grace."""
    summary: VacuumSummary = vacuum_all(world.root, table)
    return summary


def newest_manifest_of(root: Path) -> tuple[Path, dict[str, Any]]:
    """The manifest of the newest run, and its header."""
    path = max((root / "_siltstone" / "runs").glob("*.manifest"), key=lambda file: file.name)
    return path, json.loads(pl.read_parquet_metadata(path)["siltstone"])
