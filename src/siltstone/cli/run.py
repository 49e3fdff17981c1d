"""How every command runs: the engine, and errors as one sentence and an exit code."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from siltstone.cli.console import notice, visible
from siltstone.cli.streams import outlets
from siltstone.engine.local import start_server
from siltstone.engine.session import is_inside_spark, spark_session
from siltstone.engine.tasks import Engine
from siltstone.errors import PartlyError, SiltstoneError, masked

SOURCES = "what the input is: datalog, haltian, mortar, sitewise, or records.NAME for a block of the configuration"


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a run as Ctrl-C does."""


def guarded(run: Callable[[], int], *, debug: bool, only_tells: bool = False) -> int:
    """Run a job; an error becomes its message on stderr and its exit code, behind its trace with `debug`.

    Words that nobody takes are dropped, and the job's code stays; of a command that `only_tells` it is 6 where stdout
    can't be written.
    """
    with outlets() as out:
        code = _code_of(run, debug=debug)
        out.flush()
        if out.failure:
            notice(f"what was to be said can't be written: {out.failure}")
        return 6 if out.failure and only_tells and code == 0 else code


def _code_of(run: Callable[[], int], *, debug: bool) -> int:
    try:
        with _stopped_by_sigterm():
            return run()
    except SiltstoneError as error:
        if debug:
            _print_trace()
        notice(str(error))
        return error.exit_code
    except KeyboardInterrupt as stop:
        notice("stopped. Run it again: it goes on from what was committed.")
        return 143 if isinstance(stop, _Terminated) else 130
    except Exception as error:
        if debug:
            _print_trace()
        what = f"{type(error).__name__}: {error}".partition("\n")[0]
        next_move = "Please report it with the trace." if debug else "--debug shows the trace; please report it."
        notice(f"unexpected {what}. {next_move}")
        return 1


def _print_trace() -> None:
    import traceback  # a run without errors needs none

    print(visible(masked(traceback.format_exc()), keep="\n"), end="", file=sys.stderr)  # noqa: T201


@contextmanager
def telling_part(show: Callable[..., None], *, as_json: bool) -> Iterator[None]:
    """Inside, where a run ends with only a part of it committed, its summary is shown before the error goes on."""
    try:
        yield
    except PartlyError as error:
        if error.summary is not None:
            show(error.summary, as_json=as_json)
        raise


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """A first SIGTERM stops what runs inside; a second one kills, and a handler of somebody else's stays."""
    is_ours = threading.current_thread() is threading.main_thread()
    if not is_ours or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def stop(*_: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise _Terminated

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def prepare_engine(engine: str | None) -> None:
    """Let what workers import be imported while this process imports the rest."""
    if not _is_spark(engine):
        start_server()


def _is_spark(engine: str | None) -> bool:
    return engine == "spark" or (engine is None and is_inside_spark())


def engine_of(name: str | None) -> Engine | None:
    """The engine of that name on the Spark session that there is; None for the pool of processes on this machine, which
    runs make where they are given none."""
    if not _is_spark(name):
        return None
    from siltstone.engine.spark import SparkEngine

    return SparkEngine(spark_session("siltstone"))
