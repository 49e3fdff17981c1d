"""Runs of `siltstone aggregate` that meet or die: the table is as one of them made it, and nothing is left behind."""

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from siltstone.aggregation import finish_tasks
from siltstone.aggregation.state_files import NamedStates
from siltstone.errors import AccountsError, LostRaceError
from siltstone.table.delta_table import Table
from support.aggregates import Aggregates, assert_same
from support.fleet import NOON, World, record
from support.killed import die
from support.races import Once, between, together
from support.readings_table import Readings, reading, two_hours

POINTS = ["after the states", "after a file is closed", "before the commit", "after the commit"]


@pytest.fixture
def lake(tmp_path: Path) -> Readings:
    return two_hours(tmp_path / "lake")


@pytest.fixture
def output(lake: Readings, tmp_path: Path) -> Aggregates:
    return Aggregates(tmp_path / "output", tmp_path / "lake" / "readings")


def left_behind(output: Aggregates) -> list[str]:
    return [path.name for path in (output.root / "_siltstone" / "work").iterdir()]


@pytest.mark.parametrize(("later", "moment"), [(False, "create"), (False, "commit"), (True, "commit")])
def test_a_run_that_another_one_overtakes_does_only_what_is_left(
    lake: Readings, output: Aggregates, monkeypatch: pytest.MonkeyPatch, moment: str, later: bool
) -> None:
    if later:
        output.run("1h", ["integral"])
        lake.add([reading("a", "2025-12-02T00:10", 9.0)])
    others: list[str] = []
    once = Once(lambda: others.append(output.run("1h", ["integral"])["run"]))
    between(monkeypatch, Table, moment, once)
    summary = output.run("1h", ["integral"])
    assert (once.left, bool(others[0]), summary["run"]) == (0, True, "")
    # 0 to 3 for 15 minutes each; 4 to 6 in the next hour, and 7 after the last point's quarter began
    assert output.rows("at", "integral")[0] == ("12-01 00:00", 900.0 * (0 + 1 + 2 + 3))
    assert len(output.rows("at")) == (3 if later else 2)
    assert left_behind(output) == []


def test_two_runs_at_one_moment(output: Aggregates) -> None:
    summaries = together(*[lambda: output.run("1h", ["integral"])] * 2)
    assert sorted(bool(s["run"]) for s in summaries) == [False, True]
    assert len(output.rows("at")) == 2
    assert left_behind(output) == []


def test_other_terms_that_come_first_win(output: Aggregates, monkeypatch: pytest.MonkeyPatch) -> None:
    between(monkeypatch, Table, "commit", Once(lambda: output.run("1h", ["integral"])))
    with pytest.raises(Exception, match="was made with other terms: --every 1h, now 15m"):
        output.run("15m", ["integral"])
    assert len(output.rows("at")) == 2


def test_six_refusals_end_the_run(lake: Readings, output: Aggregates, monkeypatch: pytest.MonkeyPatch) -> None:
    def act() -> None:
        output.run("1h", ["integral"])
        lake.add([reading("b", "2025-12-02T00:10", 9.0)], replaces=[("2025-12-02", "bldg1")])

    with monkeypatch.context() as patch:
        between(patch, Table, "commit", guarded := Once(act, times=6))
        with pytest.raises(
            LostRaceError, match=r"6 times another run committed to .*; what this one had ready is not part of it"
        ):
            output.run("1h", ["integral"])
    assert guarded.left == 0
    assert left_behind(output) == []


def cut(states: NamedStates) -> NamedStates:
    return replace(states, rows=states.rows.head(1))


@pytest.mark.parametrize("lossy", ["read_states", "stored_states"])
def test_points_that_are_lost_on_the_way_stop_the_run(
    output: Aggregates, lake: Readings, monkeypatch: pytest.MonkeyPatch, lossy: str
) -> None:
    """Those that were read, and those of rows of before that a later run writes anew."""
    if lossy == "stored_states":
        output.run("1h", ["integral"])
        lake.add([reading("c", "2025-12-02T01:10", 1.0)])
    before, real = output.rows("at") if output.root.exists() else [], getattr(finish_tasks, lossy)
    monkeypatch.setattr(finish_tasks, lossy, lambda *given: cut(real(*given)))
    with pytest.raises(AccountsError, match="points were to be written"):
        output.run("1h", ["integral"])
    assert output.rows("at") == before


def test_what_a_dead_run_left_goes_once_it_is_old(output: Aggregates) -> None:
    work = output.root / "_siltstone" / "work"
    work.mkdir(parents=True)
    for name, hours in (("old", 24 * 365), ("young", 0)):
        (work / name).write_bytes(b"x")
        os.utime(work / name, (time.time() - hours * 3600,) * 2)
    output.run("1h", ["integral"])
    assert left_behind(output) == ["young"]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, World]:
    """For each point a world whose second aggregate was killed there."""
    worlds = {point: World(tmp_path_factory.mktemp("killed")) for point in POINTS}
    for world in worlds.values():
        world.deliver({"BRCB/SLS30I009/2025121012": [record(NOON, a=1), record(NOON + 1800, a=2)]})
        world.compact()
        aggregates(world).run("1h", ["integral"], columns=("a",))
        world.deliver({"BRCB/SLS30I009/2025121013": [record(NOON + 3600, a=3), record(NOON + 86_400, a=4)]})
        world.compact()
    signals = die([("aggregate", point, "", world.root) for point, world in worlds.items()])
    assert dict(zip(POINTS, signals, strict=True)) == dict.fromkeys(POINTS, signal.SIGKILL)
    return worlds


def aggregates(world: World) -> Aggregates:
    return Aggregates(world.root / "output", world.table)


@pytest.mark.part("kills")
@pytest.mark.parametrize("point", POINTS)
def test_a_run_that_is_killed_leaves_the_table_as_it_was(killed: dict[str, World], point: str) -> None:
    output, is_committed = aggregates(killed[point]), point == "after the commit"
    # known until the last instant: 30 minutes of 1; then 30 minutes of 2, a whole hour of 3
    before = [("12-10 04:00", 1800.0)]
    after = [("12-10 04:00", 5400.0), ("12-10 05:00", 10_800.0), ("12-11 04:00", None)]
    assert output.rows("at", "integral") == (after if is_committed else before)
    assert bool(output.run("1h", ["integral"], columns=("a",))["run"]) != is_committed
    assert output.rows("at", "integral") == after
    fresh = output.twin("fresh")
    fresh.run("1h", ["integral"], columns=("a",))
    assert_same(output.frame(), fresh.frame())
