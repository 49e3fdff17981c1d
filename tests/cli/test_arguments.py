"""The arguments that commands share mean the same in each of them."""

import argparse
from collections.abc import Callable
from pathlib import Path

import pytest

from siltstone.cli import aggregate, asof, optimize, plot, resample
from siltstone.cli.arguments import (
    columns_of,
    config_of,
    filters_of,
    instant_us,
    measures_of,
    period_of,
    place_of,
    rules_file,
)
from siltstone.errors import UsageError
from siltstone.model.periods import EARLIEST_US, LATEST_US

Declare = Callable[[argparse.ArgumentParser], None]
COMMANDS: list[tuple[Declare, str, list[str]]] = [
    (aggregate.declare, "", ["in", "out"]),
    (resample.declare, "", ["in", "out", "--every", "1h"]),
    (plot.declare, "", ["in", "--out", "a.png"]),
    (asof.declare, "left", ["in", "in", "out"]),
    (asof.declare, "right", ["in", "in", "out"]),
]
DAY_US = 86_400_000_000


def parsed(declare: Declare, words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    declare(parser)
    return parser.parse_args(words)


@pytest.mark.parametrize(("declare", "side", "needed"), COMMANDS)
def test_a_filter_is_repeated_and_takes_one_pattern_so_that_it_swallows_no_table(
    declare: Declare, side: str, needed: list[str]
) -> None:
    dash = f"--{side}-" if side else "--"
    filters = [f"{dash}device", "a*", f"{dash}device", "b", f"{dash}measurement", "CO2", f"{dash}site", "x",
               f"{dash}series", "s"]  # fmt: skip
    found = filters_of(parsed(declare, [*filters, *needed]), side)
    assert found == {"series": ("s",), "devices": ("a*", "b"), "measurements": ("CO2",), "sites": ("x",)}
    assert filters_of(parsed(declare, needed), side) == {
        "series": (), "devices": (), "measurements": (), "sites": ()
    }  # fmt: skip


@pytest.mark.parametrize(("declare", "side", "needed"), COMMANDS[:3])
def test_dates_are_of_the_zone_and_what_is_left_out_is_all_of_time(
    declare: Declare, side: str, needed: list[str]
) -> None:
    args = parsed(declare, [*needed, "--from", "1970-01-02", "--to", "1970-01-03T08:00"])
    period = period_of(args, "Asia/Makassar")  # 8 hours before UTC's
    assert (period.start_us, period.end_us) == (DAY_US * 16 // 24, 2 * DAY_US)
    period = period_of(parsed(declare, needed), "UTC")
    assert (period.start_us, period.end_us) == (EARLIEST_US, LATEST_US)


def test_instants_have_the_offset_that_they_say_or_that_of_the_zone() -> None:
    assert instant_us("1970-01-01T00:00:00.000001Z", "Asia/Makassar", "--to") == 1
    assert instant_us("1970-01-01T00:00:01+08:00", "UTC", "--to") == -28_799_000_000
    assert instant_us("1970-01-01 08:00", "Asia/Makassar", "--to") == 0


@pytest.mark.parametrize("text", ["soon", "2025-02-30", "2025-13-01T00:00", "", "0001-01-01"])
def test_what_is_no_time_names_its_option(text: str) -> None:
    with pytest.raises(UsageError, match=f"--from '{text}' is no time. Give a date such as"):
        instant_us(text, "Asia/Makassar", "--from")


def test_columns_and_format() -> None:
    args = parsed(aggregate.declare, ["in", "out", "--columns", " a, b,,", "--format", "parquet"])
    assert columns_of(args) == ("a", "b")
    assert config_of(args).compaction.format == "parquet"
    assert config_of(args, "compaction.format=delta").compaction.format == "delta"


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (["/data/lake/datalog"], ("/data/lake", "datalog")),
        (["/data/lake/datalog/"], ("/data/lake", "datalog")),
        (["/datalog"], ("/", "datalog")),
        (["s3://bucket/datalog"], ("s3://bucket", "datalog")),
        (["s3://bucket/lake/datalog/"], ("s3://bucket/lake", "datalog")),
        (["lake", "datalog"], ("lake", "datalog")),  # the old form
    ],
)
def test_a_table_is_one_path_or_as_before_two_words(words: list[str], place: tuple[str, str]) -> None:
    assert place_of(parsed(optimize.declare, words)) == place


def test_a_table_in_this_folder_needs_no_lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert place_of(parsed(optimize.declare, ["datalog"])) == (str(tmp_path), "datalog")


def test_a_bucket_is_no_table() -> None:
    with pytest.raises(UsageError, match=r"s3://bucket is a bucket, not a table. Give LAKE/TABLE"):
        place_of(parsed(optimize.declare, ["s3://bucket/"]))


def test_measures_with_commas_or_one_by_one() -> None:
    args = parsed(aggregate.declare, ["in", "out", "--measure", "min, max", "--measure", "p99,"])
    assert measures_of(args) == ("min", "max", "p99")


def test_the_file_of_rules_has_an_old_name() -> None:
    def file(*words: str) -> str | None:
        return rules_file(parsed(resample.declare, ["in", "out", "--every", "1h", *words]))

    assert file() is None
    assert file("--rules", "a.yaml") == file("--measurements", "a.yaml") == "a.yaml"
    assert file("--rules", "a.yaml", "--measurements", "a.yaml") == "a.yaml"
    with pytest.raises(UsageError, match=r"--rules a.yaml and --measurements b.yaml are two files of rules"):
        file("--rules", "a.yaml", "--measurements", "b.yaml")
