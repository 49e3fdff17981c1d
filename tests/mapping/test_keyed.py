"""Steps that sources of keyed rows share, on a few records."""

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from siltstone.formats.documents import BadRecord, Document, Records
from siltstone.mapping.dataset import Keyed, Place
from siltstone.mapping.keyed import count_by_document, place_columns, refuse_without_key, with_empty_documents
from siltstone.mapping.readings import keyed_readings
from siltstone.mapping.rules import Rules

UPLOADED_US = 1_000_000_000  # 1970-01-01T00:16:40Z
DAY_US = 86_400_000_000
ONE = Document(1, b"a\nb\nc\n", path="north/p1/x.csv", modified_us=UPLOADED_US)
TWO = Document(2, b"d\n", path="south/p2/x.csv", modified_us=UPLOADED_US)


def read(*places: tuple[int, int], bad: tuple[BadRecord, ...] = ()) -> Records:
    """Records at these documents and lines."""
    document, line = (np.array(numbers, np.int64) for numbers in zip(*places, strict=True))
    return Records("typed", pl.DataFrame(), document, line, bad)


def test_records_are_counted_by_document() -> None:
    assert count_by_document(np.array([2, 1, 2])) == {1: 1, 2: 2}


def test_a_record_with_a_row_that_cannot_be_taken_is_refused_with_all_its_rows() -> None:
    frame = pl.DataFrame({"series_id": ["p", "p", "", "p"], "ts": [1, None, 3, UPLOADED_US + 11_000_000]})
    records = read((1, 0), (1, 1), (1, 2), (2, 0))
    keyed = keyed_readings(frame, records, [ONE, TWO], Rules(future_us=10_000_000))
    assert keyed.frame.rows(named=True) == [
        {"series_id": "p", "ts": 1, "document": 1, "line": 0, "site": "_none", "date": 0}
    ]
    assert keyed.records == {1: 1, 2: 0}  # of three and one
    assert [(b.document, b.line, b.offset, b.reason, b.raw) for b in keyed.bad] == [
        (1, 1, 2, "its time is missing", b"b"),
        (1, 2, 4, "its series is missing", b"c"),
        (2, 0, 0, "its time 1970-01-01T00:16:51Z is outside 1970-01-01T00:00:00Z .. 1970-01-01T00:16:50Z", b"d"),
    ]


def test_a_record_may_give_several_rows_and_is_counted_once() -> None:
    frame = pl.DataFrame({"series_id": ["p", "q"], "ts": [0, 0], "document": [1, 1], "line": [2, 2]})
    keyed = keyed_readings(frame, read((1, 2)), [ONE], Rules())
    assert (keyed.frame.height, keyed.records) == (2, {1: 1})


def test_documents_whose_every_record_is_bad_give_no_rows() -> None:
    bad = (BadRecord(1, 0, 0, "not JSON", b"a"),)
    none = Records("careful", pl.DataFrame(), np.array([], np.int64), np.array([], np.int64), bad)
    frame = pl.DataFrame(schema={"series_id": pl.String(), "ts": pl.Int64()})
    keyed = keyed_readings(frame, none, [ONE], Rules())
    assert (keyed.frame.height, keyed.records, keyed.bad, keyed.lane) == (0, {}, list(bad), "careful")


def test_a_document_that_is_not_given_is_an_error_and_no_refusal() -> None:
    with pytest.raises(pl.exceptions.InvalidOperationError, match="incomplete mapping"):
        keyed_readings(pl.DataFrame({"series_id": ["p"], "ts": [0]}), read((2, 0)), [ONE], Rules())


@pytest.mark.parametrize(("grain", "day"), [("day", 32), ("month", 31)])
def test_the_date_is_the_day_or_the_first_of_its_month(grain: str, day: int) -> None:
    frame = pl.DataFrame({"series_id": ["p"], "ts": [32 * DAY_US]})  # 1970-02-02
    rules = Rules(grain=grain, future_us=40 * DAY_US)  # type: ignore[arg-type]
    assert keyed_readings(frame, read((1, 0)), [ONE], rules).frame["date"].to_list() == [day]


def test_rows_without_a_part_of_their_key_are_refused() -> None:
    frame = pl.DataFrame({"id": ["x", None], "document": [1, 1], "line": [0, 1]})
    earlier = BadRecord(1, 2, 4, "not JSON", b"c")
    keyed = refuse_without_key(Keyed("typed", frame, [earlier], {1: 2}), ["id"], [ONE])
    assert keyed.frame["id"].to_list() == ["x"]
    assert keyed.records == {1: 1}
    assert keyed.bad == [BadRecord(1, 1, 2, "id is missing", b"b"), earlier]


def test_documents_without_records_are_counted_as_of_none() -> None:
    part = Keyed("typed", pl.DataFrame(), (), {1: 3})
    assert with_empty_documents([part], [ONE]) == [part]
    _, empty = with_empty_documents([part], [ONE, TWO])
    assert (empty.records, empty.frame.height) == ({2: 0}, 0)


def test_the_columns_of_a_place_are_those_of_the_records_documents() -> None:
    def locate(path: str) -> Place:
        site, device, _ = path.split("/")
        return Place(site, device)

    columns = place_columns(locate, [ONE, TWO], np.array([2, 1, 1]))
    assert_frame_equal(columns, pl.DataFrame({"site": ["south", "north", "north"], "device_id": ["p2", "p1", "p1"]}))
