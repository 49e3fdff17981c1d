"""A driver with three workers: one idle, two in tasks that would sleep five minutes and print a line as they begin."""

import sys
import time
from dataclasses import dataclass
from typing import Any

from siltstone.cli import guarded
from siltstone.engine import LocalEngine


@dataclass(frozen=True)
class Sleeper:
    def run(self) -> None:
        print("asleep", flush=True)
        time.sleep(300)


def drive() -> int:
    engine: Any = LocalEngine(workers=3)
    engine.prepare(tasks=3)
    engine.run([Sleeper(), Sleeper()], print)
    return 0


if __name__ == "__main__":
    sys.exit(guarded(drive, debug=False))
