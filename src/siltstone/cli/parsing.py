"""Command lines as argparse reads them, with mistakes as one sentence that names what was meant."""

import argparse
import difflib
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NoReturn

from siltstone.errors import UsageError


class Parser(argparse.ArgumentParser):
    """Raises UsageError where argparse would print its usage and leave the process."""

    def error(self, message: str) -> NoReturn:
        raise self._mistake(message)

    def knows(self, word: str) -> bool:
        """Whether a word is an option, or the begin of one."""
        return any(option.startswith(word.partition("=")[0]) for option in self._option_string_actions)

    def unknown(self, words: Sequence[str]) -> UsageError:
        """The error that tells of words that no argument took."""
        word = words[0].partition("=")[0]
        if not word.startswith("-"):
            return self._mistake(f"{word!r} is one argument too many")
        known = [o for action in self._actions if action.help != argparse.SUPPRESS for o in action.option_strings]
        return self._mistake(f"unknown option {word}", did_you_mean(word, known))

    def _mistake(self, what: str, guess: str = "") -> UsageError:
        _, _, command = self.prog.partition(" ")
        if not command:
            return UsageError(what, f"{guess}siltstone help shows the commands.")
        return UsageError(f"{command}: {what}", f"{guess}siltstone help {command} shows its arguments.")


def did_you_mean(word: str, known: Iterable[str], old_names: Mapping[str, str] = MappingProxyType({})) -> str:
    """`Did you mean compact? ` for a word near to a known one, else an empty text. A word that is an old name, or near
    to one, means the new one."""
    near = difflib.get_close_matches(word, [*known, *old_names], 1)
    return f"Did you mean {old_names.get(near[0], near[0])}? " if near else ""


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Descriptions as they are written, and names and their help on one line."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26)
        self._action_max_length = 15  # argparse forgets how far the names of commands are indented
