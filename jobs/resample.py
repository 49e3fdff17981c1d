"""The resample job for spark-submit: the arguments of siltstone resample."""

import argparse
import sys

from siltstone.cli.run import engine_of, guarded
from siltstone.cli.series import resample_arguments, run_resample


def main() -> int:
    parser = resample_arguments(argparse.ArgumentParser(prog="jobs/resample.py", description=__doc__))
    args = parser.parse_args()
    return guarded(lambda: run_resample(args, engine_of), debug=args.debug)


if __name__ == "__main__":
    sys.exit(main())
