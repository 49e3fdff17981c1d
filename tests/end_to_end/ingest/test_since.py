"""`--since DATE` limits the listing by the folders' hour; what it leaves out, a later run takes."""

import json
import os
import runpy
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from siltstone import storage
from siltstone.cli.main import main
from siltstone.errors import UsageError
from siltstone.ingest.job import compact
from support.fleet import NOON, World, quiet, record, unclosed
from support.places import ROOT

HOUR = 3600


def compact_since(world: World, since: datetime | None, *settings: str) -> dict[str, Any]:
    """One run over the folders of `since` and later, its accounts checked."""
    given = str(world.input), str(world.lake)
    summary = compact("datalog", *given, world.config(*settings), world.engine, quiet, since=since)
    assert unclosed(summary) == []
    return summary


def deliver_three_hours(world: World) -> None:
    """One row in each of the folders 23 h on the 9th, 0 h and 1 h on the 10th, and an object of another kind."""
    for number, hour in enumerate(("2025120923", "2025121000", "2025121001")):
        world.deliver({f"BRCB/SLS30I009/{hour}": [record(NOON + number * HOUR, n=number)]})
    world.put(world.input / "BRCB/SLS30I009/2025120923/_SUCCESS", b"")


@pytest.mark.parametrize(
    ("since", "taken", "ignored"),
    [
        (datetime(2025, 12, 9, 23), [0, 1, 2], 1),
        (datetime(2025, 12, 10), [1, 2], 0),
        (datetime(2025, 12, 10, 1), [2], 0),
    ],
)
def test_folders_of_an_earlier_hour_are_not_looked_at(
    world: World, since: datetime, taken: list[int], ignored: int
) -> None:
    deliver_three_hours(world)
    summary = compact_since(world, since)
    assert [n for (n,) in world.rows("n")] == taken
    assert (summary["files_listed"], summary["files_ingested"]) == (len(taken), len(taken))
    assert (summary["files_skipped"], summary["files_ignored"]) == (0, ignored)
    assert summary["since"] == since.isoformat(timespec="minutes")
    assert world.headers()[0]["since"] == summary["since"]


def test_a_later_run_without_it_takes_the_rest(world: World) -> None:
    deliver_three_hours(world)
    compact_since(world, datetime(2025, 12, 10, 1))
    compact_since(world, datetime(2025, 12, 10))
    rest = compact_since(world, None)
    # 3 files: that of 23 h is new, two are known; of the object of another kind it is said now
    told = ("files_listed", "files_ingested", "files_skipped", "files_ignored", "since")
    assert [rest[key] for key in told] == [3, 1, 2, 1, None]
    assert compact_since(world, None)["run"] == ""
    assert world.rows("n", "source_file") == [
        (n, f"BRCB/SLS30I009/{hour}") for n, hour in enumerate(("2025120923", "2025121000", "2025121001"))
    ]


def test_what_was_taken_before_and_is_not_looked_at_stays(world: World) -> None:
    deliver_three_hours(world)
    world.compact()
    world.deliver({"BRCB/SLS30I009/2025120923": [record(NOON, n=7)], "BRCB/SLS30I009/2025121002": [record(n=3)]})
    summary = compact_since(world, datetime(2025, 12, 10))
    assert (summary["files_ingested"], summary["files_skipped"], summary["files_changed"]) == (1, 2, 0)
    assert [n for (n,) in world.rows("n")] == [0, 1, 2, 3]
    later = compact_since(world, None)  # the 23 h file's new content is seen once it is looked at
    assert (later["files_superseded"], later["rows_superseded"]) == (1, 1)
    assert [n for (n,) in world.rows("n")] == [1, 2, 3, 7]


def test_one_folder_of_a_device_is_looked_into_for_all_that_are_older(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for device in ("D1", "D2"):
        world.deliver({f"BRCB/{device}/20251209{hour:02d}": [record()] for hour in range(20)})
        world.deliver({f"BRCB/{device}/2025121000": [record()]})
    looked: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr(storage.os, "scandir", lambda path: looked.append(os.path.basename(path)) or scandir(path))
    store = storage.open_root(str(world.input))
    listed = store.objects(enter=lambda folder: not folder.rpartition("/")[2].startswith("20251209"))
    assert listed["path"].to_list() == [f"BRCB/{device}/2025121000/2025121000.txt.gz" for device in ("D1", "D2")]
    # the root, the site, two devices; of each device the new folder and one of the twenty old ones
    assert sorted(looked) == sorted(["in", "BRCB", "D1", "D2", *["2025120900", "2025121000"] * 2])


def test_a_device_or_a_delivery_called_like_an_hour_is_not_left_out(world: World) -> None:
    world.deliver(
        {
            "BRCB/2019031205/2025121000": [record(n=1)],  # a device whose number reads as 5 h on 12 March 2019
            "BRCB/2019031206/2025120900": [record(n=2)],
            "2018010100/BRCB/SLS30I009/2025121000": [record(n=3)],  # a delivery of an early hour
            "2018010101/BRCB/SLS30I009/2025120900": [record(n=4)],
        }
    )
    (world.input / "2018010000").mkdir()  # an empty folder says nothing of its siblings
    assert compact_since(world, datetime(2025, 12, 10))["files_listed"] == 2
    assert [n for (n,) in world.rows("n")] == [1, 3]


def test_the_hour_is_that_of_the_real_folder(world: World, tmp_path: Path) -> None:
    world.deliver({"BRCB/D1/2025121000": [record(n=1)]})
    for name, hour, n in (("new", "2025121001", 2), ("old", "2025120901", 3)):
        folder = tmp_path / name / "BRCB" / "D2"
        world.put(folder / hour / "x.txt", json.dumps(record(n=n)).encode())
        (world.input / "BRCB" / name).symlink_to(folder)
    (world.input / "BRCB/D1/2025121005").symlink_to(tmp_path / "old/BRCB/D2/2025120901")
    compact_since(world, datetime(2025, 12, 10))
    assert [n for (n,) in world.rows("n")] == [1, 2]


def test_an_input_that_is_itself_an_old_folder_has_nothing(world: World) -> None:
    deliver_three_hours(world)
    old = str(world.input / "BRCB/SLS30I009/2025120923")
    with pytest.raises(UsageError, match=r"no datalog files below .*2025120923 in folders since 2025-12-10T00:00"):
        compact("datalog", old, str(world.lake), world.config(), world.engine, quiet, since=datetime(2025, 12, 10))


def test_it_goes_with_names_below_a_source_root(world: World) -> None:
    deliver_three_hours(world)
    summary = compact_since(world, datetime(2025, 12, 10), f"compaction.source_root={world.root}")
    assert summary["files_ingested"] == 2
    assert [file for (file,) in world.rows("source_file")] == [
        f"in/BRCB/SLS30I009/{hour}" for hour in ("2025121000", "2025121001")
    ]


@pytest.mark.parametrize(("since", "files"), [("2025-12-10", 2), ("2025121001", 1)])
def test_the_command_says_what_it_looked_at(
    world: World, since: str, files: int, capsys: pytest.CaptureFixture[str]
) -> None:
    deliver_three_hours(world)
    words = ["compact", "datalog", str(world.input), str(world.lake), "--engine", "local", "--since", since, "--json"]
    assert main(words) == 0
    said = capsys.readouterr()
    hour = {"2025-12-10": "2025-12-10T00:00", "2025121001": "2025-12-10T01:00"}[since]
    assert f"since        {hour}, by the folders' clock: older ones were not looked at" in said.err
    assert json.loads(said.out)["files_ingested"] == files
    assert main(words) == 0
    assert f"nothing to do: {files} of {files} files since {hour} are known" in capsys.readouterr().err


@pytest.mark.parametrize(
    "given", ["2025-13-01", "2025-12-1", "20251210", "2025121024", "yesterday", "", "\u0662025-12-10"]
)
@pytest.mark.parametrize("front_door", ["command", "job"])
def test_a_bad_date_is_a_usage_error(
    front_door: str, given: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["datalog", "IN", "LAKE", "--since", given]
    monkeypatch.setattr("sys.argv", ["compact.py", *words])
    if front_door == "job":
        with pytest.raises(SystemExit, match="2"):
            runpy.run_path(str(ROOT / "jobs/compact.py"), run_name="__main__")
    else:
        assert main(["compact", *words]) == 2
    told = capsys.readouterr().err
    assert f"--since {given!r} is no date. Give YYYY-MM-DD or YYYYMMDDHH, such as 2025-12-10" in told
