"""The compact job for spark-submit: jobs/compact.py datalog INPUT LAKE [--conf FILE ...] [--set key=value ...]."""

import argparse
import sys

from siltstone.cli.compact import compact_arguments, run_compact
from siltstone.cli.run import guarded


def main() -> int:
    parser = compact_arguments(argparse.ArgumentParser(prog="jobs/compact.py", description=__doc__))
    parser.set_defaults(engine="spark")
    args = parser.parse_args()
    return guarded(lambda: run_compact(args), debug=args.debug)


if __name__ == "__main__":
    sys.exit(main())
