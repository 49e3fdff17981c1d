"""The members of one object, each with its own text; everything else is refused with a reason."""

import json

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siltstone.formats.ndjson.tokens import BadJson, Token, scan_object
from support.rounds import examples


def scan(text: str, *, max_keys: int = 100, max_depth: int = 64) -> list[Token]:
    return scan_object(text, max_keys=max_keys, max_depth=max_depth)


def test_members_come_in_order_with_repeated_keys_and_their_own_text() -> None:
    text = ' { "a" : 5.10 , "b":"x y","a":null,"n":{"k": [1, 2]},"t":true,"e":[] } '
    assert scan(text) == [
        Token("a", "5.10", "number"),
        Token("b", '"x y"', "string"),
        Token("a", "null", "null"),
        Token("n", '{"k": [1, 2]}', "json"),
        Token("t", "true", "boolean"),
        Token("e", "[]", "json"),
    ]


def test_keys_are_decoded_and_values_keep_their_escapes() -> None:
    assert scan(r'{"k\u00e9\"":"a\u0041"}') == [Token('ké"', r'"a\u0041"', "string")]


@pytest.mark.parametrize("text", ["{}", " { } ", "{\t}"])
def test_an_empty_object_has_no_members(text: str) -> None:
    assert scan(text) == []


@pytest.mark.parametrize("number", ["0", "-0", "-0.0", "1e400", "1E+5", "18446744073709551616", "0.1e-7"])
def test_numbers_of_any_size(number: str) -> None:
    assert scan(f'{{"a":{number}}}') == [Token("a", number, "number")]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "[NaN]", '{"a":[1,-Infinity]}'])
def test_values_that_json_has_no_name_for_are_misfits(value: str) -> None:
    assert scan(f'{{"a":{value}}}') == [Token("a", value, "misfit")]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not a JSON object: begins with ''"),
        ("[1]", "not a JSON object"),
        ("5", "not a JSON object"),
        ('"x"', "not a JSON object"),
        ("null", "not a JSON object: begins with 'null'"),
        ('{"a":1}{"b":2}', "text behind the object at character 7: '{\"b\":2}'"),
        ('{"a":1} x', "text behind the object at character 7: 'x'"),
        ("{} ,", "text behind the object at character 2: ','"),
        ('{"a":1', "neither comma nor end of object at character 6"),
        ('{"a":1 "b":2}', "neither comma nor end of object at character 6"),
        ('{"a":1,}', "no key at character 7"),
        ("{a:1}", "no key at character 1"),
        ("{'a':1}", "no key at character 1"),
        ("{\x0c}", "no key at character 1"),
        ('{"a"}', "no key at character 1"),
        ('{"a":}', "no value at character 5"),
        ('{"a":01}', "no value at character 5"),
        ('{"a":+1}', "no value at character 5"),
        ('{"a":.5}', "no value at character 5"),
        ('{"a":1.}', "no value at character 5"),
        ('{"a":0x1F}', "no value at character 5"),
        ('{"a":nan}', "no value at character 5"),
        ('{"a":True}', "no value at character 5"),
        ('{"a":"x\x00"}', "no value at character 5"),
        ('{"a":"x\t"}', "no value at character 5"),
        ('{"a":"x}', "no value at character 5"),
        (r'{"a":"\x"}', "string is not JSON"),
        (r'{"a":"\ud800"}', "string is not JSON"),
        (r'{"\udc00":1}', "string is not JSON"),
        (r'{"a":["\ud800"]}', "nested value is not JSON"),
        ('{"a":[1}', "nested value is not JSON"),
        ('{"a":[1,]}', "nested value is not JSON"),
        ('{"a":[1', "nested value without end at character 5"),
        ('{"a":{"b":"}"', "nested value without end at character 5"),
    ],
)
def test_anything_else_is_bad_json(text: str, reason: str) -> None:
    with pytest.raises(BadJson) as caught:
        scan(text)
    assert str(caught.value).startswith(reason)


def test_depth_counts_brackets_up_to_the_limit() -> None:
    assert scan('{"a":[[{"b":1}]]}', max_depth=3)[0].kind == "json"
    with pytest.raises(BadJson, match=r"nested deeper than limits\.max_depth \(3\)"):
        scan('{"a":[[{"b":[]}]]}', max_depth=3)


@pytest.mark.parametrize("max_depth", [64, 5_000])
def test_nesting_of_1500_is_a_bad_record_and_no_crash(max_depth: int) -> None:
    with pytest.raises(BadJson, match="nested"):
        scan('{"a":' + "[" * 1_500 + "]" * 1_500 + "}", max_depth=max_depth)


def test_too_many_keys() -> None:
    assert len(scan('{"a":1,"b":2}', max_keys=2)) == 2
    with pytest.raises(BadJson, match=r"over limits\.max_keys \(2 keys\)"):
        scan('{"a":1,"b":2,"c":3}', max_keys=2)


def test_brackets_inside_texts_do_not_nest() -> None:
    assert scan(r'{"a":["[[{\"","]"],"b":1}', max_depth=1)[1] == Token("b", "1", "number")


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, max_examples=examples(150))
@given(st.dictionaries(st.text(), PLAIN, max_size=5), st.booleans(), st.sampled_from([None, 1]))
def test_every_object_is_read_as_json_reads_it(record: dict[str, object], ascii_only: bool, indent: int | None) -> None:
    try:
        text = json.dumps(record, ensure_ascii=ascii_only, indent=indent)
        text.encode()
        orjson.loads(text)
    except (UnicodeEncodeError, orjson.JSONDecodeError):
        return  # lone surrogates
    assert {t.key: json.loads(t.text) for t in scan(text)} == record


@settings(deadline=None, max_examples=examples(200))
@given(st.text(alphabet='{}[]":, \\ae019.-nul\n\x00é', max_size=24))
def test_random_text_is_an_object_or_bad_json_and_nothing_else(text: str) -> None:
    try:
        tokens = scan(text)
    except BadJson:
        tokens = None
    try:
        plain = orjson.loads(text)
    except orjson.JSONDecodeError:
        return
    if isinstance(plain, dict):
        assert tokens is not None
        assert {t.key for t in tokens} == set(plain)
    else:
        assert tokens is None
