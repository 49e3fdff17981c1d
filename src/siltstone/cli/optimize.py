"""`siltstone optimize`: undersized files of a table become few."""

import argparse

from siltstone.cli.arguments import config_of, engine_argument, setting_arguments, table_argument, table_of
from siltstone.cli.progress import Reporter
from siltstone.cli.run import engine_of, telling_part

EXAMPLE = "siltstone optimize LAKE/datalog --dry-run"


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of optimize."""
    table_argument(parser)
    engine_argument(parser)
    parser.add_argument("--dry-run", action="store_true", help="print the plan and change nothing")
    setting_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Merge undersized files, print the summary, also where an error ends it in its middle; 0."""
    config = config_of(args)
    from siltstone.api.tables import optimize
    from siltstone.cli.printing import print_optimized

    with telling_part(print_optimized, as_json=args.json), Reporter() as progress:
        engine = engine_of(args.engine)
        summary = optimize(table_of(args), dry_run=args.dry_run, config=config, engine=engine, progress=progress)
    print_optimized(summary, as_json=args.json)
    return 0
