"""The public face: names that are imported when they are used, and functions that do what their commands do."""

import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import siltstone
import siltstone.spark
from siltstone import (
    aggregate,
    asof,
    compact,
    conventions,
    open_table,
    optimize,
    plot,
    publish,
    resample,
    rollup,
    survey,
    vacuum,
    verify,
)
from siltstone.errors import UsageError
from support.fleet import InProcess, World, record

NOON = 1_765_339_200  # 2025-12-10 12:00 in Makassar


def python(*words: str) -> str:
    """What a new process of Python prints."""
    environment = {**os.environ, "PYTHONPATH": str(Path(siltstone.__file__).parents[1])}
    told = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False, env=environment)
    assert told.returncode == 0, told.stderr
    return told.stdout


def test_importing_names_imports_nothing_that_they_need() -> None:
    text = """
import sys, siltstone
before = sorted(m for m in sys.modules if m.startswith("siltstone."))
for name in {names}:
    getattr(siltstone, name)
heavy = {{"polars", "pyarrow", "numpy", "deltalake", "boto3", "pyspark", "siltstone.ingest", "siltstone.table"}}
print(before, sorted(heavy & sys.modules.keys()))
""".format(names=[name for name in siltstone.__all__ if name not in ("Config", "SparkEngine", "load_config")])
    assert python("-c", text) == "['siltstone.version'] []\n"


def test_every_public_name_is_there_and_no_other() -> None:
    assert [name for name in siltstone.__all__ if getattr(siltstone, name, None) is None] == []
    assert set(siltstone.__all__) <= set(dir(siltstone))
    assert [name for name in siltstone.spark.__all__ if not callable(getattr(siltstone.spark, name))] == []
    with pytest.raises(AttributeError, match="module 'siltstone' has no attribute 'compress'"):
        _ = siltstone.compress


def test_a_script_needs_no_guard_for_its_workers(world: World) -> None:
    world.deliver({"BRCB/SLS30I009/2025121004": [record(NOON)]})
    script = world.lake.parent / "script.py"
    script.write_text(
        "from siltstone import compact\n"
        f"print(compact('datalog', {str(world.input)!r}, {str(world.lake)!r}).rows_out)\n"
    )
    assert python(str(script)) == "1\n"


@pytest.fixture
def lake(world: World) -> Path:
    """A lake with three records of two trucks, 10 s apart."""
    world.deliver({
        "BRCB/SLS30I009/2025121004": [record(NOON, gpsspeed=1.0), record(NOON + 10, gpsspeed=3.0)],
        "BRCB/SLS30I010/2025121004": [record(NOON, unitno="LD010", gpsspeed=5.0)],
    })  # fmt: skip
    found = compact("datalog", world.input, world.lake, engine=InProcess())
    assert (found.source, found.rows_out, found.refused) == ("datalog", 3, 0)
    assert (found["rows_out"], found.tables[0].files_ingested, dict(found)["files_ingested"]) == (3, 2, 2)
    return world.lake


def test_a_survey_tells_the_fields_before_a_first_run(world: World) -> None:
    world.deliver({"BRCB/SLS30I009/2025121004": [record(NOON, gpsspeed=1.0), record(NOON + 10, gpsspeed="n/a")]})
    (found,) = survey("datalog", world.input, files=1).datasets
    (speed,) = [field for field in found.fields if field.key == "gpsspeed"]
    assert (found.records, speed.values, speed.remarks) == (2, {"number": 1, "string": 1}, ["values of several kinds"])
    with pytest.raises(UsageError, match="0 files are no survey"):
        survey("datalog", world.input, files=0)


def test_tables_are_made_of_each_other(lake: Path) -> None:
    engine, told = InProcess(), []
    hours = aggregate(
        lake / "datalog", lake / "hours", every="1h", measures="max", columns="gpsspeed", engine=engine,
        progress=lambda what, *_: told.append(what),
    )  # fmt: skip
    assert (hours.run[:9], hours.points, hours.rows_out, hours.series) == ("00000001-", 3, 2, 2)
    assert "finishing 3 states" in told
    assert sorted(pl.read_delta(str(lake / "hours"))["max"]) == [3.0, 5.0]
    again = aggregate(lake / "datalog", lake / "hours", every="1h", measures="max", columns="gpsspeed", engine=engine)
    assert (again.run, again.files_known, set(again)) == (
        "", 1, {"table", "input", "engine", "run", "files_known", "seconds"}
    )  # fmt: skip
    days = rollup(lake / "hours", lake / "days", every="1d", engine=engine)
    assert (days.base, days.rows_out, days.points) == ("1h", 2, 3)
    # every 5 s from each series' first point to the last instant: 3 instants of each
    grid = resample(lake / "datalog", lake / "grid", every="5s", fill="previous", columns=["gpsspeed"], engine=engine)
    assert (grid.rows_out, grid.fill) == (6, "previous")
    joined = asof(lake / "datalog", lake / "datalog", lake / "joined", by="unitno", strict=True, engine=engine)
    assert (joined.rows_in, joined.rows_matched) == (3, 1)  # the second record of the first truck follows its first
    picture = plot(lake / "hours", lake.parent / "hours.html", measure="max")
    assert (picture.buckets, len(picture.series)) == (2, 2)
    assert (lake.parent / "hours.html").stat().st_size == picture.bytes


def test_a_convention_is_told_by_name(lake: Path) -> None:
    assert {"opcua", "toolkit", "flux", "sitewise"} == set(conventions())
    made = aggregate(
        lake / "datalog", lake / "flux", every="1h", columns="gpsspeed", convention="flux", engine=InProcess()
    )
    assert (made["convention"], made.rows_in) == ("flux", 3)


def test_a_table_is_looked_at_proven_and_taken_care_of(lake: Path) -> None:
    table = open_table(lake / "datalog")
    assert table.describe()["rows"] == 3
    assert sum(pl.read_parquet(file).height for file in table.files()) == 3
    assert table.quarantine().height == 0
    assert verify(lake / "datalog", engine=InProcess()).problems == []
    assert optimize(str(lake / "datalog")).files_removed == 0
    (lake / "datalog/_siltstone/plans").mkdir(exist_ok=True)
    spare = lake / "datalog/_siltstone/plans/left.json"
    spare.write_text("{}")
    os.utime(spare, (0, 0))
    would, did = (vacuum(lake / "datalog", dry_run=dry_run).files for dry_run in (True, False))
    assert would == did == ["_siltstone/plans/left.json"]
    assert not spare.exists()


def test_what_does_not_fit_is_refused_in_pythons_words(lake: Path) -> None:
    source, out = lake / "datalog", lake / "out"
    with pytest.raises(UsageError, match=r"no every\. Give one, such as every 1h, or start and end"):
        aggregate(source, out, columns="gpsspeed")
    with pytest.raises(UsageError, match="min_pct_good 101 is no percentage"):
        aggregate(source, out, every="1h", min_pct_good=101)
    with pytest.raises(UsageError, match="empty and min_pct_good are siltstone's own"):
        aggregate(source, out, every="1h", convention="flux", empty="carry")
    with pytest.raises(UsageError, match="archive_to is given without archive"):
        publish(lake, out, archive_to=out)
    with pytest.raises(UsageError, match="direction 'sideways' means nothing here"):
        asof(source, source, out, direction="sideways")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"out .*picture\.svg ends in neither"):
        plot(source, lake / "picture.svg")
    with pytest.raises(UsageError, match="no table 'nothing'"):
        open_table(lake / "nothing")
    with pytest.raises(UsageError, match=r"'/' is no table\. Give LAKE/TABLE"):
        open_table("/")
    assert not out.exists()
