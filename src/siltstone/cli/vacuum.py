"""`siltstone vacuum`: files that no run needs are deleted."""

import argparse

from siltstone.cli.arguments import config_of, place_of, setting_arguments, table_argument
from siltstone.cli.progress import Reporter

EXAMPLE = "siltstone vacuum LAKE/datalog --dry-run"


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of vacuum."""
    table_argument(parser)
    parser.add_argument("--dry-run", action="store_true", help="list what would be deleted and delete nothing")
    setting_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Delete what is old and needed by nothing, print the summary; 0."""
    from siltstone.cli.printing import print_vacuumed
    from siltstone.maintenance.describe import open_table
    from siltstone.maintenance.vacuum import vacuum

    config = config_of(args)
    with Reporter() as progress:
        summary = vacuum(open_table(*place_of(args), config.storage), config, progress, dry_run=args.dry_run)
    print_vacuumed(summary, as_json=args.json)
    return 0
