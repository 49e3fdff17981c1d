"""`siltstone vacuum`: what no run needs goes once it is old; what a manifest, a reader or a running run needs stays."""

import os
import time
from pathlib import Path

import pytest

from siltstone.cli import main as cli
from siltstone.maintenance.vacuum import vacuum
from siltstone.model.contracts import DATALOG
from siltstone.storage import Storage
from siltstone.table.delta_table import Table
from siltstone.table.open import table_at
from support.fleet import NOON, World, quiet, record
from support.races import between

ONE, TWO = (f"BRCB/DEV{n}/2025121012" for n in (1, 2))
HOUR = 3600


def vacuumed(world: World, *settings: str, dry_run: bool = False) -> list[str]:
    table = table_at(Storage(os.path.realpath(world.table)), DATALOG)
    summary = vacuum(table, world.config(*settings), quiet, dry_run=dry_run)
    return sorted(path.split("/")[-1] for path in summary["files"])


def age(world: World, hours: float) -> None:
    """Make every file of the lake older, as if nothing had been written since."""
    for path in world.lake.rglob("*"):
        if path.is_file():
            at = path.stat().st_mtime - hours * HOUR
            os.utime(path, (at, at))


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
    assert vacuumed(killed) == []
    age(killed, 167)
    assert vacuumed(killed) == []
    age(killed, 2)
    listed = vacuumed(killed, dry_run=True)
    # of the dead run: a data file, a manifest and a quarantine file
    assert sorted(name.rpartition(".")[2] for name in listed) == ["manifest", "parquet", "quarantine"]
    assert killed.files() == before
    assert vacuumed(killed) == listed
    assert len(killed.files()) == len(before) - 3
    assert vacuumed(killed) == []
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
    age(world, 10_000)
    gone = vacuumed(world, "vacuum.grace_hours=1")
    # Delta keeps the four data files that were replaced just now, for readers of older versions; plain has none left.
    assert gone == []
    assert world.verify()["problems"] == []


def test_replaced_files_go_when_their_replacement_is_old(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from siltstone.maintenance import vacuum as vacuum_module

    for hour in range(2):
        world.deliver({f"BRCB/DEV1/20251210{12 + hour}": [record(NOON + HOUR * hour)]})
        world.compact("optimize.after_compact=false")
    world.compact()  # settles two files
    real = vacuum_module.datetime

    class Later(real):  # type: ignore[misc, valid-type]
        @classmethod
        def now(cls, zone: object = None) -> object:
            return real.fromtimestamp(time.time() + 169 * HOUR, zone)

    monkeypatch.setattr(vacuum_module, "datetime", Later)
    assert len(vacuumed(world)) == 2
    assert world.rows("heartbeat") == [(NOON,), (NOON + HOUR,)]
    assert world.verify()["problems"] == []


def test_files_of_others_stay(killed: World) -> None:
    strange = ["notes.txt", "_siltstone/note", "hiveperiod=2025-12-10/dstrct_code=BRCB/mine.parquet", "data_0.parquet"]
    for name in strange:
        (killed.table / name).write_text("mine")
    age(killed, 1000)
    vacuumed(killed)
    assert all((killed.table / name).exists() for name in strange)


def test_a_file_that_a_writer_left_half_done_goes(killed: World) -> None:
    folder = killed.table / "hiveperiod=2025-12-10/dstrct_code=BRCB"
    half = folder / f"data_{'0' * 32}.parquet#1"
    staged = folder / f"_data_{'0' * 32}.parquet.staged"
    for path in (half, staged):
        path.write_bytes(b"PAR1")
    age(killed, 1000)
    assert {half.name, staged.name} <= set(vacuumed(killed))


def test_the_command_says_what_it_would_do(killed: World, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    age(killed, 1000)
    assert cli.main(["vacuum", str(killed.lake), "datalog", "--dry-run"]) == 0
    assert "would delete 3 files" in capsys.readouterr().out
    assert cli.main(["vacuum", str(killed.lake), "datalog", "--set", "vacuum.grace_hours=-1"]) == 2
    assert "vacuum.grace_hours: -1 is below 0" in capsys.readouterr().err
