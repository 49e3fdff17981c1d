"""`siltstone help`: how a command is called, or what the exit codes mean."""

import argparse

from siltstone.cli.commands import COMMANDS, OLD_NAMES, parsers_of
from siltstone.cli.exit_codes import EXIT_CODES
from siltstone.cli.parsing import did_you_mean
from siltstone.errors import UsageError

EXAMPLE = "siltstone help compact"
_EXIT_CODES = "exit-codes"
TOPICS = (*COMMANDS, _EXIT_CODES)


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of help."""
    parser.add_argument("topic", nargs="?", metavar="COMMAND", help=f"a command, or {_EXIT_CODES} (default: the list)")


def run(args: argparse.Namespace) -> int:
    """Print the help; 0. UsageError for what is no command."""
    topic = args.topic
    if topic == _EXIT_CODES:
        print(EXIT_CODES, end="")  # noqa: T201
    elif topic is None:
        parsers_of(())[0].print_help()
    elif topic in COMMANDS:
        parsers_of([topic])[1][topic].print_help()
    else:
        guess = did_you_mean(topic, TOPICS, OLD_NAMES)
        move = f"{guess}siltstone help lists the commands; another topic is {_EXIT_CODES}."
        raise UsageError(f"no help on {topic!r}", move)
    return 0
