"""The arguments that several commands share: which table, series and time, how they are read, which settings."""

import argparse
from collections.abc import Sequence

from siltstone.api.arguments import Filters
from siltstone.cli.console import notice
from siltstone.config.load import load_config
from siltstone.config.model import Config
from siltstone.errors import UsageError

_FILTERS = {"series": "series ids", "device": "devices", "measurement": "measurements", "site": "sites"}
_OPTIONS = {"start": "--from", "end": "--to", "measures": "--measure"}


def as_option(name: str) -> str:
    """How the command line names an argument of the public functions."""
    return _OPTIONS.get(name, f"--{name.replace('_', '-')}")


def table_argument(parser: argparse.ArgumentParser, what: str = "folder or s3:// URI of a table") -> None:
    """The table that a command is about; LAKE TABLE, two words, is its old form."""
    parser.add_argument("table", metavar="LAKE/TABLE", help=f"{what}, such as lake/datalog")
    parser.add_argument("name", nargs="?", help=argparse.SUPPRESS)


def table_of(args: argparse.Namespace) -> str:
    """LAKE/TABLE, also where it was given in two words."""
    return str(args.table if args.name is None else f"{args.table.rstrip('/')}/{args.name}")


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


def reading_arguments(parser: argparse.ArgumentParser) -> None:
    """Which columns of a wide table, and how series are read between their points."""
    parser.add_argument(
        "--columns", default="", metavar="A,B", help="of a wide table: the columns, each a measurement of its unit"
    )
    parser.add_argument(
        "--rules",
        metavar="FILE",
        help="YAML with how series are read between points, before siltstone's own rules (conf/measurements.yaml)",
    )
    parser.add_argument("--measurements", metavar="FILE", help=argparse.SUPPRESS)  # its old name, for a release


def columns_of(args: argparse.Namespace) -> tuple[str, ...]:
    """The columns that were given."""
    return tuple(_parted([args.columns]))


def rules_file(args: argparse.Namespace) -> str | None:
    """The file of rules that was given; UsageError where its two names say different ones."""
    given = {file for file in (args.rules, args.measurements) if file is not None}
    if len(given) > 1:
        raise UsageError(
            f"--rules {args.rules} and --measurements {args.measurements} are two files of rules",
            "--measurements is the old name of --rules: give --rules alone.",
        )
    return next(iter(given), None)


def measures_of(args: argparse.Namespace) -> tuple[str, ...]:
    """The measures that were given, with commas or one by one; UsageError for an option that names none."""
    if empty := [text for text in args.measure if not _parted([text])]:
        raise UsageError(f"--measure {empty[0]!r} names no measure", "Give one, such as max, or leave --measure out.")
    return tuple(_parted(args.measure))


def _parted(texts: Sequence[str]) -> list[str]:
    """What stands between commas."""
    return [name.strip() for text in texts for name in text.split(",") if name.strip()]


EVERY_HELP = "length of a bucket: 1m 5m 15m 1h 1d 1w 1mo, any such length, or shifts@06:00,18:00"
_MEASURES = (
    "measures, with commas or repeated: time_weighted_average, integral, transitions, first, last, start_value, "
    "end_value, min, min_ts, max, max_ts, count, sum, mean, stddev, time_weighted_stddev, increase; also "
    "time_in_state, and quantiles such as p50 or p99"
)


def bucket_arguments(parser: argparse.ArgumentParser, *, zone: str, measure: str, empty: str) -> None:
    """How buckets are cut and what is said of them; `zone`, `measure`, `empty`: what holds by default."""
    what = f"IANA zone of days, weeks, months, shifts and dates (default: {zone})"
    parser.add_argument("--zone", metavar="ZONE", help=what)
    origin_argument(parser, "at which a bucket starts")
    measures = f"{_MEASURES} (default: {measure})"
    parser.add_argument("--measure", action="append", default=[], metavar="A,B", help=measures)
    parser.add_argument(
        "--empty",
        choices=("skip", "carry"),
        help=f"buckets without points: skip: no row; carry: one with the value carried in (default: {empty})",
    )


def origin_argument(parser: argparse.ArgumentParser, what: str) -> None:
    """Where buckets, or the instants of a grid, begin."""
    parser.add_argument("--origin", default="", metavar="T", help=f"an instant, or a date of the zone, {what}")


def output_arguments(parser: argparse.ArgumentParser) -> None:
    """Of every job that makes a table of another one."""
    group = parser.add_argument_group("where and how it runs")
    group.add_argument("--format", choices=("delta", "parquet"), help="of a new table (default: delta)")
    engine_argument(group)
    setting_arguments(parser)


def engine_argument(parser: argparse._ActionsContainer) -> None:
    """Of every command with tasks."""
    parser.add_argument("--engine", choices=("spark", "local"), help="default: spark inside Spark, else local")


def setting_arguments(parser: argparse.ArgumentParser) -> None:
    """Of every command that looks at data."""
    group = parser.add_argument_group("of every command")
    group.add_argument(
        "--conf", action="append", default=[], metavar="FILE", help="YAML over conf/base.yaml; repeatable"
    )
    group.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="one setting; repeatable")
    group.add_argument(
        "--json",
        action="store_true",
        help="one JSON object on one line, alone on stdout; text goes to stderr",
    )
    group.add_argument("--debug", action="store_true", help="errors with their trace")


def config_of(args: argparse.Namespace, *more: str) -> Config:
    """The configuration that the arguments name; `more`: settings over it."""
    given = [f"compaction.format={args.format}"] if getattr(args, "format", None) else []
    return load_config(args.conf, [*args.set, *given, *more], notice=notice)


def positive(text: str) -> int:
    """A whole number of at least 1, as argparse's type."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return number
