"""`siltstone resample` and `siltstone asof`: their arguments, and what people read of them on stdout."""

import argparse
import json
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from siltstone.cli.arguments import (
    as_option,
    columns_of,
    config_of,
    filter_arguments,
    filters_of,
    origin_argument,
    period_arguments,
    reading_arguments,
    table_arguments,
    tell_if_nothing,
)
from siltstone.cli.progress import Reporter


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
    period_arguments(
        parser, "first instant (default: first point)", "instants before (default: to the table's latest one)"
    )
    parser.add_argument(
        "--zone", default="UTC", metavar="ZONE", help="IANA zone of days, weeks, months and dates (default: UTC)"
    )
    origin_argument(parser, "that is on the grid")
    filter_arguments(parser)
    reading_arguments(parser)
    table_arguments(parser)
    return parser


def run_resample(args: argparse.Namespace, engine_of: Any) -> int:
    """Resample as the arguments say, print the summary; 0."""
    config = config_of(args)
    from siltstone.api.series import resample

    with Reporter() as progress:
        summary = resample(
            args.input,
            args.output,
            every=args.every,
            fill=args.fill,
            limit=args.limit,
            start=args.start,
            end=args.end,
            zone=args.zone,
            origin=args.origin,
            **filters_of(args),
            columns=columns_of(args),
            rules=args.measurements,
            config=config,
            engine=engine_of(args.engine, config),
            progress=progress,
            said=as_option,
        )
    tell_if_nothing(summary, args.input)
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
        filter_arguments(parser, side)
    table_arguments(parser)
    return parser


def run_asof(args: argparse.Namespace, engine_of: Any) -> int:
    """Join as the arguments say, print the summary; 0."""
    config = config_of(args)
    from siltstone.api.series import asof

    sides: dict[str, Any] = {
        f"{side}_{name}": given for side in ("left", "right") for name, given in filters_of(args, side).items()
    }
    with Reporter() as progress:
        summary = asof(
            args.left,
            args.right,
            args.output,
            direction=args.direction,
            tolerance=args.tolerance,
            strict=args.strict,
            by=args.by,
            how=args.how,
            suffix=args.suffix,
            **sides,
            config=config,
            engine=engine_of(args.engine, config),
            progress=progress,
            said=as_option,
        )
    tell_if_nothing(summary, args.left)
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
        print(json.dumps(dict(s), default=str), flush=True)  # noqa: T201
