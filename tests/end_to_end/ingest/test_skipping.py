"""What readers skip, and that they never skip a row: Spark, polars, pyarrow and DuckDB on a table of the real job.

A question for a unit's day opens the files whose statistics in the Delta log admit it, and of these the row groups
whose footers admit it, if it is asked in the way that each reader can push down:

- Spark: `spark.read.format("delta").load(table).where(...)`, by Delta's data skipping;
- polars: `pl.scan_delta(table).filter(...)`; `pl.read_delta` has read everything before it filters;
- pyarrow: `DeltaTable(table).to_pyarrow_dataset().to_table(filter=...)`, whose fragments know the log's statistics;
- DuckDB: `delta_scan(table)` or an attached table, with a comparison of the bare column; by instants it skips no file
  (duckdb 1.5.5), so a span of time names its days as well.
"""

import operator
import os
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import reduce
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb
import duckdb_extension_delta
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from support.fleet import NOON, World, record
from support.rounds import some

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DAY_US = 86_400_000_000
READERS = ("spark", "polars", "pyarrow", "duckdb")
COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
}

T = TypeVar("T", pl.Expr, ds.Expression)


@dataclass(frozen=True)
class Comparison:
    """One comparison of a column with a value; `is null` and `is not null` have none."""

    column: str
    op: str
    value: Any = None

    def holds(self, row: dict[str, Any]) -> bool:
        """What a reader must answer, by Python: text is compared by code point, as UTF-8 is by bytes."""
        found = row[self.column]
        if self.value is None:
            return (found is None) == (self.op == "is null")
        return found is not None and bool(COMPARE[self.op](found, self.value))

    def on(self, column: T) -> T:
        """The comparison as an expression of polars or pyarrow."""
        if self.value is not None:
            answer: T = COMPARE[self.op](column, self.value)
            return answer
        return column.is_null() if self.op == "is null" else ~column.is_null()


Where = Sequence[Comparison]  # that must all hold
Ask = Callable[[Path, Sequence[Where]], list[list[int]]]


def ask_polars(table: Path, questions: Sequence[Where]) -> list[list[int]]:
    lake = pl.scan_delta(str(table))
    asked = [lake.filter([t.on(pl.col(t.column)) for t in tests]).select("n") for tests in questions]
    return [_whole(frame["n"]) for frame in pl.collect_all(asked)]


def ask_pyarrow(table: Path, questions: Sequence[Where]) -> list[list[int]]:
    lake = DeltaTable(str(table)).to_pyarrow_dataset()
    filters = [reduce(operator.and_, [t.on(ds.field(t.column)) for t in tests]) for tests in questions]
    return [_whole(lake.to_table(["n"], filter=wanted)["n"].to_pylist()) for wanted in filters]


def ask_duckdb(table: Path, questions: Sequence[Where]) -> list[list[int]]:
    folder = Path(duckdb_extension_delta.__file__).parent / "extensions" / f"v{duckdb.__version__}"
    with duckdb.connect() as connection:
        connection.execute(f"LOAD '{folder / 'delta.duckdb_extension'}'")
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"ATTACH '{table}' AS lake (TYPE delta, PIN_SNAPSHOT)")
        answers = []
        for tests in questions:
            where = " and ".join(f"{t.column} {t.op} {'' if t.value is None else '?'}" for t in tests)
            values = [t.value for t in tests if t.value is not None]
            answers.append(
                _whole(n for (n,) in connection.execute(f"select n from lake where {where}", values).fetchall())
            )
        return answers


def ask_spark(spark: "SparkSession", table: Path, questions: Sequence[Where]) -> list[list[int]]:
    """All questions as one query: a union with the number of each."""
    from pyspark.sql import functions as F

    lake = spark.read.format("delta").load(str(table))

    def holds(t: Comparison) -> Any:
        column = F.col(t.column)
        if t.value is not None:
            return COMPARE[t.op](column, F.lit(t.value))
        return column.isNull() if t.op == "is null" else column.isNotNull()

    parts = [
        lake.where(reduce(operator.and_, map(holds, tests))).select(F.lit(number), "n")
        for number, tests in enumerate(questions)
    ]
    found = [tuple(row) for row in reduce(lambda a, b: a.unionAll(b), parts).collect()]
    return [_whole(n for asked, n in found if asked == number) for number in range(len(questions))]


def _whole(numbers: Any) -> list[int]:
    return sorted(int(n) for n in numbers)


@pytest.fixture(params=[pytest.param("spark", marks=pytest.mark.slow("spark")), *READERS[1:]])
def ask(request: pytest.FixtureRequest) -> Ask:
    """A reader: a table and questions in, the `n` of the rows found out. In `make test` Spark is one where a test says
    so, in `make test-slow` always."""
    if request.param != "spark":
        found: Ask = globals()[f"ask_{request.param}"]
        return found
    spark = request.getfixturevalue("spark")
    return lambda table, questions: ask_spark(spark, table, questions)


# A fleet of two sites and three days. In BRCB units and devices have one order, so the files of a day have disjoint
# units; in BRCG they have not, so each file holds units from everywhere, one row group each.

DEVICES, SECONDS = 12, 100
SECOND_DAY = date(2025, 12, 11)
SIZES = [f"compaction.{key}" for key in ("target_file_mb=0.02", "min_file_mb=0.01", "max_file_mb=0.03")]


def unit_of(site: str, device: int) -> str:
    return f"LD{700 + (device if site == 'BRCB' else device * 7 % DEVICES)}"


def units_of(site: str) -> list[str]:
    return [unit_of(site, device) for device in range(DEVICES)]


def first_row(site: str, day: int, device: int) -> int:
    """The least `n` of a device's day."""
    return (day * DEVICES + device) * SECONDS + (100_000 if site == "BRCG" else 0)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> World:
    world, noise = World(tmp_path_factory.mktemp("fleet")), random.Random(4)
    for site in ("BRCB", "BRCG"):
        for day in range(3):
            for device in range(DEVICES):
                first, unit, at = first_row(site, day, device), unit_of(site, device), NOON + day * 86_400
                rows = [
                    record(at + s, unit, f"D{device:02d}", n=first + s, speed=noise.random(), load=noise.random())
                    for s in range(SECONDS)
                ]
                world.deliver({f"{site}/D{device:02d}/202512{10 + day}12": rows})
    world.compact(*SIZES, "compaction.row_group_mb=0.006", "optimize.after_compact=false")
    return world


@dataclass(frozen=True)
class Ruins:
    """A copy of a table in which all that a question does not need is garbage; what was left of it."""

    table: Path
    files: int
    groups: int
    groups_of_these_files: int


def ruined(table: Path, to: Path, site: str, unit: str) -> Ruins:
    """Overwrite all files whose statistics exclude the unit on the second day at the site, and in the others all row
    groups whose footers exclude it, but for the footers themselves."""
    shutil.copytree(table, to)
    needed = [to / add["path"] for add in of_second_day(to, site) if admits(add, unit)]
    for path in {to / add["path"] for add in adds(to)} - set(needed):
        path.write_bytes(os.urandom(path.stat().st_size))
    groups = of = 0
    for path in needed:
        data, footer = bytearray(path.read_bytes()), pq.read_metadata(path)
        for group in map(footer.row_group, range(footer.num_row_groups)):
            chunks = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
            units = chunks["unitno"].statistics
            of += 1
            if units.min <= unit <= units.max:
                groups += 1
                continue
            for chunk in chunks.values():
                start = chunk.dictionary_page_offset or chunk.data_page_offset
                data[start : start + chunk.total_compressed_size] = b"\xff" * chunk.total_compressed_size
        path.write_bytes(data)
    return Ruins(to, len(needed), groups, of)


def adds(table: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pa.table(DeltaTable(str(table)).get_add_actions(flatten=True)).to_pylist()
    return found


def of_second_day(table: Path, site: str) -> list[dict[str, Any]]:
    return [a for a in adds(table) if (a["partition.hiveperiod"], a["partition.dstrct_code"]) == (SECOND_DAY, site)]


def admits(add: dict[str, Any], unit: str) -> bool:
    return bool(add["min.unitno"] <= unit <= add["max.unitno"])


def unit_day(site: str, unit: str) -> Where:
    """where hiveperiod = .. and dstrct_code = .. and unitno = .."""
    asked = {"hiveperiod": SECOND_DAY, "dstrct_code": site, "unitno": unit}
    return [Comparison(column, "=", value) for column, value in asked.items()]


def rows_of(site: str, unit: str) -> list[int]:
    """The rows of the unit on the second day, as the fleet was made."""
    first = first_row(site, 1, units_of(site).index(unit))
    return list(range(first, first + SECONDS))


@pytest.fixture(scope="module")
def one_file(fleet: World, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, Ruins]:
    """A unit that only one of a day's files admits, and the ruins around it."""
    files = of_second_day(fleet.table, "BRCB")
    assert len(files) >= 3
    ranges = sorted((a["min.unitno"], a["max.unitno"]) for a in files)
    assert all(high <= low for (_, high), (low, _) in pairwise(ranges))
    unit = next(u for u in units_of("BRCB") if sum(admits(a, u) for a in files) == 1)
    return "BRCB", unit, ruined(fleet.table, tmp_path_factory.mktemp("ruins") / "one_file", "BRCB", unit)


@pytest.fixture(scope="module")
def few_groups(fleet: World, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, Ruins]:
    """A unit that several of a day's files admit, but few of their row groups, and the ruins around it."""
    files = of_second_day(fleet.table, "BRCG")
    unit = max(units_of("BRCG"), key=lambda u: sum(admits(a, u) for a in files))
    return "BRCG", unit, ruined(fleet.table, tmp_path_factory.mktemp("ruins") / "few_groups", "BRCG", unit)


@pytest.mark.parametrize("ask", READERS, indirect=True)
def test_one_file_is_opened_for_a_unit_of_a_day(ask: Ask, one_file: tuple[str, str, Ruins]) -> None:
    site, unit, ruins = one_file
    assert ruins.files == 1
    assert ruins.groups < ruins.groups_of_these_files
    assert ask(ruins.table, [unit_day(site, unit)]) == [rows_of(site, unit)]


def test_few_row_groups_are_read_where_many_files_hold_neighbours(ask: Ask, few_groups: tuple[str, str, Ruins]) -> None:
    site, unit, ruins = few_groups
    assert ruins.files >= 2
    assert ruins.groups * 2 < ruins.groups_of_these_files
    assert ask(ruins.table, [unit_day(site, unit)]) == [rows_of(site, unit)]


def test_a_span_of_time_opens_the_files_of_its_day(
    ask: Ask, fleet: World, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    table = Path(shutil.copytree(fleet.table, tmp_path / "table"))
    for add in adds(table):
        if add["partition.hiveperiod"] != SECOND_DAY:
            (table / add["path"]).write_bytes(b"garbage")
    noon = datetime(2025, 12, 11, 4, tzinfo=UTC)
    span = [Comparison("ts", ">=", noon), Comparison("ts", "<=", noon + timedelta(seconds=1))]
    if request.node.callspec.params["ask"] == "duckdb":
        span.append(Comparison("hiveperiod", "=", SECOND_DAY))
    assert len(ask(table, [span])[0]) == 2 * 2 * DEVICES  # two seconds, two sites


@pytest.mark.parametrize("what", ["file", "row group"])
def test_garbage_does_not_go_unnoticed(ask: Ask, what: str, fleet: World, one_file: tuple[str, str, Ruins]) -> None:
    """The proof's own proof: readers stumble over files that were overwritten, and over row groups in the file left."""
    from py4j.protocol import Py4JJavaError

    site, unit, ruins = one_file
    files = of_second_day(fleet.table, site)
    left = next(a for a in files if admits(a, unit))
    in_one_file = [u for u in units_of(site) if sum(admits(a, u) for a in files) == 1]
    others = [u for u in in_one_file if admits(left, u) == (what == "row group")]
    other = max(others, key=lambda u: abs(int(u[2:]) - int(unit[2:])))
    with pytest.raises((pl.exceptions.PolarsError, pa.ArrowException, OSError, duckdb.Error, Py4JJavaError)):
        ask(ruins.table, [unit_day(site, other)])


# Boundary values: each file's statistics are at their edges exactly the values of its rows.

LONG = "L" * 300
PAIRS = [
    ("", " blanks before and after "),
    ("';--", 'quoted "twice" \\ and \' once'),
    ("\0", "tab\tand\nnew line\r\u2028"),
    ("Ä", "é"),
    ("\ufffd", "😀"),  # in UTF-16 the order is the other way round
    ("\U00020000", "\U0010ffff"),
    (LONG, LONG + "é"),
    ("M" * 5_000, "M" * 5_000 + "😀"),  # beyond 4096 bytes footers have no bounds
    ("2025-12-10", "NaN"),
    ("one value", "one value"),
]
NULLS: list[tuple[str | None, str | None]] = [(None, "P"), ("Q", None), (None, None)]


@pytest.fixture(scope="module")
def boundaries(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A file for each pair, with the pair's values as its bounds; files where a column is null in some rows or in all.

    The first two runs are in a checkpoint of the log, the last one is not; each row has its own `n`.
    """
    world, start = World(tmp_path_factory.mktemp("boundaries")), NOON * 1_000_000
    for number, (low, high) in enumerate(PAIRS):
        at = start + number // 2 * DAY_US
        rows = [
            {"heartbeat": at + 1, "unitno": low, "deviceid": high},
            {"heartbeat": at + 8_999_999, "unitno": high, "deviceid": low},
            {"heartbeat": (at + 500) * 1000 + 999, "unitno": low, "deviceid": None},  # nanoseconds are cut
        ]
        place = f"{('BRCB', 'BRCG')[number % 2]}/D{number}/202512{10 + number // 2}12"
        world.deliver({place: [{**row, "n": number * 10 + i} for i, row in enumerate(rows)]})
        if number == 4:
            world.compact()
    world.compact()
    DeltaTable(str(world.table)).create_checkpoint()
    for number, (unit, device) in enumerate(NULLS):
        rows = [
            {"heartbeat": start + s, "unitno": unit, "deviceid": device, "n": 100 + number * 10 + s} for s in (0, 1)
        ]
        world.deliver({f"N{number}/D/2025121012": rows})
    mixed = [
        {"heartbeat": start, "unitno": None, "deviceid": "R", "n": 200},
        {"heartbeat": start, "unitno": "S", "n": 201},
    ]
    world.deliver({"N9/D/2025121012": mixed})
    world.compact()
    return world


def rows_in(world: World) -> list[dict[str, Any]]:
    """Every row of the table, read file by file without a filter."""
    files = [pq.ParquetFile(world.table / add["path"]) for add in adds(world.table)]
    rows = [row for file in files for row in file.read(["n", "ts", "unitno", "deviceid"]).to_pylist()]
    assert len(rows) == len({row["n"] for row in rows}) == 3 * len(PAIRS) + 2 * len(NULLS) + 2
    return rows


def boundary_questions(rows: Sequence[dict[str, Any]]) -> Iterator[Comparison]:
    """Each bound of each file's statistics, asked for itself and for what lies on its two sides."""
    start = datetime(2025, 12, 10, 4, tzinfo=UTC)
    instants = {row["ts"] for row in rows}
    assert {start, start + timedelta(microseconds=1), start + timedelta(microseconds=8_999_999)} <= instants
    texts = [text for pair in PAIRS for text in dict.fromkeys(pair)]
    for op in ("=", ">=", "<="):
        yield from (Comparison("ts", op, instant) for instant in sorted(instants))
        yield from (Comparison("unitno", op, text) for text in texts)
    yield from (Comparison("deviceid", "=", text) for text in (*texts, "P", "R"))
    yield from (Comparison("unitno", "=", text) for text in ("Q", "S"))
    for column in ("unitno", "deviceid", "ts"):
        yield from (Comparison(column, op) for op in ("is null", "is not null"))
    yield from (Comparison(column, "<>", "one value") for column in ("unitno", "deviceid"))


def row_question(row: dict[str, Any]) -> Where:
    """A row at a bound, asked for by its time, unit and device at once: it is found if no statistic excludes it.

    A reader takes `x = bound` for `minimum <= bound and bound <= maximum`, so this holds for `>=` and `<=` as well.
    """
    found = {column: row[column] for column in ("ts", "unitno", "deviceid")}
    return [Comparison(c, "is null" if value is None else "=", value) for c, value in found.items()]


@pytest.mark.part("laws")  # there every question
@pytest.mark.parametrize("ask", ["polars", "pyarrow", "duckdb"], indirect=True)
def test_statistics_never_lose_a_row(ask: Ask, boundaries: World) -> None:
    rows = rows_in(boundaries)
    questions = [*([q] for q in boundary_questions(rows)), *map(row_question, rows)]
    check(ask, boundaries, rows, some(questions, 60))


@pytest.mark.parametrize("ask", ["spark"], indirect=True)
def test_statistics_never_lose_a_row_for_spark(ask: Ask, boundaries: World) -> None:
    """Fewer questions, since Spark plans each for half a second, and in `make test` six of these: a row of each file,
    with the least instant, a pair's lower text as least unit and its higher one as greatest device; one with the
    greatest instant; each kind of null."""
    rows = rows_in(boundaries)
    chosen = [row for row in rows if row["n"] % 10 == 0 or row["n"] in (1, 201)]
    assert len(chosen) == len(PAIRS) + 1 + len(NULLS) + 2
    check(ask, boundaries, rows, [row_question(row) for row in some(chosen, 6)])


def check(ask: Ask, world: World, rows: Sequence[dict[str, Any]], questions: Sequence[Where]) -> None:
    """A reader's answers are what Python finds in all rows."""
    expected = [_whole(row["n"] for row in rows if all(c.holds(row) for c in where)) for where in questions]
    answers = ask(world.table, questions)
    wrong = [(q, a, e) for q, a, e in zip(questions, answers, expected, strict=True) if a != e]
    assert wrong == []
    assert sum(map(len, expected)) >= len(questions)
