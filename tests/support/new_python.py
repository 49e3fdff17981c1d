"""Runs a module of the tests in a new Python: it may fork, has its own memory, and may be killed."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any


def printed_by(module: str, *words: str, seconds: int = 3600, threads: int = 2, behind: Sequence[str] = ()) -> Any:
    """What `python -m MODULE WORDS` prints as JSON; polars has so many `threads` there. `behind` is a command that
    starts it. AssertionError with its stderr where it fails."""
    done = subprocess.run(
        [*behind, sys.executable, "-m", module, *words],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "POLARS_MAX_THREADS": str(threads)},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
