"""The arguments that commands share mean the same in each of them."""

import argparse
from collections.abc import Callable

import pytest

from siltstone.cli import aggregate, asof, optimize, plot, resample
from siltstone.cli.arguments import (
    as_option,
    columns_of,
    config_of,
    filters_of,
    measures_of,
    rules_file,
    table_of,
)
from siltstone.errors import UsageError

Declare = Callable[[argparse.ArgumentParser], None]
COMMANDS: list[tuple[Declare, str, list[str]]] = [
    (aggregate.declare, "", ["in", "out"]),
    (resample.declare, "", ["in", "out", "--every", "1h"]),
    (plot.declare, "", ["in", "--out", "a.png"]),
    (asof.declare, "left", ["in", "in", "out"]),
    (asof.declare, "right", ["in", "in", "out"]),
]


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


@pytest.mark.parametrize(
    ("name", "option"),
    [("start", "--from"), ("end", "--to"), ("measures", "--measure"), ("rules", "--rules"), ("fill", "--fill"),
     ("min_pct_good", "--min-pct-good")],
)  # fmt: skip
def test_errors_name_arguments_as_the_command_line_does(name: str, option: str) -> None:
    assert as_option(name) == option


def test_columns_and_format() -> None:
    args = parsed(aggregate.declare, ["in", "out", "--columns", " a, b,,", "--format", "parquet"])
    assert columns_of(args) == ("a", "b")
    assert config_of(args).compaction.format == "parquet"
    assert config_of(args, "compaction.format=delta").compaction.format == "delta"


@pytest.mark.parametrize(
    ("words", "table"),
    [
        (["lake/datalog"], "lake/datalog"),
        (["s3://bucket/lake/datalog/"], "s3://bucket/lake/datalog/"),
        (["lake", "datalog"], "lake/datalog"),  # the old form
        (["s3://bucket/", "datalog"], "s3://bucket/datalog"),
        (["/", "datalog"], "/datalog"),
    ],
)
def test_a_table_is_one_path_or_as_before_two_words(words: list[str], table: str) -> None:
    assert table_of(parsed(optimize.declare, words)) == table


def test_measures_with_commas_or_one_by_one() -> None:
    args = parsed(aggregate.declare, ["in", "out", "--measure", "min, max", "--measure", "p99,"])
    assert measures_of(args) == ("min", "max", "p99")


@pytest.mark.parametrize("empty", [",", "", " , "])
def test_an_option_without_a_measure_is_refused(empty: str) -> None:
    args = parsed(aggregate.declare, ["in", "out", "--measure", "min", "--measure", empty])
    with pytest.raises(UsageError, match=f"^--measure '{empty}' names no measure. Give one, such as max, or leave"):
        measures_of(args)


def test_the_file_of_rules_has_an_old_name() -> None:
    def file(*words: str) -> str | None:
        return rules_file(parsed(resample.declare, ["in", "out", "--every", "1h", *words]))

    assert file() is None
    assert file("--rules", "a.yaml") == file("--measurements", "a.yaml") == "a.yaml"
    assert file("--rules", "a.yaml", "--measurements", "a.yaml") == "a.yaml"
    with pytest.raises(UsageError, match=r"--rules a.yaml and --measurements b.yaml are two files of rules"):
        file("--rules", "a.yaml", "--measurements", "b.yaml")
