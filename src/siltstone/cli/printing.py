"""What people read of runs of compact, optimize, verify and vacuum, of lakes and quarantines; and each as JSON."""

import base64
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rich.table import Table as Grid
from rich.text import Text

from siltstone.cli.console import console, print_json, report, say, visible
from siltstone.model.run_summary import (
    CompactSummary,
    OptimizeSummary,
    TableSummary,
    TakeOverSummary,
    VacuumSummary,
    VerifySummary,
)
from siltstone.model.table_format import FIRST

if TYPE_CHECKING:
    import polars as pl

_RUNS_SHOWN = 10
_PROBLEMS_SHOWN = 50


def print_compacted(summary: CompactSummary, *, as_json: bool) -> None:
    """What a run of compact did, of each table if they are several."""
    out = console(as_json=as_json)
    for s in summary.tables:
        if not summary.is_of_one_table:
            out.print(s.table.rpartition("/")[2], style="bold")
        say(out, _defects(s))
        say(out, _taken_over(s.taken_over))
        say(out, _ingested(s) if s.run else _nothing_new(s))
        if s.settled is not None and s.settled.files_removed:
            say(out, _optimized(s.settled))
        elif s.run and s.settled is None:
            say(out, [f"small files were not merged; siltstone optimize {s.table} does it"])
        say(out, _left_out(s))
    if as_json:
        print_json(summary)


def _taken_over(s: TakeOverSummary | None) -> Iterator[str]:
    """What others had changed in the table's data files, and a run took over before its own work."""
    if s is None:
        return
    if s.what == "restored":
        yield f"put back     an older version ({s.by}); {s.sources_unknown:,} source files are unknown again"
        return
    yield (
        f"taken over   {s.files_removed:,} data files of another writer ({s.by}) with {s.rows:,} rows, written anew as "
        f"{s.files_written:,}; no row changed"
    )


def _defects(s: TableSummary) -> Iterator[str]:
    """Files that siltstone itself failed at."""
    if s.defects:
        yield f"defects      {s.files_defect:,} files are quarantined since siltstone failed at them: please report it"
        yield from (f"  {file}" for file in s.defects[:3])


def _nothing_new(s: TableSummary) -> Iterator[str]:
    since = f" since {s.since}" if s.since else ""
    known = f"{s.files_skipped:,} of {s.files_listed:,} files{since} are known to {s.table}"
    yield f"nothing to do: {known} ({s.seconds:.1f} s)"


def _ingested(s: TableSummary) -> Iterator[str]:
    in_part = f" ({s.files_salvaged:,} in part)" if s.files_salvaged else ""
    yield (
        f"files        {s.files_ingested:,} taken{in_part}, {s.files_skipped:,} known, "
        f"{s.files_quarantined:,} quarantined"
    )
    if s.since:
        yield f"since        {s.since}, by the folders' clock: older ones were not looked at"
    yield from _account(s)
    yield (
        f"cells        {s.keys_seen:,} keys = {s.cells_stored:,} stored + {s.nulls:,} nulls"
        f" + {s.values_rescued:,} rescued"
    )
    sizes = f"{s.bytes_in / 1e6:,.1f} MB became {s.bytes_written / 1e6:,.1f} MB"
    yield f"written      {s.files_written:,} files, {sizes}"
    if names := s.columns_added:
        yield f"new columns  {len(names)}: {', '.join(names[:5])}{' ...' if len(names) > 5 else ''}"
    if s.grain:
        yield f"grain        dates by the {s.grain}"
    if files := s.files_superseded:
        yield f"replaced     {s.rows_superseded:,} rows of {files:,} files that came again with other content"
    yield f"table        {s.table} (run {s.run}, {s.engine}, {s.seconds:.1f} s)"


def _left_out(s: TableSummary) -> Iterator[str]:
    """Files that the run did not take, and where refused input is listed."""
    if s.files_changed:
        yield (
            f"{s.files_changed:,} files came again with other content and were left out, since files that share "
            "lines with them can't be read now, or another writer edited their rows and that was adopted:"
        )
        yield from (f"  {path}" for path in s.changed[:3])
    if s.files_deferred:
        yield f"{s.files_deferred:,} files could not be taken as listed; the next run tries again:"
        yield from (f"  {file}" for file in s.deferred_files[:3])
    if s.files_ignored:
        yield f"{s.files_ignored:,} objects are none of the source's and were left alone"
    if s.refused:
        yield f"refused input: siltstone quarantine {s.table}"


def _account(s: TableSummary) -> Iterator[str]:
    """The account of a run's records; what only some sources know is left out where there is none of it."""
    more = f" + {s.rows_split:,} rows more of them" if s.rows_split else ""
    went = [f"{s.rows_out:,} rows", f"{s.records_quarantined:,} quarantined"]
    went.append(f"{s.duplicates_dropped:,} duplicates")
    if superseded := s.keys_superseded:
        went.append(f"{superseded:,} superseded")
    if empty := s.records_empty:
        went.append(f"{empty:,} without a value")
    yield f"records      {s.records_in:,} in{more} = {' + '.join(went)}"
    if s.keys_replaced:
        yield f"newer        {s.keys_replaced:,} rows of earlier runs were replaced by others with their key"


def print_optimized(summary: OptimizeSummary, *, as_json: bool) -> None:
    """What optimize did, or with `dry_run` would do."""
    report(_optimized(summary), summary, as_json=as_json)


def _optimized(s: OptimizeSummary) -> Iterator[str]:
    yield from _taken_over(s.taken_over)
    if not s.files_removed:
        yield f"nothing to merge in {s.table} ({s.seconds:.1f} s)"
        return
    before = f"{s.files_removed:,} files of {s.bytes_removed / 1e6:,.1f} MB with {s.rows:,} rows"
    after = f"{s.files_written:,} of {s.bytes_written / 1e6:,.1f} MB"
    places = s.partitions
    where = f"in {len(places):,} partitions: {', '.join(places[:3])}{' ...' if len(places) > 3 else ''}"
    done = f"would merge {before}, {where}" if s.dry_run else f"merged {before} into {after}, {where}"
    yield f"{done} ({s.seconds:.1f} s)"


def print_verified(summary: VerifySummary, *, as_json: bool) -> None:
    """What was proven, and what is wrong."""
    out, s = console(as_json=as_json), summary
    lines = (
        f"sources      {s.sources_proven:,} of {s.source_files:,} files read again and found as their manifests "
        f"say; {s.sources_gone:,} gone, {s.sources_changed:,} changed since",
        f"table        {s.rows:,} rows in {s.data_files:,} files, {s.bytes / 1e6:,.1f} MB, all read "
        f"({s.table}, run {s.run}, {s.engine}, {s.seconds:.1f} s)",
    )
    problems = s.problems
    say(out, [*lines, *(f"  {problem}" for problem in problems[:_PROBLEMS_SHOWN])])
    more = f" ({len(problems) - _PROBLEMS_SHOWN:,} not shown: --json)" if len(problems) > _PROBLEMS_SHOWN else ""
    verdict = f"{len(problems):,} problems{more}" if problems else "all accounts hold"
    out.print(verdict, style="red" if problems else "green")
    if as_json:
        print_json(s)


def print_vacuumed(summary: VacuumSummary, *, as_json: bool) -> None:
    """What was deleted, or with `dry_run` would be."""
    s = summary
    verb = "would delete" if s.dry_run else "deleted"
    line = (
        f"{verb} {len(s.files):,} files of {s.bytes / 1e6:,.1f} MB that no run needs; "
        f"{s.files_young:,} more are younger than {s.grace_hours} h ({s.table}, {s.seconds:.1f} s)"
    )
    shown = s.files[:_PROBLEMS_SHOWN] if s.dry_run else ()
    report([line, *(f"  {file}" for file in shown)], s, as_json=as_json)


def print_lake(lake: Mapping[str, Any], *, as_json: bool) -> None:
    """Every table of a description."""
    out = console(as_json=as_json)
    for t in lake["tables"]:
        whole = f"  version {t['version']}, {t['columns']} record columns"
        out.print(Text.assemble((visible(t["table"]), "bold"), whole))
        if t["format"]["version"] > FIRST.version:
            out.print(
                "  format {version}: read by siltstone {min_reader_release} and newer, written by {min_writer_release} "
                "and newer".format(**t["format"]), soft_wrap=True
            )  # fmt: skip
        out.print(
            f"  {t['rows']:,} rows in {t['files']:,} files, {t['bytes'] / 1e6:,.1f} MB; "
            f"{t['share_of_bytes_in_size']:.0%} of the bytes in files of the wanted size"
        )  # fmt: skip
        widest = max(t["size_histogram_mb"].values(), default=1)
        for label, count in t["size_histogram_mb"].items():
            out.print(f"  {label:>9} MB {'█' * max(1, round(30 * count / widest))} {count:,}")
        grid = Grid("partition", "files", "rows", "MB", box=None)
        for label, p in t["partitions"].items():
            grid.add_row(label, f"{p['files']:,}", f"{p['rows']:,}", f"{p['bytes'] / 1e6:,.1f}")
        out.print(grid)
        runs = Grid("run", "committed", "engine", "files", "rows", "quarantined", "new columns", "times in", box=None)
        for r in t["runs"][:_RUNS_SHOWN]:
            done = (r["run"], r["committed"], r["engine"])
            if r["kind"] != "compact":
                what = {"settle": "optimized"}.get(r["kind"], r["kind"])
                runs.add_row(*done, f"{what} {r['files_removed']:,} to {r['files_written']:,}")
                continue
            refused = f"{r['files_quarantined']:,} files, {r['records_quarantined']:,} records"
            counts = f"{r['files_ingested']:,}", f"{r['rows_out']:,}"
            runs.add_row(*done, *counts, refused, str(len(r["columns_added"])), ", ".join(r["time_units"]))
        out.print(runs)
        for r in t["runs"][:_RUNS_SHOWN]:
            if names := r.get("columns_added"):
                more = f" and {len(names) - 20:,} more (--json)" if len(names) > 20 else ""
                out.print(f"  new in {r['run']}: {', '.join(names[:20])}{more}", soft_wrap=True)
        out.print(
            f"  quarantine: {t['files_quarantined']:,} files, {t['files_salvaged']:,} damaged ones read in part, "
            f"{t['records_quarantined']:,} records; {t['values_rescued']:,} values rescued"
        )  # fmt: skip
    if as_json:
        print_json(lake)


def print_quarantine(entries: "pl.DataFrame", *, limit: int, as_json: bool) -> None:
    """Each entry's place and reason, with the beginning of its bytes made safe for a terminal."""
    out = console(as_json=as_json)
    for e in entries.head(limit).iter_rows(named=True):
        place = "file" if e["line"] is None else f"line {e['line']}, byte {e['byte_offset']:,}"
        out.print(f"{e['source_file']} ({place}): {e['reason']}", highlight=False, soft_wrap=True)
        if e["raw"]:
            out.print(
                f"    {ascii(e['raw'][:120])[2:-1]}{'...' if e['raw_bytes'] > 120 else ''}",
                soft_wrap=True,
            )
    more = entries.height - limit
    out.print(f"{entries.height:,} entries" + (f", {more:,} not shown (--limit)" if more > 0 else ""))
    if as_json:
        shown = entries.head(limit).to_dicts()
        coded = [{**e, "raw": base64.b64encode(e["raw"]).decode(), "raw_encoding": "base64"} for e in shown]
        print_json({"entries": coded, "count": entries.height})
