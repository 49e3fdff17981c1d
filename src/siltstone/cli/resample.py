"""`siltstone resample`: the values of series at the instants of a grid."""

import argparse

from siltstone.cli.arguments import (
    as_option,
    columns_of,
    config_of,
    filter_arguments,
    filters_of,
    origin_argument,
    output_arguments,
    period_arguments,
    reading_arguments,
    rules_file,
)
from siltstone.cli.progress import Reporter
from siltstone.cli.remarks import remark_if_nothing, remark_on_capitals
from siltstone.cli.run import engine_of, telling_part

EXAMPLE = "siltstone resample LAKE/readings LAKE/grid --every 5m --limit 30m"


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of resample."""
    parser.add_argument(
        "input", metavar="INPUT", help="a table: LAKE/readings, or a wide one such as LAKE/datalog with --columns"
    )
    parser.add_argument(
        "output", metavar="OUTPUT", help="folder or s3:// URI of the table of values; created if missing"
    )
    parser.add_argument("--every", metavar="LENGTH", required=True, help="of the grid: 1s 5m 1h 1d, any such length")
    parser.add_argument(
        "--fill",
        choices=("previous", "linear", "nearest", "interpretation"),
        default="interpretation",
        help="the value between points: of the last one, on the line, of the nearest, or (default) as each series is "
        "read by --rules and siltstone's own rules",
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
    output_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Resample as the arguments say, print the summary; 0."""
    config = config_of(args)
    from siltstone.api.series import resample
    from siltstone.cli.printing_tables import print_resampled

    rules = rules_file(args)
    with telling_part(print_resampled, as_json=args.json), Reporter() as progress:
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
            rules=rules,
            config=config,
            engine=engine_of(args.engine),
            progress=progress,
            said=as_option,
        )
    remark_if_nothing(summary, args.input)
    remark_on_capitals(summary, config, rules)
    print_resampled(summary, as_json=args.json)
    return 0
