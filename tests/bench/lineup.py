"""The contenders: for each a function that says how it is run on a tree, and how its result is checked.

To add one, write a script in `contenders/`, a function here, and name it in `cases.py`.
"""

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from meter import Measured
from trees import Tree

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Rig:
    """Where things are: the rig's Python (DuckDB), the project's (siltstone, polars, Spark), and the cache folder."""

    bench_python: str
    project_python: str
    cache: Path
    cores: int

    def out(self, name: str) -> Path:
        return self.cache / "out" / name

    @property
    def scratch(self) -> Path:
        return self.cache / "scratch"


@dataclass(frozen=True)
class Checked:
    """What came out: rows by the truth, live files and their bytes, what is wrong; a query says its seconds and the
    bytes that it read itself, and what is about one process its peak."""

    rows: int
    files: int
    bytes: int
    problems: list[str]
    bytes_read: int | None = None
    seconds: float | None = None
    peak_bytes: int | None = None


@dataclass(frozen=True)
class Entry:
    """One contender in one case. `prepare` is run before the clock starts, in a fresh `out`."""

    name: str
    label: str
    command: list[str]
    out: Path
    check: Callable[[Measured], Checked]
    cores: int
    prepare: list[list[str]] = field(default_factory=list)
    at_most_rounds: int = 99


def siltstone_local(rig: Rig, tree: Tree, *, name: str = "local", label: str = "", cores: int = 0) -> Entry:
    """First run: the command as it is typed, with an empty lake; one process per core."""
    out = rig.out(name)
    command = _compact(rig, tree, out)
    label = label or "siltstone local, first run"
    return Entry(name, label, command, out, _table_check(rig, out / "datalog", tree), cores or rig.cores)


def siltstone_later(rig: Rig, tree: Tree, known: Tree) -> Entry:
    """Later run: the lake holds `known` already, so the schema, the ratio of sizes and the shift of hours are known."""
    out = rig.out("later")
    check = _table_check(rig, out / "datalog", tree, known)
    prepare = [_compact(rig, known, out)]
    return Entry("later", "siltstone local, later run", _compact(rig, tree, out), out, check, rig.cores, prepare)


def siltstone_s3(rig: Rig, tree: Tree, latency_ms: int) -> Entry:
    out = rig.out(f"s3-{latency_ms}")
    command = script(rig.project_python, "siltstone_s3", tree.root, out, "--cores", rig.cores)
    command += ["--latency-ms", str(latency_ms)]
    label = f"siltstone local, {latency_ms} ms a request"
    return Entry(f"s3-{latency_ms}", label, command, out, _table_check(rig, out / "datalog", tree), rig.cores)


def siltstone_spark(rig: Rig, tree: Tree, warm: Tree) -> Entry:
    out = rig.out("spark")
    command = script(rig.project_python, "siltstone_spark", tree.root, out, "--cores", rig.cores)
    command += ["--warm-input", str(warm.root), "--scratch", str(rig.scratch)]
    return Entry(
        "spark", "siltstone spark, session up", command, out, _table_check(rig, out / "datalog", tree), rig.cores
    )


def siltstone_spark_cold(rig: Rig, tree: Tree) -> Entry:
    out = rig.out("spark-cold")
    command = script(rig.project_python, "siltstone_spark", tree.root, out, "--cores", rig.cores)
    check = _table_check(rig, out / "datalog", tree)
    return Entry("spark-cold", "siltstone spark, with Spark's start", command, out, check, rig.cores, at_most_rounds=1)


def duckdb_seed(rig: Rig, tree: Tree, *, batch: int = 0) -> Entry:
    out = rig.out("duckdb")
    command = script(rig.bench_python, "duckdb_seed", tree.root, out, "--cores", rig.cores, "--batch", batch)
    label = f"DuckDB, batches of {batch}" if batch else "DuckDB, union_by_name"
    return Entry("duckdb", label, command, out, _table_check(rig, out, tree), rig.cores)


def polars_plain(rig: Rig, tree: Tree, *, batch: int = 0) -> Entry:
    out = rig.out("polars")
    command = script(rig.project_python, "polars_plain", tree.root, out, "--batch", batch)
    label = f"polars, batches of {batch}" if batch else "polars, scans united"
    return Entry("polars", label, command, out, _table_check(rig, out, tree), rig.cores)


def spark_naive(rig: Rig, tree: Tree, warm: Tree) -> Entry:
    out = rig.out("naive")
    command = script(rig.project_python, "spark_plain", tree.root, out, warm.root, rig.scratch, "--cores", rig.cores)
    label = "PySpark naive, session up"
    return Entry("naive", label, command, out, _table_check(rig, out, tree), rig.cores, at_most_rounds=1)


def spark_best(rig: Rig, tree: Tree, warm: Tree) -> Entry:
    out = rig.out("best")
    command = script(rig.project_python, "spark_plain", tree.root, out, warm.root, rig.scratch, "--cores", rig.cores)
    command += ["--schema", str(tree.schema)]
    label = "PySpark schema known, session up"
    return Entry("best", label, command, out, _table_check(rig, out, tree), rig.cores, at_most_rounds=1)


def _compact(rig: Rig, tree: Tree, lake: Path) -> list[str]:
    return [rig.project_python, "-m", "siltstone", "compact", "datalog", str(tree.root), str(lake), "--engine", "local"]


def script(python: str, name: str, *arguments: object) -> list[str]:
    return [python, str(HERE / "contenders" / f"{name}.py"), *map(str, arguments)]


def _table_check(rig: Rig, table: Path, *trees: Tree) -> Callable[[Measured], Checked]:
    """Compares the table with the truth of the trees; `rows` are those of the first tree."""
    return checked_by(rig, "check.py", table, *trees)


def checked_by(rig: Rig, script_name: str, out: Path, *trees: Tree) -> Callable[[Measured], Checked]:
    """A check in a process of its own, by a script that is given the result and the trees' truths."""

    def check(_: Measured) -> Checked:
        truths = [str(tree.truth) for tree in trees]
        command = [rig.project_python, str(HERE / script_name), str(out), *truths]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode:
            return Checked(trees[0].rows, 0, 0, [f"the result can't be read: {ended.stderr.strip().splitlines()[-1]}"])
        return Checked(trees[0].rows, **json.loads(ended.stdout))

    return check
