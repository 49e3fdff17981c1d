"""Plan files: tasks as JSON in the table's folder, run where Spark puts them."""

import json

from siltstone.bins import Bin
from siltstone.checks import DataCheck, SourceCheck
from siltstone.errors import SiltstoneError, StorageError
from siltstone.rewriting import Rewrite
from siltstone.storage import Storage

_Kind = type[Bin] | type[Rewrite] | type[SourceCheck] | type[DataCheck]
_KINDS: dict[str, _Kind] = {kind.__name__: kind for kind in (Bin, Rewrite, SourceCheck, DataCheck)}


def run_plan(table_root: str, path: str) -> bytes:
    """Run the task of a plan file; its result as JSON, or the error that no retry would mend.

    Raises StorageError, for Spark to try the task again.
    """
    fetched = Storage(table_root).read(path)
    if fetched is None:
        raise StorageError(f"{table_root}/{path} is gone", "Run again.")
    plan = json.loads(fetched.data)
    try:
        result = _KINDS[plan["kind"]].from_dict(plan["task"]).run().as_dict()
    except StorageError:
        raise
    except SiltstoneError as error:
        result = {"error": [type(error).__name__, str(error)]}
    return json.dumps(result).encode()
