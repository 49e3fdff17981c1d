"""Plan files: tasks as JSON in the table's folder, run where Spark puts them.

A plan names the class of its task as `module:Class`; whoever runs it imports that name, so that a new kind of task
needs no entry anywhere.
"""

import importlib
import json
from collections.abc import Mapping
from typing import Any

from siltstone.engine.tasks import Task
from siltstone.errors import SiltstoneError, StorageError
from siltstone.storage import Storage

_OWN = "siltstone."


def plan_of(task: Task[Any]) -> bytes:
    """The plan file of a task."""
    kind = type(task)
    return json.dumps({"kind": f"{kind.__module__}:{kind.__qualname__}", "task": task.as_dict()}).encode()


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
        result = class_of(plan["kind"]).from_dict(plan["task"]).run().as_dict()
    except StorageError:
        raise
    except SiltstoneError as error:
        result = {"error": [type(error).__name__, str(error)]}
    return json.dumps(result).encode()


def class_of(kind: str) -> Any:
    """The class of a task by its name, `module:Class`. Raises SiltstoneError for one that is not of siltstone: a plan
    file is data, and must not decide what else is imported."""
    module, _, name = kind.partition(":")
    if not module.startswith(_OWN):
        raise SiltstoneError(f"a plan file names {kind!r}, which is no task of siltstone", "Install one release only.")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise SiltstoneError(
            f"a plan file names {kind!r}, which this release of siltstone does not have",
            "Install the driver's release on every worker.",
        ) from error
