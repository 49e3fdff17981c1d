"""What a run says of itself: counts of files, records and cells, of one batch of files and of all."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from siltstone.ingest.defects import version_of
from siltstone.ingest.listing import Listing, ListingDiff
from siltstone.model.accounts import FileAccount, total
from siltstone.model.data_files import NewFile
from siltstone.model.run_summary import TableSummary

_COUNTS = (
    *("files_ingested", "files_quarantined", "files_salvaged", "records_in", "rows_out", "records_quarantined"),
    *("duplicates_dropped", "keys_superseded", "keys_replaced", "rows_split", "records_empty", "keys_seen"),
    *("cells_stored", "nulls", "values_rescued", "files_written", "bytes_in", "bytes_written", "files_superseded"),
    *("rows_superseded", "files_deferred", "files_defect"),
)


def summary_of(
    listing: Listing,
    news: ListingDiff,
    files: Sequence[FileAccount],
    outputs: Sequence[NewFile],
    time_units: Sequence[str],
) -> TableSummary:
    """The counts of a run over a listing, whose files got these accounts and gave these outputs."""
    states = [f.state for f in files]
    defects = [f for f in files if version_of(f.reason)]
    whole = total(files)
    return TableSummary(
        since=minute(listing.since) if listing.since else None,
        files_listed=listing.files.height,
        files_ingested=states.count("ingested"),
        files_skipped=news.skipped + len(news.noted),
        files_quarantined=states.count("quarantined"),
        files_salvaged=sum(f.lane == "salvaged" for f in files),
        files_defect=sum(f.state == "quarantined" for f in defects),
        files_changed=len(news.changed),
        files_deferred=states.count("deferred"),
        files_ignored=listing.ignored,
        files_later=news.later,
        records_in=whole.records_in,
        rows_out=whole.rows_out,
        records_quarantined=whole.records_quarantined,
        duplicates_dropped=whole.duplicates_dropped,
        keys_superseded=whole.keys_superseded,
        rows_split=whole.rows_split,
        records_empty=whole.records_empty,
        keys_seen=whole.keys_seen,
        cells_stored=whole.cells_stored,
        nulls=whole.nulls,
        values_rescued=whole.values_rescued,
        time_units={u: n for u in time_units if (n := sum(f.time_units.get(u, 0) for f in files))},
        files_written=len(outputs),
        bytes_in=sum(f.size for f in files if f.state != "deferred"),
        bytes_written=sum(o.bytes for o in outputs),
        changed=news.changed[:20],
        deferred_files=[f"{f.path} ({f.reason})" for f in files if f.state == "deferred"][:20],
        defects=[f"{f.path}: {f.reason}" for f in defects][:20],
    )


def minute(hour: datetime) -> str:
    """A folder's hour for people."""
    return hour.isoformat(timespec="minutes")


def united(summaries: Sequence[TableSummary]) -> TableSummary:
    """The summary of all batches of a run: counts added up, `run` the last that committed something."""
    first, last = summaries[0], summaries[-1]
    if len(summaries) == 1:
        return first
    counts = {name: sum(getattr(s, name) for s in summaries) for name in _COUNTS}
    return replace(
        last,
        **counts,
        run=next((s.run for s in reversed(summaries) if s.run), ""),
        taken_over=next((s.taken_over for s in summaries if s.taken_over), None),
        columns_added=[name for s in summaries for name in s.columns_added],
        files_listed=first.files_listed,
        files_skipped=first.files_skipped,
        deferred_files=[file for s in summaries for file in s.deferred_files][:20],
        defects=[file for s in summaries for file in s.defects][:20],
    )
