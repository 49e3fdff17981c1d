"""A picture as a file: series of a table of aggregates, drawn as its terms read them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from siltstone.aggregation.read_plan import Period
from siltstone.errors import StorageError, UsageError
from siltstone.model.contracts import NO_SITE
from siltstone.model.derived_summary import PlotSummary
from siltstone.model.periods import EARLIEST_US, LATEST_US
from siltstone.plotting.gaps import gaps_of
from siltstone.plotting.layout import Heading, scene_of
from siltstone.plotting.page import page_of
from siltstone.plotting.panels import Panel, panel_of, usual_measure
from siltstone.plotting.png import png_of, require_matplotlib
from siltstone.plotting.series_rows import Aggregates, SeriesRows

_ENDINGS = (".png", ".html")


@dataclass(frozen=True)
class PictureFile:
    """A local file that a picture can be written to."""

    path: Path

    @classmethod
    def of(cls, given: str, option: str) -> "PictureFile":
        """The file of a name; UsageError, which names the `option`, where it can't be one."""
        out = Path(given)
        if "://" in given:
            raise UsageError(f"{option} {given} is no local file", "Give one, then copy it there.")
        if out.suffix.lower() not in _ENDINGS:
            hint = f"Give {out.stem or 'picture'}.png or .html."
            raise UsageError(f"{option} {given} ends in neither .png nor .html", hint)
        if not out.parent.is_dir():
            raise UsageError(f"there is no folder {out.parent}", f"mkdir -p {out.parent}, or give another {option}.")
        file = cls(out)
        if file.is_png:
            require_matplotlib()
        return file

    @property
    def is_png(self) -> bool:
        return self.path.suffix.lower() == ".png"

    def write(self, picture: bytes) -> None:
        """Write it; StorageError where that can't be done."""
        try:
            self.path.write_bytes(picture)
        except OSError as error:
            raise StorageError(f"can't write {self.path}: {error.strerror}", "Check its permissions.") from error


def draw(
    found: Aggregates, series: Sequence[SeriesRows], file: PictureFile, period: Period, zone: str, measure: str | None
) -> PlotSummary:
    """Draw the series of a table into the file; what was drawn. `period`: which rows were asked for, `zone`: of the
    axis, `measure`: None for the usual one of each series."""
    panels = [_panel(s, found, period, measure) for s in series]
    last = max(int(p.end[-1]) for p in panels)
    span = (
        min(int(p.start[0]) for p in panels) if period.start_us == EARLIEST_US else period.start_us,
        last if period.end_us == LATEST_US else max(last, period.end_us),
    )
    scene = scene_of(panels, Heading(found.name, found.terms.every, zone, span))
    picture = png_of(scene) if file.is_png else page_of(scene).encode()
    file.write(picture)
    drawn = [
        {"series_id": s.series_id, "site": s.site, "measure": p.measure, "shape": p.shape}
        for s, p in zip(series, panels, strict=True)
    ]
    buckets = sum(len(p.start) for p in panels)
    return PlotSummary(str(file.path), len(picture), found.table.storage.root, buckets, zone, drawn)


def _panel(series: SeriesRows, found: Aggregates, period: Period, measure: str | None) -> Panel:
    """The panel of a series, drawn as the table's rules read it; `period`: which of its rows were asked for."""
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
    told = dict.fromkeys(t for t in (s.site, s.device_id, s.series_id) if t and t not in (NO_SITE, name))
    drawn = measure or usual_measure(how.kind, s.rows.drop("state", "carried_in"))
    return panel_of(name, tuple(told), how.kind, drawn, s.rows, gaps)
