"""Every command, and the parser that reads their arguments; a command's module is imported when it is called."""

import argparse
from collections.abc import Collection, Mapping
from importlib import import_module
from types import ModuleType

from siltstone.cli.parsing import HelpFormatter, Parser
from siltstone.version import __version__

COMMANDS: Mapping[str, str] = {
    "survey": "fields, types met, fill rate, conflicts and suggested hints of an input",
    "compact": "bring everything new at INPUT into the tables of LAKE",
    "show": "rows, files, sizes, runs, new columns and quarantine of a lake's tables",
    "quarantine": "each refused record or file: where, why, and its bytes",
    "verify": "read sources and table again and prove every account against the manifests",
    "optimize": "merge undersized files of a table; no row changes",
    "vacuum": "delete files that no run needs, older than vacuum.grace_hours",
    "adopt": "take over rows that another writer changed; without --yes only say which",
    "repair": "drop runs that lost their files; without --yes only say which",
    "aggregate": "time-weighted aggregates of a table's series; again: only what changed",
    "rollup": "coarser buckets from a table of aggregates; readings are not read again",
    "conventions": "whose definitions --convention knows: rules and measures",
    "plot": "draw series of a table of aggregates, as a PNG or a page for the browser",
    "resample": "values of a table's series at the instants of a regular grid, gaps filled",
    "asof": "to each row of a table the row of another that was in force at its time",
    "publish": "write readings as files for others: Mortar's Parquet layout",
    "doctor": "Java, Python, Spark and Delta, memory, write access: found, needed, fix",
    "completion": "a script with which the shell completes commands and options",
    "help": "how a command is called, or what the exit codes mean",
}
"""Each with what it does, in the order of the work; its module here has `EXAMPLE`, `declare` and `run`."""
ONLY_TELL = frozenset({"survey", "show", "quarantine", "conventions", "doctor", "completion", "help"})
"""Those that leave nothing behind but what they say."""
OLD_NAMES: Mapping[str, str] = {"settle": "optimize"}  # for a release
_EXIT_CODES = "exit codes: siltstone help exit-codes"


def parsers_of(names: Collection[str]) -> tuple[Parser, Mapping[str, Parser]]:
    """The command line's parser and those of all commands, of which only `names` have their arguments."""
    parser = Parser(
        prog="siltstone",
        description="Floods of small telemetry files become few well-sized Parquet/Delta files; nothing is lost.",
        epilog=f"how a command is called: siltstone help COMMAND\n{_EXIT_CODES}",
        formatter_class=HelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"siltstone {__version__}")
    places = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    commands = {
        name: places.add_parser(name, help=what, formatter_class=HelpFormatter) for name, what in COMMANDS.items()
    }
    for name in names:
        _fill(commands[name], COMMANDS[name], import_module(f"siltstone.cli.{name}"))
    return parser, commands


def _fill(parser: argparse.ArgumentParser, what: str, module: ModuleType) -> None:
    """Give a command its arguments, and its help an example."""
    parser.description = f"{what[0].upper()}{what[1:]}."
    parser.epilog = f"example:\n  {module.EXAMPLE}\n\n{_EXIT_CODES}"
    module.declare(parser)
    parser.set_defaults(run=module.run)
