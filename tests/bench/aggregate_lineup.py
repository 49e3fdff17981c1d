"""The contenders of the cases whose result is a table of aggregates; and their inputs, made once and kept."""

import json
import math
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from aggregate_readings import Spec
from aggregate_truth import Sums, load_sums
from lineup import Checked, Entry, Rig, script
from meter import Measured
from trees import HERE, Tree, cached_folder

HOURLY = ("--every", "1h", "--measure", "time_weighted_average")
THOUSAND = Spec("aggregate", series=1_000, readings=20_000, gaps=True)
PART = 20
"""pandas takes one of so many series; its time is multiplied."""
_MAKERS = ("aggregate_lakes.py", "aggregate_readings.py", "aggregate_truth.py")


class LakeTree(Tree):
    """A lake with one table, and its truth."""

    @property
    def truth(self) -> Path:
        return self.root.parent / "truth.parquet"

    @property
    def sums(self) -> Sums:
        return load_sums(self.truth)

    @property
    def rows(self) -> int:
        return int((self.root.parent / "rows").read_text())

    @property
    def table(self) -> Path:
        return next(self.root.iterdir())


def readings_lake(rig: Rig, spec: Spec) -> LakeTree:
    """A lake with readings, made in the project's environment unless the cache has it."""
    return _lake(rig, spec.name, "readings", json.dumps(vars(spec)), spec.rows)


def _lake(rig: Rig, name: str, kind: str, spec: str, rows: int) -> LakeTree:
    def fill(folder: Path) -> None:
        folder.mkdir(parents=True)
        subprocess.run([rig.project_python, str(HERE / _MAKERS[0]), kind, str(folder), spec], check=True)
        (folder / "rows").write_text(str(rows))

    tree = LakeTree(cached_folder(rig.cache, name, [HERE / maker for maker in _MAKERS], fill) / "input")
    tree.warm_cache()
    return tree


def aggregate_entries(rig: Rig, scale: float) -> list[Entry]:
    """siltstone, its peers, and siltstone's kernel alone."""
    spec = THOUSAND.scaled(scale)
    tree = readings_lake(rig, spec)
    return [
        siltstone_aggregate(rig, tree),
        *(duckdb_aggregate(rig, tree, way) for way in ("sides", "split")),
        *(spark_aggregate(rig, tree, way) for way in ("sides", "split")),
        pandas_aggregate(rig, tree, spec),
        kernel_alone(rig, spec),
    ]


def siltstone_aggregate(rig: Rig, tree: LakeTree, *, name: str = "local", label: str = "siltstone local") -> Entry:
    """The command as it is typed, into an empty folder."""
    out = rig.out(f"aggregate-{name}")
    command = aggregate_command(rig, tree.table, out)
    return Entry(name, label, command, out, averages_check(rig, out, tree), rig.cores)


def aggregate_command(rig: Rig, table: Path, out: Path, *more: str) -> list[str]:
    command = [rig.project_python, "-m", "siltstone", "aggregate", str(table), str(out), "--engine", "local"]
    return [*command, *(more or HOURLY)]


def duckdb_aggregate(rig: Rig, tree: LakeTree, way: str) -> Entry:
    name = "duckdb" if way == "sides" else f"duckdb-{way}"
    out = rig.out(f"aggregate-{name}")
    command = script(rig.bench_python, "duckdb_aggregate", tree.table, out, "--cores", rig.cores, "--way", way)
    label = {"sides": "DuckDB, window, two hours a reading", "split": "DuckDB, window, split over hours"}[way]
    return Entry(name, label, command, out, averages_check(rig, out, tree), rig.cores)


def spark_aggregate(rig: Rig, tree: LakeTree, way: str) -> Entry:
    name = "spark" if way == "sides" else f"spark-{way}"
    out = rig.out(f"aggregate-{name}")
    command = script(rig.project_python, "spark_aggregate", tree.table, out, rig.scratch, "--cores", rig.cores)
    label = {"sides": "PySpark window, two hours a reading", "split": "PySpark window, split over hours"}[way]
    check = averages_check(rig, out, tree)
    return Entry(name, label, [*command, "--way", way], out, check, rig.cores, at_most_rounds=1)


def pandas_aggregate(rig: Rig, tree: LakeTree, spec: Spec) -> Entry:
    """A twentieth of the series; seconds, as shown, are twenty times those that it took."""
    out = rig.out("aggregate-pandas")
    part = max(1, spec.series // PART)
    below = tree.sums.series_id[part]
    command = script(rig.project_python, "pandas_aggregate", tree.table, out, "--cores", rig.cores, "--below", below)
    right = averages_check(rig, out, tree, "--first", str(part))
    times = spec.series / part

    def check(measured: Measured) -> Checked:
        return replace(right(measured), seconds=times * measured.seconds)

    label = f"pandas apply, 1/{times:.0f} of it, time x {times:.0f}"
    return Entry("pandas", label, command, out, check, rig.cores, at_most_rounds=1)


def kernel_alone(rig: Rig, spec: Spec) -> Entry:
    """As many readings in arrays, without gaps; on one core."""
    command = script(rig.project_python, "kernel_alone", spec.series, spec.readings)

    def check(measured: Measured) -> Checked:
        told = json.loads(measured.output.splitlines()[-1])
        pairs = zip(told["found"], told["right"], strict=True)
        is_right = all(math.isclose(found, right, rel_tol=1e-9) for found, right in pairs)
        return Checked(spec.rows, 0, 0, [] if is_right else [f"the sums are {told['found']}, not {told['right']}"])

    return Entry("kernel", "siltstone's kernel alone, one core", command, rig.out("kernel"), check, 1)


def averages_check(rig: Rig, out: Path, tree: LakeTree, *more: str) -> Callable[[Measured], Checked]:
    """Compares the averages with the truth of the tree, in a process of its own."""

    def check(_: Measured) -> Checked:
        command = [rig.project_python, str(HERE / "check_aggregates.py"), str(out), str(tree.truth), *more]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode:
            last = ended.stderr.strip().splitlines()[-1]
            return Checked(tree.rows, 0, 0, [f"the result can't be read: {last}"])
        return Checked(tree.rows, **json.loads(ended.stdout))

    return check
