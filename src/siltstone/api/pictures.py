"""Pictures of tables of aggregates."""

from typing import TYPE_CHECKING

from siltstone.api.arguments import (
    Instant,
    Names,
    Naming,
    Place,
    config_or_default,
    filters_of,
    in_python,
    period_between,
    place_of,
    zone_of,
)
from siltstone.errors import UsageError

if TYPE_CHECKING:
    from siltstone.config.model import Config
    from siltstone.model.derived_summary import PlotSummary


def plot(
    table: Place,
    out: Place,
    *,
    measure: str | None = None,
    start: Instant | None = None,
    end: Instant | None = None,
    zone: str | None = None,
    series: Names = (),
    devices: Names = (),
    measurements: Names = (),
    sites: Names = (),
    config: "Config | None" = None,
    said: Naming = in_python,
) -> "PlotSummary":
    """Draw series of a table of aggregates into the file `out`, a PNG or a page for the browser; what was drawn.

    - `measure`: such as p50, n or time_in_state (default: the time-weighted average; of counters the increase, of
      totals the sum). `start`, `end`: buckets that start from one to before the other. `zone`: of the axis (default:
      the table's).
    - `series`, `devices`, `measurements`, `sites`: patterns; of each kind that is given one has to fit.

    `said` is the command line's, which has other names for the arguments. Raises UsageError where there is nothing to
    draw, or too many series for one picture; StorageError where the file can't be written.
    """
    config = config_or_default(config)
    from siltstone.aggregation.spec import checked_measures
    from siltstone.plotting.panels import TRUST
    from siltstone.plotting.picture import PictureFile, draw
    from siltstone.plotting.series_rows import SeriesPatterns, open_aggregates, read_series

    file = PictureFile.of(place_of(out), said("out"))
    if measure is not None and (not isinstance(measure, str) or "," in measure):
        raise UsageError(
            f"{said('measure')} {measure!r}: plot draws one measure", "Give one, and another picture for the next."
        )
    if measure is not None and measure not in TRUST:
        checked_measures((measure,))
    found = open_aggregates(place_of(table), config)
    zone = zone_of(zone or found.terms.zone)
    period = period_between(start, end, zone, said)
    wanted = SeriesPatterns(**filters_of(series, devices, measurements, sites))
    return draw(found, read_series(found, wanted, period, measure), file, period, zone, measure)
