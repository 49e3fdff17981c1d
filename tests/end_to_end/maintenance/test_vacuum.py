"""`siltstone vacuum`: what no run needs goes once it is old; what a manifest, a reader or a running run needs stays."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from siltstone.cli import main as cli
from siltstone.maintenance import take_over
from siltstone.table.delta_table import Table
from support.fleet import NOON, World, record
from support.races import between

ONE, TWO = (f"BRCB/DEV{n}/2025121012" for n in (1, 2))
HOUR = 3600


@pytest.fixture
def killed(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A run with a quarantine and a new column, and a later one that died between its manifest and its commit."""
    world.deliver({ONE: [record(NOON, a=1), "{"]})
    world.compact()

    def die() -> None:
        raise KeyboardInterrupt

    world.deliver({TWO: [record(NOON, b=1), "["]})
    with monkeypatch.context() as patch:
        between(patch, Table, "commit", die)
        with pytest.raises(KeyboardInterrupt):
            world.compact()
    return world


def test_orphans_go_once_they_are_old(killed: World) -> None:
    before = killed.files()
    assert killed.vacuum() == []
    killed.age(167)
    assert killed.vacuum() == []
    killed.age(2)
    listed = killed.vacuum(dry_run=True)
    # of the dead run: a data file, a manifest and a quarantine file
    assert sorted(name.rpartition(".")[2] for name in listed) == ["manifest", "parquet", "quarantine"]
    assert killed.files() == before
    assert killed.vacuum() == listed
    assert len(killed.files()) == len(before) - 3 + 1  # and a commit that says so
    assert killed.vacuum() == []
    assert killed.verify()["problems"] == []
    assert len(killed.quarantine()) == 1
    assert killed.compact()["rows_out"] == 1
    assert killed.rows("a", "b") == [(None, 1.0), (1.0, None)]


@pytest.mark.parametrize("kind", ["delta", "parquet"])
def test_nothing_that_is_needed_goes_after_many_kinds_of_runs(world: World, kind: str) -> None:
    for hour in range(3):
        world.deliver({f"BRCB/DEV1/20251210{12 + hour}": [record(NOON + HOUR * hour, a=hour), "{"]})
        world.compact(f"compaction.format={kind}", "optimize.after_compact=false")
    world.deliver({"BRCB/DEV1/2025121012": [record(NOON, a=9)]})
    world.compact()
    world.age(10_000)
    gone = world.vacuum("vacuum.grace_hours=1", force=True)
    # Delta keeps the four data files that were replaced just now, for readers of older versions; plain has none left.
    assert gone == []
    assert world.verify()["problems"] == []


def test_replaced_files_go_when_their_replacement_is_old(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for hour in range(2):
        world.deliver({f"BRCB/DEV1/20251210{12 + hour}": [record(NOON + HOUR * hour)]})
        world.compact("optimize.after_compact=false")
    with monkeypatch.context() as patch:
        at_host_time(patch, take_over, days=-8)
        world.compact()  # settles two files, on a host with a clock that is behind
    world.age(10, "data_*")
    assert world.vacuum() == []
    world.age(169)
    version = world.version()
    assert len(world.vacuum()) == 2
    assert world.version() == version  # no run could commit what another one has taken out: no fence
    assert world.rows("heartbeat") == [(NOON,), (NOON + HOUR,)]
    assert world.verify()["problems"] == []


def at_host_time(patch: pytest.MonkeyPatch, module: Any, *, days: float) -> None:
    """Let a module's host have a clock that is so many days ahead, or behind."""
    real = module.datetime

    class Other(real):  # type: ignore[misc, valid-type]
        @classmethod
        def now(cls, zone: Any = None) -> Any:
            return real.now(zone) + timedelta(days=days)

    patch.setattr(module, "datetime", Other)


def test_files_of_others_stay(killed: World) -> None:
    strange = ["notes.txt", "_siltstone/note", "hiveperiod=2025-12-10/dstrct_code=BRCB/mine.parquet", "data_0.parquet"]
    for name in strange:
        (killed.table / name).write_text("mine")
    killed.age(1000)
    killed.vacuum()
    assert all((killed.table / name).exists() for name in strange)


def test_a_file_that_a_writer_left_half_done_goes(killed: World) -> None:
    folder = killed.table / "hiveperiod=2025-12-10/dstrct_code=BRCB"
    half = folder / f"data_{'0' * 32}.parquet#1"
    staged = folder / f"_data_{'0' * 32}.parquet.staged"
    for path in (half, staged):
        path.write_bytes(b"PAR1")
    killed.age(1000)
    assert {half.name, staged.name} <= set(killed.vacuum())


def test_the_command_says_what_it_would_do(killed: World, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    killed.age(1000)
    assert cli.main(["vacuum", str(killed.lake), "datalog", "--dry-run"]) == 0
    assert "would delete 3 files" in capsys.readouterr().out
    assert cli.main(["vacuum", str(killed.lake), "datalog", "--set", "vacuum.grace_hours=-1"]) == 2
    assert "vacuum.grace_hours: -1 is below 0" in capsys.readouterr().err
