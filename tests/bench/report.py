"""The results as tables for people."""

from collections.abc import Iterable, Mapping
from typing import Any

from cases import CASES, STANDARD, Size
from floors import FLOORS, Rows
from results import SETUP, Row
from rich.console import Console
from rich.table import Table

REFERENCE = {case.name: case.reference for case in CASES}
"""The contender that a case's ratios are against."""


def print_report(
    console: Console, titles: Mapping[str, str], rows: Rows, machine: Mapping[str, Any], size: Size
) -> None:
    """One table for each case, then the floors, then the machine."""
    for case, title in titles.items():
        console.print(_case_table(title, [row for (of, _), row in rows.items() if of == case], REFERENCE[case]))
    floors = _floor_table(titles, rows, size)
    if floors.row_count:
        console.print(floors)
    for row in rows.values():
        if row.problems:
            console.print(f"[red]{row.case}/{row.name} is wrong:[/] {'; '.join(row.problems[:3])}", highlight=False)
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    console.print(
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}\n"
        f"commit {machine['commit']}; {versions}",
        highlight=False,
    )


def ratio(row: Row, rows: Iterable[Row], reference: str) -> float | None:
    """How many times faster than the reference; None without it, and for a case's setup."""
    if row.name == SETUP:
        return None
    base = next((other for other in rows if other.name == reference and not other.problems), None)
    return base.seconds / row.seconds if base else None


def _case_table(title: str, rows: list[Row], reference: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("contender")
    against = next((row.label for row in rows if row.name == reference), reference)
    columns = ("seconds", "least", f"speed over\n{against}", "CPU s", "peak GiB", "MB", "files", "read MB", "rounds")
    for name in columns:
        table.add_column(name, justify="right")
    table.add_column("result")
    for row in rows:
        faster = ratio(row, rows, reference)
        table.add_row(
            row.label,
            _seconds(row.seconds),
            _seconds(row.least_seconds),
            f"{faster:.2f}" if faster else "-",
            f"{row.cpu_seconds:.1f}",
            f"{row.peak_bytes / 2**30:.2f}",
            f"{row.bytes / 1e6:,.1f}" if row.files else "-",
            f"{row.files:,}" if row.files else "-",
            f"{row.bytes_read / 1e6:,.2f}" if row.bytes_read is not None else "-",
            str(row.rounds),
            "[red]WRONG[/]" if row.problems else "right",
        )
    return table


def _floor_table(titles: Mapping[str, str], rows: Rows, size: Size) -> Table:
    note = (
        ""
        if size == STANDARD
        else f"; this was {size.devices} x {size.hours}, inputs x {size.scale:g}, so they say little"
    )
    table = Table(
        title=f"floors, set for a fleet of {STANDARD.devices} x {STANDARD.hours} files on two cores{note}",
        title_justify="left",
        title_style="bold",
    )
    for name in ("case", "figure"):
        table.add_column(name)
    for name in ("measured", "floor"):
        table.add_column(name, justify="right")
    table.add_column("")
    for floor in FLOORS:
        if floor.case not in titles:
            continue
        value, sign = floor.value(rows), "<=" if floor.at_most else ">="
        told = "-" if value is None else f"{value:.2f}{floor.unit}"
        verdict = "" if value is None else "[green]reached[/]" if floor.is_reached(value) else "[red]missed[/]"
        table.add_row(floor.case, floor.text, told, f"{sign} {floor.limit:g}{floor.unit}", verdict)
    return table


def _seconds(value: float) -> str:
    return f"{value:.3f}" if value < 1 else f"{value:.1f}"
