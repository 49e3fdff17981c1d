"""`siltstone rollup`: coarser buckets from a table of aggregates."""

import argparse

from siltstone.cli.arguments import EVERY_HELP, bucket_arguments, config_of, measures_of, output_arguments
from siltstone.cli.progress import Reporter
from siltstone.cli.run import engine_of, telling_part

EXAMPLE = "siltstone rollup LAKE/hourly LAKE/daily --every 1d --zone Europe/Helsinki"


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of rollup."""
    parser.add_argument("base", metavar="BASE", help="a table that siltstone aggregate has made, such as LAKE/hourly")
    parser.add_argument("output", metavar="OUTPUT", help="folder or s3:// URI of the coarser table; created if missing")
    parser.add_argument("--every", metavar="LENGTH", required=True, help=EVERY_HELP)
    bucket_arguments(parser, zone="the base's", measure="the base's", empty="the base's")
    output_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Roll up as the arguments say, print the summary; 0."""
    config = config_of(args)
    from siltstone.api.aggregates import rollup
    from siltstone.cli.printing_tables import print_aggregated

    with telling_part(print_aggregated, as_json=args.json), Reporter() as progress:
        summary = rollup(
            args.base,
            args.output,
            every=args.every,
            zone=args.zone,
            origin=args.origin,
            measures=measures_of(args),
            empty=args.empty,
            config=config,
            engine=engine_of(args.engine),
            progress=progress,
        )
    print_aggregated(summary, as_json=args.json)
    return 0
