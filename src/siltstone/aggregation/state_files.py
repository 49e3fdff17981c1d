"""Files of partial states: rows by series name, with the long tables folded in."""

import io
from collections.abc import Sequence

import polars as pl

from siltstone.aggregates.states import COLUMNS, KEY, SKETCH, TIMES, States
from siltstone.aggregation.series_points import ABOUT
from siltstone.errors import StorageError
from siltstone.storage import Storage

INNER = tuple(name for name in COLUMNS if name not in KEY)
"""What a state has of its own, beside series and bucket."""
_TIMES = pl.List(pl.Struct({"value": pl.Float64(), "us": pl.Int64()}))
_SKETCH = pl.List(pl.Struct({"key": pl.Int32(), "count": pl.Int64()}))
FOLDED: dict[str, pl.DataType] = {"times": _TIMES, "sketch": _SKETCH}
TEXTS = pl.List(pl.Struct({"value": pl.Float64(), "text": pl.String()}))


def folded(states: States) -> pl.DataFrame:
    """The rows with a column for each long table; null where there is nothing."""
    rows = states.rows
    for name, long in (("times", states.times), ("sketch", states.sketch)):
        inner = [column for column in long.columns if column not in KEY]
        lists = long.group_by(KEY).agg(pl.struct(inner).alias(name))
        rows = rows.join(lists, on=KEY, how="left", maintain_order="left") if long.height else rows.with_columns(pl.lit(None, FOLDED[name]).alias(name))
    return rows


def unfolded(rows: pl.DataFrame) -> States:
    """The states of rows as `folded` made them."""
    long = {}
    for name, schema in (("times", TIMES), ("sketch", SKETCH)):
        found = rows.select(*KEY, name).drop_nulls(name).explode(name)
        long[name] = found.unnest(name).select(pl.col(n).cast(t) for n, t in schema.items()) if found.height else pl.DataFrame(schema=schema)
    ordered = rows.select(COLUMNS.keys()).sort("series", "first_ts", maintain_order=True)
    return States(ordered, long["times"], long["sketch"])


def write_states(out: Storage, path: str, states: States, names: pl.DataFrame, texts: dict[float, str]) -> None:
    """Write states with what is known of their series, in order of site and series."""
    rows = folded(states).join(names.with_row_index("series").cast({"series": pl.Int64}), on="series", how="left")
    rows = rows.sort("site", "series_id", "first_ts")
    labels = pl.DataFrame({"value": list(texts), "text": list(texts.values())}, schema={"value": pl.Float64, "text": pl.String})
    buffer = io.BytesIO()
    metadata = {"texts": labels.write_json()}
    rows.write_parquet(buffer, compression="zstd", compression_level=1, row_group_size=1 << 17, metadata=metadata)
    if not out.put(path, buffer.getvalue()):
        raise StorageError(f"{out.uri(path)} exists already", "Run again.")


def read_states(out: Storage, paths: Sequence[str], low: str, high: str) -> tuple[pl.DataFrame, dict[float, str]]:
    """The rows of all series from name `low` to below `high` ("" for none), and the texts that values stand for."""
    frames, texts = [], {}
    name = pl.concat_str("site", "series_id", separator="\0")
    for path in paths:
        fetched = out.read(path)
        if fetched is None:
            raise StorageError(f"{out.uri(path)} is gone", "Run again.")
        data = io.BytesIO(fetched.data)
        frame = pl.read_parquet(data)
        frames.append(frame.filter((name >= low) & ((name < high) if high else True)))
        labels = pl.read_json(io.StringIO(pl.read_parquet_metadata(data)["texts"]), schema={"value": pl.Float64, "text": pl.String})
        texts |= dict(labels.iter_rows())
    schema = {**COLUMNS, **FOLDED, **ABOUT}
    return pl.concat([pl.DataFrame(schema=schema), *(f.select(*schema) for f in frames)]), texts
