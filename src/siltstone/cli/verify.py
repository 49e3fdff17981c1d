"""`siltstone verify`: sources and table are read again, and every account is proven."""

import argparse

from siltstone.cli.arguments import config_of, engine_argument, setting_arguments, table_argument, table_of
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
    from siltstone.api.tables import verify
    from siltstone.cli.printing import print_verified

    with Reporter() as progress:
        summary = verify(table_of(args), config=config, engine=engine_of(args.engine), progress=progress)
    print_verified(summary, as_json=args.json)
    return 7 if summary.problems else 0
