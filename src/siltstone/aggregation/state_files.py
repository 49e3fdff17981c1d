"""Files of partial states: rows by series name, with the long tables folded in; and the states that an output keeps."""

import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

import polars as pl

from siltstone.aggregates.states import COLUMNS, KEY, OPTIONAL, SKETCH, TIMES, States, columns_of, in_order, stacked
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
ROWS: dict[str, pl.DataType] = {**COLUMNS, **FOLDED}
KEYS: dict[str, pl.DataType] = {"site": pl.String(), "series_id": pl.String(), "bucket": pl.Int64()}
NAME = ["site", "series_id"]
_LENGTHS = 8  # bytes that tell how long the names are


@dataclass(frozen=True)
class Wanted:
    """The series whose names (site, NUL, series) lie in [low, high); "" is no bound."""

    low: str = ""
    high: str = ""

    def among(self, names: pl.DataFrame) -> pl.Series:
        """Which of the names they are."""
        name = pl.concat_str(*NAME, separator="\0")
        is_below = name < self.high if self.high else pl.lit(value=True)
        return names.select((name >= self.low) & is_below).to_series()


@dataclass(frozen=True)
class NamedStates:
    """Rows of states (columns ROWS, those of OPTIONAL where they are wanted), whose `series` is a place in `names`
    (columns ABOUT); the texts that values stand for."""

    rows: pl.DataFrame
    names: pl.DataFrame
    texts: dict[float, str]

    @classmethod
    def none(cls) -> "NamedStates":
        return cls(pl.DataFrame(schema=ROWS), pl.DataFrame(schema=ABOUT), {})

    def of(self, wanted: Wanted) -> "NamedStates":
        """Those of the wanted series."""
        if not wanted.low and not wanted.high:
            return self
        return NamedStates(
            self.rows.filter(wanted.among(self.names).gather(self.rows["series"])), self.names, self.texts
        )

    @property
    def keys(self) -> pl.DataFrame:
        """Series and bucket of each row, columns as KEYS."""
        return self.names.select(NAME)[self.rows["series"]].hstack(self.rows.select("bucket"))


def numbered(parts: Sequence[NamedStates]) -> NamedStates:
    """All of them with one numbering: by series and site, as data files are sorted."""
    names = pl.concat([part.names for part in parts]).unique(NAME, keep="first").sort("series_id", "site")
    numbers = names.select(NAME).with_row_index("number").cast({"number": pl.Int64})
    rows = []
    for part in parts:
        places = part.names.select(NAME).join(numbers, on=NAME, how="left", maintain_order="left")["number"]
        rows.append(part.rows.with_columns(series=places.gather(part.rows["series"])))
    return NamedStates(stacked(rows), names, {k: v for part in parts for k, v in part.texts.items()})


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
    return States(in_order(rows.select(columns_of(rows))), long["times"], long["sketch"])


def write_states(out: Storage, path: str, states: States, names: pl.DataFrame, texts: dict[float, str]) -> None:
    """Write states with what is known of their series, whose numbers are places in `names`."""
    labels = pl.DataFrame({"value": list(texts), "text": list(texts.values())}, schema=TEXT)
    parts = [_arrow_bytes(frame) for frame in (names, labels, folded(states))]
    lengths = b"".join(len(part).to_bytes(_LENGTHS, "little") for part in parts[:2])
    out.put(path, lengths + b"".join(parts))


def _arrow_bytes(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_ipc(buffer, compression="lz4")
    return buffer.getvalue()


def write_keys(out: Storage, path: str, keys: pl.DataFrame) -> None:
    """Write series and buckets, columns as KEYS."""
    out.put(path, _arrow_bytes(keys.select(KEYS.keys())))


def read_keys(out: Storage, path: str) -> pl.DataFrame:
    """Series and buckets that were written."""
    return pl.read_ipc(_bytes(out, path))


def read_states(out: Storage, path: str) -> NamedStates:
    """What `write_states` wrote."""
    data = _bytes(out, path)
    first, second = (int.from_bytes(data[at : at + _LENGTHS], "little") for at in (0, _LENGTHS))
    begin = 2 * _LENGTHS
    edges = (begin, begin + first, begin + first + second, len(data))
    names, labels, rows = (pl.read_ipc(data[a:b]) for a, b in pairwise(edges))
    return NamedStates(rows, names, dict(labels.iter_rows()))


def _bytes(out: Storage, path: str) -> bytes:
    fetched = out.read(path)
    if fetched is None:
        raise StorageError(f"{out.uri(path)} is gone", "Run again.")
    return fetched.data


def stored_states(table: Storage, path: str, fields: Collection[str]) -> NamedStates:
    """The same of a data file of an output table: its rows with points; `bucket` is 0. Of the columns that states may
    have, those among `fields` and those that tell something."""
    with naming(table.uri(path)):
        found = pl.read_parquet(io.BytesIO(_bytes(table, path)), columns=[*ABOUT, "state"])
    found = found.filter(pl.col("state").struct.field("first_ts").is_not_null())
    begins = found.select(pl.any_horizontal(pl.col(n).ne_missing(pl.col(n).shift()) for n in NAME)).to_series()
    names = found.filter(begins).select(pl.col(name).cast(kind) for name, kind in ABOUT.items())
    state = found["state"].struct.unnest()
    labels = state["texts"].drop_nulls().explode().drop_nulls().unique()
    texts = {row["value"]: row["text"] for row in labels.to_list()}
    rows = state.drop("texts").with_columns(series=begins.cast(pl.Int64).cum_sum() - 1, bucket=pl.lit(0, pl.Int64()))
    unused = [name for name in OPTIONAL if name not in fields and rows[name].null_count() == rows.height]
    rows = rows.select(pl.col(name).cast(kind) for name, kind in ROWS.items() if name not in unused)
    return NamedStates(rows, names, texts)
