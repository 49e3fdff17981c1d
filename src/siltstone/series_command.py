"""`siltstone resample` and `siltstone asof`: their arguments, and what people read of them on stdout."""

import argparse
import json
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from siltstone.aggregate_command import common_arguments, config_of, instant_us
from siltstone.engine import Engine
from siltstone.errors import UsageError
from siltstone.progress import Reporter

_FILTERS = {"series": "series ids", "device": "devices", "measurement": "measurements", "site": "sites"}


def resample_arguments(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The arguments of the resample job."""
    parser.add_argument("input", help="a table: LAKE/readings, or a wide one such as LAKE/datalog with --columns")
    parser.add_argument("output", help="folder or s3:// URI of the table of values; created if missing")
    parser.add_argument("--every", metavar="LENGTH", required=True, help="of the grid: 1s 5m 1h 1d, any such length")
    parser.add_argument(
        "--fill",
        choices=("previous", "linear", "nearest", "interpretation"),
        default="interpretation",
        help="the value between points: of the last one, on the line, of the nearest, or (default) as each series is "
        "read by --measurements and siltstone's own rules",
    )
    parser.add_argument("--limit", metavar="LENGTH", help="points further away than this give no value (90s, 15m, 1h)")
    parser.add_argument(
        "--from",
        dest="start",
        metavar="T",
        help="first instant: RFC 3339, or a date of the zone (default: first point)",
    )
    parser.add_argument("--to", dest="end", metavar="T", help="instants before; default: to the table's latest instant")
    parser.add_argument("--zone", default="UTC", metavar="ZONE", help="IANA zone of days, weeks, months and dates")
    parser.add_argument(
        "--origin", default="", metavar="T", help="an instant, or a date of the zone, that is on the grid"
    )
    parser.add_argument(
        "--columns", default="", metavar="A,B", help="of a wide table: the columns, each a measurement of its unit"
    )
    _filters(parser)
    parser.add_argument(
        "--measurements", metavar="FILE", help="YAML with how series are read between points, before siltstone's rules"
    )
    common_arguments(parser)
    return parser


def _filters(parser: argparse.ArgumentParser, side: str = "") -> None:
    for name, what in _FILTERS.items():
        parser.add_argument(
            f"--{side}-{name}" if side else f"--{name}",
            action="append",
            default=[],
            metavar="PATTERN",
            help=f"only these {what}{f' of the {side} table' if side else ''}; * for any text; repeatable",
        )


def _chosen(args: argparse.Namespace, side: str = "") -> dict[str, tuple[str, ...]]:
    """The filters of the arguments as Terms has them."""
    names = {"series": "series", "device": "devices", "measurement": "measurements", "site": "sites"}
    return {term: tuple(getattr(args, f"{side}{name}")) for name, term in names.items()}


def length_us(text: str | None, option: str) -> int | None:
    """Microseconds of a length of time; None where none is given. UsageError for anything else."""
    from siltstone.aggregates.interpretation import duration_us

    found = duration_us(text) if text else None
    if text is not None and found is None:
        raise UsageError(f"{option} {text!r} is no length of time", "Give one such as 90s, 15m, 1h or 2d.")
    return found


def run_resample(args: argparse.Namespace, engine_of: Any) -> int:
    """Resample as the arguments say, print the summary; 0."""
    config = config_of(args)
    from siltstone.aggregates.buckets import buckets_of
    from siltstone.aggregation.reading_plan import Period
    from siltstone.aggregation.resample import resample_table
    from siltstone.aggregation.terms import Terms, rows_of
    from siltstone.measurements import load_interpretations

    buckets_of(args.every, args.zone, args.origin or None)  # what they can't be is told first
    default = Period()
    period = Period(
        default.start_us if args.start is None else instant_us(args.start, args.zone, "--from"),
        default.end_us if args.end is None else instant_us(args.end, args.zone, "--to"),
    )
    if period.end_us <= period.start_us:
        raise UsageError("--to is not after --from", "Give a later --to.")
    terms = Terms(
        every=args.every,
        zone=args.zone,
        origin=args.origin,
        measures=(),
        columns=tuple(c.strip() for c in args.columns.split(",") if c.strip()),
        rules=rows_of(load_interpretations(args.measurements)),
        **_chosen(args),  # type: ignore[arg-type]
    )
    limit_us = length_us(args.limit, "--limit")
    with Reporter() as progress:
        engine: Engine = engine_of(args.engine, config)
        summary = resample_table(args.input, args.output, terms, args.fill, limit_us, period, config, engine, progress)
    read = (
        f"read         {summary['rows_in']:,} rows, and {summary['rows_beside']:,} of before and after: "
        f"{summary['points']:,} points + {summary['repeated']:,} repeated + {summary['rows_left_out']:,} left out"
        if summary["run"]
        else ""
    )
    _print(summary, read, "instants", as_json=args.json)
    return 0


def asof_arguments(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The arguments of the as-of job."""
    parser.add_argument("left", help="LAKE/readings, a wide table, or one that aggregate, rollup or resample has made")
    parser.add_argument("right", help="another such table, or the same")
    parser.add_argument("output", help="folder or s3:// URI of the joined table; created if missing")
    parser.add_argument(
        "--direction",
        choices=("backward", "forward", "nearest"),
        default="backward",
        help="the right row at or before the left one's time (default), at or after it, or the nearer of both",
    )
    parser.add_argument("--tolerance", metavar="LENGTH", help="greatest distance in time (90s, 15m, 1h; default: any)")
    parser.add_argument("--strict", action="store_true", help="a right row at the very time does not count")
    parser.add_argument(
        "--by",
        action="append",
        default=[],
        metavar="COLUMN",
        help="rows meet where this is equal, repeatable (default: series_id; of two measurements: device_id)",
    )
    parser.add_argument("--how", choices=("left", "inner"), default="left", help="inner: only left rows with a match")
    parser.add_argument(
        "--suffix", default="_right", metavar="TEXT", help="of right columns that the left table has too"
    )
    for side in ("left", "right"):
        _filters(parser, side)
    common_arguments(parser)
    return parser


def run_asof(args: argparse.Namespace, engine_of: Any) -> int:
    """Join as the arguments say, print the summary; 0."""
    config = config_of(args)
    from siltstone.aggregation.asof_job import asof_tables
    from siltstone.aggregation.asof_tasks import Joining
    from siltstone.aggregation.terms import Terms

    usual = "device_id" if args.left_measurement and args.right_measurement else "series_id"
    joining = Joining(
        by=tuple(args.by) or (usual,),
        direction=args.direction,
        tolerance_us=length_us(args.tolerance, "--tolerance"),
        allow_exact=not args.strict,
        how=args.how,
        suffix=args.suffix,
    )
    wanted = tuple(Terms("1d", measures=(), **_chosen(args, f"{side}_")) for side in ("left", "right"))  # type: ignore[arg-type]
    with Reporter() as progress:
        engine: Engine = engine_of(args.engine, config)
        summary = asof_tables(
            args.left, args.right, args.output, (wanted[0], wanted[1]), joining, config, engine, progress
        )
    read = (
        f"left         {summary['rows_in']:,} rows: {summary['rows_matched']:,} matched + "
        f"{summary['rows_in'] - summary['rows_matched'] - summary['rows_left_out']:,} without a match + "
        f"{summary['rows_left_out']:,} left out"
        if summary["run"]
        else ""
    )
    _print(summary, read, "rows", as_json=args.json)
    return 0


def _print(s: Mapping[str, Any], read: str, rows: str, *, as_json: bool) -> None:
    """What was made, for people, and with `as_json` one JSON object on the last line."""
    lines = [
        f"nothing to do: {s['table']} is what its {s.get('files_known', 0):,} data files say ({s['seconds']:.1f} s)"
    ]
    if s["run"]:
        lines = [
            read,
            f"written      {s['rows_out']:,} {rows}: {s['files_written']:,} files, {s['bytes_written'] / 1e6:,.1f} MB",
            f"table        {s['table']} (run {s['run']}, {s['engine']}, {s['seconds']:.1f} s)",
        ]
    Console(soft_wrap=True, highlight=False, markup=False).print(*lines, sep="\n", soft_wrap=True)
    if as_json:
        print(json.dumps(s, default=str), flush=True)  # noqa: T201
