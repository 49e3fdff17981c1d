"""`siltstone survey`: what an input holds, before the first run."""

import argparse

from siltstone.cli.arguments import config_of, positive, setting_arguments
from siltstone.cli.run import SOURCES

EXAMPLE = "siltstone survey datalog INPUT"


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of survey."""
    parser.add_argument("source", metavar="SOURCE", help=SOURCES)
    parser.add_argument("input", metavar="INPUT", help="folder or s3:// URI with the source's files; or one file")
    parser.add_argument(
        "--files", type=positive, metavar="N", help="read N files, evenly spread (default: survey.files)"
    )
    parser.add_argument("--all", action="store_true", help="read every file")
    setting_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Read files of the input, print what they hold; 0."""
    config = config_of(args)
    from siltstone.api.compact import survey
    from siltstone.cli.printing_surveys import print_survey

    found = survey(args.source, args.input, files=args.files, every_file=args.all, config=config)
    print_survey(found, as_json=args.json)
    return 0
