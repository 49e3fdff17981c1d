"""The rollup job for spark-submit: jobs/rollup.py LAKE/hourly LAKE/daily --every 1d [--conf FILE ...]."""

import sys

from siltstone.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["rollup", *sys.argv[1:]]))
