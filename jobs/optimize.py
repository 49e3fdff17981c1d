"""The optimize job for spark-submit: jobs/optimize.py LAKE/TABLE [--conf FILE ...]."""

import sys

from siltstone.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["optimize", *sys.argv[1:]]))
