"""Plan files: tasks as JSON in the table's folder, run where Spark puts them."""

import json
from collections.abc import Mapping
from typing import Any

from siltstone.aggregation.convention_tasks import ConventionTask
from siltstone.aggregation.finish_tasks import FinishTask
from siltstone.aggregation.state_tasks import StateTask
from siltstone.derived.asof_tasks import AsofTask
from siltstone.derived.boundary_rows import BoundaryTask
from siltstone.derived.resample_tasks import ResampleTask
from siltstone.errors import SiltstoneError, StorageError
from siltstone.ingest.task_spec import IngestTask
from siltstone.maintenance.rewrite_task import RewriteTask
from siltstone.maintenance.verify_tasks import DataCheck, SourceCheck
from siltstone.storage import Storage

_SERIES: tuple[Any, ...] = (StateTask, FinishTask, ConventionTask, BoundaryTask, ResampleTask, AsofTask)
_KINDS: dict[str, Any] = {kind.__name__: kind for kind in (IngestTask, RewriteTask, SourceCheck, DataCheck, *_SERIES)}


def run_plan(table: Mapping[str, Any], path: str) -> bytes:
    """Run the task of a plan file; its result as JSON, or the error that no retry would mend. `table` is the storage
    as plain values.

    Raises StorageError, for Spark to try the task again.
    """
    storage = Storage.from_dict(table)
    fetched = storage.read(path)
    if fetched is None:
        raise StorageError(f"{storage.uri(path)} is gone", "Run again.")
    plan = json.loads(fetched.data)
    try:
        result = _KINDS[plan["kind"]].from_dict(plan["task"]).run().as_dict()
    except StorageError:
        raise
    except SiltstoneError as error:
        result = {"error": [type(error).__name__, str(error)]}
    return json.dumps(result).encode()
