"""The query case: one unit's day, five columns, from a table of 8.64 M rows and from the raw files it was made of.

The table's 2,400 files have 24 of the fleet's 179 fields, so that the case takes minutes, not an hour; that helps the
raw files' reader, which must parse each byte, more than the table's, which reads five columns either way.
"""

import json
import math
from collections.abc import Callable
from dataclasses import replace

from fleet import Fleet
from lineup import Checked, Entry, Rig, script, siltstone_local
from meter import Measured
from results import SETUP
from telemetry import MIDNIGHT
from trees import Tree
from truth import Field, load_truth

DEVICES, HOURS = 50, 48
DATE, SITE, UNIT = "2025-12-10", "BRCB", "LD720"


def two_days() -> Fleet:
    """Two whole local days of fifty devices: 8,640,000 records."""
    return Fleet(DEVICES, HOURS, MIDNIGHT - 24 * 3_600, narrow=True)


def entries(rig: Rig, tree: Tree) -> list[Entry]:
    """Build the table, then ask it and the raw files."""
    build = replace(siltstone_local(rig, tree, name=SETUP, label="siltstone local, the table"), at_most_rounds=1)
    table, check = build.out / "datalog", check_answer(tree)
    keys = [DATE, SITE, UNIT]
    asked = [build]
    for reader in ("polars", "pyarrow"):
        command = script(rig.project_python, "query_table", table, *keys, "--reader", reader)
        asked.append(
            Entry(f"table-{reader}", f"{reader}, siltstone's table", command, rig.out(reader), check, rig.cores)
        )
    command = script(rig.bench_python, "query_raw", tree.root, *keys, "--threads", rig.cores)
    raw = Entry("raw-duckdb", "DuckDB, raw files", command, rig.out("raw"), check, rig.cores)
    return [*asked, raw]


def check_answer(tree: Tree) -> Callable[[Measured], Checked]:
    """Compares the rows and sums that a query prints with the truth of the unit's day."""

    def check(measured: Measured) -> Checked:
        fields = load_truth(tree.truth)[SITE, UNIT, DATE]
        answer = json.loads(measured.output.splitlines()[-1])
        problems = []
        if answer["rows"] != fields["heartbeat"].count:
            problems.append(f"{answer['rows']:,} rows instead of {fields['heartbeat'].count:,}")
        for name, total in answer["sums"].items():
            if not math.isclose(total, _sum(fields[name]), rel_tol=1e-9):
                problems.append(f"{name}: sum {total} instead of {_sum(fields[name])}")
        return Checked(answer["rows"], 0, 0, problems, answer["bytes_read"], answer["seconds"])

    return check


def _sum(field: Field) -> float:
    return (field.sum or 0) / 10**field.decimals
