"""Where words go: results to stdout; with `--json` one object on one line, alone there, and people's text to stderr."""

import json
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console

from siltstone.model.run_summary import RunSummary


def console(*, as_json: bool) -> Console:
    """Stdout, or stderr where stdout is for JSON; wide where it is no terminal, so that nothing is cut in a log."""
    stream = sys.stderr if as_json else sys.stdout
    return Console(stderr=as_json, width=None if stream.isatty() else 200)


def report(lines: Iterable[str], summary: Any, *, as_json: bool) -> None:
    """Lines for people, those that are empty left out, and with `as_json` the summary as JSON."""
    told = [line for line in lines if line]
    if told:
        console(as_json=as_json).print(*told, sep="\n", soft_wrap=True, highlight=False, markup=False)
    if as_json:
        print_json(summary)


def print_json(value: Any) -> None:
    """One object on one line of stdout."""
    plain = value.as_dict() if isinstance(value, RunSummary) else value
    print(json.dumps(plain, default=str), flush=True)  # noqa: T201


def notice(text: str) -> None:
    """One line on stderr that stops nothing."""
    print(f"siltstone: {text}", file=sys.stderr, flush=True)  # noqa: T201
