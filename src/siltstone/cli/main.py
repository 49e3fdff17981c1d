"""`siltstone COMMAND`: arguments in, one report out, errors as a sentence and an exit code."""

import argparse
import gc
import sys
from collections.abc import Sequence

from siltstone.cli.commands import COMMANDS, OLD_NAMES, ONLY_TELL, parsers_of
from siltstone.cli.console import notice
from siltstone.cli.parsing import did_you_mean
from siltstone.cli.run import guarded
from siltstone.engine.local import OBJECTS_BETWEEN_LOOKS
from siltstone.errors import UsageError


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code. SystemExit after --help and --version."""
    words = list(sys.argv[1:] if argv is None else argv)
    return guarded(lambda: _run(words), debug="--debug" in words, only_tells=bool(ONLY_TELL.intersection(words[:1])))


def _run(words: Sequence[str]) -> int:
    if not words:
        parsers_of(())[0].print_help(sys.stderr)
        return 2
    args = _parsed(words)
    gc.set_threshold(OBJECTS_BETWEEN_LOOKS)
    return int(args.run(args))


def _parsed(words: Sequence[str]) -> argparse.Namespace:
    """The arguments of a command; UsageError where the command or one of them is unknown, wrong or missing."""
    name, *arguments = words
    if name in OLD_NAMES:
        notice(f"{name} is now called {OLD_NAMES[name]}; the old name goes after one release")
        name = OLD_NAMES[name]
    if name not in COMMANDS and not name.startswith("-"):
        guess = did_you_mean(name, COMMANDS, OLD_NAMES) or f"There are {', '.join(COMMANDS)}. "
        raise UsageError(f"no command {name!r}", f"{guess}siltstone help tells what each does.")
    parser, commands = parsers_of([name] if name in COMMANDS else [])
    if name.startswith("-") and not parser.knows(name):
        raise parser.unknown([name])
    args, rest = parser.parse_known_args([name, *arguments])
    if rest and not rest[0].startswith("-") and getattr(args, "name", "") is None:
        args.name = rest.pop(0)  # of LAKE --option TABLE; argparse takes the second word for missing by then
    if rest:
        raise commands.get(name, parser).unknown(rest)
    return args


if __name__ == "__main__":
    sys.exit(main())
