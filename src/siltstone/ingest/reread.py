"""Which source files are read again together with a changed one, so that no line is lost or written twice.

Files A and B of a device both hold line x. The table has it once, as a row of A; B has counted it as a duplicate. Now A
comes again, without x. The rows of the former A are dropped, x with them; so B must be read again, which then gives x.

B may also repeat a line of a file C, as a row of C. Since the ledger only counts duplicates, nothing says which file
has the row of which line: C is read along as well, or the line would be a row of C and of B.
"""

from collections.abc import Callable, Collection, Hashable, Iterable
from dataclasses import dataclass

import polars as pl

_Place = tuple[Hashable, str]  # a device in a partition's folder
_HAS_REPEATED = pl.col("duplicates_dropped") + pl.col("keys_superseded") > 0


@dataclass(frozen=True)
class Reread:
    """Files to read `along` with the changed ones; changed files `left_out` of this run, since a file that must be read
    along is not listed; and files that are read `together`: either all of them are taken in, or none."""

    along: frozenset[str]
    left_out: frozenset[str]
    together: frozenset[str]


def companions(
    todo: Collection[str], listed: Collection[str], entries: pl.DataFrame, device_of: Callable[[str], Hashable]
) -> Reread:
    """The files to read with those of the todo that are changed: the ledger's `entries` know them.

    These are files with duplicates where a changed file has rows (B), and files with rows that those may repeat (C), as
    far as they are `listed`. A quarantined file with rows of a former version can't be read.
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
    """The places where the files have rows or duplicates."""
    pairs = files.select("path", "folders").iter_rows()
    return {(device_of(path), folder) for path, folders in pairs for folder in folders}


def _at(
    places: Collection[_Place], files: pl.DataFrame, less: Iterable[str], device_of: Callable[[str], Hashable]
) -> pl.DataFrame:
    """The files that have rows or duplicates at one of the places, without the given ones."""
    folders = [folder for _, folder in places]
    in_folder = pl.col("folders").list.eval(pl.element().is_in(folders)).list.any()
    near = files.filter(in_folder, ~pl.col("path").is_in(list(less)))
    at = [not _places(row, device_of).isdisjoint(places) for row in near.iter_slices(1)]
    return near.filter(pl.Series(at, dtype=pl.Boolean))
