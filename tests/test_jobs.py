"""Jobs, notebooks and the submit script: thin, and they work as a user calls them."""

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from support.fleet import World, record
from support.readings_table import Readings, quarters

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROOT = Path(__file__).parents[1]


def submit(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ROOT / "spark-submit.sh", *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("job", sorted((ROOT / "jobs").glob("*.py")), ids=lambda path: path.stem)
def test_a_job_is_a_recipe_card(job: Path) -> None:
    assert len(job.read_text().splitlines()) <= 40


def test_submitting_locally_runs_the_job_with_this_environment() -> None:
    told = submit("compact", "--env", "local", "--spark", "a=b", "--dry-run", "--", "datalog", "IN", "LAKE", "--strict")
    assert told.returncode == 0
    words = told.stdout.split()
    assert words[0].endswith(".venv/bin/spark-submit")
    assert "a=b" in words
    assert words[-4:] == ["datalog", "IN", "LAKE", "--strict"]


def test_submitting_to_emr_ships_the_environment_and_gives_python_memory() -> None:
    told = submit("compact", "--env", "emr", "--dry-run", "--", "datalog", "IN", "LAKE")
    assert told.returncode == 0
    assert "spark.executor.memoryOverhead=4g" in told.stdout
    assert "siltstone-env.tar.gz#environment" in told.stdout


def test_an_unknown_job_names_those_there_are() -> None:
    told = submit("compress", "--", "datalog", "IN", "LAKE")
    assert told.returncode == 2
    assert "no job 'compress'; there are: aggregate asof compact optimize publish resample rollup verify" in told.stderr


def test_the_notebook_compacts_and_reads_the_table(
    spark: "SparkSession", world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.deliver({"BRCB/SLS30I009/2025121004": [record(), record(1_765_339_201)]})
    names = run_notebook("compact_datalog.py", spark, input=str(world.input), lake=str(world.lake))
    assert names["summary"]["rows_out"] == 2
    assert "|2025-12-10|       BRCB|    2|" in capsys.readouterr().out


def test_the_notebook_aggregates_a_table_and_a_frame(
    spark: "SparkSession", tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Readings(str(tmp_path)).add(quarters("door", "2015-01-01", 5))
    names = run_notebook("aggregate_readings.py", spark, lake=str(tmp_path), every="1h")
    assert (names["summary"]["points"], names["summary"]["rows_out"]) == (5, 2)
    assert [row.time_weighted_average for row in names["by_frame"].orderBy("bucket_start").collect()] == [1.5, None]
    assert "|     door|bldg1|2015-01-01 00:00:00|2015-01-01 01:00:00|                  1.5|" in capsys.readouterr().out


def run_notebook(name: str, spark: "SparkSession", **given: str) -> dict[str, Any]:
    """Run a notebook with these widgets; its names."""
    widgets = SimpleNamespace(text=lambda name, default, label: None, get=given.__getitem__)
    names: dict[str, Any] = {"spark": spark, "dbutils": SimpleNamespace(widgets=widgets)}
    exec(compile((ROOT / "notebooks" / name).read_text(), name, "exec"), names)
    return names
