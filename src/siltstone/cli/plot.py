"""`siltstone plot`: its arguments, and the picture that it writes."""

import argparse

from siltstone.cli.arguments import (
    as_option,
    config_of,
    filter_arguments,
    filters_of,
    period_arguments,
    setting_arguments,
)

EXAMPLE = "siltstone plot LAKE/hourly --measurement '*Zone Air Temp' --out room.png"


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of plot."""
    parser.add_argument("table", metavar="LAKE/TABLE", help="a table of aggregates, such as LAKE/hourly")
    parser.add_argument("--out", required=True, metavar="FILE", help="picture to write: NAME.png, or NAME.html")
    filter_arguments(parser)
    parser.add_argument(
        "--measure",
        metavar="NAME",
        help="what to draw, such as p50, n or time_in_state (default: the time-weighted average; of counters the "
        "increase, of totals the sum)",
    )
    period_arguments(parser, "buckets that start at or after", "buckets that start before")
    parser.add_argument("--zone", metavar="ZONE", help="IANA zone of the axis (default: the table's)")
    setting_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Draw as the arguments say, print where the picture is; 0."""
    config = config_of(args)
    from siltstone.api.pictures import plot
    from siltstone.cli.printing_tables import print_plotted

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
