"""What a rollup of a period keeps of the time around its rows: rollups of it need what no row of it tells."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from siltstone.aggregation.finish_tasks import boundary_points
from siltstone.aggregation.state_files import NamedStates, numbered, read_states, stored_states, write_states
from siltstone.model.data_files import DataFile
from siltstone.model.layout import OWN_EDGES
from siltstone.model.periods import FAR_US, Window
from siltstone.storage import Storage
from siltstone.timeseries.states import SKETCH, TIMES, States, columns_of


def write_edges(
    base: Storage,
    edges: Storage,
    stored: Sequence[DataFile],
    header: Mapping[str, Any],
    window: Window,
    out: Storage,
) -> dict[str, list[str]]:
    """Write to `out` each series' last point before the window and its first one after it, of the base's rows and of
    what the base itself has in `edges`. The names of the files, as manifests tell them: `before` and `after`."""
    found: dict[str, list[str]] = {"before": [], "after": []}
    for side, limit in zip(found, window, strict=True):
        if abs(limit) >= FAR_US:
            continue
        is_before = side == "before"
        beside = [file.path for file in stored if _is_beside(file, limit, is_before=is_before)]
        nearest = NamedStates.none()
        for path in header.get(side, ()):
            nearest = _nearest([nearest, read_states(edges, path)], is_before=is_before)
        for path in beside:
            states = stored_states(base, [path], ())
            outer = pl.col("last_ts") < limit if is_before else pl.col("first_ts") >= limit
            states = replace(states, rows=states.rows.filter(outer))
            nearest = _nearest([nearest, states], is_before=is_before)
        out.make()
        name = f"{uuid.uuid4().hex}{OWN_EDGES}"
        none = (pl.DataFrame(schema=schema) for schema in (TIMES, SKETCH))
        write_states(
            out, name, States(nearest.rows.select(columns_of(nearest.rows)), *none), nearest.names, nearest.texts
        )
        found[side] = [name]
    return found


def _is_beside(file: DataFile, limit: int, *, is_before: bool) -> bool:
    """Whether a data file has rows that begin before a limit, or not before it."""
    first, last = file.bounds.get("bucket_start", (None, None))
    if first is None or last is None:
        return True
    return int(first) < limit if is_before else int(last) >= limit


def _nearest(parts: Sequence[NamedStates], *, is_before: bool) -> NamedStates:
    """Of each series the last point of all, or the first one."""
    whole = numbered(parts)
    return replace(whole, rows=boundary_points(whole.rows, is_before=is_before))
