"""The contenders of the cases whose result is a table of readings: the command as it is typed, and one peer or two for
each source. Each peer writes the contract's columns, the latest or one of equal rows, in partitions of date."""

from lineup import Entry, Rig, checked_by, script
from trees import Tree

CHECK = "check_readings.py"
SPARK_AVRO = "org.apache.spark:spark-avro_2.13:4.1.1"


def siltstone_source(rig: Rig, tree: Tree, source: str) -> Entry:
    """First run: the command as it is typed, with an empty lake; one process per core."""
    out = rig.out(source)
    command = [rig.project_python, "-m", "siltstone", "compact", source, str(tree.root), str(out), "--engine", "local"]
    return Entry("local", "siltstone local, first run", command, out, checked_by(rig, CHECK, out, tree), rig.cores)


def spark_avro(rig: Rig, tree: Tree) -> Entry:
    """Spark's own reader; its jar is fetched into the cache before the clock starts."""
    out, jars = rig.out("spark-avro"), ["--packages", SPARK_AVRO, "--ivy", str(rig.cache / "ivy")]
    command = script(rig.project_python, "spark_avro", tree.root, out, rig.scratch, "--cores", rig.cores) + jars
    fetch = [*command, "--only-fetch"]
    label, check = "PySpark spark-avro, session up", checked_by(rig, CHECK, out, tree)
    return Entry("spark-avro", label, command, out, check, rig.cores, [fetch], at_most_rounds=1)


def fastavro_plain(rig: Rig, tree: Tree) -> Entry:
    out = rig.out("fastavro")
    command = script(rig.bench_python, "fastavro_plain", tree.root, out)
    return Entry("fastavro", "fastavro, pyarrow", command, out, checked_by(rig, CHECK, out, tree), rig.cores)


def duckdb_haltian(rig: Rig, tree: Tree) -> Entry:
    out = rig.out("duckdb-haltian")
    command = script(rig.bench_python, "duckdb_haltian", tree.root, out, "--cores", rig.cores)
    return Entry("duckdb", "DuckDB, union_by_name", command, out, checked_by(rig, CHECK, out, tree), rig.cores)


def duckdb_mortar(rig: Rig, tree: Tree, way: str) -> Entry:
    """DuckDB that looks what the files have (`plain`), unites them by name, or is told the columns."""
    name = "duckdb" if way == "plain" else f"duckdb-{way}"
    out = rig.out(f"{name}-mortar")
    command = script(rig.bench_python, "duckdb_mortar", tree.root, out, "--cores", rig.cores, "--way", way)
    label = {"plain": "DuckDB", "united": "DuckDB, union_by_name", "told": "DuckDB, columns told"}[way]
    return Entry(name, label, command, out, checked_by(rig, CHECK, out, tree), rig.cores)
