"""The asof job for spark-submit: jobs/asof.py LAKE/readings LAKE/readings LAKE/joined [--conf FILE ...]."""

import sys

from siltstone.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["asof", *sys.argv[1:]]))
