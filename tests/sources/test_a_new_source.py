"""The page on adding a source, done: its example is a source like any other."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from siltstone import sources
from siltstone.config.load import load_config
from siltstone.config.task_settings import options_of
from siltstone.errors import ConfigError
from support.plant import Plant

PAGE = Path(__file__).parents[2] / "docs/adding-a-source.md"


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The example's module, beside the sources that there are."""
    source, options = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "acme.py").write_text(source + options)
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


@pytest.mark.usefixtures("acme")
def test_the_example_loses_nothing(tmp_path: Any) -> None:
    plant = Plant(tmp_path / "plant")
    plant.deliver("acme", {
        "north/pump1/20210708.csv": b"time,temp\n2021-07-08T12:00:00Z,20.5\n2021-07-08T12:00:01Z,off\n",
        "north/pump2/20210708.csv": b"time,temp,unit\n2021-07-08T12:00:02Z,1e999,C\n2021-07-08T12:00:03Z,7,\n",
    })  # fmt: skip
    plant.compact("acme")
    assert plant.rows("series_id", "s", "value", "text", "kind", "_rescued") == [
        ("pump1/temp", 0, 20.5, None, "double", None),
        ("pump1/temp", 1, None, "off", "string", None),
        ("pump2/temp", 2, None, None, "double", '{"unit":"C","temp":"1e999"}'),
        ("pump2/temp", 3, 7.0, None, "integer", None),
    ]
    assert plant.problems() == []


@pytest.mark.usefixtures("acme")
def test_the_example_has_options_of_its_own() -> None:
    assert options_of(load_config(), "acme") == {"earliest": "1970-01-01", "future_hours": 24, "zone": "UTC"}
    with pytest.raises(ConfigError, match=r"sources\.acme\.zone: 'Mars' is no time zone"):
        load_config(settings=["sources.acme.zone=Mars"])


def test_the_example_is_short() -> None:
    source, _ = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len([line for line in source.splitlines() if line.strip()]) <= 45
