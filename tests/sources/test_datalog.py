"""The datalog source: places, instants, local days, and the rows that have no usable time."""

from dataclasses import replace
from datetime import date, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siltstone import sources
from siltstone.errors import UsageError
from siltstone.formats.ndjson.lanes import parse
from siltstone.mapping.dataset import Place
from siltstone.mapping.rules import Rules
from siltstone.model.contracts import DATALOG
from siltstone.model.schema import base_schema
from siltstone.model.time_zones import day_text
from siltstone.sources.datalog import HINTS, Stamped, locate, partition_of, site_partition, stamp, unit_of
from support.parsing import document
from support.rounds import examples

MIDNIGHT = 1_765_324_800  # 2025-12-10T00:00:00Z, when the files were uploaded; day 20432
RULES = Rules(earliest_us=1_420_070_400_000_000, future_us=24 * 3_600_000_000, zone="UTC")  # 2015-01-01; one day
DAY = (date(2025, 12, 10) - date(1970, 1, 1)).days
BOUNDS = "outside 2015-01-01T00:00:00Z .. 2025-12-11T00:00:00Z"


def stamped(*heartbeats: int | None, zone: str = "Asia/Makassar", upload: int = MIDNIGHT) -> Stamped:
    table = pa.table({"heartbeat": pa.array(heartbeats, pa.int64())})
    return stamp(table, np.full(len(heartbeats), upload * 1_000_000), replace(RULES, zone=zone))


def test_the_unit_is_told_by_magnitude_and_nanoseconds_are_cut() -> None:
    found = stamped(1765332618, 1765332618123, 1765332618123456, 1765332618123456789, upload=MIDNIGHT)
    # 1765332618 is 2025-12-10 10:10:18 in Makassar; .123456789 is cut to .123456, not rounded to .123457
    assert found.ts_us.tolist() == [
        1765332618_000000,
        1765332618_123000,
        1765332618_123456,
        1765332618_123456,
    ]
    assert found.unit.tolist() == [0, 1, 2, 3]
    assert found.day.tolist() == [DAY] * 4
    assert found.reasons == {}


@pytest.mark.parametrize(
    ("heartbeat", "reason"),
    [
        (None, "heartbeat is missing or no integer"),
        (0, "heartbeat 0 is no time"),
        (-9999, "heartbeat -9999 is no time"),
        (-(2**63), "heartbeat -9223372036854775808 is no time"),
        (1, f"heartbeat 1 is 1970-01-01T00:00:01Z, {BOUNDS}"),
        (1420070399, f"heartbeat 1420070399 is 2014-12-31T23:59:59Z, {BOUNDS}"),
        (1765411201, f"heartbeat 1765411201 is 2025-12-11T00:00:01Z, {BOUNDS}"),
        (9999999999, f"heartbeat 9999999999 is 2286-11-20T17:46:39Z, {BOUNDS}"),
        (10000000000, f"heartbeat 10000000000 is 1970-04-26T17:46:40Z, {BOUNDS}"),  # as milliseconds
        (2**63 - 1, f"heartbeat 9223372036854775807 is 2262-04-11T23:47:16Z, {BOUNDS}"),
    ],
)
def test_a_row_without_a_usable_time_gets_a_reason(heartbeat: int | None, reason: str) -> None:
    found = stamped(1765332618, heartbeat)
    assert found.reasons == {1: reason}
    assert found.unit[0] == 0


@pytest.mark.parametrize("heartbeat", [1420070400, 1765411200, 1420070400_000, 1765411200_000_000_000])
def test_both_ends_of_the_window_belong_to_it(heartbeat: int) -> None:
    assert stamped(heartbeat).reasons == {}


def test_the_window_ends_a_day_after_each_files_own_upload() -> None:
    table = pa.table({"heartbeat": pa.array([MIDNIGHT + 90_000, MIDNIGHT + 90_000])})
    uploads = np.array([MIDNIGHT, MIDNIGHT + 86_400]) * 1_000_000
    assert list(stamp(table, uploads, RULES).reasons) == [0]


def test_the_local_day_is_that_of_the_zone() -> None:
    # 15:59:59Z and 16:00:00Z are on both sides of midnight in Makassar
    assert stamped(MIDNIGHT - 28_801, MIDNIGHT - 28_800).day.tolist() == [DAY - 1, DAY]
    # +05:45: 18:14:59Z and 18:15:00Z
    assert stamped(MIDNIGHT - 20_701, MIDNIGHT - 20_700, zone="Asia/Kathmandu").day.tolist() == [DAY - 1, DAY]


def test_tables_without_heartbeat_or_rows() -> None:
    bare = stamp(pa.table({"x": pa.array([1.0, 2.0])}), np.zeros(2, np.int64), RULES)
    assert bare.reasons == {0: "heartbeat is missing or no integer", 1: "heartbeat is missing or no integer"}
    assert bare.unit.tolist() == [-1, -1]
    assert stamped().ts_us.tolist() == []


def test_a_heartbeat_that_is_text_or_decimal_is_rescued_and_has_no_time() -> None:
    lines = ['{"heartbeat":"1765332618"}', '{"heartbeat":1765332618.5}', '{"heartbeat":1765332618.0}']
    parts, _ = parse([document(*lines)], base_schema(DATALOG), Rules(hints=HINTS))
    table = parts[0].table
    assert table.column("_rescued").to_pylist() == [
        '{"heartbeat":"\\"1765332618\\""}',
        '{"heartbeat":"1765332618.5"}',
        None,
    ]
    found = stamp(table, np.full(3, MIDNIGHT * 1_000_000), RULES)
    assert list(found.reasons) == [0, 1]
    assert found.ts_us[2] == 1765332618_000000


@settings(deadline=None, max_examples=examples(150))
@given(st.integers(1_420_070_400_000_000_000, (MIDNIGHT + 86_400) * 10**9), st.sampled_from([10**9, 10**6, 10**3, 1]))
def test_every_unit_gives_the_instant_cut_to_microseconds(ns: int, per_unit: int) -> None:
    heartbeat = ns // per_unit
    assert stamped(heartbeat).ts_us.tolist() == [heartbeat * per_unit // 1_000]


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/in/BRCB/SLS30I623/2025073002/2025073002.txt.gz", Place("BRCB", "SLS30I623", datetime(2025, 7, 30, 2))),
        ("BRCG/X/2025123123/other-name", Place("BRCG", "X", datetime(2025, 12, 31, 23))),
        ("a b/..é/2024022900/f.gz", Place("a b", "..é", datetime(2024, 2, 29))),
        ("BRCB/X/2025073024/f.gz", None),  # no hour 24
        ("BRCB/X/2025022900/f.gz", None),  # no leap year
        ("BRCB/X/20250730/f.gz", None),
        ("BRCB/X/2025073002/.hidden.gz", None),
        ("BRCB/X/2025073002/_SUCCESS", None),
        ("X/2025073002/f.gz", None),
        ("BRCB/X/2025073002", None),
        ("", None),
    ],
)
def test_the_place_that_a_path_names(path: str, place: Place | None) -> None:
    assert locate(path) == place


@pytest.mark.parametrize("site", ["BRCB", "a", "a.b-c_9", "x" * 64, "a..b"])
def test_a_safe_site_is_its_own_partition(site: str) -> None:
    assert site_partition(site) == site


@pytest.mark.parametrize(
    "site",
    [
        *("", ".", "..", "...", "a b", "a/b", "a\\b", "a\0b", "a\n", "é", "e\u0301", "x" * 65, "x" * 300, "a=b", "%"),
        "__HIVE_DEFAULT_PARTITION__",
    ],
)
def test_any_other_site_goes_to_the_invalid_partition(site: str) -> None:
    assert site_partition(site) == "_invalid"


def test_the_shift_moves_a_folder_hour_to_its_local_day() -> None:
    place = Place("..", "X", datetime(2025, 12, 9, 20))
    assert partition_of(place, 8) == ("2025-12-10", "_invalid")
    assert partition_of(place, 3) == ("2025-12-09", "_invalid")
    assert partition_of(place, -21) == ("2025-12-08", "_invalid")


@pytest.mark.parametrize(
    ("head", "unit"),
    [
        (b'{"unitno":"LD783","x":1}\n{"unitno":"PM1', "LD783"),
        (b'{"x":1}\n{"unitno":"LD783"}', ""),
        (b'{"unitno":5}\n', ""),
        (b'{"unitno":"LD7', ""),
        (b"[1]\n", ""),
        (b"", ""),
    ],
)
def test_the_unit_at_a_files_beginning(head: bytes, unit: str) -> None:
    assert unit_of(head) == unit


def test_days_as_text() -> None:
    assert [day_text(d) for d in (0, 59, DAY)] == ["1970-01-01", "1970-03-01", "2025-12-10"]


def test_a_source_is_found_by_its_name() -> None:
    assert sources.dataset("datalog", {}).contract == DATALOG
    with pytest.raises(UsageError, match=r"no source named 'datlog'\W+Did you mean datalog\? Known sources: .*datalog"):
        sources.load("datlog")
