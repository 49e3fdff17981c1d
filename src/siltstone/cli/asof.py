"""`siltstone asof`: two tables joined by time."""

import argparse

from siltstone.cli.arguments import as_option, config_of, filter_arguments, filters_of, output_arguments
from siltstone.cli.progress import Reporter
from siltstone.cli.remarks import remark_if_nothing
from siltstone.cli.run import engine_of, telling_part

EXAMPLE = """\
siltstone asof LAKE/readings LAKE/readings LAKE/joined --left-measurement '*Air Temp' \\
    --right-measurement '*Valve*' --by site --tolerance 1h"""


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of asof."""
    parser.add_argument(
        "left", metavar="LEFT", help="LAKE/readings, a wide table, or one that aggregate, rollup or resample has made"
    )
    parser.add_argument("right", metavar="RIGHT", help="another such table, or the same")
    parser.add_argument("output", metavar="OUTPUT", help="folder or s3:// URI of the joined table; created if missing")
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
    output_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Join as the arguments say, print the summary; 0."""
    config = config_of(args)
    from siltstone.api.series import asof
    from siltstone.cli.printing_tables import print_joined

    left, right = filters_of(args, "left"), filters_of(args, "right")
    with telling_part(print_joined, as_json=args.json), Reporter() as progress:
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
            left_series=left["series"],
            left_devices=left["devices"],
            left_measurements=left["measurements"],
            left_sites=left["sites"],
            right_series=right["series"],
            right_devices=right["devices"],
            right_measurements=right["measurements"],
            right_sites=right["sites"],
            config=config,
            engine=engine_of(args.engine),
            progress=progress,
            said=as_option,
        )
    remark_if_nothing(summary, args.left)
    print_joined(summary, as_json=args.json)
    return 0
