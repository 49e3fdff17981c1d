"""The peers' cases as they are stored, and their points as siltstone takes them."""

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from siltstone.timeseries.points import BAD, GOOD, UNCERTAIN, Points

VECTORS = Path(__file__).parents[2] / "conformance" / "vectors"
QUALITIES = {"Good": GOOD, "Uncertain": UNCERTAIN, "UncertainSubstituteValue": UNCERTAIN}


def file_of(name: str) -> dict[str, Any]:
    text = (VECTORS / f"{name}.json").read_text()
    return json.loads(text)  # type: ignore[no-any-return]


def micros(at: float | str) -> int:
    """Plain seconds, or an ISO time or date (UTC)."""
    if isinstance(at, str):
        parsed = datetime.fromisoformat(at if at.endswith("Z") else f"{at}T00:00:00Z")
        return round(parsed.timestamp() * 1_000_000)
    return round(at * 1_000_000)


def points_of(rows: Sequence[Sequence[Any]]) -> Points:
    """Rows of time, value and perhaps a quality. A missing value is Bad; a row without a time is no point at all."""
    timed = [row for row in rows if row[0] is not None]
    values = [float("nan") if row[1] is None else float(row[1]) for row in timed]
    qualities = [BAD if row[1] is None else QUALITIES.get(row[2], BAD) if len(row) > 2 else GOOD for row in timed]
    return Points(
        np.array([0, len(timed)], np.int64),
        np.array([micros(row[0]) for row in timed], np.int64),
        np.array(values, np.float64),
        np.array(qualities, np.int8),
    )
