"""`siltstone optimize`: undersized files of a table become few."""

import argparse

from siltstone.cli.arguments import config_of, engine_argument, place_of, setting_arguments, table_argument
from siltstone.cli.progress import Reporter
from siltstone.cli.run import engine_of

EXAMPLE = "siltstone optimize LAKE/datalog --dry-run"


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of optimize."""
    table_argument(parser)
    engine_argument(parser)
    parser.add_argument("--dry-run", action="store_true", help="print the plan and change nothing")
    setting_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Merge undersized files, print the summary; 0."""
    from siltstone.cli.printing import print_optimized
    from siltstone.maintenance.describe import no_aggregates, open_table
    from siltstone.maintenance.optimize import optimize

    config = config_of(args)
    with Reporter() as progress:
        table = open_table(*place_of(args), config.storage)
        no_aggregates(table, "each run writes whole dates anew")
        summary = optimize(table, config, engine_of(args.engine, config), progress, dry_run=args.dry_run)
    print_optimized(summary, as_json=args.json)
    return 0
