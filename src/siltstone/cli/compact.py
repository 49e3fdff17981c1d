"""`siltstone compact`: its arguments, and the run."""

import argparse

from siltstone.cli.arguments import config_of, engine_argument, setting_arguments
from siltstone.cli.progress import Reporter
from siltstone.cli.run import SOURCES, engine_of, prepare_engine, telling_part

EXAMPLE = "siltstone compact datalog INPUT LAKE"


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of compact."""
    parser.add_argument("source", metavar="SOURCE", help=SOURCES)
    parser.add_argument(
        "input", metavar="INPUT", help="folder or s3:// URI with the source's files, at any depth; or one file"
    )
    parser.add_argument(
        "lake", metavar="LAKE", help="folder or s3:// URI of tables; the source's are created in it if missing"
    )
    engine_argument(parser)
    parser.add_argument(
        "--strict", action="store_true", help="exit 3 if anything was quarantined (the rest is committed)"
    )
    parser.add_argument(
        "--retry-quarantined", action="store_true", help="read files with refused records again, with today's settings"
    )
    parser.add_argument(
        "--format",
        choices=("delta", "parquet"),
        help="of a new table: Delta (default), or plain Parquet for readers without Delta",
    )
    parser.add_argument("--collection", metavar="NAME", help="of mortar: the building or dataset that the files are of")
    parser.add_argument(
        "--since",
        metavar="DATE",
        help="look only at folders of this hour and later, by their own clock: YYYY-MM-DD or YYYYMMDDHH (default: all)",
    )
    setting_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Compact as the arguments say, print the summary, also where only a part is done; 3 if --strict and something was
    quarantined."""
    given = [] if args.collection is None else [f"sources.mortar.collection={args.collection}"]
    config = config_of(args, *given)
    prepare_engine(args.engine)
    from siltstone.api.compact import compact, folder_hour
    from siltstone.cli.printing import print_compacted

    since = None if args.since is None else folder_hour(args.since, "--since")  # before a Spark session is made
    with telling_part(print_compacted, as_json=args.json), Reporter() as progress:
        summary = compact(
            args.source,
            args.input,
            args.lake,
            retry_quarantined=args.retry_quarantined,
            since=since,
            config=config,
            engine=engine_of(args.engine),
            progress=progress,
        )
    print_compacted(summary, as_json=args.json)
    return 3 if args.strict and summary.refused else 0
