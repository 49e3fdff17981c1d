"""The verify job for spark-submit: jobs/verify.py LAKE/TABLE [--conf FILE ...]."""

import sys

from siltstone.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["verify", *sys.argv[1:]]))
