"""Many documents at once: each lands in the fastest lane that can prove it, and odd ones don't spoil the others."""

from builders import cells_of, columns, document, rows_by_key

from siltstone.conform import Schema
from siltstone.formats.documents import Document, Rules, row_cells
from siltstone.formats.ndjson import parse

RULES = Rules()


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
    parts, schema = parse([document(*lines)], Schema(()), Rules(max_columns=2))
    assert ([p.lane for p in parts], [c.key for c in schema.columns]) == (["careful"], ["a", "b"])
    assert rows_by_key(parts[0], schema)[2] == {"_rescued": '{"c":"3"}'}


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
