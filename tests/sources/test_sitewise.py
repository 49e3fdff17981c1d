"""The SiteWise source: paths, every kind of value, exact instants, contradicting schemas, and the metadata's states."""

import gzip
import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fastavro
import orjson
import polars as pl
import pytest

from siltstone import sources
from siltstone.errors import Unreadable
from siltstone.formats.documents import Item
from siltstone.mapping.dataset import Keyed, Place
from siltstone.mapping.rules import Rules
from siltstone.model.contracts import Contract
from siltstone.model.schema import base_schema

SAMPLES = Path(__file__).parent.parent / "samples" / "sitewise"
RAW, AGG, ASSETS, TREE = sources.datasets("sitewise", {})
WIND = "e9687d2a-0dbe-4f65-9ed6-6f443cba41f7"
SPEED = "95e63da7-d34e-43e1-bc6f-1b490154b07a"
SERIES = f"{WIND}_{SPEED}"
STREAM = "f74c2828-5317-4df3-ba16-6d41b5bcb531"
FOLDERS = "startYear=2021/startMonth=7/startDay=7/seriesBucket=a3"
PATH = f"raw/{FOLDERS}/raw_{SERIES}_1625675886_GOOD.avro"
UPLOADED = 1_700_000_000_000_000  # 2023-11-14T22:13:20Z
RULES = Rules()
NOON = 1_625_659_200  # 2021-07-07T12:00:00Z, day 18815 since 1970

RAW_SCHEMA: dict[str, Any] = orjson.loads((SAMPLES / "avro_schema.json").read_bytes())
# as the documentation's table has it; its examples have doubles
AGG_TYPES: dict[str, Any] = {
    **dict.fromkeys(("seriesId", "quality", "resolution"), "string"),
    **dict.fromkeys(("timeInSeconds", "offsetInNanos"), "long"),
    **{name: ["null", "double"] for name in ("count", "average", "min")},
    "max": ["null", "boolean"],
    "sum": ["null", "string"],
    "recordVersion": ["null", "long"],
}

POLARS_TYPES = {
    "string": pl.String(),
    "double": pl.Float64(),
    "int": pl.Int32(),
    "bigint": pl.Int64(),
    "timestamp": pl.Datetime("us", "UTC"),
}


def schema(types: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "record", "name": "row", "fields": [{"name": n, "type": t} for n, t in types.items() if t]}


def raw_schema(**types: Any) -> dict[str, Any]:
    """The real schema with fields of another type, without them (None), or with more."""
    return schema({field["name"]: field["type"] for field in RAW_SCHEMA["fields"]} | types)


def avro(writer: Mapping[str, Any], *rows: Mapping[str, Any]) -> bytes:
    stream = io.BytesIO()
    fastavro.writer(stream, writer, rows)
    return stream.getvalue()


def raw(*rows: Mapping[str, Any], **types: Any) -> bytes:
    """A raw file; a row needs only what matters, its time is noon."""
    base = {"seriesId": SERIES, "timeInSeconds": NOON, "offsetInNanos": 0, "quality": "GOOD"}
    return avro(raw_schema(**types), *(base | row for row in rows))


def agg(*rows: Mapping[str, Any], **types: Any) -> bytes:
    base = {"seriesId": STREAM, "timeInSeconds": NOON, "offsetInNanos": 0, "quality": "GOOD", "resolution": "PT1M"}
    return avro(schema(AGG_TYPES | types), *(base | row for row in rows))


def lines(*rows: Mapping[str, Any]) -> bytes:
    return b"".join(orjson.dumps(row) + b"\n" for row in rows)


def keyed(dataset: Any, *files: bytes, paths: Sequence[str] = (), rules: Rules = RULES) -> list[Keyed]:
    """What a dataset makes of files; every column is checked to be the contract's and of its type."""
    items = [Item(i, paths[i] if paths else PATH, UPLOADED, data) for i, data in enumerate(files)]
    documents = [dataset.open(item, rules).document for item in items]
    found, grown = dataset.rows(documents, base_schema(dataset.contract), rules)
    assert grown == base_schema(dataset.contract)
    for part in found:
        assert_fits(part.frame, dataset.contract)
        rows = dict(part.frame["document"].value_counts().iter_rows())
        assert rows == {index: count for index, count in part.records.items() if count}
    return list(found)


def assert_fits(frame: pl.DataFrame, contract: Contract) -> None:
    types = {c.name: POLARS_TYPES[c.kind] for c in (*contract.leading, *contract.record)}
    types |= dict.fromkeys(("ts", "document", "line"), pl.Int64()) | {"_rescued": pl.String()}
    if not contract.is_history:
        types |= {"date": pl.Int32(), "site": pl.String()}
    assert {name: types.get(name) for name in frame.columns} == dict(frame.schema)


def table(dataset: Any, *files: bytes, paths: Sequence[str] = (), rules: Rules = RULES) -> list[dict[str, Any]]:
    """Every row of the files, without what is null."""
    parts = keyed(dataset, *files, paths=paths, rules=rules)
    assert [part.bad for part in parts if part.bad] == []
    rows = pl.concat([part.frame for part in parts], how="diagonal").sort("document", "line").iter_rows(named=True)
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def cells(dataset: Any, *files: bytes, without: str = "") -> list[dict[str, Any]]:
    """The rows without what is the same in all of them."""
    same = {"series_id", "device_id", "measurement", "source", "site", "date", "document", "line", "ts", "quality"}
    same |= {"ts_nanos", *without.split()}
    return [{name: value for name, value in row.items() if name not in same} for row in table(dataset, *files)]


# paths


@pytest.mark.parametrize(
    ("path", "series", "hour"),
    [
        (f"s3://b/cold/tier/{PATH}", SERIES, datetime(2021, 7, 7, 16)),
        # the documentation's own, with another bucket than its metadata; zero padding; no key prefix
        (
            f"raw/startYear=2021/startMonth=01/startDay=02/seriesBucket=a2/raw_{SERIES}_1609577700_GOOD.avro",
            SERIES,
            datetime(2021, 1, 2, 8),
        ),
        (f"x/raw/{FOLDERS}/raw_{STREAM}_1625675886_UNCERTAIN.avro", STREAM, datetime(2021, 7, 7, 16)),
        (f"x/raw/{FOLDERS}/raw_a_b_c_d_1625675886_ODD.avro", "a_b_c_d", datetime(2021, 7, 7, 16)),
        (f"raw/startYear=2021/startMonth=7/startDay=7/seriesBucket=/raw_{STREAM}_1625675886_BAD.avro", STREAM, None),
        # a start of another day than the folder, or of no calendar: the folder's day
        (f"raw/{FOLDERS}/raw_{STREAM}_1609577700_GOOD.avro", STREAM, datetime(2021, 7, 7)),
        (f"raw/{FOLDERS}/raw_{STREAM}_1625675886000_GOOD.avro", STREAM, datetime(2021, 7, 7)),
        (f"raw/{FOLDERS.replace('=7/', '=13/', 1)}/raw_{STREAM}_1625675886_GOOD.avro", STREAM, None),
    ],
)
def test_a_name_is_cut_from_the_right(path: str, series: str, hour: datetime | None) -> None:
    assert RAW.locate(path) == Place("", series, hour or datetime(2021, 7, 7, 16))
    assert AGG.locate(path) is None
    assert ASSETS.locate(path) is TREE.locate(path) is None


@pytest.mark.parametrize(
    "path",
    [
        f"agg/{FOLDERS}/agg_{STREAM}_1625675886_GOOD.avro",
        f"raw/{FOLDERS}/raw_{STREAM}_GOOD.avro",
        f"raw/{FOLDERS}/raw_{STREAM}_1625675886_GOOD.avro.tmp",
        f"raw/{FOLDERS}/_raw_{STREAM}_1625675886_GOOD.avro",
        f"raw/startYear=2021/raw_{STREAM}_1625675886_GOOD.avro",
    ],
)
def test_other_files_are_no_raw_data(path: str) -> None:
    assert RAW.locate(path) is None


def test_metrics_and_metadata_have_their_own_datasets() -> None:
    path = f"k/agg/{FOLDERS}/agg_{STREAM}_1625675886_GOOD.avro"
    assert AGG.locate(path) == Place("", STREAM, datetime(2021, 7, 7, 16))
    assert ASSETS.locate(f"k/asset_metadata/asset_{WIND}.ndjson.gz") == Place("", WIND)
    assert TREE.locate(f"k/asset_hierarchy_metadata/{WIND}_{SPEED}.ndjson") == Place("", WIND)
    assert TREE.locate(f"k/other/{WIND}_{SPEED}.ndjson") is None
    assert ASSETS.locate(f"k/asset_hierarchy_metadata/asset_{WIND}.ndjson") is None
    assert [d.name for d in (RAW, AGG, ASSETS, TREE)] == [
        "sitewise.raw",
        "sitewise.agg",
        "sitewise.assets",
        "sitewise.hierarchy",
    ]


@pytest.mark.parametrize(
    ("folder", "end"),
    [
        ("x/raw/startYear=2021", datetime(2022, 1, 1)),
        ("x/raw/startYear=2021/startMonth=7", datetime(2021, 8, 1)),
        ("x/raw/startYear=2021/startMonth=12", datetime(2022, 1, 1)),
        ("x/raw/startYear=2021/startMonth=02/startDay=28", datetime(2021, 3, 1)),
        ("x/raw/startYear=2021/startMonth=7/startDay=7/seriesBucket=a3", datetime(2021, 7, 8)),
    ],
)
def test_a_folder_is_before_what_follows_its_period(folder: str, end: datetime) -> None:
    assert RAW.is_before(folder, end)
    assert not RAW.is_before(folder, end - timedelta(hours=1))


@pytest.mark.parametrize("folder", ["x/raw", "x", "raw/startYear=2021/startMonth=13", "raw/startYear=9999", "raw/y=1"])
def test_a_folder_without_a_period_is_never_before(folder: str) -> None:
    assert not RAW.is_before(folder, datetime(9999, 12, 31))
    assert not ASSETS.is_before(folder, datetime(9999, 12, 31))


# raw


def test_the_documented_rows() -> None:
    file = next((SAMPLES / "encoded-by-us").rglob("*.avro"))
    found = table(RAW, file.read_bytes())
    assert found[0] == {
        "series_id": SERIES,
        "device_id": WIND,
        "measurement": SPEED,
        "source": "sitewise",
        "ts": 1_625_675_887_000_000,
        "ts_nanos": 0,
        "value": 0.75,
        "kind": "double",
        "quality": "good",
        "date": 18815,
        "site": "_none",
        "document": 0,
        "line": 0,
    }
    # 2021-07-07T16:38:07Z and 2, 3, 4, 5 seconds later
    assert [(row["ts"] // 1_000_000 - 1_625_675_887, row["value"], row["line"]) for row in found] == [
        (0, 0.75, 0),
        (2, 0.69, 1),
        (3, 0.66, 2),
        (4, 0.92, 3),
        (5, 0.73, 4),
    ]


def test_every_kind_of_value() -> None:
    rows = [
        {"doubleValue": -0.5},
        {"integerValue": -(2**31)},
        {"booleanValue": True},
        {"booleanValue": False},
        {"stringValue": ""},
        {"jsonValue": '{"a": [1]}'},
        {"quality": "BAD"},
    ]
    assert cells(RAW, raw(*rows)) == [
        {"value": -0.5, "kind": "double"},
        {"value": -2147483648.0, "kind": "integer"},
        {"value": 1.0, "kind": "boolean"},
        {"value": 0.0, "kind": "boolean"},
        {"text": "", "kind": "string"},
        {"text": '{"a": [1]}', "kind": "json"},
        {},
    ]


def test_of_several_values_the_first_kind_counts_and_none_is_lost() -> None:
    rows = [
        {"doubleValue": 1.5, "integerValue": 2, "stringValue": 'a"b', "booleanValue": False},
        {"stringValue": "s", "jsonValue": "{}"},
        {"doubleValue": float("nan"), "integerValue": 7},
        {"doubleValue": 2.5},
    ]
    assert cells(RAW, raw(*rows)) == [
        {
            "value": 1.5,
            "kind": "double",
            "_rescued": r'{"integerValue":"2","booleanValue":"false","stringValue":"a\"b"}',
        },
        {"text": "s", "kind": "string", "_rescued": '{"jsonValue":"{}"}'},
        {"kind": "double", "_rescued": '{"doubleValue":"NaN","integerValue":"7"}'},
        {"value": 2.5, "kind": "double"},
    ]


def test_no_number_that_is_none_reaches_the_values() -> None:
    rows = [{"doubleValue": float(word)} for word in ("nan", "inf", "-inf")]
    assert cells(RAW, raw(*rows)) == [
        {"kind": "double", "_rescued": f'{{"doubleValue":"{word}"}}'} for word in ("NaN", "Infinity", "-Infinity")
    ]


def test_integers_that_a_double_would_round_are_rescued() -> None:
    rows = [{"integerValue": n} for n in (2**53, 2**53 + 1, -(2**63), -(2**53))]
    assert cells(RAW, raw(*rows, integerValue=["null", "long"])) == [
        {"kind": "integer", "value": 9007199254740992.0},
        {"kind": "integer", "_rescued": '{"integerValue":"9007199254740993"}'},
        {"kind": "integer", "_rescued": '{"integerValue":"-9223372036854775808"}'},
        {"kind": "integer", "value": -9007199254740992.0},
    ]


@pytest.mark.parametrize(
    ("seconds", "offset", "ts", "nanos"),
    [
        (NOON, 123_456_789, NOON * 10**6 + 123_456, 789),
        (NOON, 999, NOON * 10**6, 999),
        (NOON, 1_000_000_000, (NOON + 1) * 10**6, 0),
        (NOON, 3_600_000_000_001, (NOON + 3_600) * 10**6, 1),
        (NOON, -1, NOON * 10**6 - 1, 999),
        (NOON, -1_000, NOON * 10**6 - 1, 0),
        (NOON, -2_000_000_001, (NOON - 2) * 10**6 - 1, 999),
        (0, 2**63 - 1, 9_223_372_036_854_775, 807),  # 2262-04-11
        (9_223_372_036, -(2**63), 9_223_372_036 * 10**6 - 9_223_372_036_854_776, 192),
    ],
)
def test_offsets_are_added_in_exact_integers(seconds: int, offset: int, ts: int, nanos: int) -> None:
    rules = Rules(earliest_us=-(10**18), future_us=10**18)
    row = table(RAW, raw({"timeInSeconds": seconds, "offsetInNanos": offset}), rules=rules)[0]
    assert (row["ts"], row["ts_nanos"]) == (ts, nanos)
    assert ts * 1_000 + nanos == seconds * 10**9 + offset


def test_the_date_is_that_of_the_row_not_of_the_folder() -> None:
    row = table(RAW, raw({"timeInSeconds": NOON + 43_199, "offsetInNanos": 1_000_000_000}))[0]
    assert (row["ts"], row["date"]) == (1_625_702_400_000_000, 18816)  # 2021-07-08T00:00:00Z


def test_rows_of_other_series_and_qualities_than_the_name_says() -> None:
    rows = [
        {"doubleValue": 1.0},
        {"seriesId": STREAM, "quality": "B", "doubleValue": 2.0},
        {"seriesId": STREAM, "quality": "Uncertain", "doubleValue": 3.0},
        {"seriesId": f"{WIND}_x_{SPEED}", "quality": "STALE", "doubleValue": 4.0},
        {"seriesId": f"{WIND}_x_{SPEED}", "quality": "", "doubleValue": 5.0},
        {"recordVersion": 7, "doubleValue": 6.0},
    ]
    names = ("series_id", "device_id", "measurement", "quality", "version")
    assert [tuple(row.get(name) for name in names) for row in table(RAW, raw(*rows[:3]), raw(*rows[3:]))] == [
        (SERIES, WIND, SPEED, "good", None),
        (STREAM, STREAM, None, "bad", None),
        (STREAM, STREAM, None, "uncertain", None),
        (f"{WIND}_x_{SPEED}", f"{WIND}_x_{SPEED}", None, "STALE", None),
        (f"{WIND}_x_{SPEED}", f"{WIND}_x_{SPEED}", None, "", None),
        (SERIES, WIND, SPEED, "good", 7),
    ]


def test_fields_that_nobody_knows_are_rescued() -> None:
    rows = [{"doubleValue": 1.0, "unit": "m/s", "gain": 0.5}, {"doubleValue": 2.0}]
    assert cells(RAW, raw(*rows, unit=["null", "string"], gain=["null", "float"])) == [
        {"value": 1.0, "kind": "double", "_rescued": '{"unit":"m/s","gain":"0.5"}'},
        {"value": 2.0, "kind": "double"},
    ]


def test_fields_of_other_types_than_documented() -> None:
    types = {
        "timeInSeconds": "string",
        "offsetInNanos": ["null", "double"],
        "doubleValue": ["null", "string"],
        "integerValue": ["null", "double"],
        "booleanValue": ["null", "string"],
        "stringValue": ["null", "long"],
        "recordVersion": ["null", "string"],
    }
    base = {"timeInSeconds": str(NOON), "offsetInNanos": None}
    rows = [
        {"doubleValue": "1.5e3", "recordVersion": "12"},
        {"doubleValue": "n/a", "recordVersion": "v2"},
        {"integerValue": 7.0},
        {"booleanValue": "TRUE"},
        {"booleanValue": "yes"},
        {"stringValue": 5},
    ]
    assert cells(RAW, raw(*(base | row for row in rows), **types)) == [
        {"value": 1500.0, "kind": "double", "version": 12},
        {"kind": "double", "_rescued": '{"doubleValue":"n/a","recordVersion":"v2"}'},
        {"value": 7.0, "kind": "integer"},
        {"value": 1.0, "kind": "boolean"},
        {"kind": "boolean", "_rescued": '{"booleanValue":"yes"}'},
        {"text": "5", "kind": "string"},
    ]


def test_a_schema_with_the_least_there_can_be() -> None:
    bare = avro(schema({"seriesId": "string", "timeInSeconds": "int"}), {"seriesId": STREAM, "timeInSeconds": NOON})
    assert table(RAW, bare)[0] == {
        "series_id": STREAM,
        "device_id": STREAM,
        "source": "sitewise",
        "ts": NOON * 10**6,
        "ts_nanos": 0,
        "date": 18815,
        "site": "_none",
        "document": 0,
        "line": 0,
    }


@pytest.mark.parametrize(
    ("dataset", "file", "reason"),
    [
        (RAW, raw({}, seriesId=None), "its schema has no seriesId; it has timeInSeconds, offsetInNanos, quality, "),
        (RAW, raw({}, seriesId=None, timeInSeconds=None), "no seriesId, no timeInSeconds; it has offsetInNanos"),
        (AGG, raw({}), "its schema has no resolution; it has seriesId, "),
        (RAW, b"no avro", "Avro"),
    ],
)
def test_a_schema_without_a_needed_field_is_refused(dataset: Any, file: bytes, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        keyed(dataset, file)


def test_rows_without_a_possible_time_are_refused_with_their_bytes() -> None:
    types = {"seriesId": ["null", "string"], "timeInSeconds": ["null", "long"]}
    rows = [
        {"doubleValue": 1.0},
        {"timeInSeconds": None},
        {"timeInSeconds": 2**62},
        {"timeInSeconds": 1_700_086_401},
        {"seriesId": None},
        {"seriesId": ""},
        {"timeInSeconds": -1},
    ]
    part = keyed(RAW, raw(), raw(*rows, **types))[-1]
    assert part.frame["value"].to_list() == [1.0]
    assert part.records == {1: 1}
    window = "outside 1970-01-01T00:00:00Z .. 2023-11-15T22:13:20Z"
    assert [(bad.document, bad.line, bad.reason) for bad in part.bad] == [
        (1, 1, "its time is missing"),
        (1, 2, "timeInSeconds 4611686018427387904, offsetInNanos 0 is no instant"),
        (1, 3, f"its time 2023-11-15T22:13:21Z is {window}"),
        (1, 4, "its series is missing"),
        (1, 5, "its series is missing"),
        (1, 6, f"its time 1969-12-31T23:59:59Z is {window}"),
    ]
    assert orjson.loads(part.bad[1].raw)["timeInSeconds"] == 2**62


def test_times_in_words_are_refused() -> None:
    part = keyed(RAW, raw({"timeInSeconds": "noon"}, timeInSeconds="string", offsetInNanos=None))[0]
    assert [bad.reason for bad in part.bad] == ["timeInSeconds noon is no instant"]


def test_a_constant_site() -> None:
    plant = sources.datasets("sitewise", {"site": "plant-7"})[0]
    assert table(plant, raw({}))[0]["site"] == "plant-7"
    assert plant.locate(PATH) == Place("plant-7", SERIES, datetime(2021, 7, 7, 16))


def test_many_files_of_two_schemas() -> None:
    files = [raw({"doubleValue": float(i)}, {"doubleValue": i + 0.5}) for i in range(20)]
    files += [raw({"integerValue": i}, unit=["null", "string"]) for i in range(20, 30)]
    found = table(RAW, *files)
    assert [(row["document"], row["line"], row["value"]) for row in found] == [
        *((i, line, i + line / 2) for i in range(20) for line in (0, 1)),
        *((i, 0, float(i)) for i in range(20, 30)),
    ]


# metrics


def test_the_documented_metrics() -> None:
    types = {name: ["null", "double"] for name in ("average", "min", "max", "sum")} | {"count": "double"}
    rows = []
    for line in (SAMPLES / "docs_agg_examples.avro-json.ndjson").read_bytes().splitlines():
        row = orjson.loads(line)  # a union's value is written {"double": 16.0}
        rows.append({k: v["double"] if isinstance(v, dict) else v for k, v in row.items()})
    found = table(AGG, agg(*rows, **types))
    assert found[0] == {
        "series_id": STREAM,
        "source": "sitewise",
        "ts": 1_637_334_060_000_000,
        "ts_nanos": 0,
        "resolution": "PT1M",
        "count": 31.0,
        "average": 16.0,
        "min": 1.0,
        "max": 31.0,
        "sum": 496.0,
        "quality": "good",
        "date": 18950,  # 2021-11-19
        "site": "_none",
        "document": 0,
        "line": 0,
    }
    assert [tuple(row[n] for n in ("count", "min", "max", "sum", "average")) for row in found[1::2]] == [
        (29.0, 32.0, 60.0, 1334.0, 46.0),
        (29.0, 32.0, 60.0, 1334.0, 46.0),
    ]
    assert {row["quality"] for row in found} == {"good"}  # the first says G


def test_metrics_of_the_types_that_the_documentation_says() -> None:
    rows = [{"count": 31.0, "average": 16.0, "min": float("nan"), "max": True, "sum": "496.0"}, {"sum": "none"}]
    assert cells(AGG, agg(*rows), without="resolution") == [
        {"count": 31.0, "average": 16.0, "sum": 496.0, "_rescued": '{"min":"NaN","max":"true"}'},
        {"_rescued": '{"sum":"none"}'},
    ]


def test_metrics_of_any_type() -> None:
    types = {"count": "long", "average": ["null", "double", "string"], "min": ["null", "int"], "max": None}
    rows = [
        {"count": 2**53 + 1, "average": 1.5, "min": -3, "sum": "9007199254740993"},
        {"count": 2, "average": "2.5", "sum": "1e300", "recordVersion": 3},
        {"count": 2, "average": "two", "sum": " 1"},
        {"count": 2, "sum": "-9007199254740991"},
    ]
    assert cells(AGG, agg(*rows, **types), without="resolution") == [
        {"average": 1.5, "min": -3.0, "_rescued": '{"count":"9007199254740993","sum":"9007199254740993"}'},
        {"count": 2.0, "average": 2.5, "sum": 1e300, "version": 3},
        {"count": 2.0, "_rescued": r'{"average":"\"two\"","sum":" 1"}'},
        {"count": 2.0, "sum": -9007199254740991.0},
    ]


def test_a_metric_without_resolution_is_refused() -> None:
    part = keyed(AGG, agg({"resolution": None}, {"resolution": "PT1H"}, resolution=["null", "string"]))[0]
    assert part.frame["resolution"].to_list() == ["PT1H"]
    assert [(bad.line, bad.reason) for bad in part.bad] == [(0, "its resolution is missing")]


# metadata

TURBINE = "7020c8e2-e6db-40fa-9845-ed0dddd4c77d"
ASSET_PATH = f"asset_metadata/asset_{TURBINE}.ndjson"
TREE_PATH = f"asset_hierarchy_metadata/{WIND}_{SPEED}.ndjson"


def assets(*rows: Mapping[str, Any]) -> list[dict[str, Any]]:
    return table(ASSETS, lines(*rows), paths=[ASSET_PATH])


def test_the_documented_assets() -> None:
    found = table(ASSETS, (SAMPLES / "docs_asset_metadata_examples.ndjson").read_bytes(), paths=[ASSET_PATH])
    assert found[0] == {
        "time_series_id": f"{TURBINE}_{SPEED}",
        "time_series_bucket": "f6",
        "asset_id": TURBINE,
        "asset_name": "Wind Turbine Asset 2",
        "asset_model_id": "ec1d924f-f07d-444f-b072-e2994c165d35",
        "asset_model_name": "Wind Turbine Asset Model",
        "asset_property_id": SPEED,
        "asset_property_name": "Temperature",
        "asset_property_data_type": "DOUBLE",
        "asset_property_unit": "Celsius",
        "asset_property_alias": "USA/Washington/Seattle/WT2/temp",
        "asset_creation_date": datetime(2021, 4, 26, 19, 45, 23, tzinfo=UTC),
        "asset_last_update_date": datetime(2021, 6, 16, 16, 10, 56, tzinfo=UTC),
        "asset_status_state": "ACTIVE",
        "ts": UPLOADED,
        "document": 0,
        "line": 0,
    }
    assert [row["asset_property_name"] for row in found] == ["Temperature", "Pressure", "Max Temperature"]


def test_a_property_without_a_series_has_the_id_that_it_would_have() -> None:
    assert assets({"assetId": "a", "assetPropertyId": "p"})[0]["time_series_id"] == "a_p"


def test_keys_without_a_column_and_values_of_other_types_are_rescued() -> None:
    found = assets({"timeSeriesId": "s", "assetName": 5, "assetTags": {"x": 1}}, {"timeSeriesId": "t", "new": "y"})
    assert [row["_rescued"] for row in found] == ['{"assetName":"5","assetTags":"{\\"x\\":1}"}', '{"new":"\\"y\\""}']


@pytest.mark.parametrize("date", [None, 1_623_859_856.25, 0])
def test_a_snapshot_is_of_its_upload_whatever_dates_its_rows_have(date: float | None) -> None:
    assert assets({"timeSeriesId": "s", "assetLastUpdateDate": date})[0]["ts"] == UPLOADED


def test_dates_of_no_calendar_are_rescued() -> None:
    row = assets({"timeSeriesId": "s", "assetLastUpdateDate": 1_623_859_856_000, "new": 1})[0]
    assert row == {
        "time_series_id": "s",
        "ts": UPLOADED,
        "document": 0,
        "line": 0,
        "_rescued": '{"new":"1","asset_last_update_date":"1623859856000.0"}',
    }


def test_the_documented_hierarchy_keeps_what_its_file_is_called() -> None:
    found = table(TREE, (SAMPLES / "docs_asset_hierarchy_examples.ndjson").read_bytes(), paths=[TREE_PATH])
    assert found[1] == {
        "source_asset_id": "80388e72-2284-44fb-9c89-bfbaf0dfedd2",
        "target_asset_id": "6b51246e-984d-460d-bc0b-470ea47d1e31",
        "hierarchy_id": "bbed9f59-0412-4585-a61d-6044db526aee",
        "association_type": "CHILD",
        "file_parent_asset_id": WIND,
        "file_hierarchy_id": SPEED,
        "ts": UPLOADED,
        "document": 0,
        "line": 1,
    }
    assert len(found) == 2


@pytest.mark.parametrize("empty", [b"", b" \n\n", b"\xef\xbb\xbf\r\n", gzip.compress(b"")])
@pytest.mark.parametrize(("dataset", "path"), [(ASSETS, ASSET_PATH), (TREE, TREE_PATH)])
def test_an_empty_file_is_a_state_without_rows(dataset: Any, path: str, empty: bytes) -> None:
    parts = keyed(dataset, empty, paths=[path])
    assert [(part.frame.height, part.bad, part.records) for part in parts] == [(0, (), {0: 0})]


def test_empty_files_among_others() -> None:
    rows = [lines({"timeSeriesId": "s"}), b"", gzip.compress(lines({"timeSeriesId": "t"}, {"timeSeriesId": "u"}))]
    found = table(ASSETS, *rows, paths=[ASSET_PATH] * 3)
    assert [(row["document"], row["line"], row["time_series_id"]) for row in found] == [
        (0, 0, "s"),
        (2, 0, "t"),
        (2, 1, "u"),
    ]


@pytest.mark.parametrize(
    ("dataset", "data", "reason"),
    [
        (ASSETS, b"\x00\x01garbage", "neither gzip, zstd nor NDJSON"),
        (ASSETS, b'{"timeSeriesId":"s"}\n{"timeSer', "line 2: .*; such a file counts whole or not at all"),
        (ASSETS, b'{"assetId":"a"}\n', "line 1: time_series_id is missing"),
        (ASSETS, b'[{"timeSeriesId":"s"}]\n', "line 1: "),
        (ASSETS, gzip.compress(lines({"timeSeriesId": "s"}) * 999)[:-20], "gzip cut short"),
        (TREE, b'{"sourceAssetId":"a","hierarchyId":"h"}', "target_asset_id or hierarchy_id is missing"),
    ],
)
def test_a_damaged_state_is_refused_as_a_whole(dataset: Any, data: bytes, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        keyed(dataset, data, paths=[TREE_PATH])
