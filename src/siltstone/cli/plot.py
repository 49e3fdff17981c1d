"""`siltstone plot`: its arguments, and the picture that it writes."""

import argparse
import json
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from siltstone.cli.arguments import (
    as_option,
    config_of,
    filter_arguments,
    filters_of,
    period_arguments,
    setting_arguments,
)


def plot_arguments(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The arguments of the plot command."""
    parser.add_argument("table", help="a table of aggregates, such as LAKE/hourly")
    parser.add_argument("--out", required=True, metavar="FILE", help="picture to write: NAME.png, or NAME.html")
    filter_arguments(parser)
    parser.add_argument(
        "--measure",
        metavar="NAME",
        help="what to draw, such as p50, n or time_in_state (default: the time-weighted average; of counters the "
        "increase, of totals the sum)",
    )
    period_arguments(parser, "buckets that start at or after", "and before")
    parser.add_argument("--zone", metavar="ZONE", help="IANA zone of the axis (default: the table's)")
    setting_arguments(parser)
    return parser


def run_plot(args: argparse.Namespace) -> int:
    """Draw as the arguments say, print where the picture is; 0."""
    config = config_of(args)
    from siltstone.api.pictures import plot

    summary = plot(
        args.table,
        args.out,
        measure=args.measure,
        start=args.start,
        end=args.end,
        zone=args.zone,
        **filters_of(args),
        config=config,
        said=as_option,
    )
    print_plotted(summary, as_json=args.json)
    return 0


def print_plotted(summary: Mapping[str, Any], *, as_json: bool) -> None:
    """Where the picture is and what it shows; with `as_json` one JSON object on the last line."""
    s, console = summary, Console(soft_wrap=True, highlight=False, markup=False)
    measures = ", ".join(dict.fromkeys(f"{p['measure']} ({p['shape']})" for p in s["series"]))
    console.print(
        f"drawn        {s['out']}, {s['bytes'] / 1e3:,.0f} kB: {s['buckets']:,} buckets of {len(s['series'])} series, "
        f"{measures}, {s['zone']}"
    )
    if as_json:
        print(json.dumps(dict(s)), flush=True)  # noqa: T201
