"""Stdout and stderr that never stop a run: once their reader is gone or their disk is full, words are dropped."""

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TextIO, cast


class Outlet:
    """A stream that is written to until that fails; `failure` says why what came later was dropped."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream, self.failure = stream, ""
        self.encoding = getattr(stream, "encoding", None) or "utf-8"
        self.errors = "backslashreplace"

    def write(self, text: str) -> int:
        plain = text.encode(self.encoding, self.errors).decode(self.encoding)
        self._try(lambda stream: stream.write(plain))
        return len(text)

    def flush(self) -> None:
        self._try(lambda stream: stream.flush())

    def isatty(self) -> bool:
        return self._stream is not None and self._stream.isatty()

    def fileno(self) -> int:
        if self._stream is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self._stream.fileno()

    def writable(self) -> bool:
        return True

    def _try(self, call: Callable[[TextIO], object]) -> None:
        if self._stream is None:
            return
        try:
            call(self._stream)
        except BrokenPipeError:  # whoever read it has seen enough
            self._leave()
        except (OSError, ValueError) as error:
            self.failure = getattr(error, "strerror", None) or str(error)
            self._leave()

    def _leave(self) -> None:
        """Write no more; what Python still holds back goes nowhere, or it would end the process with code 120."""
        stream, self._stream = self._stream, None
        if stream in (sys.__stdout__, sys.__stderr__):
            with suppress(OSError, ValueError):
                assert stream is not None
                _point_at_nothing(stream.fileno())


@contextmanager
def outlets() -> Iterator[Outlet]:
    """Inside, sys.stdout and sys.stderr are outlets; the one of stdout."""
    _fill_closed()
    before = sys.stdout, sys.stderr
    out, err = Outlet(sys.stdout), Outlet(sys.stderr)
    sys.stdout, sys.stderr = cast(TextIO, out), cast(TextIO, err)
    try:
        yield out
    finally:
        out.flush()
        err.flush()
        sys.stdout, sys.stderr = before


def _fill_closed() -> None:
    """Put nothing where stdin, stdout or stderr is closed: a data file would get its number, and a library's words."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            _point_at_nothing(number)


def _point_at_nothing(number: int) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    if nothing != number:
        os.dup2(nothing, number)
        os.close(nothing)
    else:
        os.set_inheritable(number, True)
