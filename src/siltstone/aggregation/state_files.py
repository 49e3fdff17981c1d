"""Files of partial states: rows by series name, with the long tables folded in; and the states that an output keeps."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl
import pyarrow as pa
from pyarrow import ipc

from siltstone.aggregation.series_points import ABOUT
from siltstone.errors import StorageError
from siltstone.model.arrow import coded, to_arrow
from siltstone.model.data_files import LoggedFile
from siltstone.storage import Storage
from siltstone.table.reader import DataFileReader, fetched, naming
from siltstone.timeseries.points import BAD, Ints
from siltstone.timeseries.states import (
    COLUMNS,
    EXTREMES,
    KEY,
    OPTIONAL,
    SKETCH,
    TIMES,
    States,
    columns_of,
    sort_rows,
    stack_rows,
)

INNER = tuple(name for name in COLUMNS if name not in KEY)
"""The columns of a state without series and bucket."""
FOLDED: dict[str, pl.DataType] = {
    "times": pl.List(pl.Struct({"value": pl.Float64(), "us": pl.Int64()})),
    "sketch": pl.List(pl.Struct({"key": pl.Int32(), "count": pl.Int64()})),
}
TEXT: dict[str, pl.DataType] = {"value": pl.Float64(), "text": pl.String()}
TEXTS = pl.List(pl.Struct(TEXT))
ROWS: dict[str, pl.DataType] = {**COLUMNS, **FOLDED}
KEYS: dict[str, pl.DataType] = {"site": pl.String(), "series_id": pl.String(), "bucket": pl.Int64()}
NAME = ["site", "series_id"]
_SAME = {"start": "first", "stop": "last"}
"""The first usable point is the first point, unless that is bad; so with the last."""
_LENGTHS = 8  # bytes of the length of each part


@dataclass(frozen=True)
class SeriesRange:
    """The series whose names (site, NUL, series) lie in [low, high); "" is no bound."""

    low: str = ""
    high: str = ""

    def among(self, names: pl.DataFrame) -> pl.Series:
        """Which of the names (columns NAME) are in the range; boolean."""
        name = pl.concat_str(*NAME, separator="\0")
        is_below = name < self.high if self.high else pl.lit(value=True)
        return names.select((name >= self.low) & is_below).to_series()


EVERY_SERIES = SeriesRange()


@dataclass(frozen=True)
class NamedStates:
    """States with the names of their series. `rows`: columns ROWS, of OPTIONAL those that are asked for; `series` is a
    place in `names` (columns ABOUT). `texts`: number -> the text that it stands for."""

    rows: pl.DataFrame
    names: pl.DataFrame
    texts: dict[float, str]

    @classmethod
    def none(cls) -> "NamedStates":
        return cls(pl.DataFrame(schema=ROWS), pl.DataFrame(schema=ABOUT), {})

    def of(self, chosen: SeriesRange) -> "NamedStates":
        """The states of the chosen series."""
        if not chosen.low and not chosen.high:
            return self
        return NamedStates(
            self.rows.filter(chosen.among(self.names).gather(self.rows["series"])), self.names, self.texts
        )

    @property
    def keys(self) -> pl.DataFrame:
        """Series and bucket of each row, columns as KEYS."""
        return self.names.select(NAME)[self.rows["series"]].hstack(self.rows.select("bucket"))


def renumber(parts: Sequence[NamedStates]) -> NamedStates:
    """All states with common numbers of series, sorted by series and site as data files are."""
    names = pl.concat([part.names for part in parts]).unique(NAME, keep="first").sort("series_id", "site")
    numbers = names.select(NAME).with_row_index("number").cast({"number": pl.Int64})
    rows = []
    for part in parts:
        places = part.names.select(NAME).join(numbers, on=NAME, how="left", maintain_order="left")["number"]
        rows.append(part.rows.with_columns(series=places.gather(part.rows["series"])))
    return NamedStates(stack_rows(rows), names, {k: v for part in parts for k, v in part.texts.items()})


def fold(states: States) -> pl.DataFrame:
    """The rows of states with a column for each long table: a list of its entries, sorted by value or key; null where a
    state has none."""
    rows = states.rows
    for name, long in (("times", states.times), ("sketch", states.sketch)):
        if not long.height:
            rows = rows.with_columns(pl.lit(None, FOLDED[name]).alias(name))
            continue
        inner = [column for column in long.columns if column not in KEY]
        lists = long.sort(inner[0]).group_by(KEY).agg(pl.struct(inner).alias(name))
        rows = rows.join(lists, on=KEY, how="left", maintain_order="left")
    return rows


def unfold(rows: pl.DataFrame) -> States:
    """The states of rows as `fold` makes them, sorted by series and time."""
    long = {}
    for name, schema in (("times", TIMES), ("sketch", SKETCH)):
        entries = rows.select(*KEY, name).filter(pl.col(name).list.len() > 0).explode(name).unnest(name)
        long[name] = (
            entries.select(pl.col(n).cast(t) for n, t in schema.items())
            if entries.height
            else pl.DataFrame(schema=schema)
        )
    return States(sort_rows(rows.select(columns_of(rows))), long["times"], long["sketch"])


def write_states(
    out: Storage, path: str, states: States, names: pl.DataFrame, texts: dict[float, str], *, is_kept: bool = True
) -> None:
    """Write states and the names of their series (columns ABOUT), in which the numbers of series are places.

    `is_kept`: beyond the run."""
    labels = pl.DataFrame({"value": list(texts), "text": list(texts.values())}, schema=TEXT)
    parts = [_arrow_bytes(frame, out) for frame in (names, labels, fold(states))]
    lengths = b"".join(len(part).to_bytes(_LENGTHS, "little") for part in parts[:2])
    out.put(path, lengths + b"".join(parts), is_kept=is_kept)


def _arrow_bytes(frame: pl.DataFrame, out: Storage) -> bytes:
    """An Arrow file; compressing it would take longer than writing it to a disk."""
    table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
    options = ipc.IpcWriteOptions(compression=None if out.is_local else "lz4", use_threads=False)
    sink = pa.BufferOutputStream()
    with ipc.new_file(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _frame(data: bytes | memoryview) -> pl.DataFrame:
    return pl.DataFrame(ipc.open_file(pa.py_buffer(data)).read_all())


def write_keys(out: Storage, path: str, keys: pl.DataFrame) -> None:
    """Write series and buckets, columns as KEYS."""
    out.put(path, _arrow_bytes(keys.select(KEYS.keys()), out), is_kept=False)


def read_keys(out: Storage, path: str) -> pl.DataFrame:
    """The keys that `write_keys` has written, columns KEYS."""
    return _frame(_bytes(out, path))


def read_states(out: Storage, path: str) -> NamedStates:
    """The states that `write_states` has written. Raises StorageError where the file is gone."""
    data = _bytes(out, path)
    first, second = (int.from_bytes(data[at : at + _LENGTHS], "little") for at in (0, _LENGTHS))
    begin = 2 * _LENGTHS
    edges = (begin, begin + first, begin + first + second, len(data))
    names, labels, rows = (_frame(memoryview(data)[a:b]) for a, b in pairwise(edges))
    return NamedStates(rows, names, dict(labels.iter_rows()))


def _bytes(out: Storage, path: str) -> bytes:
    fetched = out.read(path)
    if fetched is None:
        raise StorageError(f"{out.uri(path)} is gone", "Run again.")
    return fetched.data


def stored_states(
    table: Storage, files: Sequence[LoggedFile], fields: Collection[str], chosen: SeriesRange = EVERY_SERIES
) -> NamedStates:
    """The states of the chosen series in data files of an output table, of rows with points; `bucket` is 0. Optional
    columns and long tables are read if they are among `fields`; extremes also where values are texts."""
    always = [name for name in (*INNER, *FOLDED) if name in fields or name not in (*OPTIONAL, *FOLDED)]
    parts: list[pa.Table] = []
    names, texts = [pl.DataFrame(schema=ABOUT)], dict[float, str]()
    before = 0
    for stored in files:
        file = opened_output(table, stored)
        with naming(file.uri):
            state = _states_in(file, (*always, "texts"))
            if state["texts"].null_count < len(state):
                labels = pl.Series(state["texts"]).drop_nulls().explode().drop_nulls().unique()
                texts |= {row["value"]: row["text"] for row in labels.to_list()}
                for name in (name for name in EXTREMES if name not in fields):
                    state = state.append_column(name, _states_in(file, [name])[name])
            about, series = series_in(file)
        if chosen != EVERY_SERIES:
            is_chosen = chosen.among(about).to_numpy()[series]
            state, series = state.filter(to_arrow(is_chosen)), series[is_chosen]
        parts.append(state.drop_columns(["texts"]).append_column("series", to_arrow(series + before)))
        names.append(about)
        before += about.height
    if not parts:
        return NamedStates.none()
    joined = pl.DataFrame(pa.concat_tables(parts, promote_options="default"))
    missing = {name: pl.lit(None, kind) for name, kind in FOLDED.items() if name not in joined.columns}
    rows = with_repeats(joined.filter(pl.col("first_ts").is_not_null()))
    rows = rows.with_columns(bucket=pl.lit(0, pl.Int64()), **missing)
    rows = rows.select(pl.col(name).cast(kind) for name, kind in ROWS.items() if name in rows.columns)
    return NamedStates(rows, pl.concat(names), texts)


def opened_output(table: Storage, file: LoggedFile) -> DataFileReader:
    """A data file of an output table. Raises DamagedFileError where it has another number of rows than the log says."""
    return fetched(table, file.path, rows=file.rows, coded=list(ABOUT))


def series_in(file: DataFileReader) -> tuple[pl.DataFrame, Ints]:
    """The series in a data file of an output table (columns ABOUT), in their order there; and for each row the place of
    its series among them."""
    about = file.table(list(ABOUT))
    changes = [np.diff(coded(about[name])[1]) != 0 for name in NAME]
    begins = np.append(True, np.any(changes, axis=0))[: about.num_rows]
    names = pl.DataFrame(about.take(to_arrow(np.flatnonzero(begins))))
    return names.select(pl.col(name).cast(kind) for name, kind in ABOUT.items()), np.cumsum(begins) - 1


def _states_in(file: DataFileReader, fields: Collection[str]) -> pa.Table:
    """Some fields of the column `state` of a data file; null in rows without points."""
    state = file.table([f"state.{name}" for name in fields])["state"].combine_chunks()
    return pa.table(dict(zip([f.name for f in state.type], state.flatten(), strict=True)))


def without_repeats(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of states as they are stored: a field that is equal to another one by rule is null."""
    same = {f"{used}_{part}": end for used, end in _SAME.items() for part in ("ts", "value")}
    says_more = [pl.when(pl.col(f"{end}_quality") == BAD).then(name).alias(name) for name, end in same.items()]
    return rows.with_columns(
        *says_more, pl.when(pl.col("good_us") != pl.col("covered_us")).then("good_us").alias("good_us")
    )


def with_repeats(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of states from stored ones: the opposite of `without_repeats`."""
    equal_to = {f"{used}_{part}": f"{end}_{part}" for used, end in _SAME.items() for part in ("ts", "value")}
    is_used = {name: pl.col(f"{other.partition('_')[0]}_quality") > BAD for name, other in equal_to.items()}
    same = [pl.when(is_used[name]).then(other).otherwise(name).alias(name) for name, other in equal_to.items()]
    return rows.with_columns(*same, pl.col("good_us").fill_null(pl.col("covered_us")))
