"""The same as-of join on any two Spark DataFrames: in notebooks, and in jobs of one's own.

Neither window functions nor joins of Spark are used: both sides become one DataFrame, which Spark sorts by key and
time; the rows go as a stream of Arrow batches through siltstone's sorted merge (`siltstone.timeseries.asof`). Only
`mapInArrow` is needed, so it runs on Spark 3.5 to 4.1 and over Spark Connect.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from siltstone.dataframes.instants import microseconds
from siltstone.errors import UsageError

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa
    from pyspark.sql import DataFrame
    from pyspark.sql.types import DataType

_TIME, _IS_RIGHT, _LEFT, _RIGHT = "#ts", "#is_right", "#left", "#right"
_BATCH_ROWS = 1 << 16


def asof(
    left: "DataFrame",
    right: "DataFrame",
    on: str = "ts",
    by: str | Sequence[str] = ("series_id",),
    direction: str = "backward",
    tolerance: str | None = None,
    *,
    allow_exact: bool = True,
    how: str = "left",
    suffix: str = "_right",
) -> "DataFrame":
    """The rows of `left`, each with the row of `right` that has the same key and the nearest time.

    - `on`: the column of timestamps in both (one without a zone is UTC, whatever the session's); `by`: the columns of
      the key. A null in either matches nothing.
    - `direction`: backward: the latest at or before the row's time, forward: the earliest at or after it, nearest: the
      nearer one of both, the earlier one if both are as near. Without `allow_exact` a row at exactly the same time does
      not count. If several rows of `right` have the same key and time, any of them may match.
    - `tolerance`: the greatest distance, such as 90s, 15m, 1h. `how`: left, or inner: only rows with a match.

    Columns: all of `left`, then all of `right` without the key. A name that `left` has, too, gets the suffix, and so
    does the time (`ts_right`: null if nothing matched). siltstone must be installed on Spark's workers. A worker holds
    the rows of one key between two right rows, not all rows of the key.

    Raises UsageError for columns that don't fit and for unknown values of parameters.
    """
    from pyspark.sql import functions as sql
    from pyspark.sql.types import StructType

    from siltstone.timeseries.interpretation import duration_us

    by = (by,) if isinstance(by, str) else by
    tolerance_us = None if tolerance is None else duration_us(tolerance)
    if tolerance is not None and tolerance_us is None:
        raise UsageError(f"tolerance {tolerance!r} is no length of time", "Give one such as 90s, 15m, 1h or 2d.")
    if direction not in ("backward", "forward", "nearest") or how not in ("left", "inner"):
        raise UsageError(f"no direction {direction!r}, or no how {how!r}", "backward, forward, nearest; left, inner.")
    for side, df in (("left", left), ("right", right)):
        if missing := [name for name in (on, *by) if name not in df.columns]:
            raise UsageError(f"the {side} DataFrame has no column {', '.join(missing)}", "Give `on` and `by` of both.")
    for name in by:
        kinds = [_kind(df.schema[name].dataType) for df in (left, right)]
        if kinds[0] != kinds[1]:
            raise UsageError(f"column {name} is a {kinds[0]} on the left and a {kinds[1]} on the right", "Cast one.")
    others = [field for field in right.schema.fields if field.name not in by]
    names = {f.name: f.name + suffix if f.name == on or f.name in left.columns else f.name for f in others}
    if repeated := sorted({n for n in names.values() if n in left.columns}):
        raise UsageError(f"{', '.join(repeated)} would stand twice in the result", "Give another `suffix`.")
    sides = {
        _LEFT: sql.struct(*(sql.col(f"`{n}`") for n in left.columns)),
        _RIGHT: sql.struct(*(sql.col(f"`{old}`").alias(new) for old, new in names.items())),
    }
    keys = [f"#{number}" for number in range(len(by))]

    def tagged(df: "DataFrame", own: str) -> "DataFrame":
        key = [sql.col(f"`{name}`").alias(key) for name, key in zip(by, keys, strict=True)]
        types = {_LEFT: left.select(sides[_LEFT].alias(_LEFT)), _RIGHT: right.select(sides[_RIGHT].alias(_RIGHT))}
        structs = [
            (sides[name] if name == own else sql.lit(None).cast(types[name].schema[0].dataType)).alias(name)
            for name in (_LEFT, _RIGHT)
        ]
        return df.select(*key, microseconds(df, on).alias(_TIME), sql.lit(own == _RIGHT).alias(_IS_RIGHT), *structs)

    rows = tagged(left, _LEFT).unionByName(tagged(right, _RIGHT))
    order = [*(f"`{key}`" for key in keys), f"`{_TIME}`"]
    together = rows.repartition(*order[:-1]) if keys else rows.coalesce(1)
    schema = StructType(list(left.schema.fields))
    for field in others:
        schema = schema.add(names[field.name], field.dataType, nullable=True)
    options = {"direction": direction, "tolerance_us": tolerance_us, "allow_exact": allow_exact, "how": how}
    return together.sortWithinPartitions(*order).mapInArrow(_of_partition(keys, schema.names, options), schema)


def _kind(data_type: "DataType") -> str:
    """The name of a type, one for all types of numbers: values of one kind can be equal."""
    from pyspark.sql.types import NumericType

    return "number" if isinstance(data_type, NumericType) else data_type.typeName()


def _of_partition(keys: Sequence[str], names: Sequence[str], options: Mapping[str, Any]) -> Any:
    """A function for mapInArrow; Spark sends it to workers with plain values only."""

    def run(batches: Iterable["pa.RecordBatch"]) -> Iterator["pa.RecordBatch"]:
        import os

        os.environ.setdefault("POLARS_MAX_THREADS", "1")
        yield from joined_rows(batches, keys, names, options)

    return run


def joined_rows(
    batches: Iterable["pa.RecordBatch"], keys: Sequence[str], names: Sequence[str], options: Mapping[str, Any]
) -> Iterator["pa.RecordBatch"]:
    """The joined rows of a partition. Its batches are sorted by key and time."""
    import polars as pl
    import pyarrow as pa

    waiting: pa.Table | None = None
    for batch in batches:
        table = pa.Table.from_batches([batch])
        rows = table if waiting is None else pa.concat_tables([waiting, table])
        order = pl.DataFrame(rows.select([*keys, _TIME, _IS_RIGHT])).with_row_index("#row")
        is_done, is_kept = _split(order, keys, is_backward=options["direction"] == "backward")
        yield from _join(rows, order.filter(is_done), keys, names, options)
        waiting = rows.take(order.filter(is_kept)["#row"].to_arrow())
    if waiting is not None:
        order = pl.DataFrame(waiting.select([*keys, _TIME, _IS_RIGHT])).with_row_index("#row")
        yield from _join(waiting, order, keys, names, options)


def _split(order: "pl.DataFrame", keys: Sequence[str], *, is_backward: bool) -> tuple["pl.Series", "pl.Series"]:
    """Two masks of rows that more rows will follow: the rows to join now, and those to keep for later. To join now are
    the left rows of which no later row can change the match, and all right rows. To keep are the other left rows, and
    the right rows that may match them or later ones."""
    import polars as pl

    height, last = order.height, order.tail(1)
    is_last_key = pl.repeat(value=True, n=height, eager=True)
    for key in keys:
        is_last_key &= order[key].eq_missing(last[key].new_from_index(0, height))
    is_right = order[_IS_RIGHT]
    time = order[_TIME].fill_null(-(1 << 62))
    own_right = time.filter(is_last_key & is_right)
    limit = time[-1] if is_backward else (own_right.max() if len(own_right) else None)
    is_open = is_last_key & ~is_right & ((time >= limit) if limit is not None else True)
    before = own_right.filter(own_right < limit).max() if limit is not None and len(own_right) else None
    kept_right = is_last_key & is_right & ((time >= before) if before is not None else True)
    return ~is_open, is_open | kept_right


def _join(
    table: "pa.Table", order: "pl.DataFrame", keys: Sequence[str], names: Sequence[str], options: Mapping[str, Any]
) -> Iterator["pa.RecordBatch"]:
    """The joined rows for the left rows in `order`, which are places of rows in the table."""
    import polars as pl
    import pyarrow as pa

    from siltstone.timeseries.asof import asof as merged

    left, right = order.filter(~pl.col(_IS_RIGHT)), order.filter(pl.col(_IS_RIGHT))
    if not left.height:
        return
    matches = merged(left, right, on=_TIME, by=keys, suffix="!", **options)
    columns: list[Any] = []
    for struct, places in ((_LEFT, "#row"), (_RIGHT, "#row!")):
        columns += table[struct].take(matches[places].to_arrow()).combine_chunks().flatten()
    yield from pa.table(columns, names=list(names)).to_batches(_BATCH_ROWS)
