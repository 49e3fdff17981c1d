"""`siltstone completion`: a script for the shell; nothing of it is loaded when other commands run."""

import argparse

from siltstone.cli.commands import COMMANDS, parsers_of
from siltstone.errors import UsageError

EXAMPLE = 'eval "$(siltstone completion bash)"   # in ~/.bashrc'


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of completion."""
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"), metavar="SHELL", help="bash, zsh or tcsh")


def run(args: argparse.Namespace) -> int:
    """Print the script; 0. UsageError where shtab, which writes it, is not installed."""
    try:
        import shtab
    except ImportError:
        raise UsageError("shtab is not installed, and it writes the script", "pip install 'shtab>=1.7'") from None
    print(shtab.complete(parsers_of(COMMANDS)[0], args.shell))  # noqa: T201
    return 0
