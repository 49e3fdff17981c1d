"""Small jobs of every kind, each with what came before it and what it must leave: for tests that disturb them.

Everything happens below `root`, in this process.
"""

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from siltstone.config.load import load_config
from siltstone.maintenance.describe import open_table
from siltstone.maintenance.vacuum import vacuum
from siltstone.maintenance.verify import verify
from siltstone.model.layout import FOLDER
from siltstone.publishing.job import publish
from siltstone.table import ledger as ledgers
from siltstone.table.quarantine import quarantine_file
from support.aggregates import Aggregates, at, deliver_occupancy, occupancy
from support.fleet import MIDNIGHT, NOON, InProcess, World, put, quiet, record
from support.haltian import file_of, path_of
from support.plant import Plant, raw, raw_path
from support.readings_table import Readings, quarters, reading

Job = Callable[[Path], Any]

_PLAIN = "compaction.format=parquet"
_MADE = ("hourly", "daily")  # of other tables: verify has nothing to read again
NOT_YET = ("optimize.after_compact=false",)
ALL_CLOSED = ("optimize.closed_after_hours=0", "optimize.open_files=2")


@dataclass(frozen=True)
class Story:
    """A job, and all before it; `tables` of the lake are compared, or with `published` the folder `out`."""

    prepare: Job
    job: Job
    tables: Sequence[str] = ()
    published: bool = False
    settings: tuple[str, ...] = ()

    @property
    def is_folder(self) -> bool:
        """Whether readers take what lies in a folder, without a log of Delta."""
        return self.published or _PLAIN in self.settings

    def rows(self, root: Path) -> tuple[str, ...]:
        """A digest of all rows that a reader of each table finds now; equal for equal rows in any order and files."""
        folders = ["out"] if self.published else [f"lake/{table}" for table in self.tables]
        return tuple(_digest(rows_in(root / folder)) for folder in folders)

    def problems(self, root: Path) -> list[str]:
        """What verify finds in tables that were read from files, and whether `_metadata` names the published ones."""
        if self.published:
            return metadata_problems(root / "out")
        config, read = load_config([], self.settings), [table for table in self.tables if table not in _MADE]
        tables = [open_table(str(root / "lake"), table, config.storage) for table in read]
        return [p for table in tables for p in verify(table, config, InProcess(), quiet)["problems"]]

    def vacuum(self, root: Path) -> None:
        """Delete whatever is not needed, however young."""
        for name in self.tables:
            vacuum_all(root, name)

    def strays(self, root: Path) -> list[str]:
        """Files that nobody needs any more: what a run left that no log and no chain of manifests names."""
        staged = [p for p in _paths(root) if not p.startswith("in/") and ("#" in p or "/_data_" in p)]
        return staged + [f"lake/{table}/{path}" for table in self.tables for path in _unnamed(root / "lake" / table)]


def vacuum_all(root: Path, name: str) -> Any:
    """Delete what a table of the lake doesn't need, however young."""
    config = load_config([], ["vacuum.grace_hours=0"])
    return vacuum(open_table(str(root / "lake"), name, config.storage), config, quiet, dry_run=False, force=True)


def _paths(root: Path) -> list[str]:
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())


def rows_in(table: Path) -> pl.DataFrame:
    """All rows, as a reader of Delta or of the folder finds them; empty where nothing is there yet."""
    if any((table / "_delta_log").glob("*.json")):
        return pl.scan_delta(str(table)).collect()
    files = sorted(p for p in table.rglob("*.parquet") if not any(part[0] in "._" for part in p.parts[-4:]))
    return (
        pl.concat([pl.read_parquet(p, hive_partitioning=True) for p in files], how="diagonal_relaxed")
        if files
        else pl.DataFrame()
    )


def _digest(frame: pl.DataFrame) -> str:
    """Of all rows; columns of nulls alone don't count: a run may have added them before it died."""
    kept = sorted(name for name in frame.columns if frame[name].null_count() < frame.height)
    rows = sorted(repr(row) for row in frame.select(kept).rows())
    return f"{frame.height} rows {hashlib.sha256(repr((kept, rows)).encode()).hexdigest()[:12]}"


def metadata_problems(out: Path) -> list[str]:
    if not (out / "_metadata").exists():
        return []
    metadata = pq.read_metadata(out / "_metadata")
    named = {metadata.row_group(i).column(0).file_path for i in range(metadata.num_row_groups)}
    found = {path for path in _paths(out) if path.endswith(".parquet") and not path.rpartition("/")[2].startswith("_")}
    return [] if named == found else [f"_metadata names {sorted(named - found)} and not {sorted(found - named)}"]


def _unnamed(table: Path) -> list[str]:
    config = load_config([], [])
    opened = open_table(str(table.parent), table.name, config.storage)
    snapshot = opened.snapshot()
    if snapshot is None:
        return []
    named = {file.path for file in opened.files(snapshot)}
    for header in ledgers.headers(opened.storage, snapshot.head):
        named |= ledgers.files_of(header) | {quarantine_file(name) for name in header.quarantine}
    own = ("runs", "ledger", "plans", "work")
    return [
        path
        for path in _paths(table)
        if path not in named and (path.startswith(tuple(f"{FOLDER}/{part}/" for part in own)) or "/data_" in path)
    ]


# ---- the fleet


def _hour(day: int) -> str:
    return f"BRCB/SLS30I009/202512{day:02d}12"


def _first(root: Path, *settings: str) -> World:
    world = World(root)
    world.deliver({_hour(10): [record(NOON, a=1.5), record(NOON + 1, a=None), "{"]})
    world.compact(*settings)
    return world


def _second(root: Path) -> None:
    """A new column, a stray to the next day, a misfit, duplicates, a bad line and a bad file."""
    twice = record(NOON + 3602, b=1)
    World(root).deliver(
        {
            "BRCB/SLS30I009/2025121013": [record(NOON + 3600, b=2.5), twice, twice, record(NOON + 3601, b="n/a", A=3)],
            "BRCB/SLS30I009/2025121023": [record(MIDNIGHT - 1), record(MIDNIGHT, c=True), "[]"],
            "BRCG/SLS30I623/2025121101": b"no gzip",
        }
    )


def _three_days(root: Path, *settings: str) -> World:
    """A run for each of three days, which overlap: nothing is merged yet."""
    world = World(root)
    for day in range(3):
        at_noon = NOON + 86_400 * (day // 2)
        world.deliver({_hour(10 + day): [record(at_noon + day, n=day), record(at_noon + day + 10, n=day)]})
        world.compact(*NOT_YET, *settings)
    return world


def _changed(root: Path, *settings: str) -> None:
    """Three days merged; one file delivered again with other records, another that is new."""
    world = _three_days(root, *settings)
    world.settle(*ALL_CLOSED)
    world.deliver({_hour(11): [record(NOON + 5, n=5, new=1)], _hour(13): [record(NOON + 2, n=2)]})


def _fleet(prepare: Job, job: Job, *settings: str) -> Story:
    return Story(prepare, job, ("datalog",), settings=settings)


def _compacting(*settings: str) -> Job:
    return lambda root: World(root).compact(*ALL_CLOSED, *settings)


def _new(root: Path) -> None:
    World(root).deliver({_hour(10): [record(NOON, a=1.5), record(NOON + 1, a=None), "{"]})
    _second(root)


def _later(*settings: str) -> Job:
    def prepare(root: Path) -> None:
        _first(root, *settings)
        _second(root)

    return prepare


def _spoiled(root: Path) -> None:
    """A table with replaced files, and what runs that died left."""
    _changed(root)
    world = World(root)
    world.compact(*NOT_YET)
    put(world.table / f"hiveperiod=2025-12-10/dstrct_code=BRCB/data_{0:032x}.parquet", b"a dead run's")
    put(world.table / FOLDER / "plans/a.json", b"a dead run's")


# ---- sources with keys


def _sitewise(root: Path) -> None:
    plant = Plant(root)
    plant.deliver("sitewise", {raw_path(0): raw((0, 1.0, 1), (60, 2.0, 1)), raw_path(0, day=9): raw((86400, 1.0, 1))})
    plant.compact("sitewise", *NOT_YET)
    late = raw((60, 2.5, 2), (180, 4.0, 1))
    plant.deliver(
        "sitewise", {raw_path(1): late, raw_path(2): raw((60, 2.9, 0)), raw_path(1, day=9): raw((86460, 8.0, 1))}
    )


def _device(name: str, number: str = "D1") -> Mapping[str, Any]:
    return {"id": number, "name": name, "organizationId": "org"}


def _haltian_files(hour: str, *devices: Mapping[str, Any], events: Sequence[tuple[str, int]]) -> dict[str, bytes]:
    occupied = "measurementOccupancyStatus"
    return {
        path_of("device", at(hour)): file_of("device", devices),
        path_of(occupied, at(hour)): file_of(occupied, occupancy(*events)),
    }


def _haltian(root: Path) -> None:
    plant = Plant(root)
    early = [("2025-12-01 07:30", 1), ("2025-12-01 07:45", 0)]
    plant.deliver("haltian", _haltian_files("2025-12-01 08:00", _device("a"), _device("x", "D2"), events=early))
    plant.compact("haltian", *NOT_YET)
    late = [("2025-12-01 07:45", 0), ("2025-12-01 08:45", 1)]
    plant.deliver("haltian", _haltian_files("2025-12-01 09:00", _device("c"), _device("y", "D2"), events=late))


# ---- tables made of others


def _occupied(root: Path, *days: int) -> Plant:
    """A desk's events, a run for each of the named deliveries."""
    deliveries = {
        0: ("2025-12-01 09:00", [("2025-12-01 08:30", 1), ("2025-12-01 08:45", 0), ("2025-12-01 09:15", 1)]),
        1: ("2025-12-03 06:00", [("2025-12-03 03:20", 0)]),
        2: ("2025-12-03 07:00", [("2025-12-01 12:20", 0), ("2025-12-02 06:20", 1)]),
    }
    plant = Plant(root)
    for day in days:
        hour, events = deliveries[day]
        deliver_occupancy(plant, occupancy(*events), hour)
        plant.compact("haltian", "compaction.grain=day", *NOT_YET)
    return plant


def _hourly(root: Path) -> Aggregates:
    return Aggregates(root / "lake/hourly", root / "lake/readings")


def _daily(root: Path) -> Aggregates:
    return Aggregates(root / "lake/daily", root / "lake/hourly")


def _aggregate(root: Path) -> Any:
    return _hourly(root).run("1h", empty="carry")


def _roll_up(root: Path) -> Any:
    return _daily(root).roll_up("1d")


def _aggregated(root: Path) -> None:
    _occupied(root, 0, 1)
    _aggregate(root)
    _occupied(root, 2)


def _rolled_up(root: Path) -> None:
    _occupied(root, 0, 1)
    _aggregate(root)
    _roll_up(root)
    _occupied(root, 2)
    _aggregate(root)


# ---- what is published

_A, _B, _C = (f"badd2ed0-1cf4-11ec-8cd1-1002b58053c{n}" for n in (6, 7, 8))


def _publish(root: Path) -> Any:
    return publish(str(root / "lake"), str(root / "out"), load_config([], []), quiet)


def _published(root: Path) -> None:
    readings = Readings(str(root / "lake"))
    readings.add([*quarters(_A, "2015-01-01", 4), *quarters(_B, "2015-01-01", 3)])
    readings.add([*quarters(_A, "2015-01-02", 4), *quarters(_C, "2015-01-02", 4)])
    _publish(root)
    readings.add([*quarters(_A, "2015-01-03", 2), reading(_A, "2015-01-01T00:07", 9.0)])
    readings.add(quarters(_B, "2015-01-02", 3), replaces=[("2015-01-02", "bldg1")])


STORIES: Mapping[str, Story] = {
    "compact, a new table": _fleet(_new, _compacting()),
    "compact, a later run": _fleet(_later(), _compacting()),
    "compact, a changed file": _fleet(_changed, _compacting()),
    "compact, a new plain table": _fleet(_new, _compacting(_PLAIN), _PLAIN),
    "compact, a changed file, plain": _fleet(lambda root: _changed(root, _PLAIN), _compacting(_PLAIN), _PLAIN),
    "optimize": _fleet(_three_days, lambda root: World(root).settle(*ALL_CLOSED)),
    "optimize, plain": _fleet(
        lambda root: _three_days(root, _PLAIN), lambda root: World(root).settle(*ALL_CLOSED), _PLAIN
    ),
    "vacuum": _fleet(_spoiled, lambda root: vacuum_all(root, "datalog")),
    "compact by versions": Story(_sitewise, lambda root: Plant(root).compact("sitewise"), ("readings",)),
    "compact two tables": Story(_haltian, lambda root: Plant(root).compact("haltian"), ("readings", "device")),
    "aggregate, first": Story(lambda root: _occupied(root, 0, 1, 2), _aggregate, ("hourly",)),
    "aggregate, later": Story(_aggregated, _aggregate, ("hourly",)),
    "rollup": Story(_rolled_up, _roll_up, ("daily",)),
    "publish": Story(_published, _publish, published=True),
}


def put_back(base: Path, root: Path) -> None:
    """Make `root` what `base` is, in links to its files: nobody changes a file in place."""
    shutil.rmtree(root, ignore_errors=True)
    for path in sorted(base.rglob("*")):
        target = root / path.relative_to(base)
        if path.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.hardlink_to(path)
