"""The output table: its contract, and rows of measures as it stores them, with the states that rollups need."""

from collections.abc import Mapping
from typing import Any

import polars as pl
import pyarrow as pa

from siltstone.aggregation.spec import SECONDS, TIME_IN_STATE, AggregateSpec
from siltstone.aggregation.state_files import INNER, TEXT, fold, without_repeats
from siltstone.model.arrow import coded_at
from siltstone.model.contracts import TIMESTAMP, Column, Contract, Field
from siltstone.model.kinds import Kind
from siltstone.timeseries.measures import MeasuredRows
from siltstone.timeseries.states import COLUMNS, EXTREMES, KEY

STATE = "state"
SHARE_IN_STATE = "share_in_state"
_ARROW: Mapping[pl.DataType, pa.DataType] = {pl.Int64(): pa.int64(), pl.Float64(): pa.float64(), pl.Int8(): pa.int8()}
_TEXT, _REAL, _WHOLE = pa.large_string(), pa.float64(), pa.int64()
STATE_TYPE = pa.struct(
    [
        *((name, _ARROW[COLUMNS[name]]) for name in INNER),
        ("times", pa.large_list(pa.struct([("value", _REAL), ("us", _WHOLE)]))),
        ("sketch", pa.large_list(pa.struct([("key", pa.int32()), ("count", _WHOLE)]))),
        ("texts", pa.large_list(pa.struct([("value", _REAL), ("text", _TEXT)]))),
    ]
)
_KINDS: Mapping[str, Kind] = {
    "transitions": "bigint",
    "count": "bigint",
    **dict.fromkeys(("min_ts", "max_ts"), "timestamp"),
}
_TRUST: Mapping[str, Kind] = {
    "n": "bigint",
    "n_bad": "bigint",
    "covered_s": "double",
    "good_s": "double",
    "pct_good": "double",
    "carried_in": "boolean",
    "first_ts": "timestamp",
    "last_ts": "timestamp",
    "provisional": "boolean",
}
_ABOUT: Mapping[str, Kind] = dict.fromkeys(("site", "source", "device_id", "measurement"), "string")
_NESTED = (
    Field(TIME_IN_STATE, pa.map_(pa.string(), _REAL), "state -> seconds; null where it was not asked for"),
    Field(SHARE_IN_STATE, pa.map_(pa.string(), _REAL), "state -> share of the covered time"),
    Field(STATE, STATE_TYPE, "what a rollup needs; null in rows without points, and in fields equal to another field"),
)
_INSTANTS = ("bucket_start", "bucket_end", "min_ts", "max_ts", "first_ts", "last_ts")


def contract_of(terms: AggregateSpec) -> Contract:
    """The contract of an output with the measures asked for."""
    measures = {name: _KINDS.get(name, "double") for name in terms.measures if name != TIME_IN_STATE}
    columns = {**_ABOUT, "bucket_end": "timestamp", **measures, **_TRUST}
    return Contract(
        table="aggregates of time",
        partition_by=(Field("date", pa.date32(), "UTC date of bucket_start"),),
        time=Field("bucket_start", TIMESTAMP, "start of the bucket, [start, end)"),
        leading=(Column("series_id", "string", "series_id"),),
        added=_NESTED,
        record=tuple(Column(name, kind, name) for name, kind in columns.items()),
        sort_by=("series_id", "bucket_start"),
        key=("series_id", "site", "bucket_start"),
    )


def table_of(
    measured: MeasuredRows, texts: Mapping[float, str], textual: pl.Series, terms: AggregateSpec
) -> pl.DataFrame:
    """The rows nearly as they are stored, sorted by series and bucket, with their `date`. `series` is still a number,
    and the fields of `state` are columns of their own: "state.n" is its field n.

    `texts`: number -> the text that it stands for. `textual`: which of the rows have texts as values; measures that are
    numbers made of values are null in these.
    """
    rows = measured.rows
    if textual.any():
        numbers = [n for n, kind in rows.schema.items() if kind == pl.Float64() and n not in _TRUST]
        instants = [n for n in ("min_ts", "max_ts") if n in rows.columns]
        rows = rows.with_columns(pl.when(~textual).then(n).alias(n) for n in (*numbers, *instants))
    if terms.integral_unit != "s":
        rows = rows.with_columns(pl.col("integral") / SECONDS[terms.integral_unit])
    states = fold(measured.states)
    spare = [name for name in EXTREMES if name in states.columns and name not in terms.fields]
    is_text = {name: pl.col(name.removesuffix("_ts")).is_in(list(texts)) for name in spare}  # kept for text values only
    states = states.with_columns(pl.when(is_text[name]).then(name).alias(name) for name in spare)
    if texts or measured.states.times.height:
        states = states.join(_labels(states, texts), on=KEY, how="left", maintain_order="left")
    states = without_repeats(states).rename({name: _INSIDE + name for name in states.columns if name not in KEY})
    if states.height == rows.height:  # each row has points, and both are in order
        rows = rows.hstack(states.drop(KEY))
    else:
        rows = rows.join(states, on=KEY, how="left", maintain_order="left")
    if terms.wants_times:
        rows = rows.join(in_state(measured.times, texts), on=KEY, how="left", maintain_order="left")
        is_enough = pl.col("pct_good") >= terms.min_pct_good
        rows = rows.with_columns(pl.when(is_enough).then(TIME_IN_STATE).alias(TIME_IN_STATE))
        key, value = (pl.element().struct.field(name) for name in ("key", "value"))
        shares = pl.col(TIME_IN_STATE).list.eval(pl.struct(key, (value / value.sum()).alias("value")))
        rows = rows.with_columns(shares.alias(SHARE_IN_STATE))
    return rows.with_columns(pl.from_epoch(pl.col("bucket_start"), time_unit="us").dt.date().alias("date"))


_INSIDE = f"{STATE}."
_VALUES = ("first_value", "last_value", "start_value", "stop_value", "low", "high")
"""The fields of a state that are values of points."""


def _labels(states: pl.DataFrame, texts: Mapping[float, str]) -> pl.DataFrame:
    """For each state the texts that its values stand for: KEY and `texts`, a list of pairs; no row for states without
    texts."""
    labels = pl.DataFrame({"value": list(texts), "text": list(texts.values())}, schema=TEXT)
    stands = pl.col("value").is_in(labels["value"].implode())
    inner = states.select(*KEY, "times").explode("times").unnest("times").select(*KEY, "value")
    values = (
        [states.select(*KEY, value=name).filter(stands) for name in _VALUES if name in states.columns] if texts else []
    )
    pairs = pl.concat([*values, inner.filter(stands)]).unique().join(labels, on="value").sort(*KEY, "value")
    return pairs.group_by(KEY, maintain_order=True).agg(texts=pl.struct("value", "text"))


def in_state(times: pl.DataFrame, texts: Mapping[float, str]) -> pl.DataFrame:
    """The seconds at each value: KEY and a list of pairs (text, seconds). A number becomes the shortest text that names
    no other number."""
    labels = pl.DataFrame({"value": list(texts), "text": list(texts.values())}, schema=TEXT)
    seconds = times.join(labels, on="value", how="left").with_columns(
        key=pl.coalesce("text", _unsigned_zero(pl.col("value")).cast(pl.String()).str.strip_suffix(".0")),
        value=pl.col("us") / 1e6,
    )
    seconds = seconds.group_by(*KEY, "key").agg(pl.col("value").sum())  # 1 and "1" have the same text
    return (
        seconds.sort(*KEY, "key").group_by(KEY, maintain_order=True).agg(pl.struct("key", "value").alias(TIME_IN_STATE))
    )


def _unsigned_zero(value: pl.Expr) -> pl.Expr:
    return pl.when(value == 0).then(0.0).otherwise(value)


def arrow_of(rows: pl.DataFrame, names: pl.DataFrame, terms: AggregateSpec) -> pa.Table:
    """The rows as data files have them. `names`: a row for each number of a series, columns ABOUT."""
    contract = contract_of(terms)
    series = rows["series"].to_numpy()
    columns: dict[str, Any] = {}
    for name in (contract.time.name, *(c.name for c in (*contract.leading, *contract.record))):
        if name in names.columns:
            columns[name] = coded_at(names[name], series)
            continue
        column = rows[name].to_arrow()
        columns[name] = column.cast(TIMESTAMP) if name in _INSTANTS else column
    for field in contract.added:
        if field.name == STATE:
            columns[STATE] = _states_of(rows)
        elif field.name not in rows.columns:
            columns[field.name] = pa.nulls(rows.height, field.type)
        else:
            columns[field.name] = map_of(rows[field.name])
    return pa.table(columns)


def _states_of(rows: pl.DataFrame) -> pa.StructArray:
    """The column `state` of rows: null in rows without points; fields that no measure needs are null."""
    parts = []
    for field in STATE_TYPE:
        name = _INSIDE + field.name
        column = rows[name] if name in rows.columns else None
        parts.append(pa.nulls(rows.height, field.type) if column is None else column.to_arrow().cast(field.type))
    mask = rows[_INSIDE + "first_ts"].is_null()
    return pa.StructArray.from_arrays(parts, fields=list(STATE_TYPE), mask=mask.to_arrow() if mask.any() else None)


def map_of(lists: pl.Series) -> pa.MapArray:
    """A map from text to double for each list of pairs (`key`, `value`); null for null."""
    pairs = lists.explode(empty_as_null=False, keep_nulls=False).struct
    offsets = pl.concat([pl.Series([0]), lists.list.len().fill_null(0).cast(pl.Int64).cum_sum()]).cast(pl.Int32)
    keys = pairs.field("key").to_arrow().cast(pa.string())
    mask = lists.is_null().to_arrow()
    return pa.MapArray.from_arrays(offsets.to_arrow(), keys, pairs.field("value").to_arrow(), mask=mask)
