"""`siltstone quarantine`: what was refused, where and why."""

import argparse

from siltstone.cli.arguments import config_of, positive, setting_arguments, table_argument, table_of

EXAMPLE = "siltstone quarantine LAKE/datalog --limit 20"


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of quarantine."""
    table_argument(parser)
    parser.add_argument("--limit", type=positive, default=100, metavar="N", help="entries to print (default: 100)")
    setting_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print each refusal; 0."""
    config = config_of(args)
    from siltstone.api.tables import open_table
    from siltstone.cli.printing import print_quarantine

    table = open_table(table_of(args), config=config)
    print_quarantine(table.quarantine(), limit=args.limit, as_json=args.json)
    return 0
