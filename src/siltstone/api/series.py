"""Tables of series at other times: on a regular grid, or each beside another."""

from typing import TYPE_CHECKING, Literal

from siltstone.api.arguments import (
    Instant,
    Names,
    Naming,
    Place,
    config_or_default,
    engine_or_local,
    filters_of,
    in_python,
    length_us,
    names_of,
    one_of,
    period_between,
    place_of,
    silent,
)
from siltstone.api.rules import rules_of

if TYPE_CHECKING:
    from siltstone.config.model import Config
    from siltstone.engine.tasks import Engine, Progress
    from siltstone.model.derived_summary import AsofSummary, ResampleSummary

Fill = Literal["previous", "linear", "nearest", "interpretation"]
Direction = Literal["backward", "forward", "nearest"]
_FILLS, _DIRECTIONS = ("previous", "linear", "nearest", "interpretation"), ("backward", "forward", "nearest")


def resample(
    input: Place,
    output: Place,
    *,
    every: str,
    fill: Fill = "interpretation",
    limit: str | None = None,
    start: Instant | None = None,
    end: Instant | None = None,
    zone: str = "UTC",
    origin: str = "",
    series: Names = (),
    devices: Names = (),
    measurements: Names = (),
    sites: Names = (),
    columns: Names = (),
    rules: Place | None = None,
    config: "Config | None" = None,
    engine: "Engine | None" = None,
    progress: "Progress | None" = None,
    said: Naming = in_python,
) -> "ResampleSummary":
    """Write a table with the value of each series of `input` at every instant of a regular grid; the run's summary.

    - `every`: 1s 5m 1h 1d, any such length. `start`: the first instant (default: a series' first point), `end`:
      instants before it (default: to the table's latest one).
    - `fill`: the value between points: of the previous one, linear on the line between two, of the nearest, or
      (default) as each series is read by `rules` and siltstone's own. `limit`: points further away than this give no
      value.
    - `series`, `devices`, `measurements`, `sites`: patterns; `columns` of a wide table.

    `said` is the command line's, which has other names for the arguments. Raises UsageError for what doesn't fit.
    """
    config = config_or_default(config)
    engine = engine_or_local(engine, config)
    from siltstone.aggregation.spec import AggregateSpec
    from siltstone.derived.resample import resample_table
    from siltstone.timeseries.buckets import buckets_of

    buckets_of(every, zone, origin or None)  # what they can't be is told first
    one_of(fill, _FILLS, said("fill"))
    period = period_between(start, end, zone, said)
    spec = AggregateSpec(
        every=every,
        zone=zone,
        origin=origin,
        measures=(),
        columns=names_of(columns),
        **filters_of(series, devices, measurements, sites),
        rules=rules_of(rules),
    )
    limit_us = length_us(limit, said("limit"))
    given = place_of(input), place_of(output), spec, fill, limit_us, period, config, engine
    return resample_table(*given, progress or silent)


def asof(
    left: Place,
    right: Place,
    output: Place,
    *,
    direction: Direction = "backward",
    tolerance: str | None = None,
    strict: bool = False,
    by: Names = (),
    how: Literal["left", "inner"] = "left",
    suffix: str = "_right",
    left_series: Names = (),
    left_devices: Names = (),
    left_measurements: Names = (),
    left_sites: Names = (),
    right_series: Names = (),
    right_devices: Names = (),
    right_measurements: Names = (),
    right_sites: Names = (),
    config: "Config | None" = None,
    engine: "Engine | None" = None,
    progress: "Progress | None" = None,
    said: Naming = in_python,
) -> "AsofSummary":
    """Write a table of the rows of `left`, each with the row of `right` that was in force at its time; the run's
    summary.

    - `left`, `right`: LAKE/readings, a wide table, or one that aggregate, rollup or resample has made.
    - `direction`: backward: the latest row at or before the left one's time; forward: the earliest at or after it;
      nearest: the nearer of both. With `strict` a row at the very time does not count. `tolerance`: the greatest
      distance, such as 90s, 15m, 1h.
    - `by`: columns in which rows must be equal (default: series_id; of two measurements device_id). `how`: left, or
      inner: only rows with a match. `suffix`: of right columns that the left table has too.
    - `left_series` ... `right_sites`: patterns that choose the rows of either side.

    `said` is the command line's, which has other names for the arguments. Raises UsageError for what doesn't fit.
    """
    config = config_or_default(config)
    engine = engine_or_local(engine, config)
    from siltstone.aggregation.spec import AggregateSpec
    from siltstone.derived.asof import asof_tables
    from siltstone.derived.asof_tasks import JoinSpec

    one_of(direction, _DIRECTIONS, said("direction"))
    one_of(how, ("left", "inner"), said("how"))
    of_measurements = names_of(left_measurements) and names_of(right_measurements)
    joining = JoinSpec(
        by=names_of(by) or ("device_id" if of_measurements else "series_id",),
        direction=direction,
        tolerance_us=length_us(tolerance, said("tolerance")),
        allow_exact=not strict,
        how=how,
        suffix=suffix,
    )

    of_left = filters_of(left_series, left_devices, left_measurements, left_sites)
    of_right = filters_of(right_series, right_devices, right_measurements, right_sites)
    wanted = AggregateSpec("1d", measures=(), **of_left), AggregateSpec("1d", measures=(), **of_right)
    places = place_of(left), place_of(right), place_of(output)
    return asof_tables(*places, wanted, joining, config, engine, progress or silent)
