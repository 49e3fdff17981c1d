"""What people read of a survey on stdout, and its JSON."""

import json
from collections.abc import Iterator, Mapping
from itertools import islice

from rich.console import Console
from rich.table import Table as Grid

from siltstone.cli.console import console, print_json, say
from siltstone.model.survey_summary import ReadingsSurvey, RecordsSurvey, SurveySummary
from siltstone.model.time_zones import iso

_VALUES_SHOWN = 8


def print_survey(summary: SurveySummary, *, as_json: bool) -> None:
    """What each dataset of a source holds."""
    out = console(as_json=as_json)
    for found in summary.datasets:
        if isinstance(found, RecordsSurvey):
            _print_records(out, found)
        else:
            say(out, _readings(found))
    if as_json:
        print_json(summary)


def _readings(s: ReadingsSurvey) -> Iterator[str]:
    """The values of a dataset with a key, and the grain that its table's dates would get."""
    yield from _defects({reason: n for reason, n in s.reasons.items() if reason.startswith("defect: ")})
    yield (
        f"{s.dataset}: {s.files:,} files read ({s.unreadable:,} unreadable), {s.records:,} records "
        f"({s.bad_records:,} bad), {s.rows:,} rows of {s.series:,} series"
    )
    span = "none" if s.first_us is None else f"{iso(s.first_us)} .. {iso(s.last_us or 0)}"
    yield f"  instants    {span}"
    for name, counts in s.values.items():
        yield f"  {name:<11} {', '.join(f'{n:,} {value}' for value, n in _most_frequent(counts))}"
    if s.rescued:
        yield f"  _rescued    in {s.rescued:,} rows"
    yield f"  size        {s.ratio:.2f} bytes out per byte in; dates by the {s.grain}"
    for reason, n in _most_frequent(s.reasons):
        yield f"  refused     {n:,}: {reason}"


def _defects(found: Mapping[str, int]) -> Iterator[str]:
    """What siltstone itself failed at."""
    for reason, n in _most_frequent(found):
        yield f"siltstone failed at {n:,} files, please report it: {reason}"


def _most_frequent(counts: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """The first of what is ordered by how often it is met."""
    return islice(counts.items(), _VALUES_SHOWN)


def _print_records(out: Console, s: RecordsSurvey) -> None:
    """A row per field of a dataset without a key, and the hints to put into a configuration."""
    for defect in _defects(s.defects):
        out.print(defect, soft_wrap=True, highlight=False, markup=False)
    grid = Grid("field", "kind", "fill", "values by kind", "remarks", box=None)
    for f in s.fields:
        by_count = sorted(f.values.items(), key=lambda kind_and_count: -kind_and_count[1])
        values = ", ".join(f"{n:,} {kind}" for kind, n in by_count)
        fill = f"{sum(f.values.values()) / max(s.records, 1):.1%}"
        grid.add_row(f.key, f.kind or "-", fill, values, "; ".join(f.remarks))
    out.print(grid)
    hints = ["hints to consider (sources.datalog.hints):"] if s.hints else []
    say(
        out,
        [
            f"{s.records:,} records of {s.files:,} files; {s.bad_records:,} bad records, {s.unreadable:,} unreadable "
            f"files; folder hour {s.shift_hours:+d} h is the local hour; {s.ratio:.2f} bytes out per byte in",
            *hints,
            *(f"  {json.dumps(key)}: {kind}" for key, kind in s.hints.items()),
        ],
    )
