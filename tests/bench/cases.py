"""The cases: which contenders run on which input. Inputs are made when a case first needs them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import aggregate_lineup
import bombing
import optimizing
import query
from fleet import Fleet, around_midnight
from lineup import (
    Entry,
    Rig,
    duckdb_seed,
    polars_plain,
    siltstone_later,
    siltstone_local,
    siltstone_s3,
    siltstone_spark,
    siltstone_spark_cold,
    spark_best,
    spark_naive,
)
from readings_lineup import duckdb_haltian, duckdb_mortar, fastavro_plain, siltstone_source, spark_avro
from telemetry import MIDNIGHT
from trees import (
    Tree,
    building_tree,
    fleet_tree,
    haltian_tree,
    mortar_tree,
    noise_tree,
    objects_tree,
    sitewise_tree,
)

BATCH = 400
"""Files that DuckDB and polars take at once in the building: all 19,536 do not fit in memory."""

OBJECTS = 2_000


@dataclass(frozen=True)
class Size:
    """A fleet of devices x hours files, and the share of the aggregates' inputs; the floors hold for 60 x 4, and 1."""

    devices: int
    hours: int
    scale: float = 1.0

    @property
    def files(self) -> int:
        return self.devices * self.hours


STANDARD = Size(60, 4)


@dataclass(frozen=True)
class Case:
    """A table of results: its name, what it is about, its entries, the contender that ratios are against, and whether
    it belongs to the default run."""

    name: str
    title: Callable[[Size], str]
    entries: Callable[[Rig, Size], list[Entry]]
    reference: str
    by_default: bool = True


def warm_tree(rig: Rig) -> Tree:
    """Two files, for whoever must warm up."""
    return _ready(fleet_tree(rig.cache, around_midnight(2, 1)))


def known_tree(rig: Rig) -> Tree:
    """Twelve files of the next day that hold every field: what a lake knows before a later run."""
    return _ready(fleet_tree(rig.cache, Fleet(12, 1, MIDNIGHT + 24 * 3_600)))


def _fleet(rig: Rig, size: Size) -> list[Entry]:
    tree, warm = _sized(rig, size), warm_tree(rig)
    return [
        siltstone_local(rig, tree),
        siltstone_later(rig, tree, known_tree(rig)),
        siltstone_spark(rig, tree, warm),
        siltstone_spark_cold(rig, tree),
        duckdb_seed(rig, tree),
        polars_plain(rig, tree),
        spark_best(rig, tree, warm),
        spark_naive(rig, tree, warm),
    ]


def _building(rig: Rig, _: Size) -> list[Entry]:
    tree, warm = _ready(building_tree(rig.cache)), warm_tree(rig)
    return [
        siltstone_local(rig, tree),
        siltstone_spark(rig, tree, warm),
        duckdb_seed(rig, tree, batch=BATCH),
        polars_plain(rig, tree, batch=BATCH),
        spark_naive(rig, tree, warm),
    ]


def _latency(rig: Rig, _: Size) -> list[Entry]:
    tree = _ready(objects_tree(rig.cache, OBJECTS))
    return [siltstone_s3(rig, tree, latency_ms) for latency_ms in (0, 20)]


def _cores(rig: Rig, size: Size) -> list[Entry]:
    tree = _sized(rig, size)
    return [
        siltstone_local(rig, tree, name=f"cores-{n}", label=f"siltstone local, {n} core{'s'[: n - 1]}", cores=n)
        for n in (1, 2)
    ]


def _memory(rig: Rig, size: Size) -> list[Entry]:
    once, fourfold = _sized(rig, size), _sized(rig, Size(4 * size.devices, size.hours))
    return [
        siltstone_local(rig, once, name="1x", label=f"siltstone local, {size.files:,} files"),
        siltstone_local(rig, fourfold, name="4x", label=f"siltstone local, {4 * size.files:,} files"),
    ]


def _query(rig: Rig, _: Size) -> list[Entry]:
    return query.entries(rig, _ready(fleet_tree(rig.cache, query.two_days())))


def _optimize(rig: Rig, _: Size) -> list[Entry]:
    files = noise_tree(rig.cache, optimizing.write_noise, Path(optimizing.__file__))
    return optimizing.entries(rig, _ready(files))


def _sitewise(rig: Rig, _: Size) -> list[Entry]:
    tree = _ready(sitewise_tree(rig.cache))
    return [siltstone_source(rig, tree, "sitewise"), fastavro_plain(rig, tree), spark_avro(rig, tree)]


def _haltian(rig: Rig, _: Size) -> list[Entry]:
    tree = _ready(haltian_tree(rig.cache))
    return [siltstone_source(rig, tree, "haltian"), duckdb_haltian(rig, tree)]


def _mortar(rig: Rig, _: Size) -> list[Entry]:
    tree = _ready(mortar_tree(rig.cache))
    peers = [duckdb_mortar(rig, tree, way) for way in ("plain", "told", "united")]
    return [siltstone_source(rig, tree, "mortar"), *peers]


def _bombs(rig: Rig, _: Size) -> list[Entry]:
    return bombing.entries(rig)


def _scaled(entries: Callable[[Rig, float], list[Entry]]) -> Callable[[Rig, Size], list[Entry]]:
    return lambda rig, size: entries(rig, size.scale)


def _sized(rig: Rig, size: Size) -> Tree:
    return _ready(fleet_tree(rig.cache, around_midnight(size.devices, size.hours)))


def _ready(tree: Tree) -> Tree:
    tree.warm_cache()
    return tree


def _fleet_title(size: Size) -> str:
    return f"{size.files:,} files of a fleet, {size.files * 3600:,} rows of 179 fields"


def _share(size: Size) -> str:
    return "" if size.scale == 1 else f"{size.scale:g} of "


OLD_NAMES = {"settle": "optimize"}
"""Names that cases had, and those they have now."""

CASES = [
    Case("fleet", lambda size: f"fleet: {_fleet_title(size)}", _fleet, "duckdb"),
    Case("building", lambda _: "building: 19,536 tiny files of a real building", _building, "duckdb"),
    Case("latency", lambda _: f"latency: {OBJECTS:,} tiny objects on S3, with and without waiting", _latency, "s3-0"),
    Case("cores", lambda size: f"cores: one and two, {size.files:,} files of a fleet", _cores, "cores-1"),
    Case(
        "optimize",
        lambda _: "optimize: eight undersized files of one partition, 2,073,600 rows of 28 fields",
        _optimize,
        "optimize",
        by_default=False,
    ),
    Case(
        "memory",
        lambda size: f"memory: {size.files:,} files of a fleet, and four times as many",
        _memory,
        "1x",
        by_default=False,
    ),
    Case(
        "query",
        lambda _: "query: a unit's day, five columns, out of 8,640,000 rows of 24 fields",
        _query,
        "raw-duckdb",
        by_default=False,
    ),
    Case(
        "sitewise",
        lambda _: "sitewise: 10,000 Avro files of 100 records, of which 4 % are corrections",
        _sitewise,
        "spark-avro",
        by_default=False,
    ),
    Case(
        "haltian",
        lambda _: "haltian: 8,640 hourly files of six measurements that repeat rows, 2,880 snapshots of two entities",
        _haltian,
        "duckdb",
        by_default=False,
    ),
    Case(
        "mortar",
        lambda _: "mortar: 12,840 CSVs, a real building of 1,284 replicated by rule to ten",
        _mortar,
        "duckdb",
        by_default=False,
    ),
    Case(
        "aggregate",
        lambda size: f"aggregate: hourly time-weighted averages of {_share(size)}20,000,000 readings, 1,000 series",
        _scaled(aggregate_lineup.aggregate_entries),
        "duckdb",
        by_default=False,
    ),
    Case(
        "aggregate-wide",
        lambda size: f"aggregate-wide: the same of 20 columns of {_share(size)}864,000 rows of a wide table",
        _scaled(aggregate_lineup.wide_entries),
        "duckdb",
        by_default=False,
    ),
    Case(
        "rollup",
        lambda size: (
            f"rollup: hours and days of {_share(size)}25,920,000 readings, 10 series; and a late file of 1,000 series"
        ),
        _scaled(aggregate_lineup.rollup_entries),
        "raw",
        by_default=False,
    ),
    Case(
        "hot-series",
        lambda size: f"hot-series: hourly averages of one series with {_share(size)}20,000,000 readings in one file",
        _scaled(aggregate_lineup.hot_entries),
        "workers-1",
        by_default=False,
    ),
    Case(
        "many-series",
        lambda size: f"many-series: {_share(size)}300,000 series of 100 readings, and 1,000 of 20,000",
        _scaled(aggregate_lineup.many_entries),
        "few",
        by_default=False,
    ),
    Case(
        "bombs",
        lambda _: "bombs: small files that ask for much memory; the peak is that of the largest process",
        _bombs,
        "sparse",
        by_default=False,
    ),
]
