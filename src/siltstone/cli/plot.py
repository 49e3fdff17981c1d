"""`siltstone plot`: its arguments, and the picture that it writes."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from siltstone.cli.arguments import (
    config_of,
    filter_arguments,
    filters_of,
    period_arguments,
    period_of,
    setting_arguments,
    zone_of,
)
from siltstone.errors import StorageError, UsageError

if TYPE_CHECKING:
    from siltstone.aggregation.read_plan import Period
    from siltstone.plotting.panels import Panel
    from siltstone.plotting.series_rows import Aggregates, SeriesRows

EXAMPLE = "siltstone plot LAKE/hourly --measurement '*Zone Air Temp' --out room.png"
_ENDINGS = (".png", ".html")


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of plot."""
    parser.add_argument("table", metavar="LAKE/TABLE", help="a table of aggregates, such as LAKE/hourly")
    parser.add_argument("--out", required=True, metavar="FILE", help="picture to write: NAME.png, or NAME.html")
    filter_arguments(parser)
    parser.add_argument(
        "--measure",
        metavar="NAME",
        help="what to draw, such as p50, n or time_in_state (default: the time-weighted average; of counters the "
        "increase, of totals the sum)",
    )
    period_arguments(parser, "buckets that start at or after", "buckets that start before")
    parser.add_argument("--zone", metavar="ZONE", help="IANA zone of the axis (default: the table's)")
    setting_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Draw as the arguments say, print where the picture is; 0."""
    config = config_of(args)
    from siltstone.aggregation.spec import checked_measures
    from siltstone.cli.printing_tables import print_plotted
    from siltstone.plotting.layout import Heading, scene_of
    from siltstone.plotting.page import page_of
    from siltstone.plotting.panels import TRUST
    from siltstone.plotting.png import png_of, require_matplotlib
    from siltstone.plotting.series_rows import SeriesPatterns, open_aggregates, read_series

    out = _picture_file(args.out)
    is_png = out.suffix.lower() == ".png"
    if is_png:
        require_matplotlib()
    if args.measure is not None and args.measure not in TRUST:
        checked_measures((args.measure,))
    found = open_aggregates(args.table, config)
    zone = zone_of(args.zone or found.terms.zone)
    period = period_of(args, zone)
    wanted = SeriesPatterns(**filters_of(args))
    series = read_series(found, wanted, period, args.measure)
    panels = [_panel(s, found, period, args.measure) for s in series]
    first = min(int(p.start[0]) for p in panels) if args.start is None else period.start_us
    last = max(int(p.end[-1]) for p in panels)
    span = first, last if args.end is None else max(last, period.end_us)
    scene = scene_of(panels, Heading(found.name, found.terms.every, zone, span))
    picture = png_of(scene) if is_png else page_of(scene).encode()
    _write(out, picture)
    summary = {
        "out": str(out),
        "bytes": len(picture),
        "table": found.table.storage.root,
        "buckets": sum(len(p.start) for p in panels),
        "zone": zone,
        "series": [
            {"series_id": s.series_id, "site": s.site, "measure": p.measure, "shape": p.shape}
            for s, p in zip(series, panels, strict=True)
        ],
    }
    print_plotted(summary, as_json=args.json)
    return 0


def _panel(series: "SeriesRows", found: "Aggregates", period: "Period", measure: str | None) -> "Panel":
    """The panel of a series, drawn as the table's rules read it; `period`: which of its rows were asked for."""
    from siltstone.aggregation.read_plan import Period
    from siltstone.model.periods import EARLIEST_US
    from siltstone.plotting.gaps import gaps_of
    from siltstone.plotting.panels import panel_of, usual_measure

    s = series
    how = found.terms.interpretations.of(s.source, s.device_id, s.measurement, s.series_id)
    begin, _ = Period(max(period.start_us, found.start_us)).span(found.terms.buckets)  # of whole buckets
    gaps = gaps_of(
        s.rows,
        how,
        found.watermark_us,
        begin_us=None if begin == EARLIEST_US else begin,
        end_us=period.end_us,
        only_good=found.terms.min_pct_good > 0,
    )
    name = s.measurement or s.series_id
    from siltstone.model.contracts import NO_SITE

    told = dict.fromkeys(t for t in (s.site, s.device_id, s.series_id) if t and t not in (NO_SITE, name))
    drawn = measure or usual_measure(how.kind, s.rows.drop("state", "carried_in"))
    return panel_of(name, tuple(told), how.kind, drawn, s.rows, gaps)


def _picture_file(given: str) -> Path:
    """The local file to write; UsageError where it can't be one."""
    out = Path(given)
    if "://" in given:
        raise UsageError(f"--out {given} is no local file", "Give one, then copy it there.")
    if out.suffix.lower() not in _ENDINGS:
        raise UsageError(f"--out {given} ends in neither .png nor .html", f"Give {out.stem or 'picture'}.png or .html.")
    if not out.parent.is_dir():
        raise UsageError(f"there is no folder {out.parent}", f"mkdir -p {out.parent}, or give another --out.")
    return out


def _write(out: Path, picture: bytes) -> None:
    try:
        out.write_bytes(picture)
    except OSError as error:
        raise StorageError(f"can't write {out}: {error.strerror}", "Check its permissions.") from error
