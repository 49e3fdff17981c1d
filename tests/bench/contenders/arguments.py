"""What contenders that compact are told on their command line."""

import argparse
from pathlib import Path


def arguments(*paths: str) -> argparse.ArgumentParser:
    """A parser for paths, in order, and the number of cores."""
    parser = argparse.ArgumentParser()
    for path in paths:
        parser.add_argument(path, type=Path)
    parser.add_argument("--cores", type=int, required=True)
    return parser
