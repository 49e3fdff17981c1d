"""What people read of a survey on stdout, and its JSON."""

import json
from collections.abc import Sequence

from rich.table import Table as Grid

from siltstone.cli.console import console, print_json
from siltstone.ingest.keyed_survey import KeyedSurvey
from siltstone.ingest.survey import FieldFound, Survey
from siltstone.model.time_zones import iso

_VALUES_SHOWN = 8


def print_keyed_surveys(found: Sequence[tuple[KeyedSurvey, str]], *, as_json: bool) -> None:
    """What each dataset of a source holds, and the grain that its table's dates would get."""
    out = console(as_json=as_json)
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
        out.print(*filter(None, lines), sep="\n", soft_wrap=True, highlight=False, markup=False)
    if as_json:
        print_json(
            {
                "datasets": [
                    {
                        **{k: v for k, v in vars(survey).items() if k not in ("series", "values", "reasons")},
                        "series": len(survey.series),
                        "values": {name: dict(counts.most_common(100)) for name, counts in survey.values.items()},
                        "reasons": dict(survey.reasons.most_common(100)),
                        "grain": grain,
                    }
                    for survey, grain in found
                ]
            }
        )


def print_survey(survey: Survey, *, as_json: bool) -> None:
    """A row per field, and the hints to put into a configuration."""
    out = console(as_json=as_json)
    grid = Grid("field", "kind", "fill", "values by kind", "remarks", box=None)
    for f in survey.fields.values():
        values = ", ".join(f"{n:,} {kind}" for kind, n in f.tokens.most_common())
        fill = f"{sum(f.tokens.values()) / max(survey.records, 1):.1%}"
        grid.add_row(f.key, survey.kinds.get(f.key, "-"), fill, values, "; ".join(_remarks(f)))
    out.print(grid)
    out.print(
        f"{survey.records:,} records of {survey.files:,} files; {survey.bad_records:,} bad records, "
        f"{survey.unreadable:,} unreadable files; folder hour {survey.shift_hours:+d} h is the local hour; "
        f"{survey.ratio:.2f} bytes out per byte in", highlight=False, soft_wrap=True
    )  # fmt: skip
    hints = {f.key: survey.kinds[f.key] for f in survey.fields.values() if f.key in survey.kinds and _remarks(f)}
    if hints:
        out.print("hints to consider (sources.datalog.hints):")
        out.print(*(f"  {json.dumps(key)}: {kind}" for key, kind in hints.items()), sep="\n", markup=False)
    if as_json:
        fields = [
            {
                "key": f.key,
                "kind": survey.kinds.get(f.key),
                "values": dict(f.tokens),
                "nulls": f.nulls,
                "big_integers": f.big_integers,
                "spellings": sorted(f.spellings),
                "remarks": _remarks(f),
            }
            for f in survey.fields.values()
        ]
        numbers = {
            k: getattr(survey, k) for k in ("files", "unreadable", "records", "bad_records", "shift_hours", "ratio")
        }
        print_json({**numbers, "fields": fields, "hints": hints})


def _remarks(found: FieldFound) -> list[str]:
    remarks = []
    if len([kind for kind in found.tokens if kind != "misfit"]) > 1:
        remarks.append("values of several kinds")
    if found.tokens["misfit"]:
        remarks.append("NaN or Infinity")
    if found.big_integers:
        remarks.append(f"{found.big_integers:,} integers beyond 2^53")
    if found.spellings:
        remarks.append(f"also spelled {', '.join(sorted(found.spellings))}")
    return remarks
