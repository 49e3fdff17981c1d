"""Where words go: results to stdout; with `--json` one object on one line, alone there, and people's text to stderr.

Names of files, fields and series are data. Everything that people read passes by here, where characters that a terminal
would obey are shown as escapes; in JSON they are JSON's own.
"""

import json
import re
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.text import Text

from siltstone.errors import masked
from siltstone.model.run_summary import RunSummary

_WIDE = 200
_OBEYED = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters: ESC, CR, CSI of C1 ...
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # the direction of what follows
    "\u2028\u2029\u200b\u2060\ufeff\ud800-\udfff]"  # ends of lines, nothing to see, halves of a character
)


def visible(text: str, *, keep: str = "") -> str:
    """A text with every character that a terminal obeys, or that shows nothing, as an escape such as `\\x1b`; `keep`
    are characters that stay."""
    return _OBEYED.sub(lambda m: m[0] if m[0] in keep else m[0].encode("unicode_escape").decode(), text)


class _Plainly(Console):
    """Shows texts as they are: no brackets are markup, no :word: is a picture, nothing of them reaches the terminal."""

    def render_str(self, text: str, *args: Any, **look: Any) -> Text:
        return super().render_str(visible(text), *args, **{**look, "markup": False, "emoji": False})


def console(*, as_json: bool) -> Console:
    """Stdout, or stderr where stdout is for JSON; wide where it is no terminal, so that nothing is cut in a log."""
    stream = sys.stderr if as_json else sys.stdout
    return _Plainly(stderr=as_json, width=None if stream.isatty() else _WIDE, highlight=False)


def report(lines: Iterable[str | Text], summary: Any, *, as_json: bool) -> None:
    """Lines for people, those that are empty left out, and with `as_json` the summary as JSON."""
    say(console(as_json=as_json), lines)
    if as_json:
        print_json(summary)


def say(out: Console, lines: Iterable[str | Text]) -> None:
    """Lines, those that are empty left out; a Text is shown as it is, and must hold no data."""
    if told := [line for line in lines if line]:
        out.print(*told, sep="\n", soft_wrap=True)


def print_json(value: Any) -> None:
    """One object on one line of stdout."""
    plain = value.as_dict() if isinstance(value, RunSummary) else value
    print(json.dumps(plain, default=str).replace("\x7f", "\\u007f"), flush=True)  # noqa: T201


def notice(text: str) -> None:
    """One sentence on stderr, without the secrets in it."""
    plain = visible(masked(text), keep="\n")
    print(f"siltstone: {plain}", file=sys.stderr, flush=True)  # noqa: T201
