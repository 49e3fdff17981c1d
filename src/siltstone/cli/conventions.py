"""`siltstone conventions`: whose definitions `aggregate --convention` knows."""

import argparse

from siltstone.cli.arguments import setting_arguments
from siltstone.cli.console import report

EXAMPLE = "siltstone conventions"


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of conventions."""
    setting_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print the rules and measures of every convention; 0."""
    from siltstone.timeseries.conventions import MEASURES, RULES

    lines = [f"{name}\n  {rules}\n  measures: {', '.join(MEASURES[name])}\n" for name, rules in RULES.items()]
    report(lines, {name: {"rules": RULES[name], "measures": MEASURES[name]} for name in RULES}, as_json=args.json)
    return 0
