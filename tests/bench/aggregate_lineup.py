"""The contenders of the cases whose result is a table of aggregates; and their inputs, made once and kept."""

import json
import math
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from aggregate_readings import Spec
from aggregate_truth import Sums, load_sums
from aggregate_wide import WideSpec
from lineup import Checked, Entry, Rig, script
from meter import Measured
from results import SETUP
from trees import HERE, Tree, cached_folder

HOURLY = ("--every", "1h", "--measure", "time_weighted_average")
THOUSAND = Spec("aggregate", series=1_000, readings=20_000, gaps=True)
PART = 20
"""pandas takes one of so many series; its time is multiplied."""
DENSE = Spec("dense", series=10, readings=2_592_000)
HOT = Spec("hot", series=1, readings=20_000_000, grain="month")
MANY = Spec("many", series=300_000, readings=100, span_s=13_000)
"""As many readings in an hour as the thousand series have."""
_MAKERS = ("aggregate_tables.py", "aggregate_readings.py", "aggregate_wide.py", "aggregate_truth.py")


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
    return _lake(rig, spec, "readings")


def wide_lake(rig: Rig, spec: WideSpec) -> LakeTree:
    """A lake with a wide table."""
    return _lake(rig, spec, "wide")


def _lake(rig: Rig, spec: Spec | WideSpec, kind: str) -> LakeTree:
    def fill(folder: Path) -> None:
        folder.mkdir(parents=True)
        maker = script_at(rig.project_python, _MAKERS[0], kind, folder, json.dumps(asdict(spec)))
        subprocess.run(maker, check=True)
        (folder / "rows").write_text(str(spec.rows))

    tree = LakeTree(cached_folder(rig.cache, spec.name, [HERE / maker for maker in _MAKERS], fill) / "input")
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


def wide_entries(rig: Rig, scale: float) -> list[Entry]:
    """The columns of a wide table, each of a unit a series."""
    spec = WideSpec().scaled(scale)
    tree = wide_lake(rig, spec)
    out = rig.out("wide-local")
    command = siltstone(rig, "aggregate", tree.table, out, *HOURLY, "--columns", ",".join(spec.names))
    entries = [Entry("local", "siltstone local", command, out, averages_check(rig, out, tree), rig.cores)]
    for name, way in (("duckdb", "columns"), ("duckdb-unpivot", "unpivot")):
        out = rig.out(f"wide-{name}")
        command = script(rig.bench_python, "duckdb_aggregate", tree.table, out, "--cores", rig.cores, "--way", way)
        label = {"unpivot": "DuckDB, unpivoted, window", "columns": "DuckDB, windows for each column"}[way]
        command += ["--columns", *spec.names]
        entries.append(Entry(name, label, command, out, averages_check(rig, out, tree), rig.cores))
    return entries


def hot_entries(rig: Rig, scale: float) -> list[Entry]:
    """One series, in one data file; one worker on one core, two on two."""
    tree = readings_lake(rig, HOT.scaled(scale))
    entries = []
    for workers in (1, 2):
        label = f"siltstone local, {workers} worker{'s'[: workers - 1]}"
        entry = siltstone_aggregate(rig, tree, name=f"workers-{workers}", label=label)
        command = [*entry.command, "--set", f"engine.workers={workers}"]
        entries.append(replace(entry, command=command, cores=workers))
    return entries


def many_entries(rig: Rig, scale: float) -> list[Entry]:
    few, many = THOUSAND.scaled(scale), MANY.scaled(scale)
    return [
        siltstone_aggregate(rig, readings_lake(rig, spec), name=name, label=f"siltstone local, {spec.series:,} series")
        for name, spec in (("few", few), ("many", many))
    ]


def rollup_entries(rig: Rig, scale: float) -> list[Entry]:
    """From minutes to hours to days; and hours again after a late file."""
    tree, thousand = readings_lake(rig, DENSE.scaled(scale)), THOUSAND.scaled(scale)
    minutes = rig.out(SETUP)
    build = siltstone(rig, "aggregate", tree.table, minutes, "--every", "1m", *HOURLY[2:])
    entries = [Entry(SETUP, "siltstone local, minutes", build, minutes, rows_alone(tree), rig.cores, at_most_rounds=1)]
    for name, verb, first in (("raw", "aggregate", tree.table), ("rollup", "rollup", minutes)):
        hours, days = rig.out(name) / "hours", rig.out(name) / "days"
        second = first if name == "raw" else hours
        both = [
            siltstone(rig, verb, first, hours, *HOURLY),
            siltstone(rig, verb, second, days, "--every", "1d", *HOURLY[2:]),
        ]
        label = "siltstone local, hours, days " + ("from raw" if name == "raw" else "rolled up")
        checks = [averages_check(rig, hours, tree), days_check(rig, days, tree)]
        command = ["sh", "-ec", " && ".join(map(shlex.join, both))]
        entries.append(Entry(name, label, command, rig.out(name), both_checks(*checks), rig.cores))
    full = siltstone_aggregate(rig, readings_lake(rig, thousand), name="full", label="siltstone local, all hours")
    return [*entries, full, late_entry(rig, thousand)]


def late_entry(rig: Rig, spec: Spec) -> Entry:
    """The table of `spec` aggregated, a file of late readings added; what is timed is the next run."""
    tree = readings_lake(rig, spec)
    lake, out = rig.out("late") / "lake", rig.out("late") / "hours"
    again = siltstone(rig, "aggregate", lake / "readings", out, *HOURLY)
    late = script_at(rig.project_python, "aggregate_late.py", lake, json.dumps(asdict(spec)))
    prepare = [["mkdir", "-p", str(rig.out("late"))], ["cp", "-r", str(tree.root), str(lake)], again, late]
    check = averages_check(rig, out, tree, truth=lake / "truth.parquet")
    return Entry("late", "siltstone local, a late file", again, rig.out("late"), check, rig.cores, prepare)


def siltstone_aggregate(rig: Rig, tree: LakeTree, *, name: str = "local", label: str = "siltstone local") -> Entry:
    """The command as it is typed, into an empty folder."""
    out = rig.out(f"aggregate-{name}")
    command = siltstone(rig, "aggregate", tree.table, out, *HOURLY)
    return Entry(name, label, command, out, averages_check(rig, out, tree), rig.cores)


def siltstone(rig: Rig, *arguments: object) -> list[str]:
    return [rig.project_python, "-m", "siltstone", *map(str, arguments), "--engine", "local"]


def script_at(python: str, name: str, *arguments: object) -> list[str]:
    return [python, str(HERE / name), *map(str, arguments)]


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


def rows_alone(tree: LakeTree) -> Callable[[Measured], Checked]:
    """What others are made of is checked with them."""
    return lambda _: Checked(tree.rows, 0, 0, [])


def days_check(rig: Rig, out: Path, tree: LakeTree) -> Callable[[Measured], Checked]:
    truth = tree.root.parent / "truth_of_days.parquet"
    return averages_check(rig, out, tree, "--every-s", "86400", truth=truth)


def both_checks(*checks: Callable[[Measured], Checked]) -> Callable[[Measured], Checked]:
    """The files and problems of several results."""

    def check(measured: Measured) -> Checked:
        found = [one(measured) for one in checks]
        files, size = sum(f.files for f in found), sum(f.bytes for f in found)
        return Checked(found[0].rows, files, size, [p for f in found for p in f.problems])

    return check


def averages_check(
    rig: Rig, out: Path, tree: LakeTree, *more: str, truth: Path | None = None
) -> Callable[[Measured], Checked]:
    """Compares the averages with the truth (the tree's unless another is given), in a process of its own."""

    def check(_: Measured) -> Checked:
        command = script_at(rig.project_python, "check_aggregates.py", out, truth or tree.truth, *more)
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode:
            last = ended.stderr.strip().splitlines()[-1]
            return Checked(tree.rows, 0, 0, [f"the result can't be read: {last}"])
        return Checked(tree.rows, **json.loads(ended.stdout))

    return check
