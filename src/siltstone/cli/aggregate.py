"""`siltstone aggregate`: readings become a table of buckets."""

import argparse

from siltstone.cli.arguments import (
    EVERY_HELP,
    as_option,
    bucket_arguments,
    columns_of,
    config_of,
    filter_arguments,
    filters_of,
    measures_of,
    output_arguments,
    period_arguments,
    reading_arguments,
    rules_file,
)
from siltstone.cli.progress import Reporter
from siltstone.cli.remarks import remark_if_nothing, remark_on_capitals
from siltstone.cli.run import engine_of, telling_part

EXAMPLE = "siltstone aggregate LAKE/readings LAKE/hourly --every 1h --measure time_weighted_average,min,max"


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of aggregate."""
    parser.add_argument(
        "input", metavar="INPUT", help="a table: LAKE/readings, or a wide one such as LAKE/datalog with --columns"
    )
    parser.add_argument(
        "output", metavar="OUTPUT", help="folder or s3:// URI of the table of aggregates; created if missing"
    )
    parser.add_argument("--every", metavar="LENGTH", help=f"{EVERY_HELP}; default: by the range of --from and --to")
    bucket_arguments(parser, zone="UTC", measure="all of these numbers", empty="skip")
    period_arguments(
        parser,
        "buckets that start at or after",
        "buckets that start before; values hold until then (default: to the table's latest instant)",
    )
    filter_arguments(parser)
    reading_arguments(parser)
    parser.add_argument(
        "--min-pct-good",
        type=float,
        default=0.0,
        metavar="PCT",
        help="values of buckets with less good time are null (default: 0)",
    )
    parser.add_argument(
        "--integral-unit",
        choices=("s", "m", "h", "d"),
        default="s",
        help="what integrals are over: value x seconds (default), minutes, hours (kWh of kW) or days",
    )
    parser.add_argument(
        "--convention",
        choices=("default", "opcua", "toolkit", "flux", "sitewise"),
        default="default",
        help="whose definitions: siltstone's own (default), or another system's, to compare with",
    )
    parser.add_argument(
        "--full", action="store_true", help="compute every bucket again, not only those that changed files touch"
    )
    output_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Aggregate as the arguments say, print the summary; 0."""
    config = config_of(args)
    from siltstone.api.aggregates import aggregate
    from siltstone.cli.printing_tables import print_aggregated

    rules = rules_file(args)
    with telling_part(print_aggregated, as_json=args.json), Reporter() as progress:
        summary = aggregate(
            args.input,
            args.output,
            every=args.every,
            measures=measures_of(args),
            zone=args.zone,
            origin=args.origin,
            start=args.start,
            end=args.end,
            **filters_of(args),
            columns=columns_of(args),
            rules=rules,
            empty=args.empty,
            min_pct_good=args.min_pct_good,
            integral_unit=args.integral_unit,
            convention=args.convention,
            full=args.full,
            config=config,
            engine=engine_of(args.engine),
            progress=progress,
            said=as_option,
        )
    remark_if_nothing(summary, args.input)
    remark_on_capitals(summary, config, rules)
    print_aggregated(summary, as_json=args.json)
    return 0
