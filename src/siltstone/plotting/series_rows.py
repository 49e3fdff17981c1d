"""The rows of the series to draw, read from a table of aggregates."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from siltstone.aggregation.output_table import is_output, output_at
from siltstone.aggregation.read_plan import Period, split
from siltstone.aggregation.spec import AggregateSpec
from siltstone.config.model import Config
from siltstone.errors import UsageError
from siltstone.model.data_files import DataFile
from siltstone.model.time_zones import iso
from siltstone.plotting.gaps import STATE_FIELDS
from siltstone.plotting.panels import INSTANTS, TRUST
from siltstone.storage import open_root
from siltstone.table.delta_table import Table
from siltstone.table.open import refuse_lake
from siltstone.table.reader import fetched
from siltstone.table.transaction import newest_files

MOST_SERIES = 12
MOST_BUCKETS = 2_000  # of a series: a picture has about half as many columns of pixels
_NAMES = ("site", "series_id", "source", "device_id", "measurement")
_ALWAYS = ("bucket_start", "bucket_end", "n", "pct_good", "provisional", "carried_in")
_SHOWN, _LOOKED_AT = 5, 5_000


@dataclass(frozen=True)
class SeriesPatterns:
    """Patterns of series. Of each kind that is given, one pattern must fit; `*` is any text."""

    series: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    measurements: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()

    def __str__(self) -> str:
        named = {"series": self.series, "device": self.devices, "measurement": self.measurements, "site": self.sites}
        return " and ".join(f"{name} {' or '.join(map(repr, given))}" for name, given in named.items() if given)


@dataclass(frozen=True)
class SeriesRows:
    """A series and its rows, sorted by time; instants of buckets are int64 microseconds."""

    site: str
    series_id: str
    source: str | None
    device_id: str | None
    measurement: str | None
    rows: pl.DataFrame


@dataclass(frozen=True)
class Aggregates:
    """A table of aggregates and the terms that it was made with. What is known ends at `watermark_us`; no bucket starts
    before `start_us`. Both are microseconds."""

    table: Table
    terms: AggregateSpec
    watermark_us: int
    start_us: int

    @property
    def name(self) -> str:
        return self.table.storage.root.rpartition("/")[2]


def open_aggregates(uri: str, config: Config) -> Aggregates:
    """The table of aggregates at a path. Raises UsageError if there is none."""
    storage = open_root(uri, config.storage)
    if (output := output_at(storage)) is None:
        refuse_lake(storage, is_output)
        raise UsageError(
            f"{storage.root} is no table of aggregates",
            "Make one: siltstone aggregate LAKE/readings LAKE/hourly --every 1h, then plot LAKE/hourly.",
        )
    table, header = output
    terms = AggregateSpec.from_dict(header.terms or {})
    if terms.convention != "default":
        raise UsageError(
            f"{storage.root} is made by the convention {terms.convention}, whose rows tell no coverage to draw",
            "Plot a table that siltstone aggregate has made without --convention.",
        )
    return Aggregates(table, terms, header.watermark_us, header.period[0])


def read_series(
    aggregates: Aggregates, patterns: SeriesPatterns, period: Period, measure: str | None
) -> list[SeriesRows]:
    """The rows of the buckets that start in a period, with `measure`, or with every measure that can be drawn.

    Raises UsageError if there is no such series or measure, or if there are more series than a picture shows.
    """
    table = aggregates.table
    columns = _columns(aggregates, measure)
    stored = split(newest_files(table)[1], table.contract, (period.start_us, period.end_us)).within
    return _rows(table, stored, _chosen_names(aggregates, stored, patterns), period, columns)


def _columns(aggregates: Aggregates, measure: str | None) -> list[str]:
    """The columns to read."""
    terms = aggregates.terms
    drawable = [m for m in terms.measures if m not in INSTANTS]
    if measure is None:
        chosen = drawable
    elif measure in (*drawable, *TRUST):
        chosen = [measure, *(m for m in ("min", "max") if m in drawable)]
    else:
        is_instant = measure in terms.measures
        raise UsageError(
            f"{measure} is an instant, not a value to draw"
            if is_instant
            else f"{aggregates.table.storage.root} has no measure {measure!r}",
            f"It has {', '.join((*drawable, *TRUST))}"
            + ("." if is_instant else "; another: siltstone aggregate INPUT NEW_TABLE --measure NAME."),
        )
    if "start_value" in drawable:
        chosen.append("start_value")
    return list(dict.fromkeys((*chosen, *_ALWAYS)))


def _chosen_names(aggregates: Aggregates, stored: Sequence[DataFile], patterns: SeriesPatterns) -> pl.DataFrame:
    """The series that fit the patterns, sorted by measurement, device and name."""
    table, every = aggregates.table, aggregates.terms.every
    frames = [_read(table, file, list(_NAMES)).unique() for file in stored]
    schema = dict.fromkeys(_NAMES, pl.String)
    names = pl.concat([pl.DataFrame(schema=schema), *frames]).unique(["site", "series_id"], keep="first")
    if not names.height:
        raise _no_buckets(aggregates)
    filters = AggregateSpec(every, series=patterns.series, devices=patterns.devices, measurements=patterns.measurements,
                  sites=patterns.sites)  # fmt: skip
    fits = [filters.wants(r["site"], r["series_id"], r["device_id"], r["measurement"]) for r in names.rows(named=True)]
    chosen = names.filter(pl.Series(fits, dtype=pl.Boolean)).sort("measurement", "device_id", "series_id", "site")
    if not chosen.height:
        raise UsageError(f"no series of {table.storage.root} has {patterns}", _near(names, patterns))
    if chosen.height > MOST_SERIES:
        few = ", ".join(chosen.select(pl.coalesce("measurement", "series_id")).to_series().unique().sort().head(_SHOWN))
        raise UsageError(
            f"{chosen.height:,} series fit, and a picture shows at most {MOST_SERIES}: {few} and others",
            "Name fewer: --series, --device, --measurement and --site take patterns, and all that are given must fit.",
        )
    return chosen


def _no_buckets(aggregates: Aggregates) -> UsageError:
    """The error for a table without buckets, or without buckets in the period."""
    table = aggregates.table
    bounds = [f.bounds.get("bucket_start", (None, None)) for f in newest_files(table)[1]]
    known_bounds = [(first, last) for first, last in bounds if first is not None and last is not None]
    if not known_bounds:
        return UsageError(
            f"{table.storage.root} has no rows",
            "Nothing that it was asked for was there: make another with siltstone aggregate, and look at what it says "
            "was read and left out.",
        )
    earliest, latest = min(first for first, _ in known_bounds), max(last for _, last in known_bounds)
    return UsageError(
        f"{table.storage.root} has no buckets in that time",
        f"Its buckets start from {iso(earliest)} to {iso(latest)}: give other --from and --to, or leave them out.",
    )


def _near(names: pl.DataFrame, given: SeriesPatterns) -> str:
    """The next move for a user: names that are like those asked for, or some of the existing ones."""
    pairs = (
        ("series_id", given.series),
        ("device_id", given.devices),
        ("measurement", given.measurements),
        ("site", given.sites),
    )
    for column, patterns in pairs:
        if patterns:
            existing = names[column].drop_nulls().unique().sort().to_list()
            words = [pattern.strip("*").casefold() for pattern in patterns]
            near = [n for n in existing if any(word and word in n.casefold() for word in words)][:_SHOWN]
            near += [n for p in patterns for n in difflib.get_close_matches(p, existing[:_LOOKED_AT], _SHOWN, 0.5)]
            shown = ", ".join(list(dict.fromkeys(near))[:_SHOWN] or existing[:_SHOWN])
            what = f"{column.removesuffix('_id')}{'' if column == 'series_id' else 's'}"
            if not existing:
                return f"Its series have no {what}: name them by another filter."
            return f"{'Near' if near else f'Of its {len(existing):,} {what}'}: {shown}. Patterns: * is any text."
    return "Leave the patterns out."


def _rows(
    table: Table, stored: Sequence[DataFile], names: pl.DataFrame, period: Period, columns: list[str]
) -> list[SeriesRows]:
    key = ["site", "series_id"]
    low, high = names["series_id"].min(), names["series_id"].max()
    frames = []
    for file in stored:
        least, most = file.bounds.get("series_id", (None, None))
        if least is None or most is None or not (least > high or most < low):
            rows = _read(table, file, [*key, *columns], with_state=True)
            frames.append(rows.join(names.select(key), on=key, how="semi", maintain_order="left"))
    instants = [pl.col(name).dt.epoch("us") for name in ("bucket_start", "bucket_end")]
    rows = pl.concat(frames).with_columns(instants)
    rows = rows.filter(pl.col("bucket_start") >= period.start_us, pl.col("bucket_start") < period.end_us)
    series = []
    for named in names.select(_NAMES).rows(named=True):
        own = rows.filter(site=named["site"], series_id=named["series_id"]).drop(key).sort("bucket_start")
        if own.height > MOST_BUCKETS:
            raise UsageError(
                f"{named['series_id']} has {own.height:,} buckets, and a picture shows at most {MOST_BUCKETS:,}",
                f"Give --from and --to, or make coarser buckets: siltstone rollup {table.storage.root} OUT --every 1d.",
            )
        if own.height:
            series.append(SeriesRows(**named, rows=own))
    if not series:
        raise UsageError(
            "the series have no buckets in that time",
            "Give other --from and --to, or leave them out. Buckets without points have rows in a table that siltstone "
            "aggregate has made with --empty carry.",
        )
    return series


def _read(table: Table, stored: DataFile, columns: list[str], *, with_state: bool = False) -> pl.DataFrame:
    """Some columns of a data file; `with_state`: also `state`, with STATE_FIELDS only."""
    file = fetched(table.storage, stored.path, rows=stored.rows)
    rows = file.frame(columns)
    if not with_state:
        return rows
    inner = file.table([f"state.{name}" for name in STATE_FIELDS])
    return rows.with_columns(pl.Series("state", inner["state"]))
