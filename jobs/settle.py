"""The settle job for spark-submit: jobs/settle.py LAKE TABLE [--conf FILE ...] [--set key=value ...]."""

import sys

from siltstone.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["settle", *sys.argv[1:]]))
