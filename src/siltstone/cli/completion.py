"""`siltstone completion`: a script for the shell; nothing of it is loaded when other commands run."""

import argparse
from collections.abc import Iterable

from siltstone.cli.commands import COMMANDS, parsers_of
from siltstone.cli.help import TOPICS
from siltstone.errors import UsageError

EXAMPLE = 'eval "$(siltstone completion bash)"   # in ~/.bashrc'
_FILES = ("INPUT", "FILE", "URI")
_FOLDERS = ("LAKE", "LAKE/TABLE", "LAKE[/TABLE]", "OUT", "OUTPUT", "BASE", "LEFT", "RIGHT")


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of completion."""
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"), metavar="SHELL", help="bash, zsh or tcsh")


def run(args: argparse.Namespace) -> int:
    """Print the script; 0. UsageError where shtab, which writes it, is not installed."""
    try:
        import shtab
    except ImportError:
        raise UsageError("shtab is not installed, and it writes the script", "pip install 'shtab>=1.7'") from None
    parser, commands = parsers_of(COMMANDS)
    for command in commands.values():
        _complete_paths(command._actions, shtab.FILE, shtab.DIRECTORY)
    for action in commands["help"]._actions:
        action.choices = TOPICS if action.dest == "topic" else action.choices
    print(shtab.complete(parser, args.shell))  # noqa: T201
    return 0


def _complete_paths(actions: Iterable[argparse.Action], files: object, folders: object) -> None:
    """Have the shell complete the arguments that are paths, by what their help calls them."""
    for action in actions:
        if action.metavar in _FILES + _FOLDERS:
            action.complete = files if action.metavar in _FILES else folders  # type: ignore[attr-defined]
