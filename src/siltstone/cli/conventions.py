"""`siltstone conventions`: whose definitions `aggregate --convention` knows."""

import argparse

from rich.text import Text

from siltstone.cli.arguments import setting_arguments
from siltstone.cli.console import report

EXAMPLE = "siltstone conventions"


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of conventions."""
    setting_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print the rules and measures of every convention; 0."""
    from siltstone.api.aggregates import conventions

    known = conventions()
    lines = [Text(f"{name}\n  {c['rules']}\n  measures: {', '.join(c['measures'])}\n") for name, c in known.items()]
    report(lines, known, as_json=args.json)
    return 0
