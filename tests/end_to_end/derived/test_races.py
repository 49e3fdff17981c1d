"""Runs of `rollup`, `resample`, `asof` and of conventions that another run overtakes: they plan again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from siltstone.aggregation.convention import aggregate_by_convention
from siltstone.aggregation.read_plan import Period
from siltstone.aggregation.spec import AggregateSpec
from siltstone.config.load import load_config
from siltstone.derived.asof import asof_tables
from siltstone.derived.asof_tasks import JoinSpec
from siltstone.derived.resample import resample_table
from siltstone.errors import UsageError
from siltstone.table.delta_table import Table
from support.aggregates import Aggregates
from support.fleet import InProcess, quiet
from support.races import Once, between
from support.readings_table import Readings, reading, two_hours

Run = Callable[[str], dict[str, Any]]
KINDS = ["convention", "resample", "asof", "rollup"]


@pytest.fixture
def lake(tmp_path: Path) -> Readings:
    return two_hours(tmp_path / "lake")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def runs(kind: str, lake: Readings, out: Path) -> Run:
    """A run of that kind, of a length of buckets."""
    source, ending = str(Path(lake.lake) / "readings"), (load_config([], []), InProcess(), quiet)
    whole = AggregateSpec("1h")

    def convention(every: str) -> dict[str, Any]:
        terms = AggregateSpec(every, convention="sitewise", measures=("time_weighted_average",))
        return aggregate_by_convention(source, str(out), terms, Period(), *ending)

    def resample(every: str) -> dict[str, Any]:
        return resample_table(source, str(out), AggregateSpec(every), "previous", None, Period(), *ending)

    def asof(every: str) -> dict[str, Any]:
        joining = JoinSpec(("site",), tolerance_us=int(every.removesuffix("h")) * 3_600_000_000)
        return asof_tables(source, source, str(out), (whole, whole), joining, *ending)

    def rollup(every: str) -> dict[str, Any]:
        base = Aggregates(out.parent / "base", Path(source))
        base.run("1h")
        return Aggregates(out, base.root).roll_up(every)

    return {"convention": convention, "resample": resample, "asof": asof, "rollup": rollup}[kind]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("moment", ["create", "commit"])
def test_a_run_that_another_one_overtakes_plans_again(
    kind: str, moment: str, lake: Readings, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = runs(kind, lake, out)
    if kind == "rollup":
        Aggregates(out.parent / "base", Path(lake.lake) / "readings").run("1h")
    others: list[dict[str, Any]] = []
    once = Once(lambda: others.append(run("2h")))
    between(monkeypatch, Table, moment, once)
    summary = run("2h")
    assert (once.left, bool(others[0]["run"])) == (0, True)
    rows = pl.scan_delta(str(out)).collect().height
    assert rows == others[0]["rows"] == {"convention": 1, "resample": 1, "asof": 8, "rollup": 1}[kind]
    if kind != "convention":
        assert summary["run"] == ""  # it is done already
    else:
        assert summary["files_removed"] == 1


@pytest.mark.parametrize("kind", KINDS)
def test_other_terms_that_come_first_win(kind: str, lake: Readings, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = runs(kind, lake, out)
    if kind == "rollup":
        Aggregates(out.parent / "base", Path(lake.lake) / "readings").run("1h")
    between(monkeypatch, Table, "commit", Once(lambda: run("1h")))
    with pytest.raises(UsageError, match="was made with other terms: "):
        run("2h")
    assert pl.scan_delta(str(out)).collect().height == {"convention": 2, "resample": 2, "asof": 8, "rollup": 2}[kind]


@pytest.mark.parametrize("kind", ["convention", "asof"])
def test_what_comes_into_the_lake_between_the_attempts_is_taken_in(
    kind: str, lake: Readings, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = runs(kind, lake, out)

    def act() -> None:
        run("2h")
        lake.add([reading("a", "2025-12-01T02:10", 9.0)])

    between(monkeypatch, Table, "commit", Once(act))
    assert run("2h")["rows"] == {"convention": 2, "asof": 9}[kind]  # the window from 2:00 is new


def test_a_table_that_no_run_has_committed_to_is_taken_by_a_convention(
    lake: Readings, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = runs("convention", lake, out)

    def die() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        between(patch, Table, "commit", die)
        with pytest.raises(KeyboardInterrupt):
            run("2h")
    assert run("2h")["rows"] == 1
