"""The arguments that commands share mean the same in each of them."""

import argparse
from collections.abc import Callable

import pytest

from siltstone.api.arguments import period_between
from siltstone.cli.aggregate import aggregate_arguments
from siltstone.cli.arguments import columns_of, config_of, filters_of
from siltstone.cli.plot import plot_arguments
from siltstone.cli.series import asof_arguments, resample_arguments
from siltstone.model.periods import EARLIEST_US, LATEST_US

Declare = Callable[[argparse.ArgumentParser], argparse.ArgumentParser]
COMMANDS: list[tuple[Declare, str, list[str]]] = [
    (aggregate_arguments, "", ["in", "out"]),
    (resample_arguments, "", ["in", "out", "--every", "1h"]),
    (plot_arguments, "", ["in", "--out", "a.png"]),
    (asof_arguments, "left", ["in", "in", "out"]),
    (asof_arguments, "right", ["in", "in", "out"]),
]
DAY_US = 86_400_000_000


def parsed(declare: Declare, words: list[str]) -> argparse.Namespace:
    return declare(argparse.ArgumentParser()).parse_args(words)


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
    period = period_between(args.start, args.end, "Asia/Makassar")  # 8 hours before UTC's
    assert (period.start_us, period.end_us) == (DAY_US * 16 // 24, 2 * DAY_US)
    args = parsed(declare, needed)
    period = period_between(args.start, args.end, "UTC")
    assert (period.start_us, period.end_us) == (EARLIEST_US, LATEST_US)


def test_columns_and_format() -> None:
    args = parsed(aggregate_arguments, ["in", "out", "--columns", " a, b,,", "--format", "parquet"])
    assert columns_of(args) == ("a", "b")
    assert config_of(args).compaction.format == "parquet"
    assert config_of(args, "compaction.format=delta").compaction.format == "delta"
