"""The commands that make tables of tables, with all of them on S3: the rows that they make on a disk."""

from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable
from polars.testing import assert_frame_equal

from siltstone.cli import main as cli
from siltstone.storage import Storage, open_root
from support.commands import run_tasks_here
from support.readings_table import Readings, quarters, reading
from support.s3_bucket import Bucket

FIRST = [
    *quarters("door", "2015-01-01T00:05", 30),
    *quarters("door", "2015-01-02T00:05", 30, site="bldg2"),
    reading("Temp", "2015-01-03T03:00"),
]
LATER = [
    *quarters("door", "2015-01-01T08:20", 10),
    reading("mode", "2015-01-03T02:00", None, text="off", kind="string"),
]
LOCAL = ("--engine", "local", "--debug")
MEASURES = ("--measure", "time_weighted_average", "--measure", "p50", "--measure", "time_in_state")
# Hourly: 8 hours of each door and 3 later ones, 1 of each other. Daily, by the clock 8 hours ahead: a day of each.
# Grid, to the 3rd 03:00: from the 1st 01:00, the 2nd 01:00, the 3rd 03:00 and 02:00, so 51 + 27 + 1 + 2. Joined: the
# readings.
ROWS = {"hourly": 21, "daily": 4, "grid": 81, "joined": 72}


@pytest.fixture(autouse=True)
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    run_tasks_here(monkeypatch)


def run(lake: str, command: str, *words: str, settings: tuple[str, ...] = ()) -> None:
    """A command whose words that begin with @ are tables of the lake."""
    given = [f"{lake}/{word[1:]}" if word.startswith("@") else word for word in words]
    assert cli.main([command, *given, *settings]) == 0, command


def aggregate(lake: str, settings: tuple[str, ...]) -> None:
    run(lake, "aggregate", "@readings", "@hourly", "--every", "1h", *MEASURES, *LOCAL, settings=settings)


def derive(lake: str, settings: tuple[str, ...]) -> None:
    for words in (
        ("rollup", "@hourly", "@daily", "--every", "1d", "--zone", "Asia/Makassar", *MEASURES),
        ("resample", "@readings", "@grid", "--every", "1h"),
        ("asof", "@readings", "@hourly", "@joined", "--by", "site", "--by", "series_id", "--tolerance", "2h"),
    ):
        run(lake, *words, *LOCAL, settings=settings)


def frame(root: Storage) -> pl.DataFrame:
    table = DeltaTable(root.root, storage_options=root.delta_options()).to_pyarrow_table()
    time = "ts" if "ts" in table.column_names else "bucket_start"
    return pl.DataFrame(pl.from_arrow(table)).sort("site", "series_id", time)


def test_tables_of_a_lake_on_s3_have_the_rows_of_one_on_a_disk(bucket: Bucket, tmp_path: Path) -> None:
    there, here = f"s3://{bucket.name}/lake", str(tmp_path / "lake")
    settings = "--set", f"storage.endpoint={bucket.server.url}", "--set", "storage.path_style=true"

    def data_files() -> set[str]:
        return {key for key in bucket.listed() if key.startswith("lake/hourly/date=")}

    readings, known = Readings(there, bucket.access), Readings(here)
    readings.add(FIRST)
    aggregate(there, settings)
    before = data_files()
    readings.add(LATER)
    bucket.faults.fail_share(0.1, 7)
    aggregate(there, settings)
    derive(there, settings)
    bucket.faults.share = 0.0
    run(there, "vacuum", there, "hourly", "--set", "vacuum.grace_hours=0", "--force", settings=settings)

    known.add(FIRST)
    known.add(LATER)
    aggregate(here, ())
    derive(here, ())
    for name, rows in ROWS.items():
        found = frame(open_root(there, bucket.access).child(name))
        assert_frame_equal(found, frame(open_root(here).child(name)), check_exact=False)
        assert found.height == rows, name
    # the later rows touch none of the 2nd; the 3rd was provisional; what the 1st was is gone
    assert {key.split("/")[2] for key in before & data_files()} == {"date=2015-01-02"}
    assert len(data_files()) == 3
    assert [key for key in bucket.listed() if "/work/" in key or "/plans/" in key] == []
