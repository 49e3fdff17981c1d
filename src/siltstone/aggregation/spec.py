"""What an aggregate is asked for: plain values that travel to tasks and are stored in the output's manifests."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from siltstone.errors import UsageError
from siltstone.timeseries.buckets import Buckets, buckets_of
from siltstone.timeseries.interpretation import Interpretation, Interpretations, Match, Rule
from siltstone.timeseries.measures import Empty
from siltstone.timeseries.states import fields_of

MEASURES = (
    *("time_weighted_average", "integral", "transitions", "first", "last", "start_value", "end_value"),
    *("min", "min_ts", "max", "max_ts", "count", "sum", "mean", "stddev", "time_weighted_stddev", "increase"),
)
"""The measures when none is named; `time_in_state` and quantiles such as `p50` and `p99.9` cost more."""
TIME_IN_STATE = "time_in_state"
_CASE, _COUNTS = "case", "counts"  # of a stored rule in whose patterns capitals count
SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
"""Units of the time that an integral is over: `h` makes kWh of kW."""


@dataclass(frozen=True)
class AggregateSpec:
    """All that the rows of an output depend on beside the input. `columns`: the columns of a wide table to aggregate;
    each is a measurement of the row's unit."""

    every: str
    zone: str = "UTC"
    origin: str = ""
    measures: tuple[str, ...] = MEASURES
    columns: tuple[str, ...] = ()
    series: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    measurements: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    empty: Empty = "skip"
    min_pct_good: float = 0.0
    convention: str = "default"
    integral_unit: str = "s"
    rules: tuple[Mapping[str, Any], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> "AggregateSpec":
        plain: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in row.items()}
        return cls(**plain)

    @cached_property
    def buckets(self) -> Buckets:
        return buckets_of(self.every, self.zone, self.origin or None)

    @cached_property
    def interpretations(self) -> Interpretations:
        rules = []
        known = {field.name for field in fields(Interpretation)}  # a table may be older than the rules of today
        for row in self.rules:
            how = {name: value for name, value in row["interpretation"].items() if name in known}
            how["sentinels"] = tuple(how["sentinels"])
            match = Match(**row["match"], ignores_case=row.get(_CASE) != _COUNTS)
            rules.append(Rule(match, Interpretation(**how)))
        return Interpretations(tuple(rules))

    def read_as(self, about: Iterable[Sequence[str | None]]) -> list[Interpretation]:
        """How each series is read; `about` has for each its site, id, source, device and measurement."""
        return [self.interpretations.of(source, device, name, series) for _, series, source, device, name in about]

    @cached_property
    def fields(self) -> frozenset[str]:
        """The columns that states may have and the measures need."""
        return fields_of(self.measures)

    @property
    def kept(self) -> frozenset[str]:
        """The optional columns of states that a table stores, and the names of the long tables."""
        long = {"times": self.wants_times, "sketch": bool(self.quantiles)}
        return self.fields.union(name for name, is_kept in long.items() if is_kept)

    @property
    def wants_times(self) -> bool:
        return TIME_IN_STATE in self.measures

    @property
    def quantiles(self) -> dict[str, float]:
        """The quantiles among the measures: name -> share, such as p50 -> 0.5."""
        shares = {name: quantile_of(name) for name in self.measures}
        return {name: share for name, share in shares.items() if share is not None}

    def wants(self, site: str, series: str, device: str | None, measurement: str | None) -> bool:
        """Whether a series is asked for: every filter that is given must have a pattern that fits."""
        pairs = ((self.sites, site), (self.series, series), (self.devices, device), (self.measurements, measurement))
        return all(not given or any(fnmatchcase(text or "", pattern) for pattern in given) for given, text in pairs)

    def which(self, about: Sequence[tuple[str, str, str | None, str | None]]) -> npt.NDArray[np.bool_]:
        """Which series are asked for, boolean; `about` has for each its site, id, device and measurement."""
        if not (self.sites or self.series or self.devices or self.measurements):
            return np.ones(len(about), bool)
        return np.array([self.wants(*one) for one in about], bool)


@dataclass(frozen=True)
class RollupSpec:
    """What a rollup is asked for: its buckets and measures. What is None or has no entry is as in the base."""

    every: str
    zone: str | None = None
    origin: str = ""
    measures: tuple[str, ...] = ()
    empty: Empty | None = None

    def of(self, base: AggregateSpec) -> AggregateSpec:
        """The aggregate to make of the base's states. Raises UsageError where they lack what a measure needs."""
        measures = self.measures or base.measures
        lacking = [name for name in measures if not fields_of([name]) <= base.fields]
        if lacking:
            raise UsageError(
                f"the base's states say nothing of {', '.join(lacking)}",
                f"Make the base with --measure {' --measure '.join(lacking)} too.",
            )
        if TIME_IN_STATE in measures and TIME_IN_STATE not in base.measures:
            raise UsageError("the base has no times in states", f"Make it with --measure {TIME_IN_STATE}.")
        zone = base.zone if self.zone is None else self.zone
        empty = base.empty if self.empty is None else self.empty
        spec = replace(base, every=self.every, zone=zone, origin=self.origin, measures=measures, empty=empty)
        if spec.quantiles and not base.quantiles:
            raise UsageError(
                "the base has no quantiles", "Make it with one, such as --measure p50; all come from the same."
            )
        return spec


def rows_of(interpretations: Interpretations) -> tuple[Mapping[str, Any], ...]:
    """The rules as JSON values. Those in which capitals count say so beside what all versions of siltstone look at: one
    that does not know it reads the table as if they did not."""
    return tuple(_row_of(rule) for rule in interpretations.rules)


def _row_of(rule: Rule) -> Mapping[str, Any]:
    match = asdict(rule.match)
    case = {} if match.pop("ignores_case") else {_CASE: _COUNTS}
    interpretation = {**asdict(rule.interpretation), "sentinels": list(rule.interpretation.sentinels)}
    return {"match": match, "interpretation": interpretation, **case}


def with_rules_of(made: Mapping[str, Any], spec: AggregateSpec) -> AggregateSpec:
    """The spec with the rules of a table as its newest run stored them (`made`: its terms, empty before the first), if
    they are the same but for capitals: of a table that was made before capitals counted the rules stay as they were."""
    stored = made.get("rules", ())
    if any(_CASE in row for row in stored):
        return spec
    without = [{name: value for name, value in row.items() if name != _CASE} for row in spec.rules]
    return replace(spec, rules=tuple(stored)) if without == list(stored) else spec


def checked_convention(name: str, measures: tuple[str, ...]) -> tuple[str, ...]:
    """The measures of a convention that are asked for, all usual ones if none is. Raises UsageError for a convention or
    measure that there is not."""
    from siltstone.timeseries.conventions import MEASURES as KNOWN

    if name not in KNOWN:
        raise UsageError(f"no convention {name!r}", f"There are default, {', '.join(KNOWN)}.")
    if unknown := [m for m in measures if m not in KNOWN[name]]:
        raise UsageError(
            f"the convention {name} has no measure {', '.join(unknown)}", f"It has {', '.join(KNOWN[name])}."
        )
    return measures or tuple(m for m in MEASURES if m in KNOWN[name])


def checked_measures(names: tuple[str, ...]) -> tuple[str, ...]:
    """The measures in their usual order, each once. Raises UsageError for a name that is no measure."""
    for name in names:
        if name not in (*MEASURES, TIME_IN_STATE) and quantile_of(name) is None:
            raise UsageError(
                f"no measure {name!r}",
                f"There are {', '.join((*MEASURES, TIME_IN_STATE))}, and quantiles such as p50 or p99.9.",
            )
    usual = (*MEASURES, TIME_IN_STATE)
    asked = dict.fromkeys(names)
    return (*(n for n in usual if n in asked), *(n for n in asked if n not in usual)) or MEASURES


def quantile_of(name: str) -> float | None:
    """The share that a quantile's name says, 0.5 for p50; None for a name of another measure."""
    match = re.fullmatch(r"p([0-9]{1,3}(?:\.[0-9]+)?)", name)
    return float(match[1]) / 100 if match and float(match[1]) <= 100 else None
