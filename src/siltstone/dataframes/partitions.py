"""Makes rows of measures of a stream of sorted Arrow batches, in a worker of Spark."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import polars as pl
import pyarrow as pa

from siltstone.aggregation.output_rows import in_state, map_of
from siltstone.aggregation.series_points import ReadingPoints
from siltstone.aggregation.spec import TIME_IN_STATE, AggregateSpec
from siltstone.aggregation.text_rows import textual_rows
from siltstone.model.contracts import TIMESTAMP
from siltstone.model.periods import EARLIEST_US, LATEST_US
from siltstone.timeseries import kernel
from siltstone.timeseries.interpretation import Interpretation
from siltstone.timeseries.measures import measures_of
from siltstone.timeseries.states import EXTREMES, States, concat_states

_INSTANTS = ("bucket_start", "bucket_end", "min_ts", "max_ts", "first_ts", "last_ts")
_TRUST = ("n", "n_bad", "covered_s", "good_s", "pct_good", "carried_in", "first_ts", "last_ts", "provisional")
SITE = "\x1f"
"""Between a series and its site while they are one key."""
_NAMES = {"series_id": pl.String(), "site": pl.String()}
_BATCH_ROWS = 1 << 16


def rows_of_partition(
    batches: Iterable[pa.RecordBatch],
    terms: Mapping[str, Any],
    how: Mapping[str, Any] | None,
    watermark_us: int,
    has_site: bool,
) -> Iterator[pa.RecordBatch]:
    """The rows of measures of all series of a partition. Its batches are sorted by series and time, with the columns
    that `dataframes.aggregate` selects, ts in microseconds; with `has_site` SITE and the site follow each series id."""
    asked = AggregateSpec.from_dict(terms)
    one = None if how is None else Interpretation(**{**how, "sentinels": tuple(how["sentinels"])})
    reader = ReadingPoints(asked, "", (EARLIEST_US, LATEST_US))

    def interpretation(about: tuple[str | None, ...]) -> Interpretation:
        _, series, source, device, measurement = about
        return one or asked.interpretations.of(source, device, measurement, (series or "").partition(SITE)[0])

    parts: list[States] = []
    for read in reader.of(_tables(batches)):
        about = reader.names.about[read.first : read.first + len(read.points.starts) - 1]
        interpretations = [interpretation(a) for a in about]
        states = kernel.states(
            read.points,
            interpretations,
            asked.buckets,
            fields=asked.fields.union(EXTREMES) if reader.names.texts else asked.fields,
            times=asked.wants_times,
            sketch=bool(asked.quantiles),
            first_series=read.first,
        )
        parts.append(states)
    if not parts:
        return
    states, interpretations_of_all = concat_states(parts), [interpretation(a) for a in reader.names.about]
    measured = measures_of(
        states,
        interpretations_of_all,
        asked.buckets,
        watermark_us,
        empty=asked.empty,
        min_pct_good=asked.min_pct_good,
        wanted_quantiles=asked.quantiles,
        wants_times=asked.wants_times,
    )
    ahead = pl.Series([n for n, rule in enumerate(interpretations_of_all) if rule.looks_ahead], dtype=pl.Int64)
    rows = _without_numbers(measured.rows, textual_rows(measured.rows, states.rows, reader.names.texts, ahead))
    names = pl.DataFrame([(a[1] or "").partition(SITE)[::2] for a in reader.names.about], schema=_NAMES, orient="row")
    rows = rows.hstack(names[rows["series"]].with_columns(pl.col("site").replace("", None)))
    if asked.wants_times:
        times = in_state(measured.times, reader.names.texts)
        rows = rows.join(times, on=["series", "bucket"], how="left", maintain_order="left")
        is_enough = pl.col("pct_good") >= asked.min_pct_good
        rows = rows.with_columns(pl.when(is_enough).then(TIME_IN_STATE).alias(TIME_IN_STATE))
    yield from _arrow(rows, asked, ("series_id", "site") if has_site else ("series_id",)).to_batches(_BATCH_ROWS)


def _without_numbers(rows: pl.DataFrame, textual: pl.Series) -> pl.DataFrame:
    """The rows; in those with texts, measures that are numbers made of values are null."""
    if not textual.any():
        return rows
    of_values = [n for n, kind in rows.schema.items() if kind == pl.Float64() or n in ("min_ts", "max_ts")]
    return rows.with_columns(pl.when(~textual).then(n).alias(n) for n in of_values if n not in _TRUST)


def _tables(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    for batch in batches:
        table = pa.Table.from_batches([batch])
        place = table.column_names.index("ts")
        yield table.set_column(place, "ts", table["ts"].cast(TIMESTAMP))


def _arrow(rows: pl.DataFrame, terms: AggregateSpec, keys: Sequence[str]) -> pa.Table:
    columns: dict[str, Any] = {}
    names = [*(n for n in terms.measures if n != TIME_IN_STATE), *_TRUST]
    for name in (*keys, "bucket_start", "bucket_end", *names):
        column = rows[name].to_arrow(compat_level=pl.CompatLevel.oldest())
        columns[name] = column.cast(TIMESTAMP) if name in _INSTANTS else column
        if pa.types.is_large_string(columns[name].type):
            columns[name] = columns[name].cast(pa.string())
    if terms.wants_times:
        columns[TIME_IN_STATE] = map_of(rows[TIME_IN_STATE])
    return pa.table(columns)
