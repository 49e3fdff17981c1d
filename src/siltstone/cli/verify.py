"""`siltstone verify`: sources and table are read again, and every account is proven."""

import argparse

from siltstone.cli.arguments import config_of, engine_argument, place_of, setting_arguments, table_argument
from siltstone.cli.progress import Reporter
from siltstone.cli.run import engine_of, prepare_engine

EXAMPLE = "siltstone verify LAKE/datalog"


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of verify."""
    table_argument(parser)
    engine_argument(parser)
    setting_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Verify a table, print what was found; 7 if something is wrong, else 0."""
    config = config_of(args)
    prepare_engine(args.engine)
    from siltstone.cli.printing import print_verified
    from siltstone.maintenance.describe import no_aggregates, open_table
    from siltstone.maintenance.verify import verify

    with Reporter() as progress:
        table = open_table(*place_of(args), config.storage)
        no_aggregates(table, "siltstone aggregate with --full computes it again from its input")
        summary = verify(table, config, engine_of(args.engine, config), progress)
    print_verified(summary, as_json=args.json)
    return 7 if summary["problems"] else 0
