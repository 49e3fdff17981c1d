"""A table of a format that is newer than this siltstone: every command that opens it stops, and nothing is written."""

import json
import runpy
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from siltstone import __version__
from siltstone.storage import Storage
from support.commands import command, run_tasks_here
from support.fleet import InProcess
from support.folders import put_back
from support.old_lakes import COMMANDS, OldLake, newest_manifest, say_format, say_no_format
from support.places import ROOT

JOBS = ROOT / "jobs"
FOR_ALL = {
    "version": 3, "min_reader_version": 3, "min_writer_version": 3,
    "min_reader_release": "9.1.0", "min_writer_release": "9.2.0",
}  # fmt: skip
FOR_WRITERS = {**FOR_ALL, "min_reader_version": 1, "min_reader_release": "0.1.0"}

# The table of a newer format, and a command that opens it: to write it, and to read it.
WRITERS = [
    *((name.partition(" ")[0], arguments) for name, arguments in COMMANDS["write"].items()),
    ("lake/readings", COMMANDS["write"]["lake/device"]),
    *((table, ["settle", *table.split("/")]) for table in ("lake/datalog", "plain/datalog", "lake/device")),
    ("lake/readings", ["settle", "lake", "readings", "--dry-run"]),
    *((table, ["vacuum", *table.split("/")]) for table in ("lake/device", "plain/datalog", "lake/hourly", "lake/days")),
    ("lake/opcua", ["vacuum", "lake", "opcua", "--dry-run"]),
    ("lake/hours", [*COMMANDS["write"]["lake/hours"], "--full"]),
]
READERS = [
    *COMMANDS["verify"].items(),
    *(
        (table, ["show", *table.split("/")])
        for table in ("lake/datalog", "plain/datalog", "lake/device", "lake/hourly")
    ),
    *((table, ["show", *table.split("/")]) for table in ("lake/daily", "lake/opcua", "plain/fleet_hourly")),
    ("lake/device", ["show", "{root}/lake"]),
    *((table, ["quarantine", *table.split("/")]) for table in ("lake/datalog", "plain/datalog")),
    ("lake/readings", ["publish", "mortar", "{root}/lake", "{root}/published"]),
    ("lake/hourly", ["plot", "{root}/lake/hourly", "--out", "{root}/hourly.html"]),
    *(("lake/readings", COMMANDS["write"][f"lake/{name}"]) for name in ("hours", "grid", "joined", "opcua")),
    ("plain/datalog", COMMANDS["write"]["plain/fleet_hourly"]),
    ("lake/hourly", COMMANDS["write"]["lake/daily"]),
    *(
        (left, ["asof", f"{{root}}/{left}", f"{{root}}/{right}", "{root}/lake/new"])
        for left, right in (("lake/grid", "lake/readings"), ("lake/hourly", "lake/grid"), ("lake/days", "lake/hours"))
    ),
    ("lake/grid", ["asof", "{root}/lake/readings", "{root}/lake/grid", "{root}/lake/new"]),
]
TABLES_THAT_SHOW_KNOWS_NOT = ("lake/grid", "lake/joined")


def full(arguments: list[str]) -> list[str]:
    """`settle lake datalog` with the root before the lake."""
    command, lake, *rest = arguments
    return [command, f"{{root}}/{lake}", *rest] if lake in ("lake", "plain") else arguments


def ids(value: object) -> str | None:
    return " ".join(value[:3]).replace("{root}/", "") if isinstance(value, list) else None


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> OldLake:
    """New source files are there, so that every command has something to do."""
    lake = OldLake.below(tmp_path_factory.mktemp("newer"))
    lake.deliver()
    return lake


@pytest.fixture
def lake(untouched: OldLake) -> Iterator[OldLake]:
    """The lake, whose files are after a test what they were before it."""
    with put_back(untouched.root):
        yield untouched


def assert_refused(lake: OldLake, table: str, use: str, release: str, error: str) -> None:
    assert error.splitlines()[-1] == (
        f"siltstone: {lake.root}/{table} has format 3, and {use} it needs siltstone {release} or newer; "
        f"this is {__version__}. Upgrade siltstone here, then run it again (docs/upgrading.md)."
    )


@pytest.mark.parametrize(("table", "arguments"), WRITERS, ids=ids)
def test_who_would_write_it_stops(
    lake: OldLake, table: str, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    say_format(lake.root / table, FOR_WRITERS)
    before = lake.files()
    assert command(lake.filled(*full(arguments))) == 2
    assert_refused(lake, table, "writing", "9.2.0", capsys.readouterr().err)
    assert lake.files() == before


@pytest.mark.parametrize(("table", "arguments"), READERS, ids=ids)
def test_who_would_read_it_stops(
    lake: OldLake, table: str, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    say_format(lake.root / table, {**FOR_ALL, "min_writer_version": 1})
    before = lake.files()
    assert command(lake.filled(*full(arguments))) == 2
    assert_refused(lake, table, "reading", "9.1.0", capsys.readouterr().err)
    assert lake.files() == before


@pytest.mark.parametrize("table", TABLES_THAT_SHOW_KNOWS_NOT)
def test_show_stops_before_it_says_that_there_is_no_such_table(
    lake: OldLake, table: str, capsys: pytest.CaptureFixture[str]
) -> None:
    say_format(lake.root / table, FOR_ALL)
    assert command(["show", str(lake.root / "lake"), table.partition("/")[2]]) == 2
    assert_refused(lake, table, "reading", "9.1.0", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("table", "arguments"),
    [
        ("lake/datalog", COMMANDS["verify"]["lake/datalog"]),
        ("plain/datalog", ["quarantine", "plain", "datalog"]),
        ("lake/readings", ["publish", "mortar", "{root}/lake", "{root}/published"]),
        ("lake/readings", COMMANDS["write"]["lake/hours"]),
        ("lake/hourly", COMMANDS["write"]["lake/daily"]),
        ("lake/grid", ["asof", "{root}/lake/grid", "{root}/lake/readings", "{root}/lake/new"]),
    ],
    ids=ids,
)
def test_who_reads_what_only_writers_must_know_goes_on(lake: OldLake, table: str, arguments: list[str]) -> None:
    say_format(lake.root / table, FOR_WRITERS)
    assert command(lake.filled(*full(arguments))) == 0
    assert lake.newest_header(table)["format"] == FOR_WRITERS  # nothing was written there


BY_JOB = {
    **{
        job: (table, [*COMMANDS["write"][table], "--engine", "local"])
        for job, table in (
            ("compact", "lake/datalog"),
            ("aggregate", "lake/hours"),
            ("rollup", "lake/days"),
            ("resample", "lake/grid"),
            ("asof", "lake/joined"),
        )
    },
    "optimize": ("lake/datalog", ["optimize", "{root}/lake/datalog"]),
    "settle": ("lake/datalog", ["settle", "{root}/lake", "datalog"]),
    "verify": ("lake/datalog", COMMANDS["verify"]["lake/datalog"]),
    "publish": ("lake/readings", ["publish", "mortar", "{root}/lake", "{root}/published"]),
}


@pytest.mark.parametrize("job", sorted(path.stem for path in JOBS.glob("*.py")))
def test_jobs_stop_like_commands(
    lake: OldLake, job: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table, arguments = BY_JOB[job]
    say_format(lake.root / table, {**FOR_ALL, "min_reader_release": "9.2.0"})
    run_tasks_here(monkeypatch)
    monkeypatch.setattr(sys, "argv", [f"jobs/{job}.py", *lake.filled(*arguments)[1:]])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(JOBS / f"{job}.py"), run_name="__main__")
    assert stop.value.code == 2
    assert f"{lake.root}/{table} has format 3, and " in capsys.readouterr().err


@pytest.mark.parametrize("told", [None, "2", {"version": 1}, {**FOR_ALL, "min_writer_version": 1.5}], ids=repr)
def test_a_format_that_is_none_is_refused_not_ignored(
    lake: OldLake, told: object, capsys: pytest.CaptureFixture[str]
) -> None:
    say_format(lake.root / "lake/readings", told)
    before = lake.files()
    for arguments in (lake.arguments("write", "lake/readings of mortar"), lake.arguments("verify", "lake/readings")):
        assert command(arguments) == 2
        assert f"{lake.root}/lake/readings says of its format {told!r}, which" in capsys.readouterr().err
    assert lake.files() == before


def test_the_tables_of_a_source_are_all_looked_at_before_one_is_written(lake: OldLake) -> None:
    say_format(lake.root / "lake/readings", FOR_WRITERS)
    before = lake.files()
    assert command(lake.arguments("write", "lake/device")) == 2  # Haltian's: device would have news too
    assert lake.files() == before


def test_a_half_done_commit_of_a_plain_table_is_not_finished(lake: OldLake) -> None:
    newest = max((lake.root / "plain/datalog/_siltstone/log").glob("*.published"))
    newest.unlink()
    say_format(lake.root / "plain/datalog", FOR_ALL)
    assert command(lake.arguments("verify", "plain/datalog")) == 2
    assert not newest.exists()
    say_format(lake.root / "plain/datalog", FOR_WRITERS)  # whoever may read may also finish it
    assert command(lake.arguments("verify", "plain/datalog")) == 0
    assert newest.exists()


class Meanwhile(InProcess):
    """An engine of a run in whose time another one commits, of a newer siltstone."""

    def __init__(self, lake: OldLake) -> None:
        object.__setattr__(self, "waiting", [lake])

    def run(self, tasks: Sequence[Any], done: Any) -> list[Any]:
        while self.waiting:
            lake = self.waiting.pop()
            assert command(lake.arguments("write", "lake/readings of mortar")) == 0
            say_format(lake.root / "lake/readings", FOR_WRITERS)
        return super().run(tasks, done)


def test_a_run_stops_where_a_newer_siltstone_commits_meanwhile(
    lake: OldLake, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(lake.arguments("write", "lake/readings of sitewise"), Meanwhile(lake)) == 2
    assert_refused(lake, "lake/readings", "writing", "9.2.0", capsys.readouterr().err)
    assert lake.newest_header("lake/readings")["format"] == FOR_WRITERS


def test_the_newest_manifest_is_read_once(lake: OldLake, monkeypatch: pytest.MonkeyPatch) -> None:
    assert command(lake.arguments("write", "lake/datalog")) == 0
    read, own = [], Storage.read

    def counted(storage: Storage, path: str) -> Any:
        read.append(path)
        return own(storage, path)

    monkeypatch.setattr(Storage, "read", counted)
    assert command([*lake.arguments("write", "lake/datalog"), "--set", "optimize.after_compact=false"]) == 0
    newest = newest_manifest(lake.root / "lake/datalog")
    assert read.count(f"_siltstone/runs/{newest.name}") == 1


# As a run of later on may leave it: nothing that this siltstone must know, and a field that it does not know.
LATER = {
    "version": 7, "min_reader_version": 1, "min_writer_version": 1,
    "min_reader_release": "0.1.0", "min_writer_release": "0.1.0", "features": ["x"],
}  # fmt: skip


@pytest.mark.parametrize(
    "name", ["lake/datalog", "plain/datalog", "lake/device", "lake/hours", "lake/grid", "lake/opcua"]
)
def test_the_next_runs_keep_the_format_with_what_they_do_not_know(lake: OldLake, name: str) -> None:
    say_format(lake.root / name, LATER)
    before = newest_manifest(lake.root / name)
    if name in ("lake/hours", "lake/grid"):  # they are written again only where readings have news
        assert command(lake.arguments("write", "lake/readings of mortar")) == 0
    assert command(lake.arguments("write", name)) == 0
    assert newest_manifest(lake.root / name) != before
    assert lake.newest_header(name)["format"] == LATER


def test_a_run_of_before_formats_does_not_lower_it_for_good(lake: OldLake) -> None:
    say_format(lake.root / "lake/datalog", LATER)
    assert command(lake.arguments("write", "lake/datalog")) == 0
    say_no_format(lake.root / "lake/datalog")
    (lake.root / "in/fleet/BRCB/LD7/2025121013").mkdir(parents=True)
    new = (lake.root / "in/fleet/BRCB/LD6/2025121013/2025121013.txt.gz").read_bytes()
    (lake.root / "in/fleet/BRCB/LD7/2025121013/2025121013.txt.gz").write_bytes(new)
    assert command(lake.arguments("write", "lake/datalog")) == 0
    assert lake.newest_header("lake/datalog")["format"] == LATER


def test_show_tells_people_of_a_format_above_1(lake: OldLake, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["show", str(lake.root / "lake"), "datalog"]) == 0
    assert "format" not in capsys.readouterr().out
    say_format(lake.root / "lake/datalog", FOR_WRITERS)
    assert command(["show", str(lake.root / "lake"), "datalog", "--json"]) == 0
    said = capsys.readouterr()
    assert "  format 3: read by siltstone 0.1.0 and newer, written by 9.2.0 and newer\n" in said.err
    assert json.loads(said.out)["tables"][0]["format"] == FOR_WRITERS
