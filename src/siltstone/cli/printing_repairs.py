"""What people read of adopt and repair; and each as JSON."""

from collections.abc import Iterator, Sequence

from siltstone.cli.console import report
from siltstone.model.run_summary import AdoptSummary, RepairSummary

_SHOWN = 20


def print_adopted(summary: AdoptSummary, *, as_json: bool) -> None:
    """What another writer changed, and what became of it."""
    report(_adopted(summary), summary, as_json=as_json)


def print_repaired(summary: RepairSummary, *, as_json: bool) -> None:
    """What is missing, and what was done about it."""
    report(_repaired(summary), summary, as_json=as_json)


def _adopted(s: AdoptSummary) -> Iterator[str]:
    if s.what == "nothing":
        yield f"nothing to adopt: no other writer has changed data files of {s.table} ({s.seconds:.1f} s)"
        return
    yield f"changed      {s.by}"
    if s.what != "rows":
        what = "the same rows, in other files" if s.what == "files" else "an older version was put back"
        yield f"no rows to adopt: {what}; every run takes that over by itself"
    else:
        yield from _touched(s)
    yield f"table        {s.table} (run {s.run}, {s.engine}, {s.seconds:.1f} s)" if s.run else _not_done(s.seconds)


def _touched(s: AdoptSummary) -> Iterator[str]:
    if s.files_missing:
        yield (
            f"{s.files_missing:,} data files with the rows of before are gone: rows and cells were counted, and one "
            "value in the place of another is not seen"
        )
    yield f"touched      {len(s.sources):,} source files, rows before and now:"
    shown = [
        f"{one['path'] or '(rows that name no source file)'}: {one['rows_before']:,} -> {one['rows']:,}"
        + ("" if one["known"] else " (no run has read it)")
        for one in s.sources
    ]
    yield from _some(shown)
    yield "A later change of one of these source files is named by every run, and not taken."


def _repaired(s: RepairSummary) -> Iterator[str]:
    if not s.dropped and not s.files_lost:
        yield f"nothing to repair: {s.table} has the manifest and the data files of its newest run ({s.seconds:.1f} s)"
        return
    if s.sources_lost:
        yield f"lost         rows of {len(s.sources_lost):,} source files that are not at the input any more:"
        yield from _some(s.sources_lost)
    if s.dropped:
        back = f"on from run {s.back_to}" if s.back_to else "from the beginning: no run before it is whole"
        yield f"dropped      {', '.join(s.dropped)}, whose files are gone; the table goes {back}"
    yield f"data files   {s.files_taken_back:,} taken back, {s.files_lost:,} lost"
    if again := [path for path in s.sources_again if path not in set(s.sources_lost)]:
        yield f"read again   {len(again):,} source files, by the next siltstone compact:"
        yield from _some(again)
    yield f"table        {s.table} (run {s.run}, {s.engine}, {s.seconds:.1f} s)" if s.run else _not_done(s.seconds)


def _some(lines: Sequence[str]) -> Iterator[str]:
    yield from (f"  {line}" for line in lines[:_SHOWN])
    if len(lines) > _SHOWN:
        yield f"  and {len(lines) - _SHOWN:,} more (--json)"


def _not_done(seconds: float) -> str:
    return f"nothing was done; --yes does it ({seconds:.1f} s)"
