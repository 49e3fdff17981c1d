"""A damaged data file under every command that reads it: the right rows, or a refusal that leaves all as it was."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from siltstone.cli.main import main
from siltstone.config.load import load_config
from siltstone.errors import DamagedFileError
from siltstone.maintenance.optimize import optimize
from support.commands import run_tasks_here
from support.damage import Flip
from support.fleet import InProcess, quiet
from support.folders import put_back
from support.readings_table import Readings, quarters, reading
from support.rounds import some

DAY = "2025-12-01"

# Under each of them a file once gave no rows, without an error, or made polars panic.
FLIPS = [
    *(Flip(column, 0, 1, bit) for column in ("ts", "value") for bit in (0, 2, 5)),
    *(Flip(column, 0, 1, 1) for column in ("series_id", "device_id", "measurement", "source_file")),
    *(Flip(column, 1, 1, bit) for column, bit in (("series_id", 0), ("device_id", 3), ("source", 6), ("quality", 4))),
    *(Flip("series_id", 0, byte, bit) for byte, bit in ((6, 5), (12, 4), (14, 1))),
    *(Flip("measurement", 0, byte, bit) for byte, bit in ((6, 6), (12, 7), (14, 2))),
]
IN_AGGREGATES = [
    *(Flip(column, 0, 1, bit) for column in ("bucket_start", "n", "state.first_ts", "state.sum") for bit in (0, 2, 5)),
    *(Flip(column, 0, 1, 1) for column in ("series_id", "site", "device_id")),
    *(Flip(column, 1, 1, 0) for column in ("series_id", "site")),
    *(Flip("series_id", 0, byte, 6) for byte in (6, 12, 14)),
]


@dataclass(frozen=True)
class Lake:
    """A table of readings in two data files of one date and site, and aggregates of it."""

    root: Path

    @property
    def readings(self) -> Path:
        return self.root / "lake" / "readings"

    @property
    def hourly(self) -> Path:
        return self.root / "hourly"

    def run(self, command: str, out: Path) -> int:
        lake, source, local = str(self.root / "lake"), str(self.readings), ["--engine", "local"]
        commands = {
            "aggregate": ["aggregate", source, str(out), "--every", "1h", *local],
            "convention": ["aggregate", source, str(out), "--every", "1h", "--convention", "opcua", *local],
            "rollup": ["rollup", str(self.hourly), str(out), "--every", "1d", *local],
            "resample": ["resample", source, str(out), "--every", "30m", *local],
            "asof": ["asof", source, source, str(out), *SIDES, *local],
            "publish": ["publish", "mortar", lake, str(out)],
            "verify": ["verify", lake, "readings", *local],
        }
        return main(commands[command])

    def damaged_by(self, flip: Flip, table: Path) -> Path:
        """The data file of the table that is damaged now."""
        path = min(table.glob("date=*/**/*.parquet"))
        path.write_bytes(flip.of(path.read_bytes()))
        return path


SIDES = ["--left-measurement", "temp", "--right-measurement", "door"]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    root = tmp_path_factory.mktemp("damaged")
    readings = Readings(str(root / "lake"))
    doors = [reading("door/x", f"{DAY}T0{hour}:00", float(hour % 2)) for hour in range(8)]
    readings.add([*quarters("temp/a", DAY, 40), *doors])
    readings.add(quarters("temp/b", DAY, 40))
    found = Lake(root)
    with pytest.MonkeyPatch.context() as patch:
        run_tasks_here(patch)
        assert found.run("aggregate", found.hourly) == 0
    return found


@pytest.fixture
def lake(sound: Lake, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    """The lake, sound again after each test."""
    run_tasks_here(monkeypatch)
    with put_back(sound.root):
        yield sound


def table_rows(root: Path) -> pl.DataFrame:
    """The rows of a table, in order; none where nothing was committed."""
    if not (root / "_delta_log").exists() or not (files := DeltaTable(str(root)).file_uris()):
        return pl.DataFrame()
    frame = pl.concat([pl.read_parquet(file, hive_partitioning=False) for file in files], how="diagonal")
    return frame.sort("series_id", next(name for name in ("bucket_start", "ts") if name in frame.columns))


def published_rows(root: Path) -> pl.DataFrame:
    files = sorted(root.rglob("*.parquet"))
    return pl.concat([pl.read_parquet(file) for file in files]) if files else pl.DataFrame()


def contents(root: Path) -> dict[str, bytes]:
    """What a table is made of: its log and its data files."""
    paths = [*root.glob("_delta_log/*.json"), *root.glob("date=*/**/*.parquet")]
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


@pytest.mark.part("laws")  # there under all flips
@pytest.mark.parametrize(
    ("command", "rows", "flips"),
    [
        ("aggregate", table_rows, some(FLIPS, 7)),
        ("rollup", table_rows, some(IN_AGGREGATES, 7)),
        ("resample", table_rows, some(FLIPS, 7)),
        ("asof", table_rows, some(FLIPS, 7)),
        ("publish", published_rows, some(FLIPS, 7)),
    ],
    ids=["aggregate", "rollup", "resample", "asof", "publish"],
)
def test_what_is_derived_of_it_is_right_or_not_made(
    lake: Lake,
    capsys: pytest.CaptureFixture[str],
    command: str,
    rows: Callable[[Path], pl.DataFrame],
    flips: list[Flip],
) -> None:
    assert lake.run(command, lake.root / "sound") == 0
    expected = rows(lake.root / "sound")
    assert expected.height
    table, refused = lake.hourly if command == "rollup" else lake.readings, 0
    for number, flip in enumerate(flips):
        sound = contents(table)
        path = lake.damaged_by(flip, table)
        before, out = contents(table), lake.root / f"out{number}"
        capsys.readouterr()
        if code := lake.run(command, out):
            assert code == 6, flip
            assert str(path) in capsys.readouterr().err, flip
            assert rows(out).is_empty(), flip
            refused += 1
        else:
            assert rows(out).equals(expected), flip
        assert contents(table) == before, flip
        path.write_bytes(sound[str(path.relative_to(table))])
    assert refused > len(flips) / 3  # the others are in columns that the command does not read


def without_the_last_row(path: Path) -> str:
    """Write the file again, whole but for its last row; what a reader says of it."""
    rows = pq.ParquetFile(path).read()
    pq.write_table(rows.slice(0, rows.num_rows - 1), path)
    return f"{path} can't be read: the table's log tells of {rows.num_rows} rows, its footer of {rows.num_rows - 1}"


@pytest.mark.parametrize("command", ["aggregate", "convention", "rollup", "resample", "asof", "publish"])
def test_nothing_is_derived_of_a_sound_file_with_fewer_rows_than_the_log_says(
    lake: Lake, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    table = lake.hourly if command == "rollup" else lake.readings
    rows = published_rows if command == "publish" else table_rows
    said = without_the_last_row(min(table.glob("date=*/**/*.parquet")))
    assert lake.run(command, out := lake.root / "out") == 6
    told = capsys.readouterr().err
    assert f"{said}. Restore the file from a backup, or make the table again. Of a table that compact has made" in told
    assert rows(out).is_empty()


def test_a_file_with_fewer_rows_than_the_log_says_is_not_merged_with_others(lake: Lake) -> None:
    said = without_the_last_row(min(lake.readings.glob("date=*/**/*.parquet")))
    before = contents(lake.readings)
    with pytest.raises(DamagedFileError, match=re.escape(said)):
        optimize(Readings(str(lake.root / "lake")).table, load_config([], []), InProcess(), quiet)
    assert contents(lake.readings) == before


@pytest.mark.parametrize("flip", FLIPS, ids=str)
def test_a_damaged_file_is_not_merged_with_others(lake: Lake, flip: Flip) -> None:
    path = lake.damaged_by(flip, lake.readings)
    before = contents(lake.readings)
    with pytest.raises(DamagedFileError, match=path.name):
        optimize(Readings(str(lake.root / "lake")).table, load_config([], []), InProcess(), quiet)
    assert contents(lake.readings) == before


def test_aggregate_with_full_makes_a_damaged_table_of_aggregates_again(lake: Lake) -> None:
    sound = table_rows(lake.hourly)
    lake.damaged_by(Flip("state.sum", 0, 1, 2), lake.hourly)
    assert lake.run("rollup", lake.root / "before") == 6
    assert main(["aggregate", str(lake.readings), str(lake.hourly), "--every", "1h", "--full"]) == 0
    assert table_rows(lake.hourly).equals(sound)
    assert lake.run("rollup", lake.root / "after") == 0


@pytest.mark.parametrize("flip", FLIPS, ids=str)
def test_verify_names_a_damaged_file(lake: Lake, capsys: pytest.CaptureFixture[str], flip: Flip) -> None:
    path = lake.damaged_by(flip, lake.readings)
    assert lake.run("verify", lake.root / "none") == 7
    said = capsys.readouterr()
    assert f"{path.name}: can't be read: " in said.out + said.err
