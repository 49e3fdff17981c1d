"""The old name of jobs/optimize.py, kept for a release."""

import sys

from siltstone.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["settle", *sys.argv[1:]]))
