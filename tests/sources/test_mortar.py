"""Mortar: two kinds of files to readings, by the numbers of the real samples and by small worked examples."""

import math
import zipfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import polars as pl
import pytest

from siltstone.errors import Unreadable
from siltstone.formats.documents import BadRecord, Item
from siltstone.mapping.dataset import Dataset, Keyed, Place
from siltstone.mapping.rules import Rules
from siltstone.model.contracts import READINGS
from siltstone.model.schema import Schema
from siltstone.sources.mortar import Options, datasets

SAMPLES = Path(__file__).parents[1] / "samples"
UPLOADED_US = 1_760_000_000_000_000
UUID = "badd2ed0-1cf4-11ec-8cd1-1002b58053c7"
SIX = "time,id,value,type,label,site\n"
SCHEMA = Schema((), ())


def read(files: Mapping[str, bytes], rules: Rules | None = None, **options: str) -> list[Keyed]:
    """The readings of files, by path."""
    rules = rules or Rules()
    dataset: Dataset = datasets(Options(**options))[0]
    items = [Item(i, path, UPLOADED_US, data) for i, (path, data) in enumerate(files.items())]
    documents = [dataset.open(item, rules).document for item in items]
    keyed, _ = dataset.rows(documents, SCHEMA, rules)
    assert all(isinstance(part, Keyed) for part in keyed)
    return list(keyed)  # type: ignore[arg-type]


def one(text: str, path: str = f"soda/{UUID}.csv", **options: str) -> pl.DataFrame:
    (keyed,) = read({path: text.encode()}, **options)
    return keyed.frame


def refused(keyed: Sequence[Keyed]) -> list[tuple[int, int, str, bytes]]:
    bad: list[BadRecord] = [b for part in keyed for b in part.bad]
    return [(b.document, b.line, b.reason, b.raw) for b in sorted(bad, key=lambda b: (b.document, b.line))]


def instant(ts_us: Any) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=ts_us)


def test_a_stream_of_the_documentation_becomes_readings() -> None:
    frame = one("datetime,1-3-10_MaxFlowHeatSP\n2016-09-01T07:00:00Z,1235.0\n2016-09-01T07:01:00Z,1236.5\n")
    assert frame.to_dicts() == [
        {
            "site": "soda",
            "series_id": UUID,
            "device_id": "urn:soda/1-3-10_MaxFlowHeatSP",
            "measurement": "1-3-10_MaxFlowHeatSP",
            "ts": ts,
            "ts_nanos": 0,
            "value": value,
            "text": None,
            "kind": "double",
            "quality": "good",
            "source": "mortar",
            "_rescued": None,
            "document": 0,
            "line": line,
            "date": 17_045,  # 2016-09-01: 46 years, 11 leap days, 244 days
        }
        for line, (ts, value) in enumerate([(1_472_713_200_000_000, 1235.0), (1_472_713_260_000_000, 1236.5)])
    ]
    known = {c.name for c in (*READINGS.leading, *READINGS.record)} | {f.name for f in READINGS.partition_by}
    assert set(frame.columns) - known == {"ts", "_rescued", "document", "line"}
    assert (frame.schema["ts"], frame.schema["ts_nanos"], frame.schema["line"]) == (pl.Int64(), pl.Int32(), pl.Int64())


def test_the_two_real_streams() -> None:
    folder = SAMPLES / "mortar-parquet-support"
    files = {str(path): path.read_bytes() for path in sorted(folder.glob("*.csv"))}
    (keyed,) = read(files, collection="bldg 007")
    frame = keyed.frame
    assert (keyed.lane, dict(keyed.records), refused([keyed])) == ("typed", {0: 9_999, 1: 9_999}, [])
    found = frame.group_by("series_id", "device_id", "measurement", maintain_order=True)
    rows = found.agg(pl.len(), pl.col("value").mean(), pl.col("ts").min(), pl.col("ts").max().alias("last")).rows()
    assert [(*row[:4], *map(instant, row[5:])) for row in rows] == [
        (
            "a0dd74ce-05ee-5fee-8335-2d9856bd52be",
            "urn:bldg 007//delta/m5/c12",
            "/delta/m5/c12",
            9_999,
            datetime(2016, 11, 30, 19, 31, 37, tzinfo=UTC),
            datetime(2016, 12, 12, 21, 18, 54, tzinfo=UTC),
        ),
        (
            "f3b61918-afa9-596d-bef5-40fe1e96454f",
            "urn:bldg 007//delta/m9/c10",
            "/delta/m9/c10",
            9_999,
            datetime(2017, 9, 29, 18, 10, 15, tzinfo=UTC),
            datetime(2017, 10, 6, 17, 30, 16, tzinfo=UTC),
        ),
    ]
    assert [row[4] for row in rows] == pytest.approx([0.48383058032365694, 0.49995852554005143], rel=1e-9)
    gap_s = frame.filter(series_id="a0dd74ce-05ee-5fee-8335-2d9856bd52be")["ts"].diff().max()
    assert gap_s == 418_134 * 1_000_000
    # A collection that is no safe folder name is kept in `_rescued`.
    assert frame.select("site", "_rescued").unique().rows() == [("_invalid", '{"site":"bldg 007"}')]


def test_the_real_building_whole() -> None:
    with zipfile.ZipFile(SAMPLES / "mortar" / "bldg1.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith(".csv")]
        files = {name: archive.read(name) for name in sorted(names)}
    (keyed,) = read(files)
    frame = keyed.frame
    assert (keyed.lane, frame.height, frame["series_id"].n_unique(), len(keyed.records)) == (
        "typed",
        246_151,
        1_284,
        1_284,
    )
    assert math.fsum(frame["value"]) == 15981733.870512085
    assert sorted(keyed.records.values())[:3] == [3, 4, 192]
    assert frame.select("site", "quality", "kind", "source").unique().rows() == [("bldg1", "good", "double", "mortar")]
    assert frame.select("series_id", "ts").is_unique().all()
    assert (instant(frame["ts"].min()), instant(frame["ts"].max())) == (
        datetime(2015, 1, 1, tzinfo=UTC),
        datetime(2015, 1, 2, 23, 45, tzinfo=UTC),
    )
    name = "http://buildsys.org/ontologies/BLDG1#BLDG1.ZONE.AHU04A.RM050_LAB.Zone_Supply_Air_Temp"
    stream = frame.filter(device_id=name).select("series_id", "measurement", "_rescued").unique().rows()
    kind = "https://brickschema.org/schema/Brick#Supply_Air_Temperature_Sensor"
    label = "BLDG1.ZONE.AHU04A.RM050_LAB.Zone Supply Air Temp"
    assert stream == [(str(uuid5(NAMESPACE_URL, name)), label, f'{{"type":"{kind}"}}')]


def test_values_that_are_no_numbers_keep_what_they_say() -> None:
    cells = ["1.5", " -2e3", "", "NaN", "-inf", "1e999", "On", "3,5", "9007199254740993", "9007199254740992", "+0.1"]
    lines = [f'2016-09-01T07:00:{i:02}Z,"{cell}"' for i, cell in enumerate(cells)]
    frame = one("datetime,x\n" + "\n".join(lines))
    bad, good = ("double", "bad"), ("double", "good")
    assert frame.select("value", "text", "kind", "quality", "_rescued").rows() == [
        (1.5, None, *good, None),
        (-2000.0, None, *good, None),
        (None, None, *bad, None),
        (None, None, *bad, '{"value":"NaN"}'),
        (None, None, *bad, '{"value":"-inf"}'),
        (None, None, *bad, '{"value":"1e999"}'),
        (None, "On", "string", "good", None),
        (None, "3,5", "string", "good", None),
        (9007199254740992.0, None, *good, '{"value":"9007199254740993"}'),
        (9007199254740992.0, None, *good, None),
        (0.1, None, *good, None),
    ]


def test_further_columns_are_rescued_and_the_time_may_stand_anywhere() -> None:
    lines = ("20,2016-09-01 07:00:00.123456789+00:00,ok,", "21,2016-09-01 07:01,,2", "22,2016-09-01 07:02,,")
    text = "\n".join(("temp,stamp,flag,flag", *lines))
    frame = one(text, time_column="stamp", zone="Europe/Rome")
    assert frame.select("measurement", "ts", "ts_nanos", "value", "_rescued").rows() == [
        ("temp", 1_472_713_200_123_456, 789, 20.0, '{"flag":"ok"}'),
        ("temp", 1_472_706_060_000_000, 0, 21.0, '{"flag_2":"2"}'),  # 07:01 in Rome was 05:01Z
        ("temp", 1_472_706_120_000_000, 0, 22.0, None),
    ]


def test_six_columns_tell_their_stream_record_by_record() -> None:
    text = SIX + (
        "2015-01-01T00:00:00Z,a,1,T,A,one\n"
        "2015-01-01T00:00:00Z,b,nan,,B,\n"
        "2015-01-01T00:15:00Z,b,2,U,,one\n"
        ",,,,,\n"
        "2015-01-01T00:30:00Z,,3,T,A,one\n"
    )
    keyed = read({"data/folder/any name.csv": text.encode()})
    a, b = str(uuid5(NAMESPACE_URL, "a")), str(uuid5(NAMESPACE_URL, "b"))
    assert keyed[0].frame.select(
        "line", "site", "series_id", "device_id", "measurement", "value", "_rescued"
    ).rows() == [
        (0, "one", a, "a", "A", 1.0, '{"type":"T"}'),
        (1, "folder", b, "b", "B", None, '{"value":"nan"}'),
        (2, "one", b, "b", None, 2.0, '{"type":"U"}'),
    ]
    # The line of delimiters only is a record without a reading, the one without an id is refused.
    assert dict(keyed[0].records) == {0: 4}
    assert refused(keyed) == [(0, 4, "its series is missing", b"2015-01-01T00:30:00Z,,3,T,A,one")]
    assert one(text, "x.csv", collection="here")["site"].unique().to_list() == ["here"]


def test_bad_records_are_refused_with_their_reasons_and_the_rest_goes_on() -> None:
    stream = (
        "datetime,x\n"
        "2020-03-29 02:30:00,1\n"
        "yesterday,2\n"
        ",3\n"
        "2020-03-29 03:30:00,4\n"
        "1969-12-31T23:59:59Z,5\n"
        "2020-10-25 02:30:00,6\n"
        "2020-10-25 04:00:00,7,8\n"
    )
    other = UUID.replace("b", "c")
    files = {f"soda/{UUID}.csv": stream.encode(), f"soda/{other}.csv.gz": b"datetime,y\n2020-01-01T00:00:00Z,9\n"}
    keyed = read(files, zone="Europe/Rome")
    rows = sorted(row for part in keyed for row in part.frame.select("document", "line", "measurement", "value").rows())
    assert rows == [(0, 3, "x", 4.0), (0, 5, "x", 6.0), (1, 0, "y", 9.0)]
    first = next(part.frame for part in keyed if part.lane == "careful")
    # 02:30 came twice on that day in Rome; the first was 00:30Z.
    assert instant(first["ts"][1]) == datetime(2020, 10, 25, 0, 30, tzinfo=UTC)
    assert refused(keyed) == [
        (
            0,
            0,
            "its time '2020-03-29 02:30:00' does not exist in Europe/Rome: the clocks skip it",
            b"2020-03-29 02:30:00,1",
        ),
        (0, 1, "its time 'yesterday' is none: expected one as 2016-11-30T19:31:37Z", b"yesterday,2"),
        (0, 2, "its time is missing", b",3"),
        (
            0,
            4,
            "its time 1969-12-31T23:59:59Z is outside 1970-01-01T00:00:00Z .. 2025-10-10T08:53:20Z",
            b"1969-12-31T23:59:59Z,5",
        ),
        (0, 6, "3 cells, the header has 2", b"2020-10-25 04:00:00,7,8"),
    ]
    assert {i: n for part in keyed for i, n in part.records.items()} == {0: 2, 1: 1}


def test_a_file_with_a_header_only_gives_no_rows() -> None:
    for part in read({f"soda/{UUID}.csv": b"datetime,x\n", "a/b.csv": SIX.encode()}):
        assert (part.frame.height, dict(part.records), list(part.bad)) == (0, {}, [])
    assert read({}) == []


@pytest.mark.parametrize(
    ("path", "header", "reason"),
    [
        (
            "soda/room.csv",
            "datetime,x",
            "its name is no UUID and its header not time,id,value,type,label,site: datetime, x",
        ),
        (f"soda/{UUID}.csv", "time,x", "no time column 'datetime', found time, x: set sources.mortar.time_column"),
        (f"soda/{UUID}.csv", "datetime", "its header names no column of values: datetime"),
        (f"soda/{UUID}.csv", "datetime,,", "its header names no column of values"),
        (f"{UUID}.csv", "datetime,x", "no collection: it lies in no folder; set sources.mortar.collection"),
        (f"soda/{UUID}.csv", "", "empty file"),
    ],
)
def test_what_is_neither_kind_of_file_is_unreadable(path: str, header: str, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        read({path: header.encode()})


def test_files_are_found_by_their_ending_and_their_name_is_the_device() -> None:
    dataset = datasets(Options())[0]
    assert dataset.locate(f"s3://bucket/soda/{UUID.upper()}.csv.gz") == Place("", UUID, likely_site="soda")
    assert dataset.locate("bldg1/outhttp___x#BLDG1.AHU.CCV.csv") == Place(
        "", "outhttp___x#BLDG1.AHU.CCV", likely_site="bldg1"
    )
    assert datasets(Options(collection="here"))[0].locate("/a.CSV") == Place("here", "a")
    for path in ("bldg1/bldg1.ttl", "bldg1/.hidden.csv", "bldg1/_x.csv", "bldg1/csv", "bldg1/x.csv.bak"):
        assert dataset.locate(path) is None
    assert not dataset.is_before("soda", datetime(2100, 1, 1))


def test_the_series_is_the_name_in_small_letters_and_a_folder_of_partitions_loses_its_key() -> None:
    frame = one("datetime,x\n2016-09-01,1\n", f"out/collection=007/{UUID.upper()}.CSV")
    assert frame.select("site", "series_id", "device_id").rows() == [("007", UUID, "urn:007/x")]


def test_policies() -> None:
    assert [datasets(Options(duplicates=p))[0].policy for p in ("all", "error")] == ["all", "error"]
    assert datasets(Options())[0].policy == "last"


def test_numbers_of_thousands_of_digits_are_read_as_any_other() -> None:
    found = one(
        f"datetime,x\n2021-07-08T12:00:00Z,{'0' * 5_000}1\n2021-07-08T12:01:00Z,-{'0' * 5_000}9007199254740993\n"
    )
    assert found.select("value", "_rescued").rows()[0] == (1.0, None)
    assert found["_rescued"][1].endswith('9007199254740993"}')
