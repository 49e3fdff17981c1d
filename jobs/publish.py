"""The publish job for spark-submit: jobs/publish.py mortar LAKE OUT [--conf FILE ...]."""

import sys

from siltstone.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["publish", *sys.argv[1:]]))
