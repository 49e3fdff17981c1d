"""A lake where two runs could both create one log entry: nothing writes there, everything reads there."""

from pathlib import Path

import pytest

from support.commands import command
from support.fleet import NOON, World, record
from support.folders import files_below

COLUMNS = ("--columns", "gpsspeed", "--every", "1h")


@pytest.fixture
def unsafe(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A lake with a table that came to such a place."""
    world.deliver({"BRCB/SLS30I009/2025121004": [record(NOON, gpsspeed=1.5)]})
    world.compact()
    assert command(["aggregate", world.table, world.lake / "base", *COLUMNS]) == 0
    monkeypatch.setattr("siltstone.storage.local.Disk.creates_once", lambda disk: False)
    return world


def test_what_writes_is_refused_and_what_reads_goes_on(unsafe: World, capsys: pytest.CaptureFixture[str]) -> None:
    table, before = unsafe.table, files_below(unsafe.lake)
    writing = [
        ("compact", "datalog", unsafe.input, unsafe.lake),
        ("optimize", table),
        ("vacuum", table),
        ("aggregate", table, unsafe.lake / "hourly", *COLUMNS),
        ("rollup", unsafe.lake / "base", unsafe.lake / "daily", "--every", "1d"),
        ("resample", table, unsafe.lake / "grid", *COLUMNS),
        ("asof", table, table, unsafe.lake / "joined", "--by", "unitno"),
        ("publish", "mortar", unsafe.root / "other", unsafe.lake / "out"),
        ("doctor", unsafe.lake),
    ]
    for words in writing:
        assert command(words) == 2, words
        said = capsys.readouterr()
        assert "s3://BUCKET/FOLDER" in said.err + said.out, words
    for name in ("show", "quarantine", "verify"):
        assert command([name, table]) == 0
    assert files_below(unsafe.lake) == before


def test_half_a_uri_makes_no_folder(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    world.deliver({"BRCB/SLS30I009/2025121004": [record(NOON, gpsspeed=1.5)]})
    monkeypatch.chdir(tmp_path)
    before = files_below(tmp_path)
    for lake in ("dbfs:/lake", "s3:/bucket/lake"):
        words = [
            ("compact", "datalog", world.input, lake),
            ("show", lake),
            ("vacuum", f"{lake}/datalog"),
            ("doctor", lake),
        ]
        assert [command(word) for word in words] == [2, 2, 2, 2]
    assert files_below(tmp_path) == before
