"""The aggregate job for spark-submit: jobs/aggregate.py LAKE/readings LAKE/hourly --every 1h [--conf FILE ...]."""

import argparse
import sys

from siltstone.cli.aggregate import aggregate_arguments, run_aggregate
from siltstone.cli.run import engine_of, guarded


def main() -> int:
    parser = aggregate_arguments(argparse.ArgumentParser(prog="jobs/aggregate.py", description=__doc__))
    args = parser.parse_args()
    return guarded(lambda: run_aggregate(args, engine_of), debug=args.debug)


if __name__ == "__main__":
    sys.exit(main())
