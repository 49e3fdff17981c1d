"""The page on adding a source, done: its example is a source like any other."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from siltstone import sources
from support.plant import Plant

PAGE = Path(__file__).parents[2] / "docs/adding-a-source.md"


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The example's module, beside the sources that there are."""
    (code,) = re.findall(r'```python\n("""Acme.*?)```', PAGE.read_text(), re.DOTALL)
    (tmp_path / "acme.py").write_text(code)
    monkeypatch.setattr(sources, "__path__", [*sources.__path__, str(tmp_path)])
    for cached in (sources.names, sources.contracts):
        cached.cache_clear()
    yield
    for cached in (sources.names, sources.contracts):
        cached.cache_clear()


@pytest.mark.usefixtures("acme")
def test_the_example_is_a_whole_source(tmp_path: Any) -> None:
    plant = Plant(tmp_path / "plant")
    plant.deliver("acme", {
        "north/pump1/20210708.csv": b"time,temp\n2021-07-08T12:00:00Z,20.5\nno time,1\n2021-07-08T12:00:01Z,\n",
        "north/pump2/20210708.csv": b"time,pressure\n2021-07-08T12:00:00Z,7\n",
    })  # fmt: skip
    summary = plant.compact("acme")
    assert (summary["records_in"], summary["rows_out"], summary["records_quarantined"]) == (3, 2, 1)
    assert summary["files_quarantined"] == 1
    assert plant.rows("series_id", "site", "s", "value") == [
        ("pump1/temp", "north", 0, 20.5),
        ("pump1/temp", "north", 1, None),
    ]
    plant.deliver("acme", {"north/pump1/20210709.csv": b"time,temp\n2021-07-08T12:00:00Z,21\n"})
    assert plant.compact("acme")["keys_replaced"] == 1
    assert plant.rows("s", "value") == [(0, 21.0), (1, None)]
    assert plant.problems() == []
