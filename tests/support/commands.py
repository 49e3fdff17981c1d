"""Command lines that run in this process, their tasks too."""

from collections.abc import Sequence

import pytest

from siltstone.cli.main import main
from siltstone.engine.tasks import Engine
from support.fleet import InProcess


def run_tasks_here(patch: pytest.MonkeyPatch, engine: Engine | None = None) -> None:
    """Let runs that are given no engine have their tasks run in this process, or by `engine`, instead of by a pool of
    processes; also while other tests have a Spark session."""
    chosen = engine or InProcess()
    patch.setattr("siltstone.engine.local.LocalEngine", lambda workers: chosen)
    patch.setattr("siltstone.cli.run.start_server", lambda: True)
    patch.setattr("siltstone.cli.run.is_inside_spark", lambda: False)


def command(arguments: Sequence[object], engine: Engine | None = None) -> int:
    """The exit code of a command line, also of one that argparse ends, with its tasks run in this process, or by
    `engine`."""
    with pytest.MonkeyPatch.context() as patch:
        run_tasks_here(patch, engine)
        try:
            return main([str(word) for word in arguments])
        except SystemExit as stop:
            return int(stop.code or 0)
