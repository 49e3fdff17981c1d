"""The compact job for spark-submit: jobs/compact.py datalog INPUT LAKE [--conf FILE ...]."""

import sys

from siltstone.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["compact", "--engine", "spark", *sys.argv[1:]]))
