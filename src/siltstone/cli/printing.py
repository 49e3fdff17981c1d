"""What people read on stdout: summaries, lakes, quarantines, surveys; and each as one line of JSON."""

import base64
import json
import sys
from collections.abc import Mapping
from typing import Any, Literal

import polars as pl
from rich.console import Console
from rich.table import Table as Grid

from siltstone.ingest.keyed_survey import KeyedSurvey
from siltstone.ingest.survey import Survey, summary_of_survey
from siltstone.model.table_format import FIRST
from siltstone.model.time_zones import iso

_RUNS_SHOWN = 10
_PROBLEMS_SHOWN = 50
_VALUES_SHOWN = 8


def print_summary(summary: Mapping[str, Any], *, as_json: bool) -> None:
    """What a run did, of each table if they are several, and with `as_json` one JSON object on the last line."""
    for s in summary.get("tables", [summary]):
        if "tables" in summary:
            _console().print(f"[bold]{s['table'].rpartition('/')[2]}[/]", highlight=False)
        _print_run(s)
    if as_json:
        _print_json(summary)


def _print_run(s: Mapping[str, Any]) -> None:
    console = _console()
    if not s["run"]:
        since = f" since {s['since']}" if s["since"] else ""
        known = f"{s['files_skipped']:,} of {s['files_listed']:,} files{since} are known to {s['table']}"
        console.print(f"nothing to do: {known} ({s['seconds']:.1f} s)", soft_wrap=True, highlight=False)
    else:
        in_part = f" ({s['files_salvaged']:,} in part)" if s["files_salvaged"] else ""
        names = s["columns_added"]
        lines = [
            f"files        {s['files_ingested']:,} taken{in_part}, {s['files_skipped']:,} known, "
            f"{s['files_quarantined']:,} quarantined",
            f"since        {s['since']}, by the folders' clock: older ones were not looked at" if s["since"] else "",
            _account(s),
            f"cells        {s['keys_seen']:,} keys = {s['cells_stored']:,} stored + {s['nulls']:,} nulls"
            f" + {s['values_rescued']:,} rescued",
            f"written      {s['files_written']:,} files, {s['bytes_in'] / 1e6:,.1f} MB became"
            f" {s['bytes_written'] / 1e6:,.1f} MB",
            f"new columns  {len(names)}: {', '.join(names[:5])}{' ...' if len(names) > 5 else ''}" if names else "",
            f"grain        dates by the {s['grain']}" if s["grain"] else "",
            f"replaced     {s['rows_superseded']:,} rows of {s['files_superseded']:,} files that came again with other "
            "content"
            if s["files_superseded"]
            else "",
            f"table        {s['table']} (run {s['run']}, {s['engine']}, {s['seconds']:.1f} s)",
        ]
        console.print(*filter(None, lines), sep="\n", soft_wrap=True, highlight=False, markup=False)
    if settled := s["settled"]:
        if settled["files_removed"]:
            print_settled(settled, as_json=False)
    elif s["run"]:
        console.print("not settled; siltstone settle does it on its own", highlight=False)
    if s["files_changed"]:
        console.print(
            f"[yellow]{s['files_changed']:,} files came again with other content and were left out[/], since files "
            "that share lines with them can't be read now:"
        )
        console.print(*(f"  {path}" for path in s["changed"][:3]), sep="\n", markup=False, soft_wrap=True)
    if s["files_deferred"]:
        console.print(
            f"[yellow]{s['files_deferred']:,} files could not be taken as listed[/]; the next run tries again:"
        )
        console.print(*(f"  {file}" for file in s["deferred_files"][:3]), sep="\n", markup=False, soft_wrap=True)
    if s["files_ignored"]:
        console.print(f"{s['files_ignored']:,} objects are none of the source's and were left alone")
    if s["files_quarantined"] + s["files_salvaged"] + s["records_quarantined"]:
        lake, _, table = s["table"].rpartition("/")
        console.print(
            f"refused input: siltstone quarantine {lake} {table}", markup=False, highlight=False, soft_wrap=True
        )


def _account(s: Mapping[str, Any]) -> str:
    """The account of a run's records; what only some sources know is left out where there is none of it."""
    more = f" + {s['rows_split']:,} rows more of them" if s["rows_split"] else ""
    went = [f"{s['rows_out']:,} rows", f"{s['records_quarantined']:,} quarantined"]
    went.append(f"{s['duplicates_dropped']:,} duplicates")
    if superseded := s["keys_superseded"]:
        went.append(f"{superseded:,} superseded")
    if empty := s["records_empty"]:
        went.append(f"{empty:,} without a value")
    account = f"records      {s['records_in']:,} in{more} = {' + '.join(went)}"
    if s["keys_replaced"]:
        account += f"\nnewer        {s['keys_replaced']:,} rows of earlier runs gave way to others with their key"
    return account


def print_settled(summary: Mapping[str, Any], *, as_json: bool) -> None:
    """What settling did, or with `dry_run` would do."""
    console, s = _console(), summary
    if not s["files_removed"]:
        console.print(f"nothing to settle in {s['table']} ({s['seconds']:.1f} s)", soft_wrap=True, highlight=False)
    else:
        before = f"{s['files_removed']:,} files of {s['bytes_removed'] / 1e6:,.1f} MB with {s['rows']:,} rows"
        after = f"{s['files_written']:,} of {s['bytes_written'] / 1e6:,.1f} MB"
        places = s["partitions"]
        where = f"in {len(places):,} partitions: {', '.join(places[:3])}{' ...' if len(places) > 3 else ''}"
        done = f"would merge {before}, {where}" if s["dry_run"] else f"merged {before} into {after}, {where}"
        console.print(f"{done} ({s['seconds']:.1f} s)", soft_wrap=True, highlight=False, markup=False)
    if as_json:
        _print_json(s)


def print_verified(summary: Mapping[str, Any], *, as_json: bool) -> None:
    """What was proven, and what is wrong."""
    console, s = _console(), summary
    console.print(
        f"sources      {s['sources_proven']:,} of {s['source_files']:,} files read again and found as their manifests "
        f"say; {s['sources_gone']:,} gone, {s['sources_changed']:,} changed since",
        f"table        {s['rows']:,} rows in {s['data_files']:,} files, {s['bytes'] / 1e6:,.1f} MB, all read "
        f"({s['table']}, run {s['run']}, {s['engine']}, {s['seconds']:.1f} s)",
        sep="\n", soft_wrap=True, highlight=False, markup=False,
    )  # fmt: skip
    problems = s["problems"]
    for problem in problems[:_PROBLEMS_SHOWN]:
        console.print(f"  {problem}", markup=False, soft_wrap=True, highlight=False)
    more = f" ({len(problems) - _PROBLEMS_SHOWN:,} not shown: --json)" if len(problems) > _PROBLEMS_SHOWN else ""
    verdict = f"[red]{len(problems):,} problems[/]{more}" if problems else "[green]all accounts hold[/]"
    console.print(verdict, highlight=False)
    if as_json:
        _print_json(s)


def print_vacuumed(summary: Mapping[str, Any], *, as_json: bool) -> None:
    """What was deleted, or with `dry_run` would be."""
    console, s = _console(), summary
    verb = "would delete" if s["dry_run"] else "deleted"
    console.print(
        f"{verb} {len(s['files']):,} files of {s['bytes'] / 1e6:,.1f} MB that no run needs; "
        f"{s['files_young']:,} more are younger than {s['grace_hours']} h ({s['table']}, {s['seconds']:.1f} s)",
        soft_wrap=True, highlight=False, markup=False,
    )  # fmt: skip
    for file in s["files"][:_PROBLEMS_SHOWN] if s["dry_run"] else ():
        console.print(f"  {file}", markup=False, soft_wrap=True, highlight=False)
    if as_json:
        _print_json(s)


def print_lake(lake: Mapping[str, Any], *, as_json: bool) -> None:
    """Every table of a description."""
    console = _console()
    for t in lake["tables"]:
        console.print(f"[bold]{t['table']}[/]  version {t['version']}, {t['columns']} record columns", highlight=False)
        if t["format"]["version"] > FIRST.version:
            console.print(
                "  format {version}: read by siltstone {min_reader_release} and newer, written by {min_writer_release} "
                "and newer".format(**t["format"]), highlight=False, markup=False, soft_wrap=True
            )  # fmt: skip
        console.print(
            f"  {t['rows']:,} rows in {t['files']:,} files, {t['bytes'] / 1e6:,.1f} MB; "
            f"{t['share_of_bytes_in_size']:.0%} of the bytes in files of the wanted size", highlight=False
        )  # fmt: skip
        widest = max(t["size_histogram_mb"].values(), default=1)
        for label, count in t["size_histogram_mb"].items():
            console.print(f"  {label:>9} MB {'█' * max(1, round(30 * count / widest))} {count:,}", highlight=False)
        grid = Grid("partition", "files", "rows", "MB", box=None)
        for label, p in t["partitions"].items():
            grid.add_row(label, f"{p['files']:,}", f"{p['rows']:,}", f"{p['bytes'] / 1e6:,.1f}")
        console.print(grid)
        runs = Grid("run", "committed", "engine", "files", "rows", "quarantined", "new columns", "times in", box=None)
        for r in t["runs"][:_RUNS_SHOWN]:
            done = (r["run"], r["committed"], r["engine"])
            if r["kind"] != "compact":
                what = {"settle": "settled"}.get(r["kind"], r["kind"])
                runs.add_row(*done, f"{what} {r['files_removed']:,} to {r['files_written']:,}")
                continue
            refused = f"{r['files_quarantined']:,} files, {r['records_quarantined']:,} records"
            counts = f"{r['files_ingested']:,}", f"{r['rows_out']:,}"
            runs.add_row(*done, *counts, refused, str(len(r["columns_added"])), ", ".join(r["time_units"]))
        console.print(runs)
        for r in t["runs"][:_RUNS_SHOWN]:
            if names := r.get("columns_added"):
                more = f" and {len(names) - 20:,} more (--json)" if len(names) > 20 else ""
                console.print(f"  new in {r['run']}: {', '.join(names[:20])}{more}", markup=False, soft_wrap=True)
        console.print(
            f"  quarantine: {t['files_quarantined']:,} files, {t['files_salvaged']:,} damaged ones read in part, "
            f"{t['records_quarantined']:,} records; {t['values_rescued']:,} values rescued", highlight=False
        )  # fmt: skip
    if as_json:
        _print_json(lake)


def print_quarantine(entries: pl.DataFrame, *, limit: int, as_json: bool) -> None:
    """Each entry's place and reason, with the beginning of its bytes made safe for a terminal."""
    console = _console()
    for e in entries.head(limit).iter_rows(named=True):
        place = "file" if e["line"] is None else f"line {e['line']}, byte {e['byte_offset']:,}"
        console.print(f"{e['source_file']} ({place}): {e['reason']}", markup=False, highlight=False, soft_wrap=True)
        if e["raw"]:
            console.print(
                f"    {ascii(e['raw'][:120])[2:-1]}{'...' if e['raw_bytes'] > 120 else ''}",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
    more = entries.height - limit
    console.print(
        f"{entries.height:,} entries" + (f", {more:,} not shown (--limit)" if more > 0 else ""), highlight=False
    )
    if as_json:
        shown = entries.head(limit).to_dicts()
        coded = [{**e, "raw": base64.b64encode(e["raw"]).decode(), "raw_encoding": "base64"} for e in shown]
        _print_json({"entries": coded, "count": entries.height})


def print_keyed_surveys(found: list[tuple[KeyedSurvey, Literal["day", "month"]]], *, as_json: bool) -> None:
    """What each dataset of a source holds, and the grain that its table's dates would get."""
    console = _console()
    for survey, grain in found:
        span = "none" if survey.first_us is None else f"{iso(survey.first_us)} .. {iso(survey.last_us or 0)}"
        lines = [
            f"{survey.dataset}: {survey.files:,} files read ({survey.unreadable:,} unreadable), {survey.records:,} "
            f"records ({survey.bad_records:,} bad), {survey.rows:,} rows of {len(survey.series):,} series",
            f"  instants    {span}",
            *(
                f"  {name:<11} {', '.join(f'{n:,} {value}' for value, n in counts.most_common(_VALUES_SHOWN))}"
                for name, counts in survey.values.items()
            ),
            f"  _rescued    in {survey.rescued:,} rows" if survey.rescued else "",
            f"  size        {survey.ratio:.2f} bytes out per byte in; dates by the {grain}",
            *(f"  refused     {n:,}: {reason}" for reason, n in survey.reasons.most_common(_VALUES_SHOWN)),
        ]
        console.print(*filter(None, lines), sep="\n", soft_wrap=True, highlight=False, markup=False)
    if as_json:
        _print_json(summary_of_survey(found))


def print_survey(survey: Survey, *, as_json: bool) -> None:
    """A row per field, and the hints to put into a configuration."""
    console = _console()
    grid = Grid("field", "kind", "fill", "values by kind", "remarks", box=None)
    for f in survey.fields.values():
        values = ", ".join(f"{n:,} {kind}" for kind, n in f.tokens.most_common())
        fill = f"{sum(f.tokens.values()) / max(survey.records, 1):.1%}"
        grid.add_row(f.key, survey.kinds.get(f.key, "-"), fill, values, "; ".join(f.remarks))
    console.print(grid)
    console.print(
        f"{survey.records:,} records of {survey.files:,} files; {survey.bad_records:,} bad records, "
        f"{survey.unreadable:,} unreadable files; folder hour {survey.shift_hours:+d} h is the local hour; "
        f"{survey.ratio:.2f} bytes out per byte in", highlight=False, soft_wrap=True
    )  # fmt: skip
    hints = survey.hints
    if hints:
        console.print("hints to consider (sources.datalog.hints):")
        console.print(*(f"  {json.dumps(key)}: {kind}" for key, kind in hints.items()), sep="\n", markup=False)
    if as_json:
        _print_json(summary_of_survey(survey))


def _console() -> Console:
    """Stdout; wide where it is no terminal, so that nothing is cut for a reader of a log."""
    return Console(width=None if sys.stdout.isatty() else 200)


def _print_json(value: Mapping[str, Any]) -> None:
    print(json.dumps(dict(value), default=str), flush=True)  # noqa: T201
