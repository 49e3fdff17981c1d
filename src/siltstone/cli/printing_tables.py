"""What people read of tables that were made of others, of pictures and of what was published; and each as JSON."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from siltstone.cli.console import report
from siltstone.model.derived_summary import (
    AggregateSummary,
    AsofSummary,
    ConventionSummary,
    DerivedSummary,
    PlotSummary,
    PublishSummary,
    ResampleSummary,
    RollupSummary,
)

_SHOWN = 5
_Buckets = AggregateSummary | ConventionSummary | RollupSummary


def print_aggregated(summary: _Buckets, *, as_json: bool) -> None:
    """What aggregate or rollup computed."""
    _print_derived(_buckets_made(summary), summary, as_json=as_json)


def print_resampled(summary: ResampleSummary, *, as_json: bool) -> None:
    """What resample made."""
    _print_derived(_rows_made(_resampled(summary), summary, "instants"), summary, as_json=as_json)


def print_joined(summary: AsofSummary, *, as_json: bool) -> None:
    """What asof made."""
    _print_derived(_rows_made(_joined(summary), summary, "rows"), summary, as_json=as_json)


def print_plotted(summary: PlotSummary, *, as_json: bool) -> None:
    """Where a picture is and what it shows."""
    s = summary
    measures = ", ".join(dict.fromkeys(f"{p['measure']} ({p['shape']})" for p in s.series))
    line = (
        f"drawn        {s.out}, {s.bytes / 1e3:,.0f} kB: {s.buckets:,} buckets of {len(s.series)} series, "
        f"{measures}, {s.zone}"
    )
    report([line], s, as_json=as_json)


def print_published(summary: PublishSummary, *, as_json: bool) -> None:
    """What was published."""
    is_new = summary.edition is not None
    lines = [*(_published(summary) if is_new else _known(summary)), *_remarks(summary), *_renamed(summary)]
    report([*lines, *_archived(summary)], summary, as_json=as_json)


def _print_derived(lines: Iterable[str], summary: DerivedSummary, *, as_json: bool) -> None:
    """The lines of a run, or that there was nothing to do."""
    s = summary
    known = f"nothing to do: {s.table} is what its {s.files_known:,} data files say ({s.seconds:.1f} s)"
    report(lines if s.run else [known], s, as_json=as_json)


def _buckets_made(s: _Buckets) -> Iterator[str]:
    yield _read(s)
    if not isinstance(s, ConventionSummary) and s.buckets_touched is not None:
        yield f"touched      {s.buckets_touched:,} buckets by new, changed or gone files"
    watermark = datetime.fromtimestamp(s.watermark_us / 1e6, UTC).isoformat(timespec="seconds")
    provisional = f", {s.provisional:,} provisional (they end after {watermark})" if s.provisional else ""
    yield f"buckets      {s.rows_out:,} rows of {s.every} for {s.series:,} series{provisional}"
    yield _written(s) + (f"; {s.files_removed:,} replaced" if s.files_removed else "")
    yield _table(s)


def _read(s: _Buckets) -> str:
    """What was read: readings, readings by a convention, or the base of a rollup."""
    if isinstance(s, AggregateSummary):
        return f"read         {s.rows_in:,} rows: {_account(s)}"
    if isinstance(s, ConventionSummary):
        return f"read         {s.rows_in:,} rows, by the convention {s.convention}"
    return f"read         {s.rows_in:,} rows of {s.base} with {s.points:,} points; no readings"


def _account(s: AggregateSummary | ResampleSummary) -> str:
    return f"{s.points:,} points + {s.repeated:,} repeated + {s.rows_left_out:,} left out"


def _rows_made(read: str, s: DerivedSummary, unit: str) -> Iterator[str]:
    yield read
    yield f"written      {s.rows_out:,} {unit}: {s.files_written:,} files, {s.bytes_written / 1e6:,.1f} MB"
    yield _table(s)


def _resampled(s: ResampleSummary) -> str:
    return f"read         {s.rows_in:,} rows, and {s.rows_beside:,} of before and after: {_account(s)}"


def _joined(s: AsofSummary) -> str:
    alone = s.rows_in - s.rows_matched - s.rows_left_out
    account = f"{s.rows_matched:,} matched + {alone:,} without a match + {s.rows_left_out:,} left out"
    return f"left         {s.rows_in:,} rows: {account}"


def _written(s: DerivedSummary | PublishSummary) -> str:
    return f"written      {s.files_written:,} files, {s.bytes_written / 1e6:,.1f} MB"


def _table(s: DerivedSummary) -> str:
    return f"table        {s.table} (run {s.run}, {s.engine}, {s.seconds:.1f} s)"


def _whole(s: PublishSummary) -> str:
    return f"{s.rows:,} rows of {s.streams:,} streams in {s.files:,} files, {s.bytes / 1e6:,.1f} MB"


def _known(s: PublishSummary) -> Iterator[str]:
    yield f"nothing to do: {_whole(s)} are what {s.table} says ({s.seconds:.1f} s)"


def _published(s: PublishSummary) -> Iterator[str]:
    yield f"rows         {s.rows_added:,} added, {s.rows_removed:,} superseded ones taken out"
    yield _written(s) + (f"; {s.files_replaced:,} replaced" if s.files_replaced else "")
    names = s.collections
    some = f"{', '.join(names[:_SHOWN])}{' ...' if len(names) > _SHOWN else ''}"
    where = f"({s.out}, edition {s.edition}, {s.seconds:.1f} s)"
    yield f"published    {_whole(s)}, {len(names):,} collections: {some} {where}"


def _remarks(s: PublishSummary) -> Iterator[str]:
    """What Mortar's layout has no place for."""
    for count, what in (
        (s.not_published, "readings are text: Mortar has no place for them, they are not published"),
        (s.nanoseconds_cut, "readings lost their nanoseconds: Mortar's times are microseconds"),
        (s.not_good, "readings are of a quality other than good, which Mortar does not tell"),
    ):
        if count:
            yield f"{count:,} {what}"


def _renamed(s: PublishSummary) -> Iterator[str]:
    if s.renamed:
        yield f"{len(s.renamed):,} series are no UUIDs and got one made of their names:"
        yield from (f"  {series} is {stream}" for series, stream in list(s.renamed.items())[:_SHOWN])


def _archived(s: PublishSummary) -> Iterator[str]:
    if s.archive is not None:
        yield f"archive      {s.archive}, {(s.archive_bytes or 0) / 1e6:,.1f} MB, SHA-256 {s.archive_sha256}"
