"""Which Spark session there is."""

from types import SimpleNamespace
from typing import Any

import pyspark.sql
import pytest

from siltstone.engine.session import spark_session
from siltstone.errors import UsageError


def test_a_connect_server_is_asked_for_nothing_but_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    connect_to(monkeypatch, lambda: "a session")
    assert spark_session("tests", delta=True) == "a session"


def test_a_client_that_lacks_what_connect_needs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking() -> Any:
        raise ImportError("grpcio >= 1.48.1 must be installed.")

    connect_to(monkeypatch, lacking)
    with pytest.raises(
        UsageError, match=r"can't begin: grpcio >= 1.48.1 must be installed\. pip install 'pyspark\[conn"
    ):
        spark_session("tests")


def connect_to(monkeypatch: pytest.MonkeyPatch, session: Any) -> None:
    """No session is active; a builder that knows neither master nor settings makes one."""
    monkeypatch.setenv("SPARK_REMOTE", "sc://127.0.0.1:1")
    builder = SimpleNamespace(getOrCreate=session)
    monkeypatch.setattr(pyspark.sql, "SparkSession", SimpleNamespace(getActiveSession=lambda: None, builder=builder))
