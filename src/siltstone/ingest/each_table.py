"""The tables of a source, one after the other: one that fails leaves the others their turn, and is named at the end."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from siltstone.config.model import Config
from siltstone.engine.tasks import Engine, Progress
from siltstone.errors import (
    LostRaceError,
    OtherTermsError,
    PartlyError,
    SiltstoneError,
    TableFormatError,
    masked,
    rebuilt,
)
from siltstone.ingest.summary import united
from siltstone.maintenance.optimize import optimize
from siltstone.model.run_summary import CompactSummary, Failure, OptimizeSummary, TableSummary
from siltstone.table.delta_table import Table


@dataclass
class Turn:
    """What a run has done to one table so far: the summaries of its portions, and what optimize merged."""

    batches: list[TableSummary] = field(default_factory=list)
    settled: OptimizeSummary | None = None

    def settle(self, table: Table, config: Config, engine: Engine, progress: Progress) -> None:
        """Merge small files where that is wanted; not where others commit all the time: a later run does it."""
        if not config.optimize.after_compact:
            return
        try:
            self.settled = optimize(table, config, engine, progress)
        except LostRaceError:
            return
        except SiltstoneError as error:
            self.settled = error.summary if isinstance(error, PartlyError) else None
            if not isinstance(error.__cause__, LostRaceError):
                raise rebuilt(type(error), f"merging small files failed: {error}") from error


class EachTable:
    """What a run has done to each table of a source, and what went wrong; `is_over` where no other table should have
    its turn, since the settings are wrong."""

    def __init__(self, source: str, *, is_of_one_table: bool) -> None:
        self._source, self._is_of_one_table = source, is_of_one_table
        self._summaries: list[TableSummary] = []
        self._errors: list[tuple[str, BaseException]] = []
        self.is_over = False

    def is_new(self, table: Table, *, has_files: bool) -> bool | None:
        """Whether there is no table yet; None where it can't be read, which is noted if there are files for it. One of
        a newer format is refused before any is written."""
        try:
            return table.snapshot() is None
        except TableFormatError:
            raise
        except SiltstoneError as error:
            if has_files:
                self.failed(table.storage.root, error)
            return None

    def failed(self, table: str, error: BaseException) -> None:
        """Note what went wrong."""
        self._errors.append((table, error))
        self.is_over |= isinstance(error, OtherTermsError)

    @contextmanager
    def turn(self, table: str) -> Iterator[Turn]:
        """Inside, one table has its turn; an error is kept for the end."""
        started, turn = time.time(), Turn()
        try:
            yield turn
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as error:  # a panic of a library is no Exception
            self.failed(table, error)
            if isinstance(error, PartlyError) and isinstance(error.summary, TableSummary):
                turn.batches.append(error.summary)
        if turn.batches:
            runs, seconds = [b.run for b in turn.batches if b.run], round(time.time() - started, 3)
            self._summaries.append(replace(united(turn.batches), settled=turn.settled, runs=runs, seconds=seconds))

    def summary(self) -> CompactSummary | None:
        """Of all tables that had a turn, None where there were none. Raises the error itself where nothing is done,
        else PartlyError with the summary."""
        failed = [Failure(table, _told(error), getattr(error, "exit_code", 1)) for table, error in self._errors]
        summary = CompactSummary(self._source, self._summaries, self._is_of_one_table, failed)
        if not self._errors:
            return summary if self._summaries else None
        committed = [f"{s.table} run {run}" for s in self._summaries for run in _runs(s)]
        missing = {f.table for f in failed}
        up_to_date = [s.table for s in self._summaries if s.table not in missing and not _runs(s)]
        if not committed and not up_to_date:
            raise self._whole_error(failed)
        lines = [f"  not done: {f.table}: {f.error}" for f in failed]
        lines += [f"  is committed: {name}" for name in committed]
        lines += [f"  has nothing new: {name}" for name in up_to_date]
        raise PartlyError(
            "\n".join([f"{self._source} is done in part", *lines]),
            "What is committed stays. Once the reason is gone, the same command does the rest.",
            summary,
        ) from self._errors[0][1]

    def _whole_error(self, failed: list[Failure]) -> BaseException:
        """The error of a run that has done nothing: of several its kind is that of the first."""
        _, first = self._errors[0]
        if len(failed) == 1 or not isinstance(first, SiltstoneError):
            return first
        lines = [f"  {f.table}: {f.error}" for f in failed]
        whole = rebuilt(type(first), "\n".join([f"{len(failed)} tables of {self._source} failed", *lines]))
        whole.__cause__ = first
        return whole


def _runs(summary: TableSummary) -> list[str]:
    return [*summary.runs, *(summary.settled.runs if summary.settled else ())]


def _told(error: BaseException) -> str:
    if isinstance(error, SiltstoneError):
        return str(error)
    what = f"{type(error).__name__}: {error}".partition("\n")[0]
    return masked(f"unexpected {what}. --debug shows the trace; please report it.")
