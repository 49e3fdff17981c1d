"""The asof job for spark-submit: the arguments of siltstone asof."""

import argparse
import sys

from siltstone.cli.run import engine_of, guarded
from siltstone.cli.series import asof_arguments, run_asof


def main() -> int:
    parser = asof_arguments(argparse.ArgumentParser(prog="jobs/asof.py", description=__doc__))
    args = parser.parse_args()
    return guarded(lambda: run_asof(args, engine_of), debug=args.debug)


if __name__ == "__main__":
    sys.exit(main())
