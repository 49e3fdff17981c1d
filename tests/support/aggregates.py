"""Lakes to aggregate, and their aggregates read back: what the tests of `siltstone aggregate` and `rollup` share."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from deltalake import DeltaTable

from siltstone.aggregation.aggregate import aggregate_table
from siltstone.aggregation.read_plan import Period
from siltstone.aggregation.rollup import rollup_table
from siltstone.aggregation.spec import AggregateSpec, RollupSpec, checked_measures, rows_of
from siltstone.config.load import load_config
from siltstone.config.series_rules import load_interpretations
from siltstone.timeseries.measures import Empty
from support.fleet import InProcess, quiet
from support.haltian import Rows, file_of, path_of
from support.plant import Plant
from support.readings_table import Row, reading

ALL = ["time_weighted_average", "integral", "transitions", "first", "last", "start_value", "end_value"]
ALL += ["min", "min_ts", "max", "max_ts", "count", "sum", "mean", "stddev", "time_weighted_stddev", "increase"]
ALL += ["time_in_state", "p50", "p90"]
"""Measures of every kind."""

RULES = """measurements:
  - {match: {series: cnt}, kind: counter, max_hold: 9h}
  - {match: {series: nx}, kind: next, max_hold: 7h, uncertain: keep}
  - {match: {series: Temp}, kind: linear, max_gap: 20h, max_hold: 5h, uncertain: good}
"""
"""Rules for the series of `scattered`."""

STATE_KEY = ["site", "series_id", "bucket_start"]


def us(text: str) -> int:
    """`2025-12-01 14:05` (UTC) as microseconds."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


def occupancy(*events: tuple[str, int], device: str = "D1") -> Rows:
    """OccupancyStatus events of (time, status)."""
    return [{"deviceId": device, "organizationId": "org", "ts": at(text), "status": status} for text, status in events]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def deliver_occupancy(plant: Plant, rows: Rows, hour: str) -> None:
    """One export file of that hour."""
    entity = "measurementOccupancyStatus"
    plant.deliver("haltian", {path_of(entity, at(hour)): file_of(entity, rows)})


@dataclass(frozen=True)
class Aggregates:
    """An output table of aggregates at `root`, of the table `base`."""

    root: Path
    base: Path
    settings: Sequence[str] = ()

    def run(
        self,
        every: str = "1h",
        measures: Sequence[str] = (),
        *,
        full: bool = False,
        start: str | None = None,
        end: str | None = None,
        rules: Path | None = None,
        engine: Any = None,
        **terms: Any,
    ) -> dict[str, Any]:
        """Aggregate; `terms` are fields of AggregateSpec. The summary, whose accounts have been checked."""
        whole = Period()
        period = Period(whole.start_us if start is None else us(start), whole.end_us if end is None else us(end))
        asked = AggregateSpec(
            every=every,
            measures=checked_measures(tuple(measures)),
            rules=rows_of(load_interpretations(None if rules is None else str(rules))),
            **terms,
        )
        summary = aggregate_table(
            str(self.base),
            str(self.root),
            asked,
            period,
            load_config([], self.settings),
            engine or InProcess(),
            quiet,
            full=full,
        )
        if summary["run"] and not asked.columns:
            assert summary["rows_in"] == summary["points"] + summary["repeated"] + summary["rows_left_out"]
        return summary

    def roll_up(
        self,
        every: str,
        zone: str | None = None,
        measures: Sequence[str] = (),
        *,
        origin: str = "",
        empty: Empty | None = None,
    ) -> dict[str, Any]:
        """Make this table of the states of `base`."""
        config = load_config([], self.settings)
        spec = RollupSpec(every, zone, origin, checked_measures(tuple(measures)) if measures else (), empty)
        return rollup_table(str(self.base), str(self.root), spec, config, InProcess(), quiet)

    def frame(self) -> pl.DataFrame:
        """Every row, in order of site, series and bucket."""
        if (self.root / "_delta_log").exists():
            found = pl.scan_delta(str(self.root)).collect()
        else:
            found = pl.read_parquet(f"{self.root}/**/*.parquet", hive_partitioning=True)
        return found.sort(STATE_KEY)

    def rows(self, *columns: str, series: str = "*") -> list[tuple[Any, ...]]:
        """The named columns of every row (of one series), in order; `at` is the start, as 12-01 14:00."""
        frame = self.frame().with_columns(at=pl.col("bucket_start").dt.strftime("%m-%d %H:%M"))
        frame = frame if series == "*" else frame.filter(pl.col("series_id") == series)
        return [tuple(_plain(v) for v in row) for row in frame.select(columns).rows()]

    def dates(self) -> dict[str, set[str]]:
        """The data files of each date."""
        found: dict[str, set[str]] = {}
        for path in DeltaTable(str(self.root)).file_uris():
            folder, name = path.rsplit("/", 2)[1:]
            found.setdefault(folder.removeprefix("date="), set()).add(name)
        return found

    def twin(self, name: str) -> "Aggregates":
        """Another output of the same table."""
        return Aggregates(self.root.parent / name, self.base, self.settings)


def office_hours(root: Path) -> Aggregates:
    """A desk's sensor: taken 8:30, free 8:45, taken 9:15 and until 3:20 two days later; another's one event at 6:30.
    Two exports, in data files of a day each."""
    plant = Plant(root)
    first = occupancy(("2025-12-01 08:30", 1), ("2025-12-01 08:45", 0), ("2025-12-01 09:15", 1))
    late = [*occupancy(("2025-12-03 03:20", 0)), *occupancy(("2025-12-03 06:30", 1), device="D2")]
    deliver_occupancy(plant, first, "2025-12-01 09:00")
    deliver_occupancy(plant, late, "2025-12-03 06:00")
    plant.compact("haltian", "compaction.grain=day")
    return Aggregates(root / "hourly", plant.lake / "readings")


def scattered(draws: random.Random, day: int, count: int) -> list[Row]:
    """Readings of a day of five kinds of series on two sites, of any quality."""
    found = {}
    for _ in range(count):
        series, site = draws.choice(["step", "Temp", "mode", "cnt", "nx"]), draws.choice("xy")
        time = datetime(2025, 12, 1 + day) + timedelta(minutes=draws.randrange(0, 1440, draws.choice([1, 60])))
        told = {"site": site, "quality": draws.choice(["good", "good", "good", "bad", "uncertain"])}
        value = float(draws.randrange(5))
        text = {"text": "abc"[draws.randrange(3)], "kind": "string"} if series == "mode" else {}
        row = reading(series, time.isoformat(), None if text else value, **told, **text)
        found[site, series, time] = row
    return list(found.values())


def _plain(value: Any) -> Any:
    """A map as a dict."""
    if isinstance(value, list) and value and isinstance(value[0], Mapping) and {"key", "value"} == value[0].keys():
        return {item["key"]: item["value"] for item in value}
    return value


def assert_same(left: pl.DataFrame, right: pl.DataFrame) -> None:
    """Both have the same columns and, in order, the same rows: floats to 1e-12, all else exactly, states included."""
    assert left.schema == right.schema
    assert left.height == right.height
    for mine, other in zip(left.rows(named=True), right.rows(named=True), strict=True):
        where = tuple(mine[name] for name in STATE_KEY)
        for name, value in mine.items():
            if (difference := _difference(value, other[name])) is not None:
                raise AssertionError(f"{where} {name}{difference}")


def _difference(left: Any, right: Any) -> str | None:
    """Where two plain values differ, None where they don't."""
    if isinstance(left, float) and isinstance(right, float):
        is_same = left == right or abs(left - right) <= 1e-12 * max(abs(left), abs(right), 1.0)
        return None if is_same or (left != left and right != right) else f": {left!r} is not {right!r}"
    if isinstance(left, Mapping) and isinstance(right, Mapping) and left.keys() == right.keys():
        found = ((f".{name}", _difference(left[name], right[name])) for name in left)
        return next((f"{name}{inner}" for name, inner in found if inner is not None), None)
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        found = ((f"[{n}]", _difference(a, b)) for n, (a, b) in enumerate(zip(left, right, strict=True)))
        return next((f"{name}{inner}" for name, inner in found if inner is not None), None)
    return None if left == right else f": {left!r} is not {right!r}"


def above(base: Aggregates, name: str) -> Aggregates:
    """A table of that name beside the base, for a rollup of it."""
    return Aggregates(base.root.parent / name, base.root)
