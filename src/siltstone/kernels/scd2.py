"""The history of entities from snapshots: each row with the time in which it was true, in whatever order they arrive.

A snapshot shows every row of its scope at one instant. What is not in it has ended by then, so an empty one ends all.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from siltstone.model.arrays import Ints, Mask

_SNAPSHOT = [pl.col("ts").cast(pl.Int64()), pl.col("source_file").cast(pl.String()), pl.col("scope").cast(pl.String())]
_NOT_RECORD = ("valid_from", "valid_to", "source_file", "scope", "ts", "line")


@dataclass(frozen=True)
class MergedHistory:
    """The new history, and by `source_file` the `rows` that it has in it now (its other rows are as before) and the
    `duplicates`: rows of this merge that were left out because a later line of the same snapshot has their key."""

    history: pl.DataFrame
    files: pl.DataFrame


@dataclass(frozen=True)
class _Timeline:
    """The snapshots that count, by scope and time: of several at one instant the last by file.

    `is_old` marks the snapshots that are in the history, `is_gone` the ones to be removed from it; the others are new.
    `place` has scope, ts, source_file and `at`, the snapshot's row here.
    """

    place: pl.DataFrame
    is_old: Mask
    is_gone: Mask


def merged(
    history: pl.DataFrame,
    snapshots: pl.DataFrame,
    rows: pl.DataFrame,
    *,
    known: pl.DataFrame,
    key: Sequence[str],
    replaced: Collection[str] = (),
) -> MergedHistory:
    """The history as if the snapshots known and new had been merged at once, in the order of time.

    `history` has record columns, `valid_from` and `valid_to` (int64 us; null: shown by the newest snapshot of its
    scope) and `source_file`, which first showed the row so; on the first run it may have no columns. `snapshots` (new)
    and `known` (those in the history, all of them) have `ts` (int64 us), `source_file`, `scope`; `rows`, those of the
    new ones, have these, `line` and the record columns. Every column else is a record column, `_rescued` too; one that
    is absent counts as null. Rows of a scope with equal keys (nulls are equal) and equal record columns in snapshots
    that follow each other are one row. The result is sorted by the key's first column, valid_from, the rest of the key
    and file. The same result comes out when many snapshots are merged part by part, which bounds the memory.

    Known snapshots of the files in `replaced`, and known ones that come again, are taken out first as if they had never
    been. That is exact, but for one case: a snapshot that once lost to the replaced one (same scope, same instant) is
    not in the history and stays out, so when no new snapshot of that instant comes, leave the loser out of `known` too.

    Raises ValueError for a history row whose file is not known.
    """
    old_rows = _with_scope(history, known)
    timeline = _timeline(old_rows, snapshots, known, replaced)
    pieces = pl.concat([_old_pieces(old_rows, timeline), _new_pieces(rows, timeline)], how="diagonal")
    pieces = pieces.with_columns(pl.lit(None, pl.String()).alias(name) for name in key if name not in pieces.columns)
    place = timeline.place.filter(~timeline.is_gone)
    record = [c for c in pieces.columns if c not in (*_NOT_RECORD, "first", "last")]
    identity = _numbered(pieces.select("scope", *key))
    order = (
        pieces.select(pl.arg_sort_by(identity * (place.height + 1) + pl.col("first"), "line")).to_series().to_numpy()
    )
    ids, first, last = (s.to_numpy()[order] for s in (identity, pieces["first"], pieces["last"]))
    is_repeated = np.append((ids[1:] == ids[:-1]) & (first[1:] == first[:-1]), False)[: len(order)]
    duplicates = pieces["first"].gather(order[is_repeated])
    order, ids, first, last = (a[~is_repeated] for a in (order, ids, first, last))

    follows = np.zeros(len(order), bool)
    follows[1:] = (ids[1:] == ids[:-1]) & (first[1:] == last[:-1] + 1)
    for name in record:
        if name not in key:
            follows &= _equals_former(pieces[name].gather(order))
    begins = np.flatnonzero(~follows)
    ends = last[np.append(begins[1:] - 1, len(order) - 1)] if len(begins) else last
    rows_now = pieces.select(record)[order[begins]].with_columns(_validity(place, first[begins], ends))
    rows_now = rows_now.sort(key[0], "valid_from", *key[1:], "source_file", nulls_last=False)
    return MergedHistory(rows_now, _by_file(rows_now, place["source_file"].gather(duplicates), snapshots, known))


def _with_scope(history: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """The history with the scope of each row, by its file."""
    if not history.width:
        history = pl.DataFrame(schema={"valid_from": pl.Int64(), "valid_to": pl.Int64(), "source_file": pl.String()})
    scopes = known.select("source_file", "scope").unique()
    old_rows = history.join(scopes, on="source_file", how="left", maintain_order="left", validate="m:1")
    if (strange := old_rows.filter(pl.col("scope").is_null())["source_file"]).len():
        raise ValueError(f"the history has rows of a file that is not known: {strange[0]}")
    return old_rows


def _timeline(
    old_rows: pl.DataFrame, snapshots: pl.DataFrame, known: pl.DataFrame, replaced: Collection[str]
) -> _Timeline:
    """All instants of all scopes. What began or ended in the history was a snapshot too, also one not in `known`."""
    begun = old_rows.select(pl.col("valid_from").alias("ts"), "source_file", "scope")
    ended = old_rows.select(pl.col("valid_to").alias("ts"), pl.col("scope").alias("source_file"), "scope").drop_nulls(
        "ts"
    )
    old = pl.concat([known.select(_SNAPSHOT), begun, ended])
    old = old.group_by("scope", "ts").agg(pl.col("source_file").max())
    is_gone = pl.col("source_file").is_in(list(replaced))
    old = old.with_columns(is_new=False, is_gone=is_gone)
    new = snapshots.select(_SNAPSHOT).with_columns(is_new=True, is_gone=False)
    both = pl.concat([old, new.select(old.columns)])
    # what is gone yields to all, a known one to itself come again
    latest = both.sort("scope", "ts", pl.col("is_gone").not_(), "source_file", "is_new")
    place = latest.unique(["scope", "ts"], keep="last", maintain_order=True)
    is_new, gone = (place[c].to_numpy() for c in ("is_new", "is_gone"))
    return _Timeline(place.drop("is_new", "is_gone").with_row_index("at"), ~is_new & ~gone, gone)


def _old_pieces(old_rows: pl.DataFrame, timeline: _Timeline) -> pl.DataFrame:
    """The history's rows, cut into runs of snapshots that stay in it: `first` and `last` of each."""
    place = timeline.place.select("scope", "ts", pl.col("at").cast(pl.Int64()))
    final = place.group_by("scope").agg(pl.col("at").max().alias("final"))
    spans = (
        old_rows.select("scope", "valid_from", "valid_to")
        .join(place, left_on=["scope", "valid_from"], right_on=["scope", "ts"], how="left", maintain_order="left")
        .join(
            place.rename({"at": "until"}),
            left_on=["scope", "valid_to"],
            right_on=["scope", "ts"],
            how="left",
            maintain_order="left",
        )
        .join(final, on="scope", how="left", maintain_order="left")
        .select("at", pl.col("until") - 1, "final")
    )
    begin, end = spans["at"].to_numpy(), spans["until"].fill_null(spans["final"]).to_numpy()
    row, first, last = _cut(begin, end, timeline.is_old)
    rank = _ranks(timeline)
    pieces = old_rows.drop("valid_from", "valid_to", "source_file")[row]
    return pieces.with_columns(first=pl.Series(rank[first]), last=pl.Series(rank[last]), line=pl.lit(0, pl.Int64()))


def _cut(begin: Ints, end: Ints, is_old: Mask) -> tuple[Ints, Ints, Ints]:
    """Each span's runs of old snapshots: the span's number, and the run's first and last snapshot."""
    if not len(begin):
        return begin, begin, begin
    edges = np.diff(is_old.astype(np.int8), prepend=0, append=0)
    run_first, run_last = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1
    low = np.searchsorted(run_last, begin)  # the first run that ends in or behind the span
    count = np.maximum(np.searchsorted(run_first, end, side="right") - low, 0)
    span = np.repeat(np.arange(len(begin)), count)
    run = np.arange(len(span)) - np.repeat(np.cumsum(count) - count, count) + low[span]
    return span, np.maximum(run_first[run], begin[span]), np.minimum(run_last[run], end[span])


def _new_pieces(rows: pl.DataFrame, timeline: _Timeline) -> pl.DataFrame:
    """The rows of new snapshots that count, each a piece of one snapshot."""
    is_new = ~timeline.is_old & ~timeline.is_gone
    place = timeline.place.with_columns(first=pl.Series(_ranks(timeline))).drop("at").filter(is_new)
    shown = rows.join(place, on=["scope", "ts", "source_file"], how="inner", maintain_order="left")
    return shown.drop("ts", "source_file").with_columns(pl.col("line").cast(pl.Int64()), last=pl.col("first"))


def _ranks(timeline: _Timeline) -> Ints:
    """Each snapshot's number among the ones that are not gone."""
    ranks: Ints = np.cumsum(~timeline.is_gone, dtype=np.int64) - 1
    return ranks


def _numbered(columns: pl.DataFrame) -> pl.Series:
    """A number for each row, the same for equal rows, nulls being equal."""
    numbers = columns.unique().with_row_index("number")
    joined = columns.join(numbers, on=columns.columns, how="left", nulls_equal=True, maintain_order="left")
    return joined["number"].cast(pl.Int64())


def _equals_former(column: pl.Series) -> Mask:
    """Whether each value is the one before it, as null is null and NaN is NaN; -0.0 is not 0.0."""
    former = column.shift(1)
    same = column.eq_missing(former)
    if column.dtype.is_float():
        same &= (1 / column).eq_missing(1 / former)
    return same.to_numpy()


def _validity(place: pl.DataFrame, first: Ints, last: Ints) -> list[pl.Series]:
    """valid_from, valid_to and source_file of runs of snapshots."""
    following = place.select(
        pl.when(pl.col("scope") == pl.col("scope").shift(-1)).then(pl.col("ts").shift(-1)).alias("valid_to")
    ).to_series()
    begun = place["ts"].gather(first).rename("valid_from")
    return [begun, following.gather(last), place["source_file"].gather(first)]


def _by_file(
    history: pl.DataFrame, duplicates: pl.Series, snapshots: pl.DataFrame, known: pl.DataFrame
) -> pl.DataFrame:
    """The number of rows and duplicates of every file, files with none included."""
    files = pl.concat([known["source_file"], snapshots["source_file"]]).unique().sort().to_frame()
    counts = [
        column.to_frame().group_by("source_file").agg(pl.len().cast(pl.Int64()).alias(name))
        for name, column in (("rows", history["source_file"]), ("duplicates", duplicates))
    ]
    for count in counts:
        files = files.join(count, on="source_file", how="left", maintain_order="left")
    return files.fill_null(0)
