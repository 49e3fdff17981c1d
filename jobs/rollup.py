"""The rollup job for spark-submit: jobs/rollup.py LAKE/minutely LAKE/daily --every 1d --zone ZONE [--conf FILE ...]."""

import argparse
import sys

from siltstone.cli.aggregate import rollup_arguments, run_rollup
from siltstone.cli.run import engine_of, guarded


def main() -> int:
    parser = rollup_arguments(argparse.ArgumentParser(prog="jobs/rollup.py", description=__doc__))
    args = parser.parse_args()
    return guarded(lambda: run_rollup(args, engine_of), debug=args.debug)


if __name__ == "__main__":
    sys.exit(main())
