"""`siltstone quarantine`: what was refused, where and why."""

import argparse

from siltstone.cli.arguments import config_of, place_of, positive, setting_arguments, table_argument

EXAMPLE = "siltstone quarantine LAKE/datalog --limit 20"


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of quarantine."""
    table_argument(parser)
    parser.add_argument("--limit", type=positive, default=100, metavar="N", help="entries to print (default: 100)")
    setting_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print each refusal; 0."""
    from siltstone.cli.printing import print_quarantine
    from siltstone.maintenance.describe import quarantined

    config = config_of(args)
    print_quarantine(quarantined(*place_of(args), config.storage), limit=args.limit, as_json=args.json)
    return 0
