"""Plan files: tasks as JSON in the table's folder, run where Spark puts them.

A plan names the class of its task as `module:Class`; whoever runs it imports that name, so that a new kind of task
needs no entry anywhere.
"""

import importlib
import json
from collections.abc import Mapping
from typing import Any, get_type_hints

from siltstone import errors
from siltstone.engine.codec import decode, encode
from siltstone.engine.tasks import R, Task
from siltstone.errors import SiltstoneError, StorageError, rebuilt
from siltstone.storage import Storage

_OWN = "siltstone."


def plan_of(task: Task[Any]) -> bytes:
    """The plan file of a task."""
    kind = type(task)
    return json.dumps({"kind": f"{kind.__module__}:{kind.__qualname__}", "task": encode(task)}).encode()


def run_plan(table: Mapping[str, Any], path: str) -> bytes:
    """Run the task of a plan file of the table at `table`, an encoded Storage. `result_of` reads what comes back: the
    result, or the error that no retry would mend.

    Raises StorageError, for Spark to try the task again.
    """
    storage = decode(Storage, table)
    fetched = storage.read(path)
    if fetched is None:
        raise StorageError(
            f"the driver wrote {storage.uri(path)}, and this worker does not see it",
            "Give a lake that every worker sees under the same path, such as s3://BUCKET/FOLDER.",
        )
    plan = json.loads(fetched.data)
    try:
        outcome: dict[str, Any] = {"result": encode(decode(class_of(plan["kind"]), plan["task"]).run())}
    except StorageError:
        raise
    except SiltstoneError as error:
        outcome = {"error": [type(error).__name__, str(error)]}
    return json.dumps(outcome).encode()


def result_of(task: Task[R], outcome: bytes) -> R:
    """The result of a task from what `run_plan` gave; its class is the one that the task's `run` is annotated with.

    Raises the error that ended the task.
    """
    row = json.loads(outcome)
    if "error" in row:
        kind, text = row["error"]
        raise rebuilt(getattr(errors, kind, SiltstoneError), text)
    result: R = decode(get_type_hints(type(task).run)["return"], row["result"])
    return result


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
