"""The fast lanes: what they prove, what they must refuse, and that they never differ from the careful lane."""

import json
import math
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from siltstone.formats.documents import Document, Parsed, ParseRules
from siltstone.formats.ndjson import structure_counts as marks
from siltstone.formats.ndjson.careful import parse_careful
from siltstone.formats.ndjson.fast import parse_inferred, parse_typed
from siltstone.model.contracts import Column
from siltstone.model.schema import Schema
from support.parsing import assert_same, cells_of, columns, document, rows_by_key
from support.rounds import examples

RULES = ParseRules()
KNOWN = columns(d="double", s="string", t="string", i="bigint", j="int", b="boolean", n="json")


def test_the_typed_lane_gives_every_column_of_the_schema_and_the_place_of_each_row() -> None:
    files = [document('{"d":1,"s":"x"}', '{"s":null}', index=4), document('{"d": 2.5}', index=9)]
    parsed = parse_typed(files, columns(d="double", s="string"), RULES)
    assert parsed is not None
    assert_same(
        parsed.table,
        pa.table(
            {
                "d": pa.array([1.0, None, 2.5]),
                "s": pa.array(["x", None, None], pa.large_string()),
                "_rescued": pa.nulls(3, pa.large_string()),
            }
        ),
    )
    assert (parsed.document.tolist(), parsed.line.tolist()) == ([4, 4, 9], [0, 1, 0])
    # file 4 has keys d, s, s with one null, file 9 has one key
    assert (parsed.keys, parsed.nulls) == ({4: 3, 9: 1}, {4: 1, 9: 0})
    assert cells_of(parsed, files) == [[2, 2, 0, 0], [1, 0, 1, 0], [1, 1, 0, 0]]


def test_the_inferred_lane_brings_new_columns_in_order_of_sight() -> None:
    files = [document('{"x":1,"f":true}', '{"x":2.5,"é":"y","gone":null}')]
    result = parse_inferred(files, columns(d="double"), ParseRules(hints={"F": "boolean"}))
    assert result is not None
    parsed, schema = result
    assert [(c.key, c.kind) for c in schema.columns] == [
        ("d", "double"),
        ("x", "double"),
        ("f", "boolean"),
        ("é", "string"),
    ]  # polars itself says x, é, gone, f
    assert rows_by_key(parsed, schema) == [{"x": 1.0, "f": True}, {"x": 2.5, "é": "y"}]
    assert cells_of(parsed, files) == [[2, 2, 0, 0], [3, 2, 1, 0]]


def test_integers_become_doubles_unless_the_schema_says_bigint() -> None:
    result = parse_inferred([document('{"x":1,"i":9007199254740993}')], columns(i="bigint"), RULES)
    assert result is not None
    assert rows_by_key(result[0], result[1]) == [{"i": 9007199254740993, "x": 1.0}]


@pytest.mark.parametrize("text", ["-0.0", "-0e1", "-0", " -0 ", "\t-0"])
def test_minus_zero_keeps_its_sign_in_every_lane(text: str) -> None:
    one = document('{"d":1,"s":"2025-01-05"}', f'{{"s":"x-0 y","d":{text}}}')
    typed, inferred = parse_typed([one], KNOWN, RULES), parse_inferred([one], Schema(()), RULES)
    assert (typed is None) == (inferred is None) == (text.strip() == "-0")
    careful, _ = parse_careful(one, KNOWN, RULES)
    tokens, _ = parse_careful(document(f'{{"s":"\\"","d":{text}}}'), KNOWN, RULES)
    for parsed in filter(None, (typed, inferred and inferred[0], careful, tokens)):
        assert math.copysign(1, parsed.table.column("d").to_pylist()[-1]) == -1


def test_an_integer_of_minus_zero_is_zero() -> None:
    parsed, _ = parse_careful(document('{"i":-0}'), KNOWN, RULES)
    assert parsed.table.column("i").to_pylist() == [0]


def test_windows_line_ends_a_missing_last_end_and_a_byte_order_mark_are_no_obstacle() -> None:
    parsed = parse_typed([Document(0, b'\xef\xbb\xbf{"d":1}\r\n{"d":2}')], KNOWN, RULES)
    assert parsed is not None
    assert parsed.table.column("d").to_pylist() == [1.0, 2.0]


def test_keys_with_other_names_than_their_columns() -> None:
    # `a b` is stored as a_b, and the key a_b under a name of its own
    schema = Schema(()).extended([("a b", "double"), ("a_b", "double")])
    line = document('{"a b":1,"a_b":2}')
    for parsed in (parse_typed([line], schema, RULES), (parse_inferred([line], schema, RULES) or [None])[0]):
        assert parsed is not None
        assert rows_by_key(parsed, schema) == [{"a b": 1.0, "a_b": 2.0}]


@pytest.mark.parametrize(
    "line",
    [
        '{"lost":5}',
        '{"d":1,"d":2}',
        '{"D":1}',
        '{"s":5}',
        '{"s":true}',
        '{"s":[]}',
        '{"s":["x"]}',  # balances but for its bracket: two quotes, one text cell
        '{"s":["x","y"],"t":5}',
        '{"s":[{"a":null},"x"]}',
        '{"s":[":null"]}',
        '{"s":{"a":null}}',
        '{"s":{"a":null},"t":["x","y"]}',
        '{"n":[1]}',
        '{"s":":x","lost":5}',
        '{"s":"x:null","lost":5}',
        '{"s":":null","lost":5}',
        '{"s":": null"}',
        '{":null":5}',
        '{"s":":n"}',
        '{"s":": n"}',
        '{"s":":n","lost":5}',
        '{"s":": nx","lost":5}',
        '{":n":5}',
        '{": n":5,"lost":"x"}',
        '{"s":  null}',  # two blanks: a null that the marks miss
        '{"s":":n","t":["x"]}',  # the mark hides a lost cell, but the quotes don't balance
        '{"s"  :5,"lost":7}',  # two blanks hide a key from the count, the number in a text column its quotes
        '{"s"\t :5,"lost":7}',
        '{"s"\t:5,"lost":7}',
        '{"d" :1}',
        '{"s":"\\ud800"}',
        '{"s":"\\uDFFF"}',
        '{"s":"\\""}',
        '{"s":"\\":5,\\"lost"}',
        '{"s":"x","\\u0073":"lost"}',
        '{"s":"\\x"}',
        '{"d":9007199254740993}',
        '{"d":-9007199254740992}',
        '{"d":9007199254740993,"d":1.5}',
        '{"d":1e400}',
        '{"d":true}',
        '{"d":"1.5"}',
        '{"d":NaN}',
        '{"i":1.5}',
        '{"i":9223372036854775808}',
        '{"j":2147483648}',
        '{"b":1}',
        '{"d":1}{"d":2}',
        '{"d":1} x',
        "[1]",
        "5",
        "null",
        '"x"',
        "",
        "  ",
    ],
)
def test_the_typed_lane_refuses_what_it_can_not_prove(line: str) -> None:
    assert parse_typed([document('{"d":1,"s":"ok"}', line)], KNOWN, RULES) is None
    result = parse_inferred([document('{"d":1,"s":"ok","t":"ok"}', line)], KNOWN, RULES)
    if result is not None:
        assert_as_careful([document('{"d":1,"s":"ok","t":"ok"}', line)], *result, KNOWN, RULES)


@pytest.mark.parametrize("byte", [b"\xff", b"\x00", b"\x1f", b"\t", b"\xed\xa0\x80"])
def test_text_that_is_no_utf8_or_holds_raw_control_characters_is_refused(byte: bytes) -> None:
    line = document(b'{"s":"a' + byte + b'"}')
    assert parse_typed([line], KNOWN, RULES) is None
    assert parse_inferred([line], KNOWN, RULES) is None


def test_escapes_in_texts_and_keys_are_decoded() -> None:
    schema = columns(é="string", s="string")
    parsed = parse_typed([document('{"\\u00e9":"a\\/b\\\\ \\u00b0C","s":"\\n\\u0000\\u003anull"}')], schema, RULES)
    assert parsed is not None
    assert rows_by_key(parsed, schema) == [{"é": "a/b\\ °C", "s": "\n\0:null"}]
    assert parsed.keys == {0: 2}


def test_a_text_that_looks_like_an_array_only_costs_time() -> None:
    line = document('{"s":"[km/h]"}')
    assert parse_typed([line], KNOWN, RULES) is None
    assert parse_typed([document('{"s":"speed [km/h]","d":1}')], KNOWN, RULES) is not None


def test_lines_over_the_limit_are_refused_before_parsing() -> None:
    line = document('{"s":"' + "x" * 100 + '"}')
    assert parse_typed([line], KNOWN, ParseRules(max_line_bytes=50)) is None
    assert parse_typed([line], KNOWN, ParseRules(max_line_bytes=300)) is not None


def test_thousands_of_tiny_documents_are_proven_at_once() -> None:
    # file n has n % 3 lines of two keys, the second one null in every other file; no last line has an end
    texts = [b"\n".join([b'{"d":%d,"s":%s}' % (n, b"null" if n % 2 else b'"x y"')] * (n % 3)) for n in range(3_000)]
    parsed = parse_typed([Document(10 + n, text) for n, text in enumerate(texts)], KNOWN, RULES)
    assert parsed is not None
    assert parsed.table.num_rows == 3_000
    assert parsed.document.tolist() == [10 + n for n in range(3_000) for _ in range(n % 3)]
    assert parsed.line.tolist() == [line for n in range(3_000) for line in range(n % 3)]
    assert parsed.table.column("d").to_pylist() == [n for n in range(3_000) for _ in range(n % 3)]
    assert parsed.keys == {10 + n: 2 * (n % 3) for n in range(3_000)}
    assert parsed.nulls == {10 + n: n % 3 if n % 2 else 0 for n in range(3_000)}


def test_a_document_of_many_blocks_is_counted_to_its_last_byte() -> None:
    line = '{"d":1.25,"s":null,"t":"' + "y" * 20_000 + '"}'  # 20,026 bytes, so that lines lie across all block ends
    parsed = parse_typed([document(*[line] * 80), document(line, index=1)], KNOWN, RULES)
    assert parsed is not None
    assert (parsed.keys, parsed.nulls) == ({0: 240, 1: 3}, {0: 80, 1: 1})
    assert parse_typed([document(*[line] * 80, '{"d":1,"lost":1}')], KNOWN, RULES) is None


def test_more_columns_than_the_cap_are_refused() -> None:
    line = document('{"x":1,"y":2}')
    assert parse_inferred([line], columns(d="double"), ParseRules(max_columns=2)) is None
    assert parse_inferred([line], columns(d="double"), ParseRules(max_columns=3)) is not None


@pytest.mark.parametrize("hint", ["string", "int", "json", "boolean"])
def test_a_value_against_its_hint_is_refused(hint: str) -> None:
    assert parse_inferred([document('{"x":1.5}')], Schema(()), ParseRules(hints={"x": hint})) is None


def test_two_spellings_of_one_column_are_refused() -> None:
    assert parse_inferred([document('{"Speed":1}', '{"speed":2}')], Schema(()), RULES) is None
    result = parse_inferred([document('{"speed":2}')], columns(Speed="double"), RULES)
    assert result is not None
    assert rows_by_key(*result) == [{"Speed": 2.0}]


def test_no_text_no_proof() -> None:
    assert parse_typed([Document(0, b"")], KNOWN, RULES) is None
    assert parse_inferred([Document(0, b"\xef\xbb\xbf")], KNOWN, RULES) is None


def assert_as_careful(
    documents: list[Document], parsed: Parsed, schema: Schema, base: Schema, rules: ParseRules
) -> None:
    """The careful lane, document by document, has the same rows, places, counts and columns."""
    rows: list[dict[str, Any]] = []
    places: list[tuple[int, int]] = []
    cells: list[list[int]] = []
    careful_schema = base
    for one in documents:
        careful, careful_schema = parse_careful(one, careful_schema, rules)
        assert list(careful.bad) == []
        rows += rows_by_key(careful, careful_schema)
        places += zip(careful.document.tolist(), careful.line.tolist(), strict=True)
        cells += cells_of(careful, documents)
    assert rows_by_key(parsed, schema) == rows
    assert list(zip(parsed.document.tolist(), parsed.line.tolist(), strict=True)) == places
    assert cells_of(parsed, documents) == cells
    assert sum(parsed.keys.values()) == sum(row[0] for row in cells)
    assert sum(parsed.nulls.values()) == sum(row[2] for row in cells)
    assert schema == careful_schema


NUMBERS = st.one_of(
    st.sampled_from(
        [
            *("0", "1", "-1", "1.5", "5.10", "1e3", "-0", "-0.0", "1e-400", "1e400", "9007199254740991", "1.0"),
            *("9007199254740992", "9007199254740993", "-9007199254740993", "9223372036854775808", "01", "2147483648"),
            *("18446744073709551616", "340282366920938463463374607431768211456", "0.1234567890123456789012345"),
        ]
    ),
    st.floats(-1e15, 1e15).map(repr),
    st.from_regex(r"-?[1-9][0-9]{0,22}\.[0-9]{1,25}(e-?[0-9]{1,2})?", fullmatch=True),
)
TEXTS = st.one_of(
    st.sampled_from(
        [
            *('"x"', '""', '":"', '":x"', '":null"', '": null"', '"x:null"', '"[a]"', '"{}"', '"1.5"', '"NaN"'),
            *('":n"', '": n"', '":nope"', '"n"', '"n:n"', '"x: n"'),
            *(
                '"\\\\"',
                '"\\n\\t\\b\\f\\r"',
                '"\\/"',
                '"\\u0000"',
                '"\\u00e9"',
                '"\\u003anull"',
                '"\\u005b1]"',
                '"\\u0022:"',
            ),
            *('"\\ud83d\\ude00"', '"\\ud83d"', '"\\\\u0041"', '"\\\\\\""', '"\\u00"', '"\\":"', '"\\\\ud800"'),
            *('" :"', '"a :b"', '"null"', '"\\u0041"', '"\\""', '"é"', '"\x7f"', '"\u2028"', '"2020-01-01"'),
        ]
    ),
    st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"\\'), max_size=4).map('"{}"'.format),
    st.text(max_size=4).map(json.dumps),
)
NESTED = st.sampled_from(
    [
        *("[]", "{}", '["x"]', '["x","y"]', '[1,"x"]', '[":null"]', '[":x"]', '{"a":null}', '[{"a":null},"x"]'),
        *("[null]", '{"a":["x"]}', '[["x"]]', '{":":null}', '{"a":{"b":null}}', "[NaN]", '["x",null]', '[["x"],[]]'),
    ]
)
MEMBERS = st.one_of(
    st.tuples(st.sampled_from(["d", "i", "j", "x"]), NUMBERS),
    st.tuples(st.sampled_from(["s", "t", "y"]), TEXTS),
    st.tuples(st.just("b"), st.sampled_from(["true", "false"])),
    st.tuples(st.sampled_from("dstijbn"), st.just("null")),
)
POISON = st.tuples(
    st.sampled_from(
        [
            *("d", "s", "t", "i", "j", "b", "n", "D", "lost", ":k", ":null", ":n", ": n", "x:null", "", "a b", "null"),
            *("\\u0064", "x\\\\", "\\/", "\\u0022:", "\\u003an", "\\ud83d\\ude00", "\\u0058"),
        ]
    ),
    st.one_of(NUMBERS, TEXTS, NESTED, st.sampled_from(["true", "null", "NaN"])),
)
COLONS = st.sampled_from([":"] * 12 + [": ", " :", "  :", "\t:", ":  ", ":\t", " \t:"])
LINES = st.one_of(
    st.lists(st.tuples(st.one_of(MEMBERS, MEMBERS, MEMBERS, POISON), COLONS), max_size=4).map(
        lambda members: "{" + ",".join(f'"{key}"{colon}{value}' for (key, value), colon in members) + "}"
    ),
    st.sampled_from(
        ["{}", "{ }", " {} ", '{"d":1}\r', '{"d":1} ', "", "5", "null", '"x"', "[]", '{"d":1}{"d":2}', '{"d":1,}']
    ),
)
FILES = st.lists(st.lists(LINES, max_size=3), min_size=1, max_size=4)


@settings(deadline=None, max_examples=examples(200))
@given(FILES, st.sampled_from([{}, {"x": "bigint"}, {"X": "int", "lost": "string"}]), st.booleans(), st.integers(5, 60))
@example([['{"s":["x"]}']], {}, True, 60)
@example([['{"s"  :5,"lost":7}']], {}, True, 60)
@example([['{":null":5}'], ['{"s":"[a]"}']], {}, False, 60)
@example([['{"d":0,"s":":",\t":x":1,"y":2}']], {}, True, 60)
@example([['{"s":": n","b":null}'], [], ['{"s":null,":n":":n"}']], {}, False, 6)
def test_whenever_a_fast_lane_answers_the_careful_lane_says_the_same(
    files: list[list[str]], hints: dict[str, str], ends: bool, block: int
) -> None:
    rules = ParseRules(hints=hints)
    with patch.object(marks, "_BLOCK", block):
        assert_lanes_agree(files, rules, ends)


def assert_lanes_agree(files: list[list[str]], rules: ParseRules, ends: bool) -> None:
    documents = [
        Document(i, "\n".join(lines).encode() + (b"\n" if ends and lines else b"")) for i, lines in enumerate(files)
    ]
    typed = parse_typed(documents, KNOWN, rules)
    if typed is not None:
        assert_as_careful(documents, typed, KNOWN, KNOWN, rules)
    for base in (KNOWN, Schema(())):
        inferred = parse_inferred(documents, base, rules)
        if inferred is not None:
            assert_as_careful(documents, *inferred, base, rules)


RECORDS = st.fixed_dictionaries(
    {},
    optional={
        "d": st.one_of(st.none(), st.integers(-(2**53) + 1, 2**53 - 1), st.floats(-1e15, 1e15)),
        "i": st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
        "s": st.one_of(st.none(), st.text("abé :,{}]0", max_size=6).filter(lambda t: t.strip(" ")[:1] not in (":",))),
        "b": st.one_of(st.none(), st.booleans()),
    },
)


@settings(deadline=None, max_examples=examples(150))
@given(st.lists(RECORDS, min_size=1, max_size=6))
def test_plain_records_are_proven_and_equal(records: list[dict[str, Any]]) -> None:
    one = document(*(json.dumps(r, ensure_ascii=False, separators=(",", ":")) for r in records))
    typed = parse_typed([one], KNOWN, RULES)
    assert typed is not None, "the fast lane must take plain records"
    assert_as_careful([one], typed, KNOWN, KNOWN, RULES)
    assert rows_by_key(typed, KNOWN) == [
        {k: r[k] for k in sorted(r) if r[k] is not None and not (isinstance(r[k], float) and math.isnan(r[k]))}
        for r in records
    ]


@pytest.mark.parametrize("count", [1, 2_000, 60_000])
def test_rows_keep_the_order_of_their_lines_however_many_threads_read_them(count: int) -> None:
    one = document(*(f'{{"d":{n},"s":"{n}"}}' for n in range(count)))
    parsed = parse_typed([one], columns(d="double", s="string"), RULES)
    assert parsed is not None
    assert np.array_equal(parsed.table.column("d").to_numpy(), np.arange(count, dtype=float))
    assert np.array_equal(parsed.line, np.arange(count))


def test_a_column_of_kind_json_never_comes_from_a_fast_lane() -> None:
    schema = Schema((Column("n", "json", "n"),))
    assert parse_typed([document('{"n":[1]}')], schema, RULES) is None
    assert parse_typed([document('{"n":"text"}')], schema, RULES) is None
    assert parse_inferred([document('{"n":"text"}')], schema, RULES) is None


@pytest.mark.parametrize("key", ["*", "^.*$", "^d$"])
def test_keys_that_are_patterns_to_polars_are_keys(key: str) -> None:
    one = document(json.dumps({"d": 1, key: 2.5}, separators=(",", ":")), '{"d":2}')
    inferred = parse_inferred([one], Schema(()), RULES)
    assert inferred is not None
    assert rows_by_key(*inferred) == [{"d": 1.0, key: 2.5}, {"d": 2.0}]
    typed = parse_typed([one], inferred[1], RULES)
    assert typed is not None
    assert rows_by_key(typed, inferred[1]) == rows_by_key(*inferred)
