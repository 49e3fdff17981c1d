"""The aggregate job for spark-submit: jobs/aggregate.py LAKE/readings LAKE/hourly --every 1h [--conf FILE ...]."""

import sys

from siltstone.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["aggregate", *sys.argv[1:]]))
