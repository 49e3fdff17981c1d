"""`siltstone repair`: runs that lost their files are dropped, and the table goes on from the one before."""

import argparse

from siltstone.cli.arguments import config_of, engine_argument, setting_arguments, table_argument, table_of
from siltstone.cli.progress import Reporter
from siltstone.cli.run import engine_of, prepare_engine

EXAMPLE = "siltstone repair LAKE/datalog"


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of repair."""
    table_argument(parser)
    engine_argument(parser)
    parser.add_argument("--yes", action="store_true", help="do it (default: only say what would be done)")
    setting_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Repair a table, or say what that would do; 0."""
    config = config_of(args)
    prepare_engine(args.engine)
    from siltstone.api.tables import repair
    from siltstone.cli.printing_repairs import print_repaired

    with Reporter() as progress:
        summary = repair(table_of(args), yes=args.yes, config=config, engine=engine_of(args.engine), progress=progress)
    print_repaired(summary, as_json=args.json)
    return 0
