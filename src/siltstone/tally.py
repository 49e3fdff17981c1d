"""Counts per file of a bin, added in bulk."""

from collections.abc import Sequence
from dataclasses import fields

import numpy as np
import numpy.typing as npt

from siltstone.accounts import Account

_NAMES = [f.name for f in fields(Account)]
_CELLS = [_NAMES.index(name) for name in ("keys_seen", "cells_stored", "nulls", "values_rescued")]

Ints = npt.NDArray[np.int64]


class Tally:
    """An account for each of `files` files, by index."""

    def __init__(self, files: int) -> None:
        self._counts = np.zeros((files, len(_NAMES)), np.int64)
        self._units = np.zeros((files, 4), np.int64)

    def add(self, name: str, files: Ints) -> None:
        """Count one `name` (a field of Account) for each entry of `files`."""
        np.add.at(self._counts[:, _NAMES.index(name)], files, 1)

    def add_counts(self, name: str, files: Ints, counts: Ints) -> None:
        """Add a number to `name` for each entry of `files`."""
        np.add.at(self._counts[:, _NAMES.index(name)], files, counts)

    def add_cells(self, files: Ints, cells: Ints) -> None:
        """Add rows of (keys seen, cells stored, nulls, values rescued), one per entry of `files`."""
        for place, column in enumerate(_CELLS):
            np.add.at(self._counts[:, column], files, cells[:, place])

    def add_units(self, files: Ints, units: npt.NDArray[np.int8]) -> None:
        """Count one time in a unit (an index) for each entry of `files`."""
        np.add.at(self._units.reshape(-1), files * self._units.shape[1] + units, 1)

    def accounts(self) -> list[Account]:
        """The account of each file, in order."""
        return [Account(*counts) for counts in self._counts.tolist()]

    def units(self, names: Sequence[str]) -> list[dict[str, int]]:
        """How many of each file's times were in which unit."""
        counted = self._units[:, : len(names)].tolist()
        return [{name: n for name, n in zip(names, counts, strict=True) if n} for counts in counted]
