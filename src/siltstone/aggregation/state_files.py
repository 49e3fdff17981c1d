"""Files of partial states: rows by series name, with the long tables folded in; and the states that an output keeps."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from siltstone.aggregates.states import COLUMNS, KEY, SKETCH, TIMES, States
from siltstone.aggregation.series_points import ABOUT
from siltstone.errors import StorageError
from siltstone.footers import naming
from siltstone.storage import Storage

INNER = tuple(name for name in COLUMNS if name not in KEY)
"""What a state has of its own, beside series and bucket."""
FOLDED: dict[str, pl.DataType] = {
    "times": pl.List(pl.Struct({"value": pl.Float64(), "us": pl.Int64()})),
    "sketch": pl.List(pl.Struct({"key": pl.Int32(), "count": pl.Int64()})),
}
TEXT: dict[str, pl.DataType] = {"value": pl.Float64(), "text": pl.String()}
TEXTS = pl.List(pl.Struct(TEXT))
ROWS: dict[str, pl.DataType] = {**COLUMNS, **FOLDED, **ABOUT}
KEYS: dict[str, pl.DataType] = {"site": pl.String(), "series_id": pl.String(), "bucket": pl.Int64()}


@dataclass(frozen=True)
class Wanted:
    """The series whose names (site, NUL, series) lie in [low, high); "" is no bound."""

    low: str = ""
    high: str = ""

    @property
    def condition(self) -> pl.Expr:
        name = pl.concat_str("site", "series_id", separator="\0")
        return (name >= self.low) & ((name < self.high) if self.high else pl.lit(value=True))


def folded(states: States) -> pl.DataFrame:
    """The rows with a column for each long table, its entries in order of value or key; null where there is nothing."""
    rows = states.rows
    for name, long in (("times", states.times), ("sketch", states.sketch)):
        if not long.height:
            rows = rows.with_columns(pl.lit(None, FOLDED[name]).alias(name))
            continue
        inner = [column for column in long.columns if column not in KEY]
        lists = long.sort(inner[0]).group_by(KEY).agg(pl.struct(inner).alias(name))
        rows = rows.join(lists, on=KEY, how="left", maintain_order="left")
    return rows


def unfolded(rows: pl.DataFrame) -> States:
    """The states of rows as `folded` made them, in order of series and time."""
    long = {}
    for name, schema in (("times", TIMES), ("sketch", SKETCH)):
        found = rows.select(*KEY, name).filter(pl.col(name).list.len() > 0).explode(name).unnest(name)
        long[name] = (
            found.select(pl.col(n).cast(t) for n, t in schema.items()) if found.height else pl.DataFrame(schema=schema)
        )
    ordered = rows.select(COLUMNS.keys()).sort("series", "first_ts", maintain_order=True)
    return States(ordered, long["times"], long["sketch"])


def write_states(out: Storage, path: str, states: States, names: pl.DataFrame, texts: dict[float, str]) -> None:
    """Write states with what is known of their series, in order of site and series."""
    rows = folded(states).join(names.with_row_index("series").cast({"series": pl.Int64}), on="series", how="left")
    rows = rows.sort("site", "series_id", "first_ts").select(ROWS.keys())
    labels = pl.DataFrame({"value": list(texts), "text": list(texts.values())}, schema=TEXT)
    _put(out, path, rows, {"texts": labels.write_json()})


def write_keys(out: Storage, path: str, keys: pl.DataFrame) -> None:
    """Write series and buckets, columns as KEYS."""
    _put(out, path, keys.select(KEYS.keys()), {})


def _put(out: Storage, path: str, rows: pl.DataFrame, metadata: dict[str, str]) -> None:
    buffer = io.BytesIO()
    rows.write_parquet(buffer, compression="zstd", compression_level=1, row_group_size=1 << 17, metadata=metadata)
    out.put(path, buffer.getvalue())


def read_keys(out: Storage, path: str) -> pl.DataFrame:
    """Series and buckets that were written."""
    return pl.read_parquet(io.BytesIO(_bytes(out, path)))


def read_states(out: Storage, paths: Sequence[str], wanted: Wanted) -> tuple[pl.DataFrame, dict[float, str]]:
    """The rows of the wanted series (ROWS), and the texts that values stand for."""
    frames: list[pl.DataFrame] = [pl.DataFrame(schema=ROWS)]
    texts: dict[float, str] = {}
    for path in paths:
        data = io.BytesIO(_bytes(out, path))
        frames.append(pl.read_parquet(data).filter(wanted.condition).select(ROWS.keys()))
        texts |= dict(pl.read_json(io.StringIO(pl.read_parquet_metadata(data)["texts"]), schema=TEXT).iter_rows())
    return pl.concat(frames), texts


def _bytes(out: Storage, path: str) -> bytes:
    fetched = out.read(path)
    if fetched is None:
        raise StorageError(f"{out.uri(path)} is gone", "Run again.")
    return fetched.data


def stored_states(table: Storage, paths: Sequence[str], wanted: Wanted) -> tuple[pl.DataFrame, dict[float, str]]:
    """The same of the data files of an output table: its rows with points (`bucket` and `series` are 0)."""
    frames: list[pl.DataFrame] = [pl.DataFrame(schema=ROWS)]
    texts: dict[float, str] = {}
    for path in paths:
        with naming(table.uri(path)):
            data = io.BytesIO(_bytes(table, path))
            found = pl.read_parquet(data, columns=[*ABOUT, "state"]).filter(wanted.condition)
        found = found.filter(pl.col("state").struct.field("first_ts").is_not_null())
        state = found["state"].struct.unnest()
        labels = state["texts"].drop_nulls().explode().drop_nulls().unique()
        texts |= {row["value"]: row["text"] for row in labels.to_list()}
        rows = found.select(ABOUT.keys()).hstack(state.drop("texts"))
        rows = rows.with_columns(series=pl.lit(0, pl.Int64()), bucket=pl.lit(0, pl.Int64()))
        frames.append(rows.select(pl.col(name).cast(kind) for name, kind in ROWS.items()))
    return pl.concat(frames), texts
