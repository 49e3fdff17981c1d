"""`siltstone show`: what the tables of a lake hold."""

import argparse

from siltstone.api.arguments import lake_and_name
from siltstone.cli.arguments import config_of, setting_arguments, table_of
from siltstone.errors import UsageError

EXAMPLE = "siltstone show LAKE        # or one table: siltstone show LAKE/datalog"


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of show."""
    parser.add_argument("table", metavar="LAKE[/TABLE]", help="folder or s3:// URI of tables, or of one of them")
    parser.add_argument("name", nargs="?", help=argparse.SUPPRESS)  # LAKE TABLE, the old form
    setting_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print the description of one table, or of all of a lake; 0."""
    from siltstone.cli.printing import print_lake
    from siltstone.maintenance.describe import describe_lake, is_table

    config = config_of(args)
    try:
        lake, name = lake_and_name(table_of(args))
    except UsageError:  # a bucket is a lake
        lake, name = args.table, None
    if args.name is None and name is not None and not is_table(lake, name, config.storage):
        lake, name = args.table, None
    print_lake(describe_lake(lake, name, config), as_json=args.json)
    return 0
