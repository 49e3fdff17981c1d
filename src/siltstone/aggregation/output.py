"""The output table: its contract, and finished rows as it stores them, with the states that rollups work from."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from siltstone.aggregates.finishing import Finished
from siltstone.aggregates.states import COLUMNS, KEY
from siltstone.aggregation.state_files import INNER, folded
from siltstone.aggregation.terms import TIME_IN_STATE, Terms
from siltstone.contracts import TIMESTAMP, Column, Contract, Field
from siltstone.kinds import Kind

STATE = "state"
_ARROW = {pl.Int64(): pa.int64(), pl.Float64(): pa.float64(), pl.Int8(): pa.int8()}
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
    Field(STATE, STATE_TYPE, "what a rollup needs; null in rows without points"),
)
_INSTANTS = ("bucket_start", "bucket_end", "min_ts", "max_ts", "first_ts", "last_ts")


def contract_of(terms: Terms) -> Contract:
    """The contract of an output with the measures asked for."""
    measures = {name: _KINDS.get(name, "double") for name in terms.measures if name != TIME_IN_STATE}
    columns = {**_ABOUT, "bucket_end": "timestamp", **measures, **_TRUST}
    return Contract(
        table="aggregates of time",
        partition_by=(Field("date", pa.date32(), "UTC date of bucket_start"),),
        time=Field("bucket_start", TIMESTAMP, "start of the bucket, [start, end)"),
        leading=(Column("series_id", "string", "series_id"),),
        added=_NESTED,
        record=tuple(Column(name, kind, name) for name, kind in columns.items()),  # type: ignore[arg-type]
        sort_by=("series_id", "bucket_start"),
    )


def table_of(finished: Finished, names: pl.DataFrame, texts: Mapping[float, str], terms: Terms) -> pl.DataFrame:
    """The rows as they are stored, in order of series and bucket, with their `date`. `names`: of each series number."""
    rows = finished.rows.hstack(names[finished.rows["series"]])
    states = folded(finished.states)
    labels = _labels(states, texts)
    if labels.height:
        is_text = pl.col("series").is_in(labels["series"].implode())
        numbers = [n for n, kind in rows.schema.items() if kind == pl.Float64() and n not in _TRUST]
        rows = rows.with_columns(pl.when(~is_text).then(pl.col(n)).alias(n) for n in numbers)
    states = (
        states.join(labels, on="series", how="left", maintain_order="left")
        if labels.height
        else states.with_columns(pl.lit(None, _TEXTS).alias("texts"))
    )
    states = states.select(*KEY, pl.struct(*INNER, "times", "sketch", "texts").alias(STATE))
    if states.height == rows.height:  # each row has points, and both are in order
        rows = rows.with_columns(states[STATE])
    else:
        rows = rows.join(states, on=KEY, how="left", maintain_order="left")
    if terms.wants_times:
        rows = rows.join(in_state(finished.times, texts), on=KEY, how="left", maintain_order="left")
    return rows.with_columns(pl.from_epoch(pl.col("bucket_start"), time_unit="us").dt.date().alias("date"))


_TEXTS = pl.List(pl.Struct({"value": pl.Float64(), "text": pl.String()}))


def _labels(states: pl.DataFrame, texts: Mapping[float, str]) -> pl.DataFrame:
    """The texts that stand for values of each series, as far as its states name them."""
    if not texts:
        return pl.DataFrame()
    known = pl.DataFrame({"value": list(texts), "text": list(texts.values())})
    ends = [
        states.filter(pl.col(name).is_in(list(texts))).select("series", value=name).unique()
        for name in ("first_value", "last_value", "start_value", "stop_value", "low", "high")
    ]
    times = (
        states.select("series", "times").explode("times").select("series", value=pl.col("times").struct.field("value"))
    )
    found = pl.concat([*ends, times]).drop_nulls().unique().join(known, on="value")
    return found.sort("series", "value").group_by("series", maintain_order=True).agg(texts=pl.struct("value", "text"))


def in_state(times: pl.DataFrame, texts: Mapping[float, str]) -> pl.DataFrame:
    """series, bucket and `time_in_state`: a list of key (the text, or the number as text) and value (seconds)."""
    known = pl.DataFrame(
        {"value": list(texts), "text": list(texts.values())}, schema={"value": pl.Float64, "text": pl.String}
    )
    told = times.join(known, on="value", how="left").with_columns(
        key=pl.coalesce("text", pl.col("value").map_elements(lambda v: f"{v:.15g}", pl.String)),
        value=pl.col("us") / 1e6,
    )
    return told.sort(*KEY, "key").group_by(KEY, maintain_order=True).agg(pl.struct("key", "value").alias(TIME_IN_STATE))


def arrow_of(rows: pl.DataFrame, terms: Terms) -> pa.Table:
    """The rows as data files have them."""
    contract = contract_of(terms)
    columns: dict[str, Any] = {}
    for name in (contract.time.name, *(c.name for c in (*contract.leading, *contract.record))):
        column = rows[name].to_arrow()
        columns[name] = column.cast(TIMESTAMP) if name in _INSTANTS else column
    for field in contract.added:
        if field.name not in rows.columns:
            columns[field.name] = pa.nulls(rows.height, field.type)
        elif field.name == TIME_IN_STATE:
            columns[field.name] = map_of(rows[field.name])
        else:
            columns[field.name] = rows[field.name].to_arrow(compat_level=pl.CompatLevel.oldest()).cast(field.type)
    return pa.table(columns)


def map_of(lists: pl.Series) -> pa.MapArray:
    """A column of lists of key and value as maps; null where there is no list."""
    flat = lists.drop_nulls().explode().drop_nulls().struct.unnest()
    lengths = lists.list.len().fill_null(0).to_numpy()
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)
    keys, values = (flat[name].to_arrow(compat_level=pl.CompatLevel.oldest()) for name in ("key", "value"))
    missing = pc.is_null(lists.to_arrow()) if lists.null_count() else None
    return pa.MapArray.from_arrays(pa.array(offsets), keys.cast(pa.string()), values, mask=missing)
