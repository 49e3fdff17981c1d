"""The careful lane: which records are bad and why, and where each value of a good one is found again."""

import hashlib
import itertools
import json
import math
from fractions import Fraction
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siltstone.formats.documents import BadRecord, Document, Parsed, ParseRules
from siltstone.formats.ndjson.careful import parse_careful
from siltstone.formats.ndjson.lanes import parse
from siltstone.model.contracts import Column
from siltstone.model.schema import Schema
from support.parsing import BASE, assert_same, cells_of, columns, document, rows_by_key
from support.rounds import examples

RULES = ParseRules()
EMPTY = Schema(())


def read(*lines: str | bytes, schema: Schema = EMPTY, rules: ParseRules = RULES) -> tuple[Parsed, Schema]:
    return parse_careful(document(*lines), schema, rules)


def reasons(parsed: Parsed) -> list[str]:
    return [bad.reason for bad in parsed.bad]


def test_rows_places_counts_and_drift_of_a_small_document() -> None:
    parsed, schema = read(
        '{"d":1.5,"s":"x"}', '{"d":"off","new":true,"gone":null}', schema=columns(d="double", s="string")
    )
    # the second record: keys d, new, gone; new is stored, gone is null, d is a misfit
    assert_same(
        parsed.table,
        pa.table(
            {
                "d": pa.array([1.5, None], pa.float64()),
                "s": pa.array(["x", None], pa.large_string()),
                "new": pa.array([None, True], pa.bool_()),
                "_rescued": pa.array([None, '{"d":"\\"off\\""}'], pa.large_string()),
            }
        ),
    )
    assert parsed.cells is not None
    assert parsed.cells.tolist() == [[2, 2, 0, 0], [3, 1, 1, 1]]
    assert (parsed.document.tolist(), parsed.line.tolist(), parsed.bad) == ([0, 0], [0, 1], [])
    assert schema.columns[2:] == (Column("new", "boolean", "new"),)


def test_bom_crlf_and_blank_lines_are_accepted_and_places_stay_true() -> None:
    # bytes: BOM 0-2, line 0 at 3 (9 bytes), blank line 1 at 12 (2 bytes), line 2 at 14 (2 bytes), line 3 at 16
    data = b'\xef\xbb\xbf{"d":1}\r\n\r\nx\n{"d":2}'
    parsed, _ = parse_careful(Document(7, data), columns(d="double"), RULES)
    assert parsed.table.column("d").to_pylist() == [1.0, 2.0]
    assert (parsed.document.tolist(), parsed.line.tolist()) == ([7, 7], [0, 3])
    assert parsed.bad == [BadRecord(7, 2, 14, "not a JSON object: begins with 'x'", b"x")]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"a":"\xff"}', "not UTF-8: invalid start byte at byte 6 of the line"),
        (b'{"a":"\xed\xa0\x80"}', "not UTF-8: invalid continuation byte at byte 6 of the line"),
        (b'{"a":"x\x00"}', "no value at character 5"),
        (b"\x00", "not a JSON object: begins with '\\x00'"),
        (rb'{"a":"\ud800"}', "string is not JSON: "),
        (b'{"a":1}{"a":2}', "text behind the object at character 7: '{\"a\":2}'"),
        (b'{"a":1} # note', "text behind the object at character 7: '# note'"),
        (b'[{"a":1}]', "not a JSON object: begins with '[{\"a\":1}]'"),
        (b"9", "not a JSON object: begins with '9'"),
        (b"null", "not a JSON object: begins with 'null'"),
        (b'{"a":1', "neither comma nor end of object at character 6"),
        (b'{"a":' + b"[" * 1500 + b"]" * 1500 + b"}", "nested deeper than limits.max_depth (64)"),
    ],
)
def test_a_line_that_is_no_record_is_bad_and_its_neighbours_stay(line: bytes, reason: str) -> None:
    parsed, _ = read('{"a":1}', line, '{"a":2}')
    assert parsed.table.column("a").to_pylist() == [1.0, 2.0]
    (bad,) = parsed.bad
    assert (bad.line, bad.offset, bad.raw) == (1, 8, line)
    assert bad.reason.startswith(reason)


def test_a_long_line_is_told_by_length_and_hash_and_not_kept() -> None:
    line = b'{"a":"' + b"x" * 60 + b'"}'  # 68 bytes
    parsed, _ = read('{"a":"y"}', line, rules=ParseRules(max_line_bytes=67))
    digest = hashlib.sha256(line).hexdigest()
    assert parsed.bad == [BadRecord(0, 1, 10, f"line of 68 bytes is over limits.max_line_kb, sha256 {digest}", b"")]
    assert read(line, rules=ParseRules(max_line_bytes=68))[0].bad == []


@pytest.mark.parametrize("value", ["1", "null", '"x"'])
def test_a_record_of_too_many_keys_is_bad(value: str) -> None:
    line = "{" + ",".join(f'"k{i}":{value}' for i in range(5)) + "}"
    assert reasons(read(line, rules=ParseRules(max_keys=4))[0]) == ["over limits.max_keys (4 keys)"]
    assert reasons(read(line, rules=ParseRules(max_keys=5))[0]) == []


def test_the_cut_last_line_of_a_truncated_document_is_no_bad_record() -> None:
    cut = Document(0, b'x\n{"a":1}\n{"a":2,"b', truncated=True)
    parsed, _ = parse_careful(cut, EMPTY, RULES)
    assert parsed.table.column("a").to_pylist() == [1.0]
    assert [bad.line for bad in parsed.bad] == [0]
    assert cut.cut_record == b'{"a":2,"b'


def test_a_whole_last_line_of_a_truncated_document_is_judged_like_any_other() -> None:
    parsed, _ = parse_careful(Document(0, b'{"a":1}\n{"a":2,"b\n', truncated=True), EMPTY, RULES)
    assert [bad.line for bad in parsed.bad] == [1]


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("1", 1.0),
        ("5.10", 5.1),
        ("1e3", 1000.0),
        ("-0.0", -0.0),
        ("1e-400", 0.0),  # a decimal takes the nearest double
        ("9007199254740992", 9007199254740992.0),  # 2^53
        ("9007199254740994", 9007199254740994.0),  # even, so a double holds it
        ("9007199254740993", None),
        ("1e308", 1e308),
        ("1e400", None),
        ("-1e400", None),
        ("NaN", None),
        ("Infinity", None),
        ("-Infinity", None),
        ('"NaN"', None),
        ('"1.5"', None),
        ("true", None),
        ("[1]", None),
        ("-9999", -9999.0),  # a sentinel is a value
    ],
)
def test_what_a_double_holds_exactly_is_stored_and_all_else_rescued_with_its_own_text(
    text: str, stored: float | None
) -> None:
    parsed, _ = read(f'{{"d":{text}}}', schema=columns(d="double"))
    if stored is None:
        assert rows_by_key(parsed, columns(d="double")) == [
            {"_rescued": json.dumps({"d": text}, separators=(",", ":"))}
        ]
    else:
        (row,) = parsed.table.to_pylist()
        assert (row["d"], math.copysign(1, row["d"]), row["_rescued"]) == (stored, math.copysign(1, stored), None)


@pytest.mark.parametrize(
    ("kind", "text", "stored"),
    [
        ("bigint", "9007199254740993", 9007199254740993),
        ("bigint", "9223372036854775807", 2**63 - 1),
        ("bigint", "-9223372036854775808", -(2**63)),
        ("bigint", "9223372036854775808", None),
        ("bigint", "123456789012345678901234567890", None),
        ("bigint", "5.0", 5),
        ("bigint", "1.5e1", 15),
        ("bigint", "150e-1", 15),
        ("bigint", "0e99999999999999999999999", 0),
        ("bigint", "5.5", None),
        ("bigint", "1e-400", None),  # not 0
        ("bigint", "7.00000000000000000001", None),  # not 7
        ("bigint", "1e16", None),  # a decimal beyond 2^53 may have been rounded by its sender
        ("bigint", "1e400", None),
        ("bigint", '"5"', None),
        ("bigint", "true", None),
        ("int", "2147483647", 2147483647),
        ("int", "2147483648", None),
        ("int", "-2147483648", -2147483648),
        ("boolean", "false", False),
        ("boolean", "0", None),
        ("boolean", '"true"', None),
        ("string", '"5"', "5"),
        ("string", '"\\u0041\\n"', "A\n"),
        ("string", '""', ""),
        ("string", "5", None),
        ("string", "true", None),
        ("string", '["x"]', None),
        ("json", '{"b": [1, 2.50]}', '{"b": [1, 2.50]}'),
        ("json", "5", None),
        ("json", '"x"', None),
        ("json", "[NaN]", None),
    ],
)
def test_each_kind_takes_its_own_values_only(kind: Any, text: str, stored: Any) -> None:
    parsed, _ = read(f'{{"k":{text}}}', schema=columns(k=kind))
    (row,) = rows_by_key(parsed, columns(k=kind))
    assert row == (
        {"k": stored} if stored is not None else {"_rescued": json.dumps({"k": text}, separators=(",", ":"))}
    )
    assert type(row.get("k")) is type(stored)


def test_null_and_missing_are_both_null_but_only_null_is_counted() -> None:
    parsed, _ = read('{"d":null}', "{}", schema=columns(d="double"))
    assert parsed.cells is not None
    assert parsed.cells.tolist() == [[1, 0, 1, 0], [0, 0, 0, 0]]
    assert parsed.table.to_pylist() == [{"_rescued": None}, {"_rescued": None}]


def test_an_unknown_key_brings_a_column_of_its_first_value() -> None:
    _, schema = read('{"n":null,"x":1,"s":"a"}', '{"n":[1],"b":false,"x":"late"}')
    assert [(c.key, c.kind) for c in schema.columns] == [
        ("x", "double"),
        ("s", "string"),
        ("n", "json"),
        ("b", "boolean"),
    ]


@pytest.mark.parametrize("value", ["NaN", "1e400", "9007199254740993", "[NaN]"])
def test_a_value_that_fits_no_kind_brings_no_column(value: str) -> None:
    parsed, schema = read(f'{{"x":{value}}}')
    assert schema.columns == ()
    assert rows_by_key(parsed, schema) == [{"_rescued": f'{{"x":"{value}"}}'}]


def test_a_hint_rules_the_kind_and_is_compared_without_case() -> None:
    rules = ParseRules(hints={"SERIAL": "bigint", "code": "string"})
    parsed, schema = read('{"serial":9007199254740993,"code":5}', '{"code":"05"}', rules=rules)
    assert [(c.key, c.kind) for c in schema.columns] == [("serial", "bigint"), ("code", "string")]
    assert rows_by_key(parsed, schema) == [
        {"serial": 9007199254740993, "_rescued": '{"code":"5"}'},
        {"code": "05"},
    ]


def test_a_key_in_another_case_goes_to_the_same_column() -> None:
    parsed, schema = read('{"VehicleSpeed":4}', '{"vehiclespeed":5}')
    assert schema.columns == (Column("VehicleSpeed", "double", "VehicleSpeed"),)
    assert rows_by_key(parsed, schema) == [{"VehicleSpeed": 4.0}, {"VehicleSpeed": 5.0}]


@pytest.mark.parametrize(
    ("line", "stored", "rescued"),
    [
        # the column's own spelling wins, wherever it stands
        ('{"SPEED":1,"Speed":2}', 2.0, {"SPEED": "1"}),
        ('{"Speed":2,"SPEED":1}', 2.0, {"SPEED": "1"}),
        # else the first
        ('{"SPEED":1,"speed":2}', 1.0, {"speed": "2"}),
        ('{"Speed":1,"Speed":2,"Speed":3.0}', 1.0, {"Speed": ["2", "3.0"]}),
        # null is no value, so it takes no place
        ('{"Speed":null,"SPEED":1}', 1.0, None),
        # the winner may be a misfit; the loser is not stored in its place
        ('{"Speed":"fast","SPEED":1}', None, {"Speed": '"fast"', "SPEED": "1"}),
    ],
)
def test_one_record_with_two_values_for_a_column(
    line: str, stored: float | None, rescued: dict[str, str] | None
) -> None:
    parsed, _ = read(line, schema=columns(Speed="double"))
    (row,) = parsed.table.to_pylist()
    assert row.get("Speed") == stored
    assert (row["_rescued"] and json.loads(row["_rescued"])) == rescued
    assert parsed.cells is not None
    keys, kept, nulls, saved = parsed.cells[0].tolist()
    assert keys == line.count('":')
    assert keys == kept + nulls + saved


@pytest.mark.parametrize("line", ['{"d"  :1,"d":2}', '{"d"\t:1,"d":2}', '{"d" \t :1,"d":2}'])
def test_a_repeated_key_is_seen_whatever_stands_before_the_colon(line: str) -> None:
    parsed, _ = read(line, schema=columns(d="double"))
    assert parsed.table.to_pylist() == [{"d": 1.0, "_rescued": '{"d":"2"}'}]


def test_values_beyond_the_cap_on_columns_are_rescued() -> None:
    parsed, schema = read('{"a":1,"b":2,"c":"x"}', '{"c":null,"a":2}', rules=ParseRules(max_columns=2))
    assert [c.key for c in schema.columns] == ["a", "b"]
    assert rows_by_key(parsed, schema) == [{"a": 1.0, "b": 2.0, "_rescued": '{"c":"\\"x\\""}'}, {"a": 2.0}]


def test_5000_new_keys_stop_at_the_cap() -> None:
    line = "{" + ",".join(f'"k{i}":{i}' for i in range(5_000)) + "}"
    parsed, schema = read(line, schema=BASE, rules=ParseRules(max_columns=103))
    assert len(schema.columns) == 103
    assert parsed.cells is not None
    assert parsed.cells.tolist() == [[5_000, 100, 0, 4_900]]


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("a b", "a_b"),
        ("a.b", "a.b"),
        ("température", "température"),
        ("a,b;c{d}e(f)g=h", "a_b_c_d_e_f_g_h"),
        ("", "_"),
        # reserved names get the beginning of the key's sha256, `printf %s ts | sha256sum`
        ("ts", "ts_44ad63f6"),
        ("SOURCE_FILE", "SOURCE_FILE_4b80d807"),
        ("hiveperiod", "hiveperiod_5ce97d04"),
    ],
)
def test_names_of_columns_are_what_delta_takes_and_the_key_is_kept(key: str, name: str) -> None:
    parsed, schema = read(json.dumps({key: 1}), schema=Schema((), ("ts", "hiveperiod", "source_file", "_rescued")))
    assert schema.columns == (Column(name, "double", key),)
    assert rows_by_key(parsed, schema) == [{key: 1.0}]


KEYS = st.sampled_from(["a", "A", "b", "c c", "c_c", "ts", "", "é"])
TOKENS = st.one_of(
    st.sampled_from(
        [
            *("null", "true", "false", "NaN", "Infinity", "1e400", "-0.0", "0", "-9999", "5.10", '"NaN"', '"5"', '""'),
            *("9007199254740993", "9223372036854775808", "1e-400", "1.0", "[]", '["x"]', '{"a": null}', "[NaN]"),
        ]
    ),
    st.integers(-(10**20), 10**20).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.text(max_size=5).map(json.dumps).filter(lambda text: "\\ud" not in text),
)
RECORDS = st.lists(st.tuples(KEYS, TOKENS), max_size=5)


def text_of(members: list[tuple[str, str]]) -> str:
    return "{" + ",".join(f"{json.dumps(key)}:{token}" for key, token in members) + "}"


def holds(cell: Any, kind: str, token: str) -> bool:
    """Whether a cell holds exactly the value that the token writes."""
    if cell is None or token[0] in "NI" or token.startswith("-I"):
        return False
    if kind == "json":
        return bool(cell == token)
    value = json.loads(token, parse_int=Fraction, parse_float=str)
    if isinstance(value, str) and kind == "double":  # a decimal takes the nearest double
        return token[0] != '"' and float(value) == cell
    if isinstance(value, str) and kind in ("bigint", "int"):
        return token[0] != '"' and Fraction(value) == cell
    return bool(value == cell) and isinstance(value, bool) == isinstance(cell, bool)


def assert_nothing_lost(members: list[tuple[str, str]], row: dict[str, Any], counts: list[int], schema: Schema) -> None:
    rescued = {k: v if isinstance(v, list) else [v] for k, v in json.loads(row.pop("_rescued") or "{}").items()}
    cells = {name: value for name, value in row.items() if value is not None}
    nulls = sum(token == "null" for _, token in members)
    assert counts == [len(members), len(cells), nulls, sum(map(len, rescued.values()))]
    assert counts[0] == sum(counts[1:])
    for key, token in members:
        if token != "null" and token not in rescued.get(key, []):
            column = schema.column_for(key)
            assert column is not None
            assert holds(cells.pop(column.name), column.kind, token), (key, token)
        elif token != "null":
            rescued[key].remove(token)
    assert (cells, [texts for texts in rescued.values() if texts]) == ({}, [])


@settings(deadline=None, max_examples=examples(75))
@given(
    st.lists(st.lists(RECORDS, min_size=1, max_size=3), min_size=1, max_size=3),
    st.sampled_from([{}, {"a": "bigint"}, {"B": "string", "a": "int"}]),
)
def test_every_value_is_found_again_whatever_the_order_of_the_documents(
    files: list[list[list[tuple[str, str]]]], hints: dict[str, str]
) -> None:
    base = Schema((Column("a", "double", "a"),), ("ts", "_rescued"))
    for order in itertools.permutations(range(len(files))):
        documents = [document(*map(text_of, files[i]), index=i) for i in order]
        parts, schema = parse(documents, base, ParseRules(hints=hints, max_columns=5))
        assert sum(part.table.num_rows for part in parts) == sum(map(len, files))
        for part in parts:
            assert list(part.bad) == []
            counted = cells_of(part, documents)
            places = zip(part.document.tolist(), part.line.tolist(), strict=True)
            for (file, line), row, counts in zip(places, part.table.to_pylist(), counted, strict=True):
                assert_nothing_lost(files[file][line], row, counts, schema)


def test_a_carriage_return_before_a_colon_hides_no_repeated_key() -> None:
    parsed, _ = parse_careful(Document(0, b'{"a"\r:1,"a":2}\n'), Schema(()), ParseRules())
    assert parsed.table.to_pylist() == [{"a": 1.0, "_rescued": '{"a":"2"}'}]
    assert parsed.cells is not None
    assert parsed.cells.tolist() == [[2, 1, 0, 1]]
