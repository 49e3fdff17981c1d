"""`siltstone vacuum`: what no run needs goes once it is old; what a manifest, a reader or a running run needs stays."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from siltstone.cli import main as cli
from siltstone.config.load import load_config
from siltstone.errors import StorageError, UsageError
from siltstone.maintenance import take_over
from siltstone.maintenance import vacuum as vacuum_module
from siltstone.model.contracts import DATALOG
from siltstone.storage import open_root
from siltstone.table.delta_table import Table
from siltstone.table.parquet_table import PlainTable
from support.fleet import NOON, World, quiet, record
from support.races import Once, between

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
    world.age(200, "data_*")
    world.age(200, "*.manifest")  # the run slept between its manifest and its commit
    assert world.vacuum() == []
    world.age(169)
    version = world.version()
    assert len(world.vacuum()) == 2
    assert world.version() == version  # no run could commit what another one has taken out: no fence
    assert world.rows("heartbeat") == [(NOON,), (NOON + HOUR,)]
    assert world.verify()["problems"] == []


def test_files_that_another_engine_took_out_stay_for_the_grace(world: World) -> None:
    for place in (ONE, TWO):
        world.deliver({place: [record(NOON)]})
        world.compact("optimize.after_compact=false")
    world.age(200)
    version = world.version()
    DeltaTable(str(world.table)).optimize.compact()
    world.compact()  # takes the merged file over
    assert world.vacuum() == []
    DeltaTable(str(world.table)).restore(version)
    assert world.rows("heartbeat") == [(NOON,), (NOON,)]


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


def outside(world: World, name: str) -> Path:
    """An old file that only a link of the table leads to, in a folder beside the lake."""
    path = world.root / "elsewhere" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("not siltstone's")
    os.utime(path, (NOON, NOON))
    return path


def test_a_link_below_the_tables_root_is_not_followed(killed: World) -> None:
    data = f"data_{'0' * 32}.parquet"
    mine = [outside(killed, "x.manifest"), outside(killed, data)]
    (killed.table / "_siltstone/plans").symlink_to(killed.root / "elsewhere")
    (killed.table / "hiveperiod=2025-12-11").mkdir()
    (killed.table / "hiveperiod=2025-12-11/dstrct_code=BRCB").symlink_to(killed.root / "elsewhere")
    (killed.table / f"_siltstone/runs/{data}").symlink_to(mine[1])
    killed.age(1000, "*.manifest")
    gone = killed.vacuum()
    assert [name for name in gone if name in ("x.manifest", data)] == []
    assert [path.read_text() for path in mine] == ["not siltstone's"] * 2


def test_links_at_the_lake_and_the_table_are_followed(killed: World) -> None:
    killed.age(1000)
    killed.table.rename(killed.root / "on another disk")
    killed.table.symlink_to(killed.root / "on another disk")
    killed.lake.rename(killed.root / "far away")
    killed.lake.symlink_to(killed.root / "far away")
    assert len(killed.vacuum()) == 3
    assert killed.verify()["problems"] == []


def test_a_folder_that_became_a_link_after_the_listing_keeps_its_files(
    killed: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = outside(killed, "left.json")
    plans = killed.table / "_siltstone/plans"
    killed.put(plans / "left.json", b"{}")

    def swap() -> None:
        plans.rename(killed.root / "plans")
        plans.symlink_to(mine.parent)

    between(monkeypatch, vacuum_module, "_delete", Once(swap))
    with pytest.raises(StorageError, match=r"can't delete .*plans/left\.json: .* is a link, or lies behind one"):
        killed.vacuum()
    assert mine.read_text() == "not siltstone's"


@pytest.mark.parametrize("kind", ["delta", "parquet"])
def test_what_a_put_left_between_staging_and_link_goes(world: World, kind: str) -> None:
    world.deliver({ONE: [record(NOON)]})
    world.compact(f"compaction.format={kind}")
    log = "_delta_log" if kind == "delta" else "_siltstone/log"
    left = ["00000000000000000001.json#1", "00000000000000000001.published#2", "_last_checkpoint#1"]
    stays = "00000000000000000009.json#1"  # whoever put it may yet link it to its name
    for name in (*left, stays):
        world.put(world.table / log / name, b"{}")
    world.put(world.table / "_siltstone/edges/ab/x.parquet#1", b"{}")
    assert world.vacuum() == sorted([*left, "x.parquet#1"])
    assert (world.table / log / stays).exists()
    assert world.verify()["problems"] == []


def test_a_staged_file_stays_that_is_committed_before_the_fence(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.deliver({ONE: [record(NOON)]})
    world.compact("compaction.format=parquet")
    world.deliver({TWO: [record(NOON)]})
    world.put(world.table / "_siltstone/plans/left.json", b"{}")
    gone: list[str] = []

    def act() -> None:
        """The entry is in the log, and its data file, which is old, has its staged name still."""
        world.age(1000)
        with monkeypatch.context() as patch:
            patch.setattr(PlainTable, "recover", lambda _: None)  # this vacuum looked right before the commit
            gone.extend(world.vacuum())

    between(monkeypatch, PlainTable, "_publish_all", Once(act))
    world.compact()
    assert gone == ["left.json"]
    assert world.verify()["problems"] == []


@pytest.mark.parametrize("hours", [0, 23])
def test_a_grace_below_a_day_needs_force(killed: World, hours: int, capsys: pytest.CaptureFixture[str]) -> None:
    killed.age(1000)
    words = ["vacuum", f"{killed.lake}/datalog", "--set", f"vacuum.grace_hours={hours}"]
    before = killed.files()
    assert cli.main(words) == 2
    expected = (
        f"vacuum.grace_hours is {hours}, less than 24: runs under way would have to read input again, and readers"
    )
    told = capsys.readouterr().err
    assert expected in told
    assert "Raise it, or give --force where nothing else uses the table." in told
    assert killed.files() == before
    assert cli.main([*words, "--dry-run"]) == 0
    assert cli.main([*words, "--force"]) == 0
    assert "deleted 3 files" in capsys.readouterr().out


def test_there_is_nothing_to_vacuum_where_there_is_no_table(tmp_path: Path) -> None:
    table = Table(open_root(str(tmp_path / "none")), DATALOG)
    with pytest.raises(UsageError, match="none holds no table"):
        vacuum_module.vacuum(table, load_config([], []), quiet, dry_run=False)
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_what_it_would_do(killed: World, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    killed.age(1000)
    assert cli.main(["vacuum", str(killed.lake), "datalog", "--dry-run"]) == 0
    assert "would delete 3 files" in capsys.readouterr().out
    assert cli.main(["vacuum", str(killed.lake), "datalog", "--set", "vacuum.grace_hours=-1"]) == 2
    assert "vacuum.grace_hours: -1 is below 0" in capsys.readouterr().err
