"""Which source files are read again together with a superseded one, so that no line of theirs is lost or doubled.

A line, or a key, that several files of a device hold in one partition is one row, of one of these files; the others
count theirs as repeated or superseded. Who supersedes the file with the row must look at the others again.
"""

from collections.abc import Callable, Collection, Hashable, Iterable
from dataclasses import dataclass

import polars as pl

_Place = tuple[Hashable, str]  # a device in a partition's folder
_HAS_REPEATED = pl.col("duplicates_dropped") + pl.col("keys_superseded") > 0


@dataclass(frozen=True)
class Reread:
    """Files to read `along`; files of the todo `left_out`, since one to read along is not listed; and those that
    are `together`: either all of them are read, or none."""

    along: frozenset[str]
    left_out: frozenset[str]
    together: frozenset[str]


def companions(
    todo: Collection[str], listed: Collection[str], entries: pl.DataFrame, device_of: Callable[[str], Hashable]
) -> Reread:
    """The companions of the files of the todo that the ledger's `entries` know.

    Read along are files with repeated lines where a superseded file has rows, and files whose rows these may repeat,
    as far as they are listed. A quarantined file of which a former version stands can't be read along.
    """
    known = entries.filter(pl.col("folders").list.len() > 0)
    left_out: set[str] = set()
    while True:
        superseded = known.filter(pl.col("path").is_in(list(todo)), ~pl.col("path").is_in(list(left_out)))
        places = _places(superseded.filter(pl.col("rows_out") > 0), device_of)
        needed = _at(places, known.filter(_HAS_REPEATED), superseded["path"], device_of)
        is_readable = pl.col("path").is_in(list(listed)) & (pl.col("state") != "quarantined")
        missing = needed.filter(~is_readable | pl.col("path").is_in(list(left_out)))
        unsafe = _at(_places(missing, device_of), superseded, [], device_of)
        if not unsafe.height:
            break
        left_out |= set(unsafe["path"])
    whole = pl.concat([superseded, needed])
    readable = known.filter(pl.col("path").is_in(list(listed)), pl.col("state") != "quarantined")
    while True:
        places = _places(whole.filter(_HAS_REPEATED), device_of)
        repeated = _at(places, readable, [*whole["path"], *left_out], device_of)
        if not repeated.height:
            break
        whole = pl.concat([whole, repeated])
    together = _at(places, whole, [], device_of) if whole.height > 1 else whole.clear()
    along = frozenset(whole["path"]) - frozenset(superseded["path"])
    return Reread(along, frozenset(left_out), frozenset(together["path"]))


def _places(files: pl.DataFrame, device_of: Callable[[str], Hashable]) -> set[_Place]:
    """Where the files have rows, or lines that repeat some."""
    pairs = files.select("path", "folders").iter_rows()
    return {(device_of(path), folder) for path, folders in pairs for folder in folders}


def _at(
    places: Collection[_Place], files: pl.DataFrame, less: Iterable[str], device_of: Callable[[str], Hashable]
) -> pl.DataFrame:
    """The files, less the given ones, that are at one of the places."""
    folders = [folder for _, folder in places]
    in_folder = pl.col("folders").list.eval(pl.element().is_in(folders)).list.any()
    near = files.filter(in_folder, ~pl.col("path").is_in(list(less)))
    at = [not _places(row, device_of).isdisjoint(places) for row in near.iter_slices(1)]
    return near.filter(pl.Series(at, dtype=pl.Boolean))
