"""Where tasks run: processes of this machine. `spark_engine` is apart, since it imports more."""

from siltstone.engine.local import LocalEngine

__all__ = ["LocalEngine"]
