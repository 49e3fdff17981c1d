"""The arguments that several commands share: which series, which time, how they are read, which settings."""

import argparse
from collections.abc import Mapping
from typing import Any, TypedDict

from rich.console import Console

from siltstone.config.load import load_config
from siltstone.config.model import Config

_FILTERS = {"series": "series ids", "device": "devices", "measurement": "measurements", "site": "sites"}
_OPTIONS = {"start": "--from", "end": "--to", "measures": "--measure", "rules": "--measurements"}


class Filters(TypedDict):
    """Patterns of series: of each kind that is given one has to fit."""

    series: tuple[str, ...]
    devices: tuple[str, ...]
    measurements: tuple[str, ...]
    sites: tuple[str, ...]


def filter_arguments(parser: argparse.ArgumentParser, side: str = "") -> None:
    """Which series; `side`: of one of two tables."""
    group = parser.add_argument_group(
        f"which series{f' of the {side} table' if side else ''}",
        "A pattern is of the whole name: * is any text, ? one character, and capitals count.\n"
        "Each may be repeated, and one of its patterns has to fit.",
    )
    for name, what in _FILTERS.items():
        group.add_argument(
            f"--{side}-{name}" if side else f"--{name}",
            action="append",
            default=[],
            metavar="PATTERN",
            help=f"only these {what}",
        )


def filters_of(args: argparse.Namespace, side: str = "") -> Filters:
    """The patterns that were given."""
    series, devices, measurements, sites = (
        tuple(getattr(args, f"{side}_{name}" if side else name)) for name in _FILTERS
    )
    return Filters(series=series, devices=devices, measurements=measurements, sites=sites)


def period_arguments(parser: argparse.ArgumentParser, start: str, end: str) -> None:
    """From when to when; `start`, `end`: what the two say."""
    parser.add_argument(
        "--from",
        dest="start",
        metavar="T",
        help=f"{start}: a date of the zone, 2026-01-31T06:00 there, or with an offset or Z",
    )
    parser.add_argument("--to", dest="end", metavar="T", help=end)


def as_option(name: str) -> str:
    """How the command line names an argument of the public face."""
    return _OPTIONS.get(name, f"--{name.replace('_', '-')}")


def reading_arguments(parser: argparse.ArgumentParser) -> None:
    """Which columns of a wide table, and how series are read between their points."""
    parser.add_argument(
        "--columns", default="", metavar="A,B", help="of a wide table: the columns, each a measurement of its unit"
    )
    parser.add_argument(
        "--measurements",
        metavar="FILE",
        help="YAML with how series are read between points, before siltstone's own rules (conf/measurements.yaml)",
    )


def columns_of(args: argparse.Namespace) -> tuple[str, ...]:
    """The columns that were given."""
    return tuple(name.strip() for name in args.columns.split(",") if name.strip())


def origin_argument(parser: argparse.ArgumentParser, what: str) -> None:
    """Where buckets, or the instants of a grid, begin."""
    parser.add_argument("--origin", default="", metavar="T", help=f"an instant, or a date of the zone, {what}")


def table_arguments(parser: argparse.ArgumentParser) -> None:
    """Of every job that makes a table of another one."""
    group = parser.add_argument_group("where and how it runs")
    group.add_argument("--format", choices=("delta", "parquet"), help="of a new table (default: delta)")
    group.add_argument("--engine", choices=("spark", "local"), help="default: spark inside Spark, else local")
    setting_arguments(parser)


def setting_arguments(parser: argparse.ArgumentParser) -> None:
    """Of every command."""
    parser.add_argument(
        "--conf", action="append", default=[], metavar="FILE", help="YAML over conf/base.yaml; repeatable"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="one setting; repeatable")
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line of stdout")
    parser.add_argument("--debug", action="store_true", help="errors with their trace")


def tell_if_nothing(summary: Mapping[str, Any], given: str) -> None:
    """Say on stderr that a run made no row of rows that it read, and what to do."""
    is_first = summary.get("buckets_touched") is None  # later ones may bring nothing that was asked for
    if is_first and summary["run"] and summary["rows_in"] and not summary["rows_out"]:
        Console(stderr=True, soft_wrap=True, highlight=False, markup=False).print(
            f"siltstone: no row was made of the {summary['rows_in']:,} rows of {given}: no series fits what was asked "
            f"for, or none has points in that time. Names are compared as they are written, capitals included. To ask "
            f"for something else, give another folder than {summary['table']}, or delete that one."
        )


def config_of(args: argparse.Namespace, *more: str) -> Config:
    """The configuration that the arguments name; `more`: settings over it."""
    given = [f"compaction.format={args.format}"] if getattr(args, "format", None) else []
    return load_config(args.conf, [*args.set, *given, *more])
