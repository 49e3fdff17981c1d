"""Which Spark session there is."""

import sys

import pytest

from siltstone.errors import UsageError
from siltstone.session import spark_session


def test_a_connect_server_without_what_its_client_needs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_REMOTE", "sc://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "grpc", None)
    with pytest.raises(UsageError, match=r"SPARK_REMOTE asks for, .*grpc.*pip install 'pyspark\[connect\]'"):
        spark_session("tests")
