"""Documents in portions: together they give what the whole gives, and each of them is as small as it is asked to be."""

import io
from collections.abc import Sequence
from typing import Any
from unittest.mock import patch

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siltstone.errors import Unreadable
from siltstone.formats import csv as csv_lanes
from siltstone.formats.avro.growth import growth_of
from siltstone.formats.avro.lanes import open_avro, read_avro
from siltstone.formats.csv import open_text, read_csv
from siltstone.formats.documents import Document, Item, ParseRules, Records
from siltstone.formats.parquet import reader as parquet
from siltstone.formats.parquet.reader import open_parquet, read_parquet
from siltstone.formats.portions import Load, Room, batches
from support.rounds import examples

RULES = ParseRules()


def told(found: Sequence[Records]) -> tuple[list[Any], list[Any]]:
    """Rows as (line, cells), and bad records, by line."""
    rows = [
        (int(line), row) for records in found for line, row in zip(records.line, records.frame.iter_rows(), strict=True)
    ]
    bad = [(b.line, b.offset, b.raw) for records in found for b in records.bad]
    return sorted(rows, key=lambda row: row[0]), sorted(bad)


LINES = st.lists(st.sampled_from([b"", b"a", b"bb\r", b"\xef\xbb\xbfc", b"dddd"]), max_size=12)


@settings(max_examples=examples(60), deadline=None)
@given(LINES, st.booleans(), st.integers(1, 4), st.integers(1, 8))
def test_lines_keep_their_numbers_and_places_in_portions(
    lines: list[bytes], ends: bool, records: int, size: int
) -> None:
    whole = Document(3, b"\n".join(lines) + (b"\n" if ends and lines else b""), truncated=True)
    portions = list(whole.portions(Room(size, records)))
    found = [portion.record(portion.line + n) for portion in portions for n in range(len(portion.lines))]
    assert found == [whole.record(n) for n in range(len(whole.lines))]
    assert all(portion.data.count(b"\n") <= records for portion in portions)
    assert [portion.truncated for portion in portions[:-1]] == [False] * (len(portions) - 1 if portions else 0)
    for portion in portions:
        here = range(portion.line, portion.line + len(portion.lines))
        assert [n for n in range(len(whole.lines)) if portion.has_line(n)] == list(here)


CELLS = st.lists(
    st.sampled_from(["1,x", "2,", "", ",", '3,"a\nb"', '"', "4,a,b", "5,\u00e9", "6,y\r", '7,"q""q"']), max_size=10
)


@settings(max_examples=examples(100), deadline=None)
@given(CELLS, st.booleans(), st.integers(1, 3), st.integers(1, 12))
def test_a_csv_in_portions_is_the_whole_csv(lines: list[str], ends: bool, records: int, size: int) -> None:
    text = "t,v\n" + "\n".join(lines) + ("\n" if ends and lines else "")
    whole = open_text(Item(0, "a.csv", 0, text.encode()), RULES).document
    portions = list(whole.portions(Room(size, records, 1_000)))
    assert told([part for portion in portions for part in read_csv([portion])]) == told(read_csv([whole]))
    for portion in portions:
        for line, *_ in told(read_csv([portion]))[0]:
            assert portion.record(line) == whole.record(line)


FIELDS: list[dict[str, Any]] = [
    {"name": "n", "type": "long"},
    {"name": "none", "type": "null"},
    {"name": "list", "type": {"type": "array", "items": "string"}},
]


@pytest.mark.parametrize("fields", [FIELDS[:2], FIELDS], ids=["fast", "careful"])
@pytest.mark.parametrize("a_block", [1, 7, 1_000])
def test_an_avro_file_in_portions_is_the_whole_file(fields: list[dict[str, Any]], a_block: int) -> None:
    buffer = io.BytesIO()
    rows = [{"n": n, "none": None, "list": ["x"] * (n % 4)} for n in range(40)]
    fastavro.writer(buffer, {"type": "record", "name": "r", "fields": fields}, rows, sync_interval=a_block)
    whole = open_avro(Item(0, "a.avro", 0, buffer.getvalue()), RULES).document
    for room in (Room(1 << 20, 3), Room(30), Room(1 << 20, cells=5)):
        portions = list(whole.portions(room))
        assert told([part for portion in portions for part in read_avro([portion])]) == told(read_avro([whole]))
        assert [p.record(p.line) for p in portions] == [whole.record(p.line) for p in portions]
        assert max(p.count for p in portions) <= max(room.records, 1)


def test_a_block_that_can_not_be_read_stays_one_bad_record() -> None:
    buffer = io.BytesIO()
    schema = {"type": "record", "name": "r", "fields": [{"name": "flag", "type": "boolean"}]}
    fastavro.writer(buffer, schema, [{"flag": True}] * 20)
    data = bytearray(buffer.getvalue())
    data[-17] = 7  # the last record before the sync marker: no boolean
    whole = open_avro(Item(0, "a.avro", 0, bytes(data)), RULES).document
    assert [p.count for p in whole.portions(Room(1 << 20, 3))] == [20]


def _parquet(a_group: int, **columns: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, row_group_size=a_group)
    return buffer.getvalue()


@pytest.mark.parametrize("coded", [True, False])
def test_a_parquet_file_in_portions_is_the_whole_file(coded: bool) -> None:
    texts = ["a" * (n % 9) if n % 5 else None for n in range(30)]
    data = _parquet(7, n=list(range(30)), text=texts, lists=[[1.5] * (n % 3) for n in range(30)])
    (whole,) = read_parquet([open_parquet(Item(0, "a", 0, data), RULES, coded=coded).document])
    with patch.object(parquet, "_FEW_CELLS", 0):
        large = open_parquet(Item(0, "a", 0, data), RULES, coded=coded).document
    for room in (Room(1 << 20, 4), Room(20), Room(1 << 20, cells=20)):
        portions = [portion for batch, is_portion in batches([large], room) for portion in batch if is_portion]
        assert told([part for portion in portions for part in read_parquet([portion])]) == told([whole])
        assert all(p.record(p.first)[1].startswith(b'{"n":%d,' % p.first) for p in portions)
        assert len(portions) > 4


def test_documents_come_together_as_far_as_there_is_room() -> None:
    documents = [Document(n, b"a\n" * lines) for n, lines in enumerate((1, 1, 2, 9, 1))]
    found = [([d.index for d in batch], is_portion) for batch, is_portion in batches(documents, Room(100, 6))]
    # a document of n lines counts as n + 1: 2 + 2, then 3 more would be 7; the fourth is cut into 6 and 3 lines
    assert found == [([0, 1], False), ([2], False), ([3], True), ([3], True), ([4], False)]


def test_what_a_record_of_a_schema_becomes_is_known_before_it_is_read() -> None:
    def growth(*fields: dict[str, Any]) -> Any:
        return growth_of(
            fastavro.schema.to_parsing_canonical_form({"type": "record", "name": "r", "fields": list(fields)}).encode()
        )

    assert growth({"name": "a", "type": "long"}, {"name": "b", "type": "null"}).load(3, 10) == Load(10, 3, 3)
    nested = {"type": "record", "name": "i", "fields": [{"name": "x" * 100, "type": "null"}]}
    assert growth({"name": "a", "type": nested}).a_record == 100 + 4 + 26  # name, quotes, colon and comma, a value
    # an array of them: each has no byte, and a thousand are the most that such an array may have
    assert growth({"name": "a", "type": {"type": "array", "items": nested}}).a_record == 1_000 * 131
    symbols = {"type": "enum", "name": "e", "symbols": ["s" * 500, "t"]}
    assert growth({"name": "a", "type": symbols}).a_record == 500


def test_text_that_records_repeat_beyond_any_sense_is_refused() -> None:
    long_name = b"t,v," + b"n" * 100_000 + b"\n" + b"1,1,x\n" * 2_000  # 2,001 lines at most x (100,000 - 64) bytes
    with pytest.raises(Unreadable, match="names, repeated in each record, would be 199,971,936 bytes of text"):
        open_text(Item(0, "a.csv", 0, long_name), RULES)
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 2_000, pa.int32()), ["x" * 100_000])
    with pytest.raises(Unreadable, match=r"would be 200,000,000 bytes of text, more than limits\.max_ratio allows"):
        open_parquet(Item(0, "a.parquet", 0, _parquet(2_000, t=texts)), RULES)
    # of Avro see the bombs in tests/end_to_end/ingest


def test_a_csv_is_cut_by_records_and_not_by_lines() -> None:
    whole = open_text(Item(0, "a.csv", 0, b't,v\n1,"a\n\nb"\n2,c\n'), RULES).document
    assert [(p.first, p.data[p.start : p.stop]) for p in whole.portions(Room(1, 1, 2))] == [
        (0, b'1,"a\n\nb"\n'),
        (1, b"2,c\n"),
    ]
    assert csv_lanes.read_csv([whole])[0].lane == "careful"
