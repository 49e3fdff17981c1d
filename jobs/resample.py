"""The resample job for spark-submit: jobs/resample.py LAKE/readings LAKE/grid --every 5m [--conf FILE ...]."""

import sys

from siltstone.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["resample", *sys.argv[1:]]))
