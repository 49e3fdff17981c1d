"""Tables of buckets, made of readings or of each other."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from siltstone.api.arguments import (
    Instant,
    Names,
    Naming,
    Place,
    config_or_default,
    engine_or_local,
    filters_of,
    in_python,
    names_of,
    one_of,
    period_between,
    place_of,
    silent,
)
from siltstone.api.rules import rules_of
from siltstone.errors import UsageError

if TYPE_CHECKING:
    from siltstone.aggregation.read_plan import Period
    from siltstone.aggregation.spec import AggregateSpec
    from siltstone.config.model import Config
    from siltstone.engine.tasks import Engine, Progress
    from siltstone.model.derived_summary import AggregateSummary, ConventionSummary, RollupSummary

_TASKS = ("siltstone.aggregation.state_tasks", "siltstone.aggregation.finish_tasks")
_UNITS = ("s", "m", "h", "d")


@dataclass(frozen=True)
class AggregateRequest:
    """What is asked of `aggregate`, checked as far as that goes without looking at a table."""

    input: str
    output: str
    spec: "AggregateSpec"
    period: "Period"
    full: bool

    def run(self, config: "Config", engine: "Engine", progress: "Progress") -> "AggregateSummary | ConventionSummary":
        """Aggregate by siltstone's definitions or those of the convention; the run's summary."""
        given = self.input, self.output, self.spec, self.period, config, engine, progress
        if self.spec.convention == "default":
            from siltstone.aggregation.aggregate import aggregate_table

            return aggregate_table(*given, full=self.full)
        from siltstone.aggregation.convention import aggregate_by_convention

        return aggregate_by_convention(*given)


def aggregate(
    input: Place,
    output: Place,
    *,
    every: str | None = None,
    measures: Names = (),
    zone: str | None = None,
    origin: str = "",
    start: Instant | None = None,
    end: Instant | None = None,
    series: Names = (),
    devices: Names = (),
    measurements: Names = (),
    sites: Names = (),
    columns: Names = (),
    rules: Place | None = None,
    empty: Literal["skip", "carry"] | None = None,
    min_pct_good: float = 0.0,
    integral_unit: str = "s",
    convention: str = "default",
    full: bool = False,
    config: "Config | None" = None,
    engine: "Engine | None" = None,
    progress: "Progress | None" = None,
    said: Naming = in_python,
) -> "AggregateSummary | ConventionSummary":
    """Bring a table of aggregates up to date with a table of readings, or with the `columns` of a wide one; the run's
    summary. A second run computes only the buckets that new, changed or gone data files touch; with `full` all.

    - `every`: the length of a bucket: 1m 5m 15m 1h 1d 1w 1mo, any such length, or shifts@06:00,18:00; without one it
      goes by the range of `start` and `end`. `zone`: of days, weeks, months and shifts (UTC). `origin`: an instant at
      which a bucket starts.
    - `measures`: such as time_weighted_average, max, time_in_state or p99; without any all that are numbers.
    - `start`, `end`: buckets that start from one to before the other.
    - `series`, `devices`, `measurements`, `sites`: patterns; of each kind that is given one has to fit.
    - `rules`: a YAML file with how series are read between points, before siltstone's own rules.
    - `empty`: buckets without points: skip, or carry: a row with the value carried in. `min_pct_good`: values of
      buckets with less good time are null. `integral_unit`: integrals are over s, m, h or d.
    - `convention`: opcua, toolkit, flux or sitewise: by another system's definitions, to compare with; see
      `conventions`.

    `said` is the command line's, which has other names for the arguments. Raises UsageError for arguments that don't
    fit each other or the tables, ConfigError for a file of rules with problems.
    """
    config = config_or_default(config)
    engine = engine_or_local(engine, config)
    from siltstone.aggregation.spec import AggregateSpec
    from siltstone.timeseries.buckets import buckets_of

    zone = zone or "UTC"
    period = period_between(start, end, zone, said)
    _check_options(integral_unit, empty, min_pct_good, convention, said)
    spec = AggregateSpec(
        every=every or _by_range(start, end, period, said),
        zone=zone,
        origin=origin,
        measures=_checked_measures(names_of(measures), convention),
        convention=convention,
        integral_unit=integral_unit,
        columns=names_of(columns),
        **filters_of(series, devices, measurements, sites),
        empty=empty or "skip",
        min_pct_good=min_pct_good,
        rules=rules_of(rules),
    )
    buckets_of(spec.every, zone, origin or None)  # what they can't be is told first
    request = AggregateRequest(place_of(input), place_of(output), spec, period, full)
    engine.warm_up(2, _TASKS)  # they import the rest while this process does
    return request.run(config, engine, progress or silent)


def _check_options(integral_unit: str, empty: str | None, min_pct_good: float, convention: str, said: Naming) -> None:
    """Raise UsageError for options that mean nothing, or not with that convention."""
    one_of(integral_unit, _UNITS, said("integral_unit"))
    if empty is not None:
        one_of(empty, ("skip", "carry"), said("empty"))
    if not 0 <= min_pct_good <= 100:
        raise UsageError(f"{said('min_pct_good')} {min_pct_good:g} is no percentage", "Give one from 0 to 100.")
    if convention != "default" and (empty or min_pct_good):
        raise UsageError(
            f"{said('empty')} and {said('min_pct_good')} are siltstone's own",
            f"Leave them out: {convention} has its own rules, which siltstone conventions tells.",
        )


def _checked_measures(names: tuple[str, ...], convention: str) -> tuple[str, ...]:
    """The measures that are meant; UsageError where siltstone, or the convention, has none of a name."""
    from siltstone.aggregation.spec import checked_convention, checked_measures

    return checked_measures(names) if convention == "default" else checked_convention(convention, names)


def _by_range(start: Instant | None, end: Instant | None, period: "Period", said: Naming) -> str:
    """The length of a bucket that suits a period; UsageError where there is none."""
    from siltstone.timeseries.buckets import auto_resolution

    every, first, last = said("every"), said("start"), said("end")
    if start is None or end is None:
        hint = f"Give one, such as {every} 1h, or {first} and {last} for a resolution by range."
        raise UsageError(f"no {every}", hint)
    found = auto_resolution(period.end_us - period.start_us)
    if found == "raw":
        raise UsageError("a range below 2 hours is best read as it is", f"Read the table itself, or give {every}.")
    return found


def rollup(
    base: Place,
    output: Place,
    *,
    every: str,
    zone: str | None = None,
    origin: str = "",
    measures: Names = (),
    empty: Literal["skip", "carry"] | None = None,
    config: "Config | None" = None,
    engine: "Engine | None" = None,
    progress: "Progress | None" = None,
) -> "RollupSummary":
    """Bring a table of coarser buckets up to date with the table of aggregates `base`; the run's summary. Readings are
    not read again. What is not given is as in the base.

    Raises UsageError where the buckets don't align, naming a base that does, or the base lacks what a measure needs.
    """
    config = config_or_default(config)
    from siltstone.aggregation.rollup import rollup_table
    from siltstone.aggregation.spec import RollupSpec, checked_measures

    chosen = names_of(measures)
    spec = RollupSpec(every, zone, origin, checked_measures(chosen) if chosen else (), empty)
    return rollup_table(
        place_of(base), place_of(output), spec, config, engine_or_local(engine, config), progress or silent
    )


def conventions() -> dict[str, dict[str, Any]]:
    """By name of each convention that `aggregate` knows beside its own: its `rules` as a text, and its `measures`."""
    from siltstone.timeseries.conventions import MEASURES, RULES

    return {name: {"rules": RULES[name], "measures": MEASURES[name]} for name in RULES}
