"""A block's contradictions, each named by its key."""

from dataclasses import fields
from typing import Any

import pytest

from siltstone.mapping.records_options import RecordsOptions

PLAIN: dict[str, Any] = {"time": ["t"], "value": "v"}


def found(**keys: Any) -> list[str]:
    return [problem.partition(":")[0] for problem in RecordsOptions.from_plain({**PLAIN, **keys}).problems()]


def test_a_plain_block_has_none() -> None:
    assert found() == []
    assert found(value="", wide=["*", "a.*"], device="path:/([^/]+)/", site="=x", sentinels=["-200"]) == []
    assert found(format="csv", delimiter=";", decimal=",", version="n", duplicates="version") == []


@pytest.mark.parametrize(
    ("keys", "about"),
    [
        ({"wide": ["a"]}, "value, wide"),
        ({"value": ""}, "value, wide"),
        ({"value": "", "wide": ["a"], "measurement": "m"}, "measurement"),
        ({"value": "", "wide": ["*", "a"]}, "wide"),
        ({"value": "", "wide": ["t"]}, "wide"),
        ({"value": "=5"}, "value"),
        ({"value": "t"}, "value, quality, version, time"),
        ({"device": "path:abc"}, "device"),
        ({"series": ["a", "path:("]}, "series"),
        ({"time": []}, "time"),
        ({"time": ["a", "b", "c"]}, "time"),
        ({"time": ["path:(x)"]}, "time"),
        ({"time_format": "iso"}, "time_format"),
        ({"time_format": "%Y", "time_unit": "s"}, "time_unit"),
        ({"zone": "Europe/Roma"}, "zone"),
        ({"earliest": "yesterday"}, "earliest"),
        ({"future_hours": -1}, "future_hours"),
        ({"format": "csv", "delimiter": ";;"}, "delimiter"),
        ({"format": "csv", "decimal": ","}, "decimal"),
        ({"delimiter": ";"}, "delimiter, decimal"),
        ({"duplicates": "version"}, "duplicates"),
        ({"quality": "q", "qualities": {"ok": "fine"}}, "qualities.ok"),
        ({"qualities": {"ok": "good"}}, "qualities"),
    ],
    ids=str,
)
def test_each_contradiction_is_named(keys: dict[str, Any], about: str) -> None:
    assert found(**keys) == [about]


def test_a_single_text_is_a_list_of_one() -> None:
    assert RecordsOptions.from_plain({"time": "t", "wide": ""}) == RecordsOptions(time=("t",))


def test_every_key_is_documented() -> None:
    assert RecordsOptions.__doc__ is not None
    assert [f.name for f in fields(RecordsOptions) if f"`{f.name}`" not in RecordsOptions.__doc__] == []
