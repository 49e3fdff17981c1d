"""Tasks travel to Spark as JSON: what comes out is what went in."""

import importlib
import json
import pkgutil
from typing import Any

import pytest

import siltstone
from siltstone.aggregation.convention_tasks import ConventionTask
from siltstone.aggregation.finish_tasks import FinishTask
from siltstone.aggregation.spec import AggregateSpec, rows_of
from siltstone.aggregation.state_tasks import StateTask
from siltstone.config.load import load_config
from siltstone.config.series_rules import load_interpretations
from siltstone.config.task_settings import settings_of
from siltstone.derived.asof_tasks import AsofTask, JoinSpec, Side
from siltstone.derived.boundary_rows import BoundaryTask, StoredRows
from siltstone.derived.output_table import SortedFiles
from siltstone.derived.resample_tasks import ResampleTask
from siltstone.engine.plan_files import class_of, plan_of
from siltstone.errors import SiltstoneError
from siltstone.ingest.history_task import HistoryTask
from siltstone.ingest.keyed_task import KeyedTask
from siltstone.ingest.task_spec import SourceFile
from siltstone.ingest.wide_task import WideTask
from siltstone.maintenance.rewrite_task import RewriteTask
from siltstone.maintenance.verify_tasks import DataCheck, SourceCheck
from siltstone.model.access import Access
from siltstone.model.data_files import DataFile
from siltstone.storage import Storage
from support.parsing import BASE

INPUT = Storage("s3://bucket/in", Access(endpoint="http://minio:9000", path_style=True))
TABLE = Storage("/lake/datalog")
SETTINGS = settings_of(load_config(), "datalog")
FILE = SourceFile("a", "in/a", 1, "etag", 2, "stray", 3)
STORED = DataFile("f", ("2025-12-10", "S"), 5, 6, "unit", {"ts": (1, 2), "series_id": (None, None)})
DAY = ("2025-12-10", "BRCB")
WORK = Storage("/lake/hourly/_siltstone/work")
TERMS = AggregateSpec("1h", columns=("speed",), rules=rows_of(load_interpretations()))
RUNS = Storage("/lake/grid/_siltstone/work")
ROWS = StoredRows(TABLE, "unitno", "ts", "dstrct_code", (("unitno", "string"), ("speed", "double")), ("speed",))
WRITING = SortedFiles(TABLE, SETTINGS.sizes, 6, True, "datalog")
SIDE = Side(ROWS, AggregateSpec("1d", devices=("D*",)), (("f", "S"),))
NEAREST = JoinSpec(("unitno",), "nearest", 5, False, "inner", "_r")
TASKS = [
    WideTask("datalog", {"zone": "UTC"}, INPUT, TABLE, DAY, (FILE,), 4.5, BASE, SETTINGS, is_staged=True),
    KeyedTask("sitewise.raw", {}, INPUT, TABLE, None, (FILE,), 4.5, BASE, SETTINGS, (STORED,), ("in/b",)),
    HistoryTask("haltian.device", {}, INPUT, TABLE, None, (FILE,), 4.5, BASE, SETTINGS, (STORED,), ("in/b",)),
    RewriteTask("datalog", TABLE, DAY, ("f1", "f2"), ("in/a",), BASE, SETTINGS.sizes, 5, 6, True, (3, 5)),
    SourceCheck("datalog", {"zone": "UTC"}, TABLE, INPUT, (("a", "in/a", 1, 2, "sha"),), BASE, SETTINGS),
    StateTask(TABLE, WORK, ("f",), (1, 2), "S", "series_id", "ts", "readings", TERMS, (3, 4), "run", "keys", WORK),
    FinishTask(
        TABLE,
        WORK,
        WORK,
        ("s",),
        "a",
        "b",
        TERMS,
        (3, 4),
        5,
        SETTINGS.sizes,
        6,
        True,
        ("e1",),
        ("e2",),
        ("s0",),
        ("s2",),
        1,
        INPUT,
        ("f",),
        "keys",
        ("2025-12-10",),
    ),
    ConventionTask(
        *(TABLE, WORK, (("f1", "f2"), ("f3",)), "S", "unitno", "ts", "datalog", TERMS, (3, 4), 5, SETTINGS.sizes, 6),
        *(False, "low", "high"),
    ),
    BoundaryTask(ROWS, "f", "S", ("unitno",), AggregateSpec("1d"), RUNS),
    ResampleTask(
        ROWS, TABLE, RUNS, (("S", ("f",)),), ("b",), AggregateSpec("1h"), "previous", 7, (3, 4), True, WRITING
    ),
    AsofTask(SIDE, SIDE, NEAREST, ("b",), (3, 4), TABLE, RUNS, WRITING),
    DataCheck("datalog", TABLE, "f1", DAY, 1, 2, "sha", BASE, {"ts": [5, None, 0]}),
]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: type(task).__name__)
def test_a_task_survives_its_plan_file(task: Any) -> None:
    plan = json.loads(plan_of(task))
    assert class_of(plan["kind"]).from_dict(plan["task"]) == task


def test_every_kind_of_task_is_tried_here() -> None:
    modules = [importlib.import_module(m.name) for m in pkgutil.walk_packages(siltstone.__path__, "siltstone.")]
    classes = {c for m in modules for c in vars(m).values() if isinstance(c, type) and c.__module__ == m.__name__}
    tasks = {
        c for c in classes if hasattr(c, "from_dict") and callable(getattr(c, "run", None)) and not c.__subclasses__()
    }
    assert {type(task) for task in TASKS} == tasks


@pytest.mark.parametrize(
    "kind", ["os:system", "siltstone_evil:Task", "siltstone.ingest.wide_task:Gone", "siltstone.gone:Task"]
)
def test_a_plan_file_names_tasks_of_this_release_only(kind: str) -> None:
    with pytest.raises(SiltstoneError, match=f"a plan file names '{kind}', which"):
        class_of(kind)
