"""What a run tells while it works, on stderr: a bar on a terminal, plain lines otherwise."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from siltstone.cli.console import notice, visible
from siltstone.errors import masked


class Reporter:
    """Call it with what goes on, files done, files in all (0: not yet known) and input bytes done."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bar: Progress | None = None
        self._last = ""

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TextColumn("{task.fields[done]}"),
                TimeElapsedColumn(),
            )
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._bar.start()
            self._task = self._bar.add_task("starting", total=None, done="")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, what: str, files: int, of: int, byte_count: int) -> None:
        done = f"{files:,} of {of:,} files, {byte_count / 1e6:,.1f} MB" if of else ""
        if self._bar is not None:
            self._bar.update(
                self._task, description=visible(masked(what)), total=of or None, completed=files, done=done
            )
        elif self._last != what:
            self._last = what
            notice(f"{what}{', ' + done if done else ''}")
