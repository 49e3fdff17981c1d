"""Every member of every record with its own text: all lines at once, and one by one where that has no proof."""

import json

import orjson
import polars as pl
from hypothesis import example, given, settings
from hypothesis import strategies as st

from siltstone.formats.documents import Document, ParseRules
from siltstone.formats.ndjson.members import BOOLEAN, JSON, MISFIT, NULL, NUMBER, TEXT, objects_of, read_members
from siltstone.formats.ndjson.tokens import BadJson, Token, scan_object
from support.parsing import document
from support.rounds import examples

KINDS = {"null": NULL, "number": NUMBER, "boolean": BOOLEAN, "string": TEXT, "json": JSON, "misfit": MISFIT}


def members(*lines: str | bytes, objects: frozenset[str] = frozenset()) -> list[tuple[int, str, str | None, int]]:
    found = read_members([document(*lines)], ParseRules(), objects)
    return found.frame.select("record", "key", "text", "kind").rows()


def test_each_value_keeps_its_kind_and_its_text() -> None:
    line = '{"a": 5.10, "b":"5.10" ,"c":true,"d":null,"e":{"x":[]},"f":-1E+3}'
    flat = line.replace("[]", "1")
    expected = [
        (0, "a", "5.10", NUMBER),
        (0, "b", "5.10", TEXT),
        (0, "c", "true", BOOLEAN),
        (0, "d", None, NULL),
        (0, "e", '{"x":1}', JSON),
        (0, "f", "-1E+3", NUMBER),
    ]
    assert members(flat) == expected
    assert members(line) == [(*m[:2], '{"x":[]}', JSON) if m[1] == "e" else m for m in expected]
    assert read_members([document(flat)], ParseRules()).careful == set()
    assert read_members([document(line)], ParseRules()).careful == {0}


def test_members_of_named_objects_stand_for_them_in_both_lanes() -> None:
    line = '{"d":{"t":1,"u":{"v":2,"w":{}},"x":{}},"e":{"t":3}}'
    expected = [
        (0, "d.t", "1", NUMBER),
        (0, "d.u.v", "2", NUMBER),
        (0, "d.u.w", "{}", JSON),
        (0, "d.x", "{}", JSON),
        (0, "e", '{"t":3}', JSON),
    ]
    objects = objects_of(["d.u.v"])
    assert objects == {"d", "d.u"}
    assert members(line, objects=objects) == expected
    assert members(line[:-1] + ',"z":"\\n"}', objects=objects) == [*expected, (0, "z", "\n", TEXT)]


def test_a_repeated_key_counts_once_and_the_others_are_kept_apart() -> None:
    found = read_members([document('{"a":1,"a":2}', '{"a":3}')], ParseRules())
    assert found.frame.select("record", "key", "text").rows() == [(0, "a", "1"), (1, "a", "3")]
    assert found.repeated.select("record", "key", "text").rows() == [(0, "a", "2")]


def test_bad_lines_are_refused_with_their_place_and_the_others_stay() -> None:
    first = document('{"a":1}', "", '{"a":"x}', b'{"a":"\xff"}', '{"a":2} ', index=3)
    second = Document(5, b'{"a":4}\r\n{"a":[5', truncated=True)
    found = read_members([first, second], ParseRules())
    assert found.frame["text"].to_list() == ["1", "2", "4"]
    assert (found.document.tolist(), found.line.tolist()) == ([3, 3, 5], [0, 4, 0])
    assert [(b.document, b.line, b.offset, b.raw) for b in found.bad] == [
        (3, 2, 9, b'{"a":"x}'),
        (3, 3, 18, b'{"a":"\xff"}'),
    ]
    assert found.careful == {3, 5}


def test_limits_hold_in_both_lanes() -> None:
    long, wide, deep = '{"a":"' + "x" * 90 + '"}', '{"a":1,"b":2,"c":3}', '{"a":{"b":{"c":{}}}}'
    found = read_members([document(long, wide, deep)], ParseRules(max_line_bytes=90, max_keys=2, max_depth=2))
    assert [b.reason.partition(" (")[0] for b in found.bad] == [
        "line of 98 bytes is over limits.max_line_kb",
        "over limits.max_keys",
        "nested deeper than limits.max_depth",
    ]
    assert found.bad[0].raw == b""


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5).filter(lambda t: t.isprintable()),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["x", "y", "ü"]), inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(st.sampled_from(["a", "b", "ab", "d.u", "ключ", ""]), VALUES, max_size=4)
LINES = OBJECTS.map(lambda o: json.dumps(o, ensure_ascii=False, separators=(",", ":")))
JUNK = st.text(st.sampled_from('{}[]":,\\ \t\r\x01ante1.-+Eé'), max_size=24)


@given(st.lists(LINES | JUNK, max_size=6), st.booleans())
@example(['{"a":1}}', '{"a":1', '{"a":1},{"b":2}', '{"a":01}', '{"a" :1}', '{"a":"b":1}', "{}{}", '{,"a":1}'], False)
@example(['{"a":"x', 'y":1}', '{"a":1,}', '{"a":tru}', '{"a":1 2}', '{"a":"b"c}', '{"a"}', "{:1}", '{"a":}'], True)
@example(
    ['{"a":{"x":Infinity}}', '{"a":{"x":tru}}', '{"a":{"x":{"y":01}}}', '{"a":{"x":null,"y":{"z":-1.5e3}}}'], False
)
@settings(max_examples=examples(100), deadline=None)
def test_all_lines_at_once_say_what_each_line_says_alone(lines: list[str], wide: bool) -> None:
    if wide:
        lines = [line.replace(":", " : ").replace(",", " ,") for line in lines]
    found = read_members([document(*lines)], ParseRules())
    expected: list[list[Token]] = []
    bad = []
    for number, line in enumerate(lines):
        if not line or line.isspace():
            continue
        try:
            expected.append(scan_object(line.removesuffix("\r"), max_keys=10_000, max_depth=64))
        except (BadJson, UnicodeEncodeError):
            bad.append(number)
    assert [b.line for b in found.bad] == bad
    both = pl.concat([found.frame, found.repeated]).sort("record", maintain_order=True)
    actual = [
        [(m["key"], m["text"], m["kind"]) for m in both.filter(pl.col("record") == r).iter_rows(named=True)]
        for r in range(len(found.line))
    ]
    wanted = [
        [
            (t.key, orjson.loads(t.text) if t.kind == "string" else None if t.kind == "null" else t.text, KINDS[t.kind])
            for t in tokens
        ]
        for tokens in expected
    ]
    assert [sorted(a, key=str) for a in actual] == [sorted(w, key=str) for w in wanted]
