"""A driver with two workers, each in a task that would sleep five minutes; it first prints what it is deaf to."""

import os
import signal
import sys
import time
from dataclasses import dataclass
from typing import Any

from siltstone.cli.run import guarded
from siltstone.engine.local import LocalEngine


@dataclass(frozen=True)
class Sleeper:
    def run(self) -> None:
        names = [number.name for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])]
        os.write(1, f"{names}\n".encode())  # in one piece, since both workers write
        time.sleep(300)


def drive() -> int:
    engine: Any = LocalEngine(workers=2)
    engine.run([Sleeper(), Sleeper()], print)
    return 0


if __name__ == "__main__":
    import sleepers  # workers do not run this script: they import its tasks by the name of its module

    sys.exit(guarded(sleepers.drive, debug=False))
