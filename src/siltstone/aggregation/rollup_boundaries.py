"""What a rollup of a period stores of the time around the period: rollups of it need that, and no row of it says it."""

import uuid
from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from siltstone.aggregation.finish_tasks import boundary_points
from siltstone.aggregation.state_files import NamedStates, read_states, renumber, stored_states, write_states
from siltstone.model.data_files import DataFile
from siltstone.model.layout import OWN_EDGES
from siltstone.model.periods import FAR_US, Window
from siltstone.model.run_header import RunHeader
from siltstone.storage import Storage
from siltstone.timeseries.states import SKETCH, TIMES, States, columns_of


def write_edges(
    base: Storage,
    edges: Storage,
    stored: Sequence[DataFile],
    header: RunHeader,
    window: Window,
    out: Storage,
) -> dict[str, list[str]]:
    """Write to `out` the last point of each series before the window and its first point after it; they are in rows of
    the base, or in files of `edges` that the base has of the time around its own period. The names of the files for the
    manifest: `before` and `after`."""
    files: dict[str, list[str]] = {"before": [], "after": []}
    known = {"before": header.before, "after": header.after}
    for side, limit in zip(files, window, strict=True):
        if abs(limit) >= FAR_US:
            continue
        is_before = side == "before"
        beside = [file.logged for file in stored if _is_beside(file, limit, is_before=is_before)]
        nearest = NamedStates.none()
        for path in known[side]:
            nearest = _nearest([nearest, read_states(edges, path)], is_before=is_before)
        for file in beside:
            states = stored_states(base, [file], ())
            outer = pl.col("last_ts") < limit if is_before else pl.col("first_ts") >= limit
            states = replace(states, rows=states.rows.filter(outer))
            nearest = _nearest([nearest, states], is_before=is_before)
        out.make()
        name = f"{uuid.uuid4().hex}{OWN_EDGES}"
        none = (pl.DataFrame(schema=schema) for schema in (TIMES, SKETCH))
        write_states(
            out, name, States(nearest.rows.select(columns_of(nearest.rows)), *none), nearest.names, nearest.texts
        )
        files[side] = [name]
    return files


def _is_beside(file: DataFile, limit: int, *, is_before: bool) -> bool:
    """Whether a data file may have rows that begin before the limit, or without `is_before` at it or later."""
    first, last = file.bounds.get("bucket_start", (None, None))
    if first is None or last is None:
        return True
    return int(first) < limit if is_before else int(last) >= limit


def _nearest(parts: Sequence[NamedStates], *, is_before: bool) -> NamedStates:
    """One state for each series: its last point in all parts, or without `is_before` its first one."""
    merged = renumber(parts)
    return replace(merged, rows=boundary_points(merged.rows, is_before=is_before))
