"""`siltstone aggregate --convention`: tasks that hold the points of some series each give what one with all gives."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from siltstone.aggregation import convention as convention_job
from siltstone.aggregation import convention_tasks
from siltstone.aggregation.convention import aggregate_by_convention
from siltstone.aggregation.read_plan import Period
from siltstone.aggregation.spec import AggregateSpec
from siltstone.config.load import load_config
from support.fleet import NOON, InProcess, World, quiet, record
from support.readings_table import Readings, quarters, reading


def run(source: Path, out: Path, **terms: Any) -> pl.DataFrame:
    asked = AggregateSpec("1h", convention="sitewise", measures=("time_weighted_average", "sum"), **terms)
    aggregate_by_convention(str(source), str(out), asked, Period(), load_config([], []), InProcess(), quiet)
    return pl.scan_delta(str(out)).collect().sort("site", "series_id", "bucket_start")


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """The series that each task holds the points of."""
    found: list[set[str]] = []
    real = convention_tasks._series

    def noted(task: Any) -> Any:
        series = list(real(task))
        found.append({f"{about[0]}/{about[1]}" for about, _ in series})
        return series

    monkeypatch.setattr(convention_tasks, "_series", noted)
    return found


def test_readings_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: list[set[str]]) -> None:
    lake, names = Readings(str(tmp_path / "lake")), "abcdé"
    for day in ("2025-12-01", "2025-12-02"):
        lake.add([row for name in names for row in quarters(name, day, 10)] + quarters("b", day, 3, site="other"))
    lake.add([reading(name, f"2025-12-02T05:0{n}", 9.0) for n, name in enumerate("bdf")])  # in a second file
    whole = run(tmp_path / "lake" / "readings", tmp_path / "whole")
    assert held == [{f"bldg1/{name}" for name in "abcdéf"}, {"other/b"}]
    held.clear()
    monkeypatch.setattr(convention_job, "_TASK_ROWS", 25)
    parts = run(tmp_path / "lake" / "readings", tmp_path / "parts")
    assert len(held) == 6  # 103 rows of bldg1 are 5 parts
    assert sum(map(len, held)) == len(set.union(*held)) == 7
    assert max(map(len, held)) == 2
    assert parts.equals(whole)
    # the first hour of `a`, without its begin and with its end: 1, 2, 3, 4
    assert parts.row(0, named=True)["sum"] == 10.0


def test_a_wide_table_in_parts(world: World, monkeypatch: pytest.MonkeyPatch, held: list[set[str]]) -> None:
    units = [None, "LD1", "LD2", "LD3"]
    records = [record(NOON + 600 * n, unit=unit, a=n) for n in range(8) for unit in units]  # type: ignore[arg-type]
    world.deliver({"BRCB/SLS30I009/2025121012": records})
    world.compact()
    whole = run(world.table, world.root / "whole", columns=("a",))
    held.clear()
    monkeypatch.setattr(convention_job, "_TASK_ROWS", 8)
    assert run(world.table, world.root / "parts", columns=("a",)).equals(whole)
    assert len(held) > 1
    assert sum(map(len, held)) == whole["series_id"].n_unique() == 4
