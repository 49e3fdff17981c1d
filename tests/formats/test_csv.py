"""CSV files, good and bad: which cells they give in either lane, and what is refused for which reason."""

import csv
import gzip
import io
import pickle
from collections.abc import Sequence

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from siltstone.errors import Unreadable
from siltstone.formats import csv as csv_lanes
from siltstone.formats.csv import CsvDocument, open_text, read_csv
from siltstone.formats.documents import BadRecord, Item, ParseRules, Records

Cells = tuple[str | None, ...]


def opened(text: bytes, index: int = 0, *, rules: ParseRules | None = None, delimiter: str = ",") -> CsvDocument:
    document = open_text(Item(index, f"{index}.csv", 0, text), rules or ParseRules(), delimiter=delimiter).document
    assert isinstance(document, CsvDocument)
    return document


def cells(found: Sequence[Records]) -> list[tuple[int, int, Cells]]:
    """Document, line and cells of every row, in order."""
    rows = [
        (int(document), int(line), row)
        for records in found
        for document, line, row in zip(records.document, records.line, records.frame.iter_rows(), strict=True)
    ]
    return sorted(rows, key=lambda row: row[:2])


def refused(found: Sequence[Records]) -> list[BadRecord]:
    return sorted((bad for records in found for bad in records.bad), key=lambda b: (b.document, b.line))


PLAIN = b"t,v\n1,a\n2,\n,\n"
ROWS = [(0, 0, ("1", "a")), (0, 1, ("2", None)), (0, 2, (None, None))]


@pytest.mark.parametrize(
    "data",
    [
        PLAIN,
        PLAIN.removesuffix(b"\n"),
        PLAIN.replace(b"\n", b"\r\n"),
        PLAIN + b"\r\n\r\n",
        b"\xef\xbb\xbf" + PLAIN,
        gzip.compress(PLAIN),
        zstandard.compress(b"\xef\xbb\xbf" + PLAIN),
    ],
    ids=["plain", "without its last line end", "CRLF", "blank lines at the end", "BOM", "gzip", "zstd with BOM"],
)
def test_a_plain_file_takes_the_fast_lane_and_empty_cells_are_null(data: bytes) -> None:
    found = read_csv([opened(data)])
    assert [records.lane for records in found] == ["typed"]
    assert (found[0].frame.columns, cells(found), refused(found)) == (["t", "v"], ROWS, [])


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n\nt,v\n\n1,a\n\n2,\r\n,\n",
        b't,v\n"1",a\n2,""\n,\n',
        b'"t","v"\r\n1,"a"\r\n2,\r\n,',
    ],
    ids=["blank lines", "quotes", "quotes, CRLF, no last line end"],
)
def test_blank_lines_are_no_records_and_quotes_no_part_of_cells(data: bytes) -> None:
    found = read_csv([opened(data)])
    assert (found[0].lane, cells(found), refused(found)) == ("careful", ROWS, [])


def test_quoted_cells_hold_delimiters_line_ends_and_doubled_quotes() -> None:
    document = opened(b't,v\n1,"a,b\r\nc ""d"""\n2,5" pipe\n')
    found = read_csv([document])
    assert cells(found) == [(0, 0, ("1", 'a,b\r\nc "d"')), (0, 1, ("2", '5" pipe'))]
    assert document.record(0) == (4, b'1,"a,b\r\nc ""d"""')
    assert document.record(1) == (21, b'2,5" pipe')


def test_each_bad_record_is_refused_with_its_reason_and_the_next_line_is_read() -> None:
    lines = [b"1,2,3", b"1", b"\xff,1", b"\0,1", b'"a"b,2', b"x\ry,1", b"\xc3\xa9,1", b'5,"open', b"6,7"]
    found = read_csv([opened(b"\xef\xbb\xbft,v\n" + b"\n".join(lines))])
    assert cells(found) == [(0, 6, ("é", "1")), (0, 8, ("6", "7"))]
    reasons = {bad.line: bad.reason for bad in refused(found)}
    assert reasons == {
        0: "3 cells, the header has 2",
        1: "1 cells, the header has 2",
        2: "a cell is not UTF-8: invalid start byte",
        3: "it holds NUL bytes",
        4: "text behind the quote that closes a cell",
        5: "a carriage return in a cell without quotes",
        7: "a quote is not closed",
    }
    starts = [7, 13, 15, 19, 23, 30, 36, 41]  # the byte order mark has 3 bytes, the header 4
    assert [bad.offset for bad in refused(found)] == [starts[line] for line in reasons]
    assert [bad.raw for bad in refused(found)] == [lines[line] for line in reasons]


@pytest.mark.parametrize("quoted", [False, True])
def test_a_record_over_the_limit_is_refused_without_its_bytes(quoted: bool) -> None:
    long = b'"' + b"x" * 60 + b'"' if quoted else b"x" * 60
    found = read_csv([opened(b"t,v\n1,2\n" + long + b",2\n3,4\n", rules=ParseRules(max_line_bytes=50))])
    assert cells(found) == [(0, 0, ("1", "2")), (0, 2, ("3", "4"))]
    bad = refused(found)
    assert (bad[0].line, bad[0].offset, bad[0].raw) == (1, 8, b"")
    assert "limits.max_line_kb" in bad[0].reason


def test_an_open_quote_takes_no_more_than_its_own_line() -> None:
    text = b't,v\n1,"x\n' + b"2,3\n" * 1_000
    found = read_csv([opened(text, rules=ParseRules(max_line_bytes=100))])
    assert [(bad.line, bad.reason, bad.raw) for bad in refused(found)] == [(0, "a quote is not closed", b'1,"x')]
    assert cells(found) == [(0, line, ("2", "3")) for line in range(1, 1_001)]


def test_long_cells_are_no_matter_below_the_limit() -> None:
    cell = "x" * 200_000  # the csv module's own limit is 131,072
    for quote in ("", '"'):
        assert cells(read_csv([opened(f"t\n{quote}{cell}{quote}\n".encode())])) == [(0, 0, (cell,))]
    assert csv.field_size_limit() == 131_072


def test_files_of_one_header_are_parsed_in_one_go_and_an_odd_one_does_not_hinder_the_others() -> None:
    texts = [b"t,v\n1,2\n3,4\n", b"t,v\n", b"t,w\n5,6\n", b"t,v\n7,8", b"t,v\n9\n", b"t,v\n\xff,0\n"]
    found = read_csv([opened(text, index) for index, text in enumerate(texts)])
    rows = [(0, 0, ("1", "2")), (0, 1, ("3", "4")), (2, 0, ("5", "6")), (3, 0, ("7", "8"))]
    assert cells(found) == rows
    assert [(bad.document, bad.line) for bad in refused(found)] == [(4, 0), (5, 0)]
    whole = read_csv([opened(text, index) for index, text in enumerate(texts[:4])])
    assert [(records.lane, records.frame.height) for records in whole] == [("typed", 3), ("typed", 1)]


def test_a_header_alone_gives_its_columns_and_no_rows() -> None:
    for text in (b"t,v", b"t,v\n\n", b'"t",v\n'):
        found = read_csv([opened(text)])
        assert [(records.frame.columns, records.frame.height) for records in found] == [(["t", "v"], 0)]


def test_repeated_names_are_made_unique_and_nameless_columns_left_out_where_empty() -> None:
    text = b"a;a;;a_2;;\n1;2;3;4;;\n;;;;;\n"
    document = opened(text, delimiter=";")
    assert document.header == ("a", "a_3", "column_3", "a_2", "column_5", "column_6")
    found = read_csv([document])
    assert found[0].frame.columns == ["a", "a_3", "column_3", "a_2"]
    assert cells(found) == [(0, 0, ("1", "2", "3", "4")), (0, 1, (None, None, None, None))]
    kept = read_csv([opened(text + b";;;;;x\n", delimiter=";")])
    assert kept[0].frame.columns == ["a", "a_3", "column_3", "a_2", "column_6"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file: 0 bytes"),
        (b"\n\r\n", "no header: the text is empty"),
        (gzip.compress(b""), "no header: the text is empty"),
        (b",,\n1,2,3\n", "no header: its first line names no column"),
        ("t,v\n1,2\n".encode("utf-16"), "its header can't be read: it holds NUL bytes"),
        (b"Temperatur,\xb0C\n1,2\n", "its header can't be read: a cell is not UTF-8"),
        ("t,v\n1,2\n".encode("utf-16-le"), "its header can't be read: it holds NUL bytes"),
        (b"PK\x03\x04\x14\x00\x00", "its header can't be read: it holds NUL bytes"),
        (b'"t,v\n1,2\n', "its header can't be read: a quote is not closed"),
        (b"a,b\rc,d\r", "its header can't be read: a carriage return in a cell without quotes"),
        (b"a," * 20 + b"a\n", r"its header has 21 columns, over limits.max_keys \(20\)"),
        (gzip.compress(b"t,v\n1,2\n")[:12], "gzip cut short after 1 bytes of text"),
    ],
)
def test_a_file_without_a_header_is_unreadable(data: bytes, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        opened(data, rules=ParseRules(max_keys=20))


def test_a_damaged_file_gives_its_whole_lines() -> None:
    stored = gzip.compress(b"t,v\n1,2\n3,45\n", compresslevel=0, mtime=0)[: 15 + 11]  # up to '3,4'
    found = open_text(Item(0, "0.csv.gz", 0, stored), ParseRules())
    assert (found.damage, found.cut) == ("gzip cut short after 11 bytes of text", b"3,4")
    assert cells(read_csv([found.document])) == [(0, 0, ("1", "2"))]


def test_limits_hold_while_inflating() -> None:
    with pytest.raises(Unreadable, match=r"over limits\.max_decompressed_mb"):
        opened(gzip.compress(b"t,v\n" + b"1,2\n" * 300_000), rules=ParseRules(max_text_bytes=1 << 20))


def test_a_document_can_be_sent_to_a_worker() -> None:
    document = opened(PLAIN)
    assert document.record(1) == (8, b"2,")
    again = pickle.loads(pickle.dumps(document))
    assert cells(read_csv([again])) == ROWS
    assert (again.size, again.path, again.modified_us, again.record(2)) == (13, "0.csv", 0, (11, b","))


SOME_BYTES = st.lists(st.sampled_from([b"1", b"a", b",", b",", b"\n", b"\n", b"\r\n", b"\xc3\xa9", b" ", b"=", b"#"]))
ANY_BYTES = st.lists(
    st.sampled_from([b"1", b",", b"\n", b"\r", b'"', b'"', b"\xff", b"\0", b"\xef\xbb\xbf", b"\xc2\x85"])
)
LINES = st.lists(st.sampled_from([b"1,2\n", b"a,\n", b",\r\n", b"\xc3\xa9, \n", b",\n", b"1\n", b"1,2,\n", b"\n"]))


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from([b"t,v\n", b"t\n"]), SOME_BYTES | ANY_BYTES | LINES), max_size=4))
def test_the_lanes_agree_cell_by_cell(texts: list[tuple[bytes, list[bytes]]]) -> None:
    documents = [opened(header + b"".join(body), index) for index, (header, body) in enumerate(texts)]
    found = read_csv(documents)
    careful = [csv_lanes._read_carefully(document) for document in documents]
    assert cells(found) == cells(careful)
    assert refused(found) == refused(careful)
    for document, line, row in cells(found):
        offset, raw = documents[document].record(line)
        assert documents[document].data[offset : offset + len(raw)] == raw
        alone = opened(b"\n".join((",".join(documents[document].header).encode(), raw or b'""')))
        assert cells(read_csv([alone])) == [(0, 0, row)]
    for bad in refused(found):
        assert documents[bad.document].record(bad.line) == (bad.offset, bad.raw)


TEXT = st.text(st.sampled_from('a1,;"\r\n é\x85'), max_size=4)


@settings(deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT), max_size=6), st.sampled_from([",", ";", "\t"]), st.booleans())
def test_what_a_careful_writer_wrote_is_read_back(rows: list[tuple[str, str]], delimiter: str, quoted: bool) -> None:
    sheet = io.StringIO(newline="")
    quoting = csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL
    csv.writer(sheet, delimiter=delimiter, quoting=quoting).writerows([("t", "v"), *rows])
    found = read_csv([opened(sheet.getvalue().encode(), delimiter=delimiter)])
    assert [row for *_, row in cells(found)] == [tuple(cell or None for cell in row) for row in rows]
    assert refused(found) == []
