"""Tasks travel to Spark as JSON: what comes out is what went in."""

import json
from typing import Any

import pytest

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
from siltstone.engine.plan_files import _KINDS
from siltstone.ingest.task_spec import IngestTask, SourceFile
from siltstone.maintenance.rewrite_task import RewriteTask
from siltstone.maintenance.verify_tasks import DataCheck, SourceCheck
from siltstone.model.data_files import DataFile
from siltstone.storage import Storage
from siltstone.storage.access import Access
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
    IngestTask("datalog", {"zone": "UTC"}, INPUT, TABLE, DAY, (FILE,), 4.5, BASE, SETTINGS, is_staged=True),
    IngestTask("sitewise.raw", {}, INPUT, TABLE, None, (FILE,), 4.5, BASE, SETTINGS, (STORED,), ("in/b",)),
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
    assert _KINDS[type(task).__name__].from_dict(json.loads(json.dumps(task.as_dict()))) == task


def test_every_kind_of_task_is_tried_here() -> None:
    assert {type(task).__name__ for task in TASKS} == set(_KINDS)
