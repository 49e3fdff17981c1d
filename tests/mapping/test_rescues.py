"""`_rescued` of many rows at once is what a JSON writer would make of each."""

import json

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from siltstone.mapping.rescues import RESCUES, rescue_texts
from support.rounds import examples


def test_texts_are_escaped_and_repeated_keys_are_listed() -> None:
    rows = [(1, 'k"', '"a\\"b"'), (1, "ü", "5"), (3, "x", "1"), (3, "x", "2"), (3, "y", "\x01")]
    found = rescue_texts(pl.DataFrame(rows, RESCUES, orient="row"), 5)
    assert found.to_list() == [None, r'{"k\"":"\"a\\\"b\"","ü":"5"}', None, r'{"x":["1","2"],"y":"\u0001"}', None]


@given(st.lists(st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=3), max_size=4))
@settings(max_examples=examples(60), deadline=None)
def test_every_text_comes_back(rows: list[dict[str, str]]) -> None:
    cells = [(row, key, own) for row, members in enumerate(rows) for key, own in members.items()]
    found = rescue_texts(pl.DataFrame(cells, RESCUES, orient="row"), len(rows))
    assert [json.loads(text) if text is not None else {} for text in found] == rows
