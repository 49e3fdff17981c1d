"""Narrow flat records by one pattern per shape; what has no such shape is left to others."""

from siltstone.formats.documents import Document, ParseRules
from siltstone.formats.ndjson.shapes import read_shapes
from support.parsing import document


def test_values_by_their_own_text_whatever_the_shape_of_their_line() -> None:
    first = document('{"a":1.50, "b":"x"}', '{ "a" : true , "b" : null }', '{"a":"é"}', index=4)
    second = Document(7, b'{"a":-1e5,"b":"1"}\r\n{"b":"","c":0}')
    records, others = read_shapes([first, second], ParseRules())
    assert records is not None
    assert others == []
    assert records.frame.to_dict(as_series=False) == {
        "a": ["1.50", "true", '"é"', "-1e5", None],
        "b": ['"x"', None, None, '"1"', '""'],
        "c": [None, None, None, None, "0"],
    }
    assert (records.document.tolist(), records.line.tolist()) == ([4, 4, 4, 7, 7], [0, 1, 2, 0, 1])


def test_a_file_with_a_line_of_no_shape_is_left_whole() -> None:
    odd_lines = [
        '{"a":1',
        '{"a":[1]}',
        '{"a":{}}',
        r'{"a":"\n"}',
        '{"a":1,"a":2}',
        "",
        '{"a":01}',
        '{"a":"\t"}',
        "{}",
        "[]",
    ]
    documents = [document('{"a":1}', line, index=i) for i, line in enumerate(odd_lines)]
    plain = document('{"a":2}', '{"a":3}', index=99)
    records, others = read_shapes([documents[0], plain, *documents[1:]], ParseRules())
    assert records is not None
    assert (records.frame["a"].to_list(), records.document.tolist()) == (["2", "3"], [99, 99])
    assert [d.index for d in others] == list(range(len(odd_lines)))


def test_over_long_lines_and_bytes_that_are_no_utf_8_are_left() -> None:
    long, latin = document('{"a":"' + "x" * 90 + '"}'), document(b'{"a":"\xff"}', index=1)
    assert read_shapes([long], ParseRules(max_line_bytes=90)) == (None, [long])
    assert read_shapes([latin], ParseRules()) == (None, [latin])
    assert read_shapes([document()], ParseRules()) == (None, [document()])


def test_columns_have_the_order_of_every_record() -> None:
    records, others = read_shapes([document('{"t":1,"z":2}', '{"t":1,"a":3,"z":2}', '{"a":3,"m":4}')], ParseRules())
    assert records is not None
    assert (records.frame.columns, others) == (["t", "a", "m", "z"], [])


def test_records_whose_keys_have_another_order_are_left() -> None:
    documents = [document('{"a":1,"b":2}'), document('{"a":1}', '{"b":1,"a":2}', index=1), document('{"b":3}', index=2)]
    records, others = read_shapes(documents, ParseRules())
    assert records is not None
    assert (records.frame.columns, records.document.tolist(), others) == (["a", "b"], [0, 2], [documents[1]])
