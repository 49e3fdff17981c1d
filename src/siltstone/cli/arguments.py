"""The arguments that several commands share: which series, which time, how they are read, which settings."""

import argparse
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, TypedDict
from zoneinfo import ZoneInfo

from rich.console import Console

from siltstone.config.load import load_config
from siltstone.config.model import Config
from siltstone.errors import UsageError

if TYPE_CHECKING:
    from siltstone.aggregation.read_plan import Period

_FILTERS = {"series": "series ids", "device": "devices", "measurement": "measurements", "site": "sites"}


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


def period_of(args: argparse.Namespace, zone: str) -> "Period":
    """The period that was given, all of time where none was; UsageError where there is no time in it."""
    from siltstone.aggregation.read_plan import Period

    zone_of(zone)
    ever = Period()
    start = ever.start_us if args.start is None else instant_us(args.start, zone, "--from")
    end = ever.end_us if args.end is None else instant_us(args.end, zone, "--to")
    if end <= start:
        raise UsageError(
            f"--to {args.end} is not after --from {args.start}", "The period ends before --to: give a later one."
        )
    return Period(start, end)


def zone_of(name: str) -> str:
    """The name, if it is one of a time zone; else UsageError."""
    from siltstone.timeseries.buckets import buckets_of

    buckets_of("1d", name)
    return name


def instant_us(text: str, zone: str, option: str) -> int:
    """Microseconds of an RFC 3339 instant, or of the start of a date in a zone. UsageError for anything else."""
    try:
        if len(text) == 10:
            moment = datetime.combine(date.fromisoformat(text), datetime.min.time(), ZoneInfo(zone))
        else:
            moment = datetime.fromisoformat(text)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))
        whole = moment.astimezone(UTC)
    except (ValueError, KeyError, OverflowError):
        raise UsageError(
            f"{option} {text!r} is no time",
            "Give a date such as 2026-01-31, 2026-01-31T06:00 of the zone, or 2026-01-31T06:00:00Z.",
        ) from None
    return int(whole.replace(microsecond=0).timestamp()) * 1_000_000 + whole.microsecond


def length_us(text: str | None, option: str) -> int | None:
    """Microseconds of a length of time; None where none is given. UsageError for anything else."""
    from siltstone.timeseries.interpretation import duration_us

    found = duration_us(text) if text else None
    if text is not None and found is None:
        raise UsageError(f"{option} {text!r} is no length of time", "Give one such as 90s, 15m, 1h or 2d.")
    return found


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
