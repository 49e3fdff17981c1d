"""Many documents at once: each lands in the fastest lane that can prove it, and odd ones don't spoil the others."""

from unittest.mock import patch

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from siltstone.formats.documents import Document, ParseRules, row_cells
from siltstone.formats.ndjson import fast as fast_lane
from siltstone.formats.ndjson import lanes as ndjson
from siltstone.formats.ndjson.careful import parse_careful
from siltstone.formats.ndjson.lanes import parse
from siltstone.model.schema import Schema
from support.parsing import cells_of, columns, document, rows_by_key
from support.rounds import examples

RULES = ParseRules()


def test_known_keys_take_the_typed_lane_and_new_ones_the_inferred() -> None:
    schema = columns(d="double")
    parts, same = parse([document('{"d":1}'), document('{"d":2}', index=1)], schema, RULES)
    assert ([p.lane for p in parts], same) == (["typed"], schema)
    parts, grown = parse([document('{"d":1,"x":2}')], schema, RULES)
    assert ([p.lane for p in parts], [c.key for c in grown.columns]) == (["inferred"], ["d", "x"])


def test_one_odd_document_among_four_goes_its_own_way() -> None:
    documents = [document(f'{{"d":{i}}}' if i != 2 else '{"d":"odd"}', index=i) for i in range(4)]
    parts, schema = parse(documents, columns(d="double"), RULES)
    # halves: 0 and 1 are proven together, 2 is odd, 3 alone
    assert [(p.lane, p.document.tolist()) for p in parts] == [("typed", [0, 1]), ("careful", [2]), ("typed", [3])]
    assert [row for p in parts for row in rows_by_key(p, schema)] == [
        {"d": 0.0},
        {"d": 1.0},
        {"_rescued": '{"d":"\\"odd\\""}'},
        {"d": 3.0},
    ]


def test_a_type_is_settled_by_the_first_document_in_order() -> None:
    number, text = document('{"unitno":5}', index=0), document('{"unitno":"LD783"}', index=1)
    parts, schema = parse([number, text], Schema(()), RULES)
    assert [c.kind for c in schema.columns] == ["double"]
    assert [row for p in parts for row in rows_by_key(p, schema)] == [
        {"unitno": 5.0},
        {"_rescued": '{"unitno":"\\"LD783\\""}'},
    ]
    _, schema = parse([text, number], Schema(()), RULES)
    assert [c.kind for c in schema.columns] == ["string"]


def test_an_object_against_a_scalar_loses_neither() -> None:
    parts, schema = parse([document('{"pos":{"lat":1.50}}', '{"pos":7}', '{"pos":[]}')], Schema(()), RULES)
    assert [c.kind for c in schema.columns] == ["json"]
    assert rows_by_key(parts[0], schema) == [{"pos": '{"lat":1.50}'}, {"_rescued": '{"pos":"7"}'}, {"pos": "[]"}]


def test_keys_beyond_the_cap_are_rescued_in_every_lane() -> None:
    lines = ['{"a":1}', '{"b":2}', '{"c":3}']
    parts, schema = parse([document(*lines)], Schema(()), ParseRules(max_columns=2))
    assert ([p.lane for p in parts], [c.key for c in schema.columns]) == (["careful"], ["a", "b"])
    assert rows_by_key(parts[0], schema)[2] == {"_rescued": '{"c":"3"}'}


def test_a_line_at_which_polars_panics_goes_to_the_careful_lane_alone() -> None:
    odd = '{"d":2,"b":[[],{"n":1,"n":1}]}'
    documents = [document('{"d":1}'), document(odd, index=1)]
    parts, schema = parse(documents, columns(d="double"), RULES)
    assert [p.lane for p in parts] == ["typed", "careful"]
    assert rows_by_key(parts[1], schema) == [{"d": 2.0, "b": '[[],{"n":1,"n":1}]'}]


@pytest.mark.parametrize("schema", [Schema(()), columns(n="json")])
@pytest.mark.parametrize("line", ["{", "{}x", "{}}", "{x"])
def test_without_columns_to_read_a_line_must_still_be_json(schema: Schema, line: str) -> None:
    (part,), _ = parse([document(line)], schema, RULES)
    assert (part.lane, part.table.num_rows, len(part.bad)) == ("careful", 0, 1)
    (part,), grown = parse([document('{"d":1}')], schema, RULES)
    assert (part.lane, rows_by_key(part, grown)) == ("inferred", [{"d": 1.0}])


def test_an_empty_document_has_no_rows() -> None:
    parts, _ = parse([Document(0, b"")], columns(d="double"), RULES)
    assert [(p.table.num_rows, list(p.bad)) for p in parts] == [(0, [])]
    parts, _ = parse([Document(0, b""), document('{"d":1}', index=1)], columns(d="double"), RULES)
    assert [p.document.tolist() for p in parts] == [[1]]


def test_cells_of_single_rows_can_be_counted_in_every_lane() -> None:
    documents = [document('{"d":1,"s":null}', '{"d": 2}'), document('{"d":"x"}', index=1)]
    parts, _ = parse(documents, columns(d="double", s="string"), RULES)
    assert [cells_of(p, documents) for p in parts] == [[[2, 1, 1, 0], [1, 1, 0, 0]], [[1, 0, 0, 1]]]
    assert row_cells(parts[0], parts[0].line[1:], {0: documents[0]}).tolist() == [[1, 1, 0, 0]]


def test_a_sentinel_is_kept_as_it_is() -> None:
    parts, schema = parse([document('{"gpsspeed":-9999,"gpslat":-8888.5}')], Schema(()), RULES)
    assert rows_by_key(parts[0], schema) == [{"gpslat": -8888.5, "gpsspeed": -9999.0}]


def test_lines_keep_their_numbers_and_offsets() -> None:
    one = Document(0, b'\xef\xbb\xbf{"a":1}\r\n\n{"a":2}')
    assert one.lines == [b'{"a":1}', b"", b'{"a":2}']
    assert one.offsets[:3].tolist() == [3, 12, 13]
    assert Document(0, b"").lines == []


def test_the_pieces_of_a_document_know_their_lines_and_bytes() -> None:
    one = Document(7, b"\xef\xbb\xbfaa\nbbbb\nc\n\ndd", truncated=True)
    # thirds of 16 bytes are 6 bytes at the most: each piece goes on from there to the end of its last line
    assert one.pieces(3) == [
        Document(7, b"\xef\xbb\xbfaa\n", line=0, byte=0),
        Document(7, b"bbbb\nc\n", line=1, byte=6),
        Document(7, b"\ndd", truncated=True, line=3, byte=13),
    ]
    assert Document(7, b"\xef\xbb\xbfa\n", line=2, byte=9).text == b"\xef\xbb\xbfa\n"  # no mark inside a file


def test_one_odd_line_of_thousands_takes_only_its_piece_to_the_careful_lane() -> None:
    lines = [f'{{"d":{n}}}' for n in range(2_000)]
    lines[1_700] = '{"d":'
    parts, _ = parse([document(*lines, index=3)], columns(d="double"), RULES)
    # an eighth is 250 lines, or a few less for the longer numbers; line 1,700 lies in the last but one
    assert [p.lane for p in parts] == ["typed"] * 6 + ["careful", "typed"]
    assert len(parts[6].line) < 300
    assert [n for p in parts for n in p.line.tolist()] == [*range(1_700), *range(1_701, 2_000)]
    assert [v for p in parts for v in p.table.column("d").to_pylist()] == [*range(1_700), *range(1_701, 2_000)]
    (bad,) = [b for p in parts for b in p.bad]
    assert (bad.document, bad.line, bad.raw) == (3, 1_700, b'{"d":')
    assert bad.offset == sum(len(line) + 1 for line in lines[:1_700])


def test_a_long_line_among_many_short_ones_is_not_cut_forever() -> None:
    lines = ['{"d":1}'] * 600 + ['{"d":1,"x":"' + "y" * 400_000 + '"}']
    parts, _ = parse([document(*lines)], columns(d="double"), ParseRules(max_line_bytes=1_000))
    assert [b.line for p in parts for b in p.bad] == [600]
    assert sum(p.table.num_rows for p in parts) == 600


ODD_LINES = st.sampled_from(
    [
        *(
            '{"d":1}',
            '{"d":2,"s":"x"}',
            '{"d":1}',
            '{"s":null}',
            '{"x":1}',
            '{"x":"\\u0041"}',
            '{"X":5}',
            '{"d":"odd"}',
        ),
        *(
            "",
            "  ",
            "{",
            "[1]",
            '{"s":["a"]}',
            '{"d":9007199254740993}',
            '{"y":true}',
            '{"d":1}\r',
            '{"y":{"z":1}}',
            "é",
        ),
        *('{"n":[1]}', '{"d":1,"d":2}', "\ufeff{}", '{"long":"' + "z" * 60 + '"}'),
    ]
)


@settings(deadline=None, max_examples=examples(100))
@given(st.lists(ODD_LINES, max_size=14), st.booleans(), st.booleans(), st.integers(2, 5))
@example(["\ufeff{}", "\ufeff{}", "\ufeff{}"], False, True, 3)
def test_pieces_change_nothing(lines: list[str], ends: bool, truncated: bool, pieces: int) -> None:
    text = "\n".join(lines).encode() + (b"\n" if ends and lines else b"")
    whole, rules, base = Document(4, text, truncated), ParseRules(max_line_bytes=60), columns(d="double", s="string")
    with patch.multiple(ndjson, _FEW_LINES=1, _PIECES=pieces):
        parts, schema = parse([whole], base, rules)
    careful, careful_schema = parse_careful(whole, base, rules)
    assert schema == careful_schema
    assert [row for p in parts for row in rows_by_key(p, schema)] == rows_by_key(careful, schema)
    assert [n for p in parts for n in p.line.tolist()] == careful.line.tolist()
    assert [b for p in parts for b in p.bad] == list(careful.bad)
    assert [row for p in parts for row in cells_of(p, [whole])] == cells_of(careful, [whole])


def test_keys_that_few_lines_have_make_no_columns_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of 200 rows and 200 columns would hold 40,000 cells for 400 values."""
    monkeypatch.setattr(fast_lane, "_FEW_CELLS", 256)
    lines = [f'{{"d":{n},"k{n}":{n}.5}}' for n in range(200)]
    parts, schema = parse([document(*lines)], columns(d="double"), RULES)
    assert {p.lane for p in parts} == {"inferred"}
    assert [c.key for c in schema.columns] == ["d", *(f"k{n}" for n in range(200))]
    assert sum(p.table.num_rows * p.table.num_columns for p in parts) < 200 * 32
    careful, _ = parse_careful(document(*lines), schema, RULES)
    assert [row for p in parts for row in rows_by_key(p, schema)] == rows_by_key(careful, schema)
    # known columns that few lines have: each part has those that occur in it
    again, _ = parse([document(*lines)], schema, RULES)
    assert {p.lane for p in again} == {"typed"}
    assert [row for p in again for row in rows_by_key(p, schema)] == rows_by_key(careful, schema)
    assert sum(p.table.num_columns for p in again) < 200 * 2 + 3 * len(again)
