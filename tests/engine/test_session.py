"""Which Spark session there is."""

import os
import signal
import socket
import threading
from types import SimpleNamespace
from typing import Any

import pyspark.sql
import pytest

from siltstone.cli.run import guarded
from siltstone.engine.session import spark_session
from siltstone.errors import StorageError, UsageError


def test_a_connect_server_is_asked_for_nothing_but_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    session = SimpleNamespace(version="4.1.1")
    with socket.create_server(("127.0.0.1", 0)) as server:
        connect_to(monkeypatch, lambda: session, server.getsockname()[1])
        assert spark_session("tests", delta=True) is session


def test_a_client_that_lacks_what_connect_needs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking() -> Any:
        raise ImportError("grpcio >= 1.48.1 must be installed.")

    with socket.create_server(("127.0.0.1", 0)) as server:
        connect_to(monkeypatch, lacking, server.getsockname()[1])
        with pytest.raises(
            UsageError, match=r"can't begin: grpcio >= 1.48.1 must be installed\. pip install 'pyspark\[conn"
        ):
            spark_session("tests")


def test_a_server_that_nobody_runs_is_told_without_its_token(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    connect_to(monkeypatch, lambda: None, port)
    monkeypatch.setenv("SPARK_REMOTE", f"sc://127.0.0.1:{port}/;token=dapi0123")
    with pytest.raises(
        StorageError, match=rf"server at sc://127.0.0.1:{port}/;token=\*\*\*, .* Connection refused\. Check"
    ):
        spark_session("tests")


def test_a_server_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("siltstone.engine.session._ANSWER_S", 0.1)
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        connect_to(monkeypatch, ended.wait, server.getsockname()[1])
        with pytest.raises(StorageError, match=r"does not answer: no answer within 0\.1 s"):
            spark_session("tests")
    ended.set()


def test_sigterm_ends_the_wait_for_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()

    def stopped() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        ended.wait()

    with socket.create_server(("127.0.0.1", 0)) as server:
        connect_to(monkeypatch, stopped, server.getsockname()[1])
        assert guarded(lambda: bool(spark_session("tests")), debug=False) == 143
    ended.set()


def connect_to(monkeypatch: pytest.MonkeyPatch, session: Any, port: int) -> None:
    """No session is active; a builder that knows neither master nor settings makes one."""
    monkeypatch.setenv("SPARK_REMOTE", f"sc://127.0.0.1:{port}")
    builder = SimpleNamespace(getOrCreate=session)
    monkeypatch.setattr(pyspark.sql, "SparkSession", SimpleNamespace(getActiveSession=lambda: None, builder=builder))
