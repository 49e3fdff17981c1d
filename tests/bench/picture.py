"""A bar chart of the results: seconds with ratios beside peak memory, one row of two panels for each case."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from floors import Rows
from matplotlib.axes import Axes
from report import REFERENCE, ratio
from results import SETUP, Row

_OURS, _OTHERS, _WRONG, _INK, _FAINT = "#0f766e", "#b6bec9", "#e5989b", "#1f2937", "#6b7280"


def draw(path: Path, titles: Mapping[str, str], rows: Rows, machine: Mapping[str, Any]) -> Path | None:
    """Write the PNG; None when there is nothing to draw."""
    drawn = {case: [row for (of, _), row in rows.items() if of == case and row.name != SETUP] for case in titles}
    heights = [len(found) for found in drawn.values()]
    if not rows:
        return None
    plt.rcParams.update({"font.family": "DejaVu Sans", "font.size": 10, "text.color": _INK, "ytick.color": _INK})
    figure, grid = plt.subplots(
        len(drawn), 2, figsize=(12.5, 0.34 * sum(heights) + 0.75 * len(drawn) + 0.4), squeeze=False,
        gridspec_kw={"height_ratios": heights, "width_ratios": [3, 2]}, layout="constrained",
    )  # fmt: skip
    figure.get_layout_engine().set(h_pad=0.12)
    for (seconds, memory), (case, found) in zip(grid, drawn.items(), strict=True):
        found = sorted(found, key=lambda row: row.seconds)
        name, _, what = titles[case].partition(": ")
        beside = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "right", "fontweight": "bold"}
        seconds.annotate(name, (0, 1), (-6, 10), fontsize=12, **beside)
        seconds.set_title(what, loc="left", color=_FAINT, fontsize=10, pad=10)
        _bars(seconds, found, [row.seconds for row in found], [_time_text(r, found, REFERENCE[case]) for r in found])
        _bars(
            memory, found, [row.peak_bytes / 2**30 for row in found], [f"{r.peak_bytes / 2**30:.2f} GiB" for r in found]
        )
        memory.set_title("peak memory, all processes together", loc="left", color=_FAINT, fontsize=10, pad=10)
        memory.set_yticklabels([])
    figure.supxlabel(_footer(machine), fontsize=8.5, color=_FAINT, x=0.01, ha="left")
    figure.savefig(path, dpi=160, facecolor="white")
    plt.close(figure)
    return path


def _bars(axes: Axes, rows: list[Row], values: list[float], texts: list[str]) -> None:
    places = range(len(rows))
    colours = [_WRONG if r.problems else _OURS if "siltstone" in r.label else _OTHERS for r in rows]
    axes.barh(places, values, color=colours, height=0.68)
    axes.set_yticks(places, [row.label for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(0, max(values, default=1) * 1.3 or 1)
    axes.xaxis.set_visible(False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for place, value, text in zip(places, values, texts, strict=True):
        axes.text(value, place, f"  {text}", va="center", ha="left", color=_INK)


def _time_text(row: Row, rows: list[Row], reference: str) -> str:
    if row.problems:
        return f"{row.seconds:.1f} s, wrong result"
    seconds = f"{row.seconds:.1f} s" if row.seconds >= 1 else f"{row.seconds * 1000:.0f} ms"
    faster = ratio(row, rows, reference)
    if faster is None or row.name == reference:
        return seconds
    return f"{seconds}   {faster:.1f}x" if faster < 20 else f"{seconds}   {faster:,.0f}x"


def _footer(machine: Mapping[str, Any]) -> str:
    versions = machine["versions"]
    return (
        f"Shorter is better; the factor is the speed against DuckDB (cores: against one core). "
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB. "
        f"DuckDB {versions['duckdb']}, polars {versions['polars']}, PySpark {versions['pyspark']}."
    )
