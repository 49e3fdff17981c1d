"""`siltstone asof`: two tables joined by time."""

import argparse

from siltstone.cli.arguments import config_of, filter_arguments, filters_of, length_us, output_arguments
from siltstone.cli.progress import Reporter
from siltstone.cli.remarks import remark_if_nothing
from siltstone.cli.run import engine_of

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
    from siltstone.aggregation.spec import AggregateSpec
    from siltstone.cli.printing_tables import print_derived
    from siltstone.derived.asof import asof_tables
    from siltstone.derived.asof_tasks import JoinSpec

    usual = "device_id" if args.left_measurement and args.right_measurement else "series_id"
    joining = JoinSpec(
        by=tuple(args.by) or (usual,),
        direction=args.direction,
        tolerance_us=length_us(args.tolerance, "--tolerance"),
        allow_exact=not args.strict,
        how=args.how,
        suffix=args.suffix,
    )
    wanted = tuple(AggregateSpec("1d", measures=(), **filters_of(args, side)) for side in ("left", "right"))
    with Reporter() as progress:
        engine = engine_of(args.engine, config)
        summary = asof_tables(
            args.left, args.right, args.output, (wanted[0], wanted[1]), joining, config, engine, progress
        )
    remark_if_nothing(summary, args.left)
    print_derived(summary, "rows", as_json=args.json)
    return 0
