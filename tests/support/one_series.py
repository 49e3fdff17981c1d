"""Series and windows in seconds, for worked examples."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from siltstone.timeseries.conventions import Window, evaluate
from siltstone.timeseries.interpretation import Interpretation
from siltstone.timeseries.points import BAD, GOOD, UNCERTAIN, Points

QUALITIES = {"G": GOOD, "U": UNCERTAIN, "B": BAD}


def points(*rows: tuple[Any, ...]) -> Points:
    """Rows of second, value and perhaps G, U or B."""
    return Points(
        np.array([0, len(rows)], np.int64),
        np.array([row[0] * 1_000_000 for row in rows], np.int64),
        np.array([row[1] for row in rows], np.float64),
        np.array([QUALITIES[row[2] if len(row) > 2 else "G"] for row in rows], np.int8),
    )


def windows(*edges: int) -> list[Window]:
    """Neighbouring windows between edges in seconds."""
    return [Window(a * 1_000_000, b * 1_000_000) for a, b in zip(edges, edges[1:], strict=False)]  # noqa: RUF007


def values(
    convention: str, rows: Points, spans: Sequence[Window], measure: str, kind: Any = "step", **options: Any
) -> list[Any]:
    """One measure, with None for null; `uncertain` is the interpretation's, all else the convention's."""
    how = Interpretation(kind, uncertain=options.pop("uncertain", "bad"))
    column = evaluate(convention, rows, spans, [measure], how, **options)[measure]
    return [None if v is None or v != v else v for v in column.tolist()]
