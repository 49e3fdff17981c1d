"""`siltstone vacuum`: files that no run needs are deleted."""

import argparse

from siltstone.cli.arguments import config_of, setting_arguments, table_argument, table_of
from siltstone.cli.progress import Reporter

EXAMPLE = "siltstone vacuum LAKE/datalog --dry-run"


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of vacuum."""
    table_argument(parser)
    parser.add_argument("--dry-run", action="store_true", help="list what would be deleted and delete nothing")
    parser.add_argument("--force", action="store_true", help="delete even with a grace below 24 hours")
    setting_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Delete what is old and needed by nothing, print the summary; 0."""
    config = config_of(args)
    from siltstone.api.tables import vacuum
    from siltstone.cli.printing import print_vacuumed

    with Reporter() as progress:
        summary = vacuum(table_of(args), dry_run=args.dry_run, force=args.force, config=config, progress=progress)
    print_vacuumed(summary, as_json=args.json)
    return 0
