"""Tasks travel to Spark as JSON: what comes out is what went in."""

import importlib
import json
import pkgutil
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

import pytest

import siltstone
from siltstone.aggregation.convention_tasks import ConventionTask
from siltstone.aggregation.finish_tasks import Boundaries, Boundary, FinishedFiles, FinishTask, Inputs, PreviousOutput
from siltstone.aggregation.series_points import PointCounts
from siltstone.aggregation.spec import AggregateSpec, rows_of
from siltstone.aggregation.state_files import SeriesRange
from siltstone.aggregation.state_tasks import StatesFound, StateTask
from siltstone.config.load import load_config
from siltstone.config.series_rules import load_interpretations
from siltstone.config.task_settings import settings_of
from siltstone.derived.asof_tasks import AsofTask, JoinSpec, Side
from siltstone.derived.boundary_rows import BoundaryRows, BoundaryTask, StoredRows
from siltstone.derived.output_table import TaskTotals
from siltstone.derived.resample_tasks import ResampleTask
from siltstone.engine.codec import decode, encode
from siltstone.engine.plan_files import class_of, plan_of, result_of
from siltstone.errors import AccountsError, SiltstoneError, UsageError
from siltstone.ingest.history_task import HistoryTask
from siltstone.ingest.keyed_task import KeyedTask
from siltstone.ingest.task_spec import FormerVersion, IngestReport, SourceFile
from siltstone.ingest.wide_task import WideTask
from siltstone.maintenance.others_file_task import OthersFileTask
from siltstone.maintenance.rewrite_task import RewriteTask, Rewritten
from siltstone.maintenance.verify_tasks import DataCheck, DataFound, SourceCheck, SourceFound, SourcesFound, Sums
from siltstone.model.access import Access
from siltstone.model.accounts import Account, FileAccount
from siltstone.model.contracts import Column
from siltstone.model.data_files import DataFile, LoggedFile, NewFile
from siltstone.storage import Storage
from siltstone.table.writer import WriterSettings
from support.parsing import BASE

INPUT = Storage("s3://bucket/in", Access(endpoint="http://minio:9000", path_style=True))
TABLE = Storage("/lake/datalog")
SETTINGS = settings_of(load_config(), "datalog")
FILE = SourceFile("a", "in/a", 1, "etag", 2, "late", FormerVersion(3, 1, "sha"))
STORED = DataFile("f", ("2025-12-10", "S"), 5, 6, "unit", {"ts": (1, 2), "series_id": (None, None)})
DAY = ("2025-12-10", "BRCB")
F1, F2 = LoggedFile("f1", 3), LoggedFile("f2", 4)
WORK = Storage("/lake/hourly/_siltstone/work")
TERMS = AggregateSpec("1h", columns=("speed",), rules=rows_of(load_interpretations()))
RUNS = Storage("/lake/grid/_siltstone/work")
ROWS = StoredRows(TABLE, "unitno", "ts", "dstrct_code", (("unitno", "string"), ("speed", "double")), ("speed",))
WRITING = WriterSettings(TABLE, SETTINGS.sizes, 6, is_staged=True)
SIDE = Side(ROWS, AggregateSpec("1d", devices=("D*",)), ((F1, "S"),))
NEAREST = JoinSpec(("unitno",), "nearest", 5, False, "inner", "_r")
TASKS = [
    WideTask("datalog", {"zone": "UTC"}, INPUT, TABLE, DAY, (FILE,), 4.5, BASE, SETTINGS, is_staged=True),
    KeyedTask("sitewise.raw", {}, INPUT, TABLE, None, (FILE,), 4.5, BASE, SETTINGS, (STORED,), ("in/b",)),
    HistoryTask("haltian.device", {}, INPUT, TABLE, None, (FILE,), 4.5, BASE, SETTINGS, (STORED,), ("in/b",)),
    RewriteTask("datalog", WRITING, DAY, (F1, F2), ("in/a",), BASE, 6, (3, 5)),
    OthersFileTask("datalog", WRITING, DAY, F1, BASE, 7),
    SourceCheck("datalog", {"zone": "UTC"}, TABLE, INPUT, (("a", "in/a", 1, 2, "sha"),), BASE, SETTINGS),
    StateTask(TABLE, WORK, (F1,), (1, 2), "S", "series_id", "ts", "readings", TERMS, (3, 4), "run", "keys", WORK),
    FinishTask(
        WRITING,
        Inputs(WORK, ("s",), PreviousOutput(INPUT, (F1,), "keys")),
        Boundaries(WORK, Boundary(("e1",), ("s0",)), Boundary(("e2",), ("s2",))),
        TERMS,
        (3, 4),
        5,
        SeriesRange("a", "b"),
        ("2025-12-10",),
        1,
    ),
    ConventionTask(
        *(TABLE, WRITING, ((F1, F2), (F2,)), "S", "unitno", "ts", "datalog", TERMS, (3, 4), 5, "low", "high"),
    ),
    BoundaryTask(ROWS, F1, "S", ("unitno",), AggregateSpec("1d"), RUNS),
    ResampleTask(
        *(ROWS, RUNS, (("S", (F1,)),), ("b",), AggregateSpec("1h"), "previous", 7, (3, 4), True, WRITING, "datalog"),
    ),
    AsofTask(SIDE, SIDE, NEAREST, ("b",), (3, 4), RUNS, WRITING),
    DataCheck("datalog", TABLE, "f1", DAY, 1, 2, "sha", BASE, {"ts": (5, None, 0)}),
]
NEW = NewFile("f", DAY, 5, 6, 7, {"numRecords": 6, "minValues": {"ts": "2025-12-10T02:10:18.123456Z"}}, "sha", True)
ACCOUNT = FileAccount("p", 1, "e", "ff", time_units={"s": 2}, outputs=["o"], account=Account(records_in=1, rows_out=1))
RESULTS = [
    IngestReport([ACCOUNT], [NEW], [Column("x", "double", "X")], {"in/a": {"2025-12-10": 3}}, "q", {"f": [1, 2]}),
    Rewritten([NEW], 4, {"in/a": 2}, {"in/b": [1, 2, 3, 4]}),
    SourcesFound({"in/a": SourceFound("sha", 1, 2, Sums(3, 4, (1 << 64) - 1), "cut", False)}),
    DataFound({"in/a": Sums(3, 4, 5)}, ["f: 3 rows, the log says 4"]),
    StatesFound("s", 1, 2, ["S\0a"], PointCounts(3, 2, 1, 0), -5, 6),
    FinishedFiles([NEW], 1, 2, 3),
    BoundaryRows(3),
    TaskTotals([NEW], 1, 2, 3, 4, 5, 6, 7),
]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: type(task).__name__)
def test_a_task_survives_its_plan_file(task: Any) -> None:
    plan = json.loads(plan_of(task))
    assert decode(class_of(plan["kind"]), plan["task"]) == task
    assert plan_of(decode(class_of(plan["kind"]), plan["task"])) == plan_of(task)  # with bounds, which == leaves out


def test_every_kind_of_task_is_tried_here() -> None:
    modules = [importlib.import_module(m.name) for m in pkgutil.walk_packages(siltstone.__path__, "siltstone.")]
    classes = {c for m in modules for c in vars(m).values() if isinstance(c, type) and c.__module__ == m.__name__}
    names = {c: {field.name for field in fields(c)} for c in classes if is_dataclass(c) and not c.__subclasses__()}
    have_table = {c for c in names if "table" in names[c] or hasattr(c, "table")}  # a field, or a property
    assert {type(task) for task in TASKS} == {c for c in have_table if callable(getattr(c, "run", None))}


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: type(result).__name__)
def test_a_result_comes_back_as_the_class_that_run_is_annotated_with(result: Any) -> None:
    tasks = [task for task in TASKS if result_class(task) is type(result)]
    for task in tasks:
        assert result_of(task, json.dumps({"result": encode(result)}).encode()) == result
    assert tasks


def test_every_kind_of_result_is_tried_here() -> None:
    assert {result_class(task) for task in TASKS} == {type(result) for result in RESULTS}


def result_class(task: Any) -> Any:
    return get_type_hints(type(task).run)["return"]


def test_the_error_of_a_task_comes_back_as_its_class() -> None:
    with pytest.raises(UsageError, match=r"^no such zone\. Give another\.$"):
        result_of(TASKS[0], json.dumps({"error": ["UsageError", "no such zone. Give another."]}).encode())
    with pytest.raises(AccountsError, match="1 record is lost"):
        result_of(TASKS[0], json.dumps({"error": ["AccountsError", "1 record is lost"]}).encode())


@pytest.mark.parametrize(
    "kind", ["os:system", "siltstone_evil:Task", "siltstone.ingest.wide_task:Gone", "siltstone.gone:Task"]
)
def test_a_plan_file_names_tasks_of_this_release_only(kind: str) -> None:
    with pytest.raises(SiltstoneError, match=f"a plan file names '{kind}', which"):
        class_of(kind)
