"""What has reached the disk at the moment of a commit, and after it: a power cut loses no row of a committed run."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from siltstone.errors import StorageError, UnknownOutcomeError
from siltstone.storage import Storage, local
from support.fleet import NOON, World, record
from support.publishing import Folder
from support.races import between
from support.readings_table import Readings, quarters

ONE, TWO = "BRCB/DEV1/2025121012", "BRCB/DEV2/2025121012"
BAD = "BRCB/DEV3/2025121012"
PLAIN = "compaction.format=parquet"


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happens on the disk in its order: `sync PATH` (`*` for numbers and tokens), and what a test adds."""
    seen: list[str] = []

    def fsync(handle: int) -> None:
        name = os.readlink(f"/proc/self/fd/{handle}")
        seen.append(f"sync {re.sub(r'[0-9a-f]{8,}|#[0-9]+', '*', name)}")
        os.fsync(handle)

    monkeypatch.setattr(local, "reach_disk", fsync)
    return seen


def below(root: Path, seen: list[str]) -> list[str]:
    return [event.replace(f"{root}/", "") for event in seen]


def test_files_names_and_manifest_are_on_the_disk_before_a_delta_commit(
    world: World, disk: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.deliver({ONE: [record(NOON, a=1)], BAD: [record(NOON + 1), "{"]})
    between(monkeypatch, DeltaTable, "create_write_transaction", lambda: disk.append("commit"))
    world.compact()
    seen = below(world.table, disk)
    commit = seen.index("commit")
    partition = "hiveperiod=2025-12-10/dstrct_code=BRCB"
    folders = [partition, "hiveperiod=2025-12-10", "_siltstone/runs", "_siltstone/quarantine", "_siltstone"]
    files = [f"{partition}/data_*.parquet", "_siltstone/runs/*-*.manifest*", "_siltstone/quarantine/*-0000.quarantine*"]
    homes = [str(world.table), str(world.lake), str(world.root)]
    assert {f"sync {name}" for name in (*files, *folders, *homes)} <= set(seen[:commit])
    assert {"sync _delta_log/*.json", "sync _delta_log"} <= set(seen[commit:])
    # the data before the names that lead to it, from below
    places = [seen.index(f"sync {name}") for name in (files[0], partition, "hiveperiod=2025-12-10", *homes)]
    assert places[0] < places[1] < places[2]
    assert "sync _delta_log/*.json" in seen[:commit], "the creation of the table"


def test_a_plain_log_entry_is_on_the_disk_before_files_get_their_names_and_these_before_it_is_done(
    world: World, disk: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.deliver({ONE: [record(NOON, a=1)]})
    world.compact(PLAIN)
    world.deliver({ONE: [record(NOON, a=2)]})
    between(monkeypatch, Storage, "rename", lambda: disk.append("rename"))
    between(monkeypatch, Storage, "delete", lambda: disk.append("delete"))
    disk.clear()
    world.compact()
    seen = below(world.table, disk)
    partition = "hiveperiod=2025-12-10/dstrct_code=BRCB"
    steps = [
        f"sync {partition}/_data_*.parquet.staged",
        f"sync {partition}",
        "sync _siltstone/log/*.json*",
        "sync _siltstone/log",
        "rename",
        "delete",
        f"sync {partition}",
        "sync _siltstone/log/*.published*",
    ]
    at = 0
    for step in steps:
        at = seen.index(step, at) + 1


@pytest.mark.slow("faults")
def test_a_published_folder_keeps_the_same_order(
    tmp_path: Path, disk: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(tmp_path)
    readings = Readings(str(folder.root / "lake"))
    stream = "01f5cba4-111b-42a4-bbb4-4844ec3ad6f6"
    readings.add(quarters(stream, "2015-01-01", 2))
    folder.publish()
    readings.add(quarters(stream, "2015-01-01", 3), replaces=[("2015-01-01", "bldg1")])
    between(monkeypatch, Storage, "rename", lambda: disk.append("rename"))
    between(monkeypatch, Storage, "delete", lambda: disk.append("delete"))
    disk.clear()
    folder.publish()
    seen = below(folder.out, disk)
    home = f"collection=bldg1/uuid={re.sub('[0-9a-f]{8,}', '*', stream)}"
    steps = [
        f"sync {home}/_*T*-*.parquet.*.staged",
        f"sync {home}",
        "sync _siltstone/log/*.json*",
        "sync _siltstone/log",
    ]
    steps += ["rename", "delete", f"sync {home}", "sync _siltstone/log/*.published*"]
    at = 0
    for step in steps:
        at = seen.index(step, at) + 1


@pytest.mark.parametrize("kind", ["compaction.format=delta", PLAIN])
def test_the_setting_turns_it_off(world: World, disk: list[str], kind: str) -> None:
    world.deliver({ONE: [record(NOON, a=1)]})
    assert world.compact(kind, "storage.sync=false")["rows_out"] == 1
    assert disk == []


def test_a_disk_that_fails_before_the_commit_commits_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.deliver({ONE: [record(NOON, a=1)]})
    world.compact()
    world.deliver({TWO: [record(NOON, a=2)]})
    with monkeypatch.context() as patch:
        patch.setattr(local, "reach_disk", failing)
        with pytest.raises(StorageError, match=r"can't write .*: Input/output error"):
            world.compact()
    assert world.compact()["rows_out"] == 1
    assert world.rows("a") == [(1,), (2,)]


def test_a_disk_that_fails_after_the_commit_leaves_it_open(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.deliver({ONE: [record(NOON, a=1)]})
    world.compact()
    world.deliver({TWO: [record(NOON, a=2)]})
    with monkeypatch.context() as patch:
        between(patch, DeltaTable, "create_write_transaction", lambda: patch.setattr(local, "reach_disk", failing))
        with pytest.raises(UnknownOutcomeError, match="version 3 is committed, but the disk does not say"):
            world.compact()
    assert world.compact()["rows_out"] == 0
    assert world.rows("a") == [(1,), (2,)]


def failing(_: int) -> Any:
    raise OSError(5, os.strerror(5))
