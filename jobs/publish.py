"""The publish job for spark-submit: jobs/publish.py mortar LAKE OUT [--archive zip] [--conf FILE ...]."""

import argparse
import sys

from siltstone.cli.publish import publish_arguments, run_publish
from siltstone.cli.run import guarded


def main() -> int:
    parser = publish_arguments(argparse.ArgumentParser(prog="jobs/publish.py", description=__doc__))
    args = parser.parse_args()
    return guarded(lambda: run_publish(args), debug=args.debug)


if __name__ == "__main__":
    sys.exit(main())
