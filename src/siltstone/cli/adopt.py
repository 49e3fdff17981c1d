"""`siltstone adopt`: rows that another writer changed become the table's own."""

import argparse

from siltstone.cli.arguments import config_of, engine_argument, setting_arguments, table_argument, table_of
from siltstone.cli.progress import Reporter
from siltstone.cli.run import engine_of, prepare_engine

EXAMPLE = "siltstone adopt LAKE/datalog"


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of adopt."""
    table_argument(parser)
    engine_argument(parser)
    parser.add_argument("--yes", action="store_true", help="take the rows as they are now (default: only name them)")
    setting_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Adopt a table, or say what that would do; 0."""
    config = config_of(args)
    prepare_engine(args.engine)
    from siltstone.api.tables import adopt
    from siltstone.cli.printing_repairs import print_adopted

    with Reporter() as progress:
        summary = adopt(table_of(args), yes=args.yes, config=config, engine=engine_of(args.engine), progress=progress)
    print_adopted(summary, as_json=args.json)
    return 0
