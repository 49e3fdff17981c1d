"""What siltstone shall reach at the standard size on two cores, and what it does reach."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from results import Row

Rows = Mapping[tuple[str, str], Row]


@dataclass(frozen=True)
class Floor:
    """A figure of some results and its limit: at least it, or with `at_most` no more."""

    case: str
    text: str
    needs: tuple[str, ...]
    figure: Callable[..., float]
    limit: float
    at_most: bool = False
    unit: str = "x"

    def value(self, rows: Rows) -> float | None:
        """The figure, or None when a contender that it needs did not run or gave a wrong result."""
        found = [rows.get((self.case, name)) for name in self.needs]
        if any(row is None or row.problems for row in found):
            return None
        return self.figure(*found)

    def is_reached(self, value: float) -> bool:
        return value <= self.limit if self.at_most else value >= self.limit


def _times_faster(ours: Row, theirs: Row) -> float:
    return theirs.seconds / ours.seconds


def _times_slower(reference: Row, row: Row) -> float:
    return row.seconds / reference.seconds


def _per_row(once: Row, fourfold: Row) -> float:
    return (fourfold.seconds / fourfold.rows) / (once.seconds / once.rows)


def _gib(row: Row) -> float:
    return row.peak_bytes / 2**30


def _million_rows_a_second(row: Row) -> float:
    return row.rows / row.seconds / 1e6


FLOORS = [
    Floor("fleet", "first run, times DuckDB's speed", ("local", "duckdb"), _times_faster, 1.8),
    Floor("fleet", "first run, times naive PySpark's speed", ("local", "naive"), _times_faster, 3.3),
    Floor("fleet", "later run, times DuckDB's speed", ("later", "duckdb"), _times_faster, 2.3),
    Floor("fleet", "spark's time over local's", ("local", "spark"), _times_slower, 1.25, True),
    Floor("fleet", "peak memory, local", ("local",), _gib, 2.0, True, " GiB"),
    Floor("building", "times DuckDB's speed", ("local", "duckdb"), _times_faster, 1.5),
    Floor("building", "times naive PySpark's speed", ("local", "naive"), _times_faster, 8.0),
    Floor("latency", "20 ms a request, times the time without", ("s3-0", "s3-20"), _times_slower, 1.5, True),
    Floor("cores", "two cores, times one core's speed", ("cores-2", "cores-1"), _times_faster, 1.7),
    Floor("memory", "peak at 4x over 1x", ("1x", "4x"), lambda a, b: b.peak_bytes / a.peak_bytes, 1.2, True),
    Floor("memory", "time per row at 4x over 1x", ("1x", "4x"), _per_row, 1.1, True),
    Floor("query", "polars on the table, times DuckDB's speed", ("table-polars", "raw-duckdb"), _times_faster, 50.0),
    Floor("sitewise", "times spark-avro's speed", ("local", "spark-avro"), _times_faster, 5.0),
    Floor("sitewise", "times the speed of fastavro and pyarrow", ("local", "fastavro"), _times_faster, 3.0),
    Floor("haltian", "times DuckDB's speed", ("local", "duckdb"), _times_faster, 2.0),
    Floor("mortar", "times DuckDB's speed", ("local", "duckdb"), _times_faster, 2.0),
    Floor("aggregate", "times DuckDB's speed", ("local", "duckdb"), _times_faster, 2.0),
    Floor("aggregate", "times the speed of DuckDB that splits", ("local", "duckdb-split"), _times_faster, 2.0),
    Floor("aggregate", "times PySpark's speed", ("local", "spark"), _times_faster, 10.0),
    Floor("aggregate", "times the speed of a pandas apply", ("local", "pandas"), _times_faster, 20.0),
    Floor("aggregate", "readings a second, kernel alone", ("kernel",), _million_rows_a_second, 10.0, unit=" M"),
    Floor("aggregate-wide", "times DuckDB's speed", ("local", "duckdb"), _times_faster, 2.0),
    Floor("rollup", "times the speed from raw", ("rollup", "raw"), _times_faster, 20.0),
    Floor("rollup", "a late file, of the time of all", ("full", "late"), _times_slower, 0.25, True),
    Floor("hot-series", "two workers, times one's speed", ("workers-2", "workers-1"), _times_faster, 1.6),
    Floor("hot-series", "peak memory, two workers", ("workers-2",), _gib, 1.5, True, " GiB"),
    Floor("many-series", "time per reading over that of 1,000 series", ("few", "many"), _per_row, 3.0, True),
]
