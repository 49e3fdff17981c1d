"""Marks: counted in blocks over many documents, as plain counting says document by document."""

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from siltstone.formats.ndjson import structure_counts as marks
from siltstone.formats.ndjson.structure_counts import (
    StructureCounts,
    count_cells,
    count_marks,
    has_blank_before_colon,
    has_line_over,
)
from support.rounds import examples


def marks_of(documents: list[bytes]) -> StructureCounts | None:
    sizes = np.array([len(d) for d in documents])
    return count_marks(b"".join(documents), np.cumsum(sizes) - sizes)


def test_marks_are_counted_by_document() -> None:
    counted = marks_of([b'{"a":1,"b":null}\n{"c": null}\n', b"", b"{}\n", b'{":n":"x"}\n'])
    assert counted is not None
    # the last one has a key mark at each of its key's quotes; behind the first one stands an n
    assert counted.keys.tolist() == [3, 0, 0, 2]
    assert counted.nulls.tolist() == [2, 0, 0, 1]
    assert counted.lines.tolist() == [2, 0, 1, 1]
    assert counted.quotes == 6 + 4


PIECES = st.sampled_from(
    [
        *('"', ":", "n", " ", '":', '":n', '": n', '": null', '":null', '"n":"n"', '":"n"', '":n"', '"a": ', "\t"),
        *(",", "{", "}", "null", "é", "x" * 9, '"a" :1', '": :n', '":  n', "\n", "a : b", '" ', "1"),
    ]
)


@settings(deadline=None, max_examples=examples(150))
@given(st.lists(st.lists(PIECES, max_size=12).map("".join), min_size=1, max_size=5), st.integers(1, 40))
@example(['{"a":null', "", ""], 3)
@example(['"a"\t:', '"b":n'], 40)
def test_blocks_and_documents_change_no_count(texts: list[str], block: int) -> None:
    documents = [text.encode() + b"\n" if text else b"" for text in texts]
    with patch.object(marks, "_BLOCK", block):
        counted = marks_of(documents)
    if any(has_blank_before_colon(d) for d in documents):
        assert counted is None
        return
    assert counted is not None
    assert list(zip(counted.keys.tolist(), counted.nulls.tolist(), strict=True)) == [count_cells(d) for d in documents]
    assert counted.lines.tolist() == [d.count(b"\n") for d in documents]
    assert counted.quotes == sum(d.count(b'"') for d in documents)


def test_a_text_of_several_blocks() -> None:
    line = b'{"a":1,"b": null,"c":"x : y"}\n'  # 30 bytes: 256 KiB is no multiple of it
    counted = marks_of([line * 10_000, line * 1, line * 30_000])
    assert counted is not None
    assert counted.keys.tolist() == [30_000, 3, 90_000]
    assert counted.nulls.tolist() == [10_000, 1, 30_000]
    assert counted.lines.tolist() == [10_000, 1, 30_000]
    assert counted.quotes == 8 * 40_001


@pytest.mark.parametrize(
    ("text", "keys", "nulls"),
    [
        (b"{}", 0, 0),
        (b'{"a":1,"b":null,"c": null}', 3, 2),
        (b'{"n":"n","nn":"null","a":true}', 3, 0),
        (b'{"a":"n:null, \'x\': null"}', 1, 0),
        (b'{"a":"null","b":":"}', 3, 0),  # a text that begins with a colon counts as a key: the proof refuses it
    ],
)
def test_cells_are_counted_by_their_marks(text: bytes, keys: int, nulls: int) -> None:
    assert count_cells(text) == (keys, nulls)


@pytest.mark.parametrize(
    ("text", "apart"),
    [(b'{"a":1}', False), (b'{"a" :1}', True), (b'{"a"\t :1}', True), (b'{"a":"b : c"}', False), (b'{"a":" :"}', True)],
)
def test_blanks_before_a_colon_are_seen(text: bytes, apart: bool) -> None:
    assert has_blank_before_colon(text) is apart


@pytest.mark.parametrize("limit", [1, 2, 7, 8, 100])
def test_a_long_line_is_never_overlooked(limit: int) -> None:
    for before in range(12):
        for tail in (b"", b"\n", b"\nxx\n"):
            text = b"\n" * before + b"x" * (limit + 1) + tail
            assert has_line_over(text, limit)
    assert not has_line_over(b"x" * limit, limit)
    assert not has_line_over((b"x" * (limit // 3) + b"\n") * 50, limit)


@pytest.mark.parametrize("ahead", [0, 1, 25, 26, 27, 28])
@pytest.mark.parametrize(("number", "is_so"), [("-0", True), ("-0 ", True), ("-0.5", False), ("10", False)])
@patch.object(marks, "_BLOCK", 16)
def test_minus_zero_is_found_wherever_blocks_end(ahead: int, number: str, is_so: bool) -> None:
    """`ahead` bytes of blanks let the number stand at the end of a block of 16 pairs, or at odd places."""
    text = f'{{"a":{number}}}\n'.encode()
    assert marks.has_minus_zero(b" " * ahead + text) is is_so
    assert marks.has_minus_zero(b" " * ahead + text + b'{"a":"2025-01-0, x"}\n' * 3) is is_so
    assert marks.has_minus_zero(b'{"a":"2025-01-0, x"}\n' * 3 + b" " * (ahead % 2) + text) is is_so
