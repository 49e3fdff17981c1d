"""Readings of foreign files by a block of the configuration: the real samples, and each key on rows worked by hand."""

import io
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import polars as pl
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from siltstone import sources
from siltstone.errors import Unreadable
from siltstone.formats.documents import Item
from siltstone.formats.ndjson.shapes import read_shapes
from siltstone.mapping.dataset import Keyed, Place
from siltstone.mapping.rules import Rules
from siltstone.model.schema import Schema
from siltstone.sources.records import RecordsDataset
from support.rounds import examples

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "tests" / "samples"
UPLOADED_US = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
LONG = {"time": ["t"], "measurement": "name", "value": "v"}


def dataset(**block: Any) -> RecordsDataset:
    (found,) = sources.datasets("records.test", block)
    assert isinstance(found, RecordsDataset)
    assert list(found.options.problems()) == []
    return found


def example(name: str) -> RecordsDataset:
    """The dataset of an example file of the configuration."""
    blocks = yaml.safe_load((ROOT / "conf" / "examples" / f"{name}.yaml").read_text())["sources"]["records"]
    return dataset(**blocks[name])


def read(source: RecordsDataset, *files: bytes, paths: tuple[str, ...] = (), rules: Rules = Rules()) -> list[Keyed]:  # noqa: B008
    items = [
        Item(index, paths[index] if paths else f"in/{index}", UPLOADED_US, data) for index, data in enumerate(files)
    ]
    documents = [source.open(item, rules).document for item in items]
    return list(source.rows(documents, Schema(()), rules)[0])


def sample(source: RecordsDataset, *paths: str) -> Keyed:
    (keyed,) = read(source, *[(SAMPLES / path).read_bytes() for path in paths], paths=paths)
    return keyed


def rows(source: RecordsDataset, *files: bytes, without: str = "quality source site date") -> list[dict[str, Any]]:
    """Each reading's columns that are not null; `line` and `document` together as `at`."""
    found = []
    for keyed in read(source, *files):
        for row in keyed.frame.iter_rows(named=True):
            row["at"] = (row.pop("document"), row.pop("line"))
            left = ("ts_nanos", *without.split())
            found.append({k: v for k, v in row.items() if v is not None and not (k in left and v in (0, row[k]))})
    return found


def refusals(source: RecordsDataset, *files: bytes) -> list[tuple[int, str]]:
    return [(b.line, b.reason) for keyed in read(source, *files) for b in keyed.bad]


def lines(*records: Mapping[str, Any] | str) -> bytes:
    return b"".join((r if isinstance(r, str) else json.dumps(r)).encode() + b"\n" for r in records)


# The real samples


def test_a_car_whose_values_are_numbers_booleans_and_texts() -> None:
    keyed = sample(example("openxc"), "openxc/austator-driving.json")
    frame = keyed.frame
    assert (frame.height, keyed.records, list(keyed.bad), keyed.lane) == (19_438, {0: 19_438}, [], "typed")
    by_signal = {
        row["measurement"]: (row["count"], row["kinds"])
        for row in frame.group_by("measurement")
        .agg(pl.len().alias("count"), pl.col("kind").unique().sort().alias("kinds"))
        .iter_rows(named=True)
    }
    assert len(by_signal) == 19
    assert by_signal["vehicle_speed"] == (1_228, ["double"])
    assert by_signal["engine_speed"] == (2_103, ["double"])
    assert by_signal["steering_wheel_angle"] == (3_049, ["double"])
    assert by_signal["brake_pedal_status"] == (1_064, ["boolean"])
    assert by_signal["transmission_gear_position"] == (682, ["string"])
    assert by_signal["door_status"] == (572, ["string"])
    means = dict(frame.group_by("series_id").agg(pl.col("value").mean()).iter_rows())
    assert means["vehicle_speed"] == pytest.approx(20.12368850081437, rel=1e-9)
    assert means["engine_speed"] == pytest.approx(1363.5672848311935, rel=1e-9)
    with_event = frame.filter(pl.col("_rescued").is_not_null())
    assert (with_event.height, with_event["measurement"].unique().to_list()) == (572, ["door_status"])
    assert set(with_event["_rescued"]) == {'{"event":"false"}'}
    # 1351181576.6507802 s: all of its digits
    third = frame.row(2, named=True)
    assert (third["ts"], third["ts_nanos"], third["value"]) == (1_351_181_576_650_780, 200, 1.0)
    assert set(frame["source"]) == {"records.test"}


def test_traces_out_of_order_without_a_time_and_of_every_kind() -> None:
    source = example("openxc")
    ordered = sample(source, "openxc/openxc-python-trace.json").frame
    assert (ordered.height, int((ordered["ts"].diff() < 0).sum())) == (250, 6)
    for path, count in (("openxc/openxc-python-trace-no-timestamp.json", 9), ("openxc/openxc-python-evented.json", 2)):
        keyed = sample(source, path)
        assert (keyed.frame.height, keyed.records) == (0, {0: 0})
        assert {b.reason for b in keyed.bad} == {"its time is missing"}
        assert len(keyed.bad) == count
    kinds = sample(source, "openxc/openxc-android-tracejson.json").frame
    assert dict(kinds["kind"].value_counts().iter_rows()) == {"double": 8, "boolean": 4, "string": 3, "integer": 2}


def test_a_year_of_air_with_sentinels_decimal_commas_and_empty_rows() -> None:
    keyed = sample(example("air_quality"), "air-quality-uci/AirQualityUCI.csv")
    frame = keyed.frame
    assert (frame.height, list(keyed.bad), keyed.records) == (9_357 * 13, [], {0: 9_357 + 114})
    missing = dict(frame.filter(pl.col("quality") == "bad")["measurement"].value_counts().iter_rows())
    assert (len(missing), sum(missing.values())) == (13, 1_683 + 8_443 + 1_639 + 1_642 + 9 * 366)
    assert {name: n for name, n in missing.items() if n != 366} == {
        "CO(GT)": 1_683,
        "NMHC(GT)": 8_443,
        "NOx(GT)": 1_639,
        "NO2(GT)": 1_642,
    }
    temperature = frame.filter(pl.col("series_id") == "city/T")
    assert temperature["value"].count() == 8_991
    assert temperature["value"].mean() == pytest.approx(18.317828940051164, rel=1e-9)
    assert set(temperature.filter(pl.col("value").is_null())["_rescued"]) == {'{"T":"-200"}'}
    # the hours follow each other without a gap: 2004-03-10 18:00 in Italy's winter is 17:00 UTC
    assert temperature["ts"].diff().drop_nulls().unique().to_list() == [3_600_000_000]
    assert temperature["ts"][0] == int(datetime(2004, 3, 10, 17, tzinfo=UTC).timestamp()) * 1_000_000
    assert frame.row(0, named=True)["value"] == 2.6


def test_by_a_clock_with_summer_time_the_hours_that_it_skips_are_refused() -> None:
    source = example("air_quality")
    rome = RecordsDataset(source.name, replace(source.options, zone="Europe/Rome"))
    keyed = sample(rome, "air-quality-uci/AirQualityUCI.csv")
    assert [b.reason for b in keyed.bad] == [
        f"its time '{day} 02.00.00' does not exist in Europe/Rome: the clocks skip it"
        for day in ("28/03/2004", "27/03/2005")
    ]
    assert keyed.records == {0: 9_357 + 114 - 2}


def test_benchmark_series_named_by_their_files() -> None:
    names = ["realKnownCause/machine_temperature_system_failure", "realKnownCause/rogue_agent_key_hold"]
    names += ["realTraffic/TravelTime_451", "realTraffic/speed_7578", "realTraffic/speed_t4013"]
    source = example("nab")
    frame = sample(source, *[f"nab/{name}.csv" for name in names]).frame
    found = frame.group_by("series_id", "site").agg(pl.len(), pl.col("value").mean(), pl.col("ts").n_unique())
    by_series = {row[0]: row[1:] for row in found.iter_rows()}
    assert {name: (f"{s}", n) for name, (s, n, _, _) in by_series.items()} == {
        "machine_temperature_system_failure": ("realKnownCause", 22_695),
        "rogue_agent_key_hold": ("realKnownCause", 1_882),
        "TravelTime_451": ("realTraffic", 2_162),
        "speed_7578": ("realTraffic", 1_127),
        "speed_t4013": ("realTraffic", 2_495),
    }
    assert by_series["machine_temperature_system_failure"][1:] == (22_695, pytest.approx(85.92649821068021), 22_683)
    assert by_series["rogue_agent_key_hold"][2] == pytest.approx(0.039577705065356, rel=1e-9)
    assert by_series["TravelTime_451"][2] == pytest.approx(327.22155411655876, rel=1e-9)
    assert by_series["speed_7578"][2] == pytest.approx(64.04880212954747, rel=1e-9)
    assert by_series["speed_t4013"][3] == 2_494
    assert source.policy == "all"


def test_weather_before_1970_from_avro() -> None:
    block = {"format": "avro", "time": ["time"], "time_unit": "ms", "device": "station", "value": "temp"}
    path = "avro/weather-snappy.avro"
    keyed = sample(dataset(**block, earliest="1900-01-01"), path)
    # -619524000000 ms is 1950-05-15 14:00 UTC; temperatures are whole tenths of degrees
    assert keyed.frame.select("series_id", "ts", "value", "kind").rows() == [
        ("011990-99999/temp", -619_524_000_000_000, 0.0, "integer"),
        ("011990-99999/temp", -619_506_000_000_000, 22.0, "integer"),
        ("011990-99999/temp", -619_484_400_000_000, -11.0, "integer"),
        ("012650-99999/temp", -655_531_200_000_000, 111.0, "integer"),
        ("012650-99999/temp", -655_509_600_000_000, 78.0, "integer"),
    ]
    late = sample(dataset(**block), path)
    assert (late.frame.height, len(late.bad)) == (0, 5)
    assert late.bad[0].reason == "its time 1950-05-15T14:00:00Z is outside 2000-01-01T00:00:00Z .. 2026-01-02T00:00:00Z"
    assert json.loads(late.bad[0].raw) == {"station": "011990-99999", "time": -619_524_000_000, "temp": 0}


# Each key on rows worked by hand


def test_values_of_every_kind_and_what_does_not_fit() -> None:
    # the second file is read line by line, since it holds an array
    values = ["1", "1.0", "9007199254740993", "1e400", "true", '"7"', "null"]
    text = [f'{{"t":1500000000,"name":"n","v":{value}}}' for value in values]
    expected = [
        {"value": 1.0, "kind": "integer"},
        {"value": 1.0, "kind": "double"},
        {"kind": "integer", "_rescued": '{"v":"9007199254740993"}'},
        {"kind": "double", "_rescued": '{"v":"1e400"}'},
        {"value": 1.0, "kind": "boolean"},
        {"text": "7", "kind": "string"},
        {},
    ]
    odd = [{"text": "[1]", "kind": "json"}, {"kind": "double", "_rescued": '{"v":"NaN"}'}]
    odd_text = [f'{{"t":1500000000,"name":"n","v":{value}}}' for value in ("[1]", "NaN")]
    same = {"ts": 1_500_000_000_000_000, "series_id": "n", "measurement": "n"}
    found = rows(dataset(**LONG), lines(*text), lines(*text, *odd_text))
    assert found == [{**same, **e, "at": (0, i)} for i, e in enumerate(expected)] + [
        {**same, **e, "at": (1, i)} for i, e in enumerate([*expected, *odd])
    ]


def test_keys_without_a_part_are_kept_with_the_first_reading() -> None:
    source = dataset(time=["t"], wide=["a", "b"])
    record = {"t": 1_500_000_000, "a": 1, "b": 2, "x": 'say "\\"', "y": None, "z": 3}
    found = rows(source, lines(record), lines(record, '{"t":1500000000,"a":1,"a":5,"b":null}'))
    rescued = {"x": json.dumps('say "\\"'), "z": "3"}
    assert [json.loads(row.get("_rescued", "{}")) for row in found] == [rescued, {}, rescued, {}, {"a": "5"}]
    assert [row["series_id"] for row in found] == ["a", "b", "a", "b", "a"]


def test_a_record_whose_content_gives_no_reading_is_refused_an_empty_one_is_not() -> None:
    source = dataset(time=["t"], wide=["a"], format="csv")
    (keyed,) = read(source, b"t,a,x\n1500000000,,5\n1500000000,,\n,,\n1500000000,1,\n")
    assert [(b.line, b.reason, b.raw) for b in keyed.bad] == [
        (0, "none of its columns with content is a reading or a part of one", b"1500000000,,5")
    ]
    assert (keyed.records, keyed.frame["line"].to_list()) == ({0: 3}, [3])


def test_bad_records_are_refused_with_their_reasons() -> None:
    data = lines(
        '{"t":1500000000,"name":"n","v":1',
        {"name": "n", "v": 1},
        {"t": "noon", "name": "n", "v": 1},
        {"t": 1_500_000_000, "v": 1},
        {"t": 1_500_000_000, "name": "", "v": 1},
        {"t": 5_000_000_000, "name": "n", "v": 1},
        {"t": 1_500_000_000, "name": "n", "v": 1},
    )
    (careful,) = read(dataset(**LONG), data)
    assert [(b.line, b.reason) for b in careful.bad] == [
        (0, "neither comma nor end of object at character 32"),
        (1, "its time is missing"),
        (2, "its time 'noon' is none: expected one as 2016-11-30T19:31:37Z"),
        (3, "its series is missing"),
        (4, "its series is missing"),
        (5, "its time 2128-06-11T08:53:20Z is outside 2000-01-01T00:00:00Z .. 2026-01-02T00:00:00Z"),
    ]
    assert (careful.lane, careful.records, careful.frame["line"].to_list()) == ("careful", {0: 1}, [6])
    (fast,) = read(dataset(**LONG), data.partition(b"\n")[2])
    assert [b.reason for b in fast.bad] == [b.reason for b in careful.bad[1:]]
    assert (fast.lane, fast.bad[4].raw) == ("typed", json.dumps({"t": 5_000_000_000, "name": "n", "v": 1}).encode())


def test_nested_paths_lead_to_parts_and_values() -> None:
    record = {
        "head": {"at": "2020-01-01T00:00:00.000000001Z", "id": "d1", "note": "x"},
        "body": {"T": 20.5, "on": True},
    }
    block = {"time": ["head.at"], "device": "head.id"}
    expected = [("d1/body.T", 20.5, 1), ("d1/body.on", 1.0, 1)]
    wide = read(dataset(**block, wide=["body.*"]), lines(record))[0].frame
    assert wide.select("series_id", "value", "ts_nanos").rows() == expected
    assert wide["_rescued"].to_list() == ['{"head.note":"\\"x\\""}', None]
    long = read(dataset(**block, value="body.T"), lines(record))[0].frame
    assert long.select("series_id", "value").rows() == [("d1/body.T", 20.5)]
    assert long["_rescued"].to_list() == ['{"head.note":"\\"x\\"","body.on":"true"}']
    parquet = io.BytesIO()
    pl.DataFrame([record]).write_parquet(parquet)
    typed = read(dataset(**block, format="parquet", wide=["body.*"]), parquet.getvalue())[0].frame
    assert typed.select("series_id", "value", "ts_nanos").rows() == expected
    assert typed["_rescued"].to_list() == ['{"head.note":"x"}', None]


def test_origins_from_columns_constants_and_paths() -> None:
    source = dataset(
        format="csv",
        time=["t"],
        device="path:/([^/]+)/[^/]+$",
        site="=plant one",
        series=["line", "path:([a-z]+)\\.csv$"],
        value="v",
    )
    data = b"t,line,v\n2020-01-01,L1,5\n2020-01-01,,5\n"
    (keyed,) = read(source, data, paths=("in/dev7/temp.csv",))
    (row,) = keyed.frame.select("series_id", "device_id", "measurement", "site", "_rescued").rows()
    assert row == ("L1/temp", "dev7", "v", "_invalid", '{"site":"plant one"}')
    assert [b.reason for b in keyed.bad] == ["its series is missing"]
    assert source.locate("in/dev7/temp.csv") == Place("plant one", "temp")


def test_quality_words_sentinels_and_versions() -> None:
    source = dataset(
        format="csv",
        time=["t"],
        value="v",
        quality="q",
        qualities={"ok": "good", "?": "uncertain"},
        version="n",
        sentinels=["-200", "n/a"],
        duplicates="version",
    )
    data = b"t,v,q,n\n" + b"".join(
        f"2020-01-01,{rest}\n".encode() for rest in ("1,ok,3", "2,?,x", "3,G,", "4,odd,1", "-200.0,ok,2", "n/a,,2")
    )
    (keyed,) = read(source, data)
    assert keyed.frame.select("value", "text", "quality", "version", "_rescued").rows() == [
        (1.0, None, "good", 3, None),
        (2.0, None, "uncertain", None, '{"n":"x"}'),
        (3.0, None, "good", None, None),
        (4.0, None, "odd", 1, None),
        (None, None, "bad", 2, '{"v":"-200.0","q":"ok"}'),
        (None, None, "bad", 2, '{"v":"n/a"}'),
    ]


def test_a_column_named_as_a_field_of_an_object_is_rescued_beside_it() -> None:
    parquet = io.BytesIO()
    pl.DataFrame({"t": [1_500_000_000], "body": [{"v": 1.5}], "body.v": [2.5]}).write_parquet(parquet)
    (keyed,) = read(dataset(format="parquet", time=["t"], value="body.v", measurement="=v"), parquet.getvalue())
    assert keyed.frame.select("value", "_rescued").rows() == [(1.5, '{"body.v":"2.5"}')]


def test_typed_columns_of_parquet() -> None:
    frame = pl.DataFrame(
        {
            "t": [datetime(2020, 1, 1, 12), datetime(2020, 7, 1, 12)],
            "big": [2**53 + 1, 5],
            "real": [float("nan"), 0.5],
            "flag": [True, None],
            "word": ["7", "x"],
            "many": [[1, 2], []],
        },
        schema_overrides={"t": pl.Datetime("us")},
    )
    parquet = io.BytesIO()
    frame.write_parquet(parquet)
    source = dataset(format="parquet", time=["t"], zone="Europe/Rome", wide=["*"])
    (keyed,) = read(source, parquet.getvalue())
    noon = [
        int(datetime(2020, month, 1, hour, tzinfo=UTC).timestamp()) * 1_000_000 for month, hour in ((1, 11), (7, 10))
    ]
    assert keyed.frame.select("ts", "measurement", "value", "text", "kind", "_rescued").rows() == [
        (noon[0], "big", None, None, "integer", '{"big":"9007199254740993"}'),
        (noon[0], "real", None, None, "double", '{"real":"NaN"}'),
        (noon[0], "flag", 1.0, None, "boolean", None),
        (noon[0], "word", None, "7", "string", None),
        (noon[0], "many", None, "[1,2]", "json", None),
        (noon[1], "big", 5.0, None, "integer", None),
        (noon[1], "real", 0.5, None, "double", None),
        (noon[1], "word", None, "x", "string", None),
        (noon[1], "many", None, "[]", "json", None),
    ]


def test_empty_cells_are_readings_without_a_value_where_wanted() -> None:
    source = dataset(format="csv", time=["t"], wide=["a", "b"], skip_empty=False)
    (keyed,) = read(source, b"t,a,b\n2020-01-01,,1\n,,\n")
    assert keyed.frame.select("measurement", "value", "kind").rows() == [("a", None, None), ("b", 1.0, "integer")]
    assert keyed.records == {0: 2}


def test_the_pattern_takes_files_by_the_end_of_their_path() -> None:
    taken = dataset(**LONG, pattern="raw/**/*.json")
    assert taken.locate("lake/raw/a/b/x.json") == Place("", "")
    assert taken.locate("raw/x.json") == Place("", "")
    assert [taken.locate(path) for path in ("draw/x.json", "raw/x.json.gz", "x.json")] == [None, None, None]
    every = dataset(**LONG, duplicates="all")
    assert every.locate("a/x") == Place("", "a/x")
    assert [every.locate(path) for path in ("a/_x", "a/.x")] == [None, None]


def test_a_file_that_gives_nothing_is_unreadable() -> None:
    with pytest.raises(Unreadable, match="empty file"):
        read(dataset(**LONG), b"")
    with pytest.raises(Unreadable, match="empty file"):
        read(dataset(**LONG, format="csv"), b"")


FLAT = st.fixed_dictionaries(
    {"t": st.sampled_from([1_500_000_000, "1500000000.25", "noon", None])},
    optional={
        "name": st.sampled_from(["n", "m", "", None, 7]),
        "v": st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.sampled_from([None, "", "7", "é"]),
        "x": st.sampled_from([1, "1", None, "-200"]),
    },
)


@given(st.lists(st.lists(FLAT, max_size=4), min_size=1, max_size=3), st.booleans())
@settings(max_examples=examples(40), deadline=None)
def test_the_lanes_agree_reading_by_reading(files: list[list[dict[str, Any]]], is_wide: bool) -> None:
    block = {"time": ["t"], "series": ["name"], "wide": ["v", "x"]} if is_wide else LONG
    source = dataset(**block, sentinels=["-200"])
    data = [lines(*records) or b"{}\n" for records in files]
    outcomes = []
    for left in (read_shapes, lambda documents, rules: (None, list(documents))):
        with patch("siltstone.sources.records.read_shapes", left):
            found = read(source, *data)
        kept = ["document", "line", "ts", "series_id", "measurement", "value", "text", "kind", "quality", "_rescued"]
        frame = pl.concat([keyed.frame.select(kept) for keyed in found])
        bad = sorted((b.document, b.line, b.offset, b.reason, b.raw) for keyed in found for b in keyed.bad)
        counts = {index: count for keyed in found for index, count in keyed.records.items() if count}
        outcomes.append((frame.sort("document", "line", "measurement").rows(), bad, counts))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("number", ["1e400", "-1" + "0" * 400, "1" + "0" * 5_000])
def test_nested_numbers_beyond_the_doubles_are_kept_by_every_lane(number: str) -> None:
    nested = f'{{"n":{number}}}'
    line = f'{{"t":1765332618,"name":"a","v":1,"o":{nested}}}'
    for text in (line, line.replace('"a"', r'"\u0061"')):
        (found,) = rows(dataset(**LONG, format="ndjson"), text.encode())
        assert found["_rescued"] == json.dumps({"o": nested}, separators=(",", ":"))


def test_a_repeated_key_that_is_null_says_nothing() -> None:
    source = dataset(**LONG, format="ndjson")
    found = rows(source, b'{"t":1765332618,"name":"a","v":1,"t":null}\n', b'{"t":1765332618,"name":"a","v":1,"t":2}\n')
    assert [row.get("_rescued") for row in found] == [None, '{"t":"2"}']


@pytest.mark.parametrize("name", ["*", "^v.*$", "^.*$"])
@pytest.mark.parametrize("form", ["csv", "ndjson", "parquet"])
def test_columns_whose_names_are_patterns_to_polars_are_columns(form: str, name: str) -> None:
    row = {"t": 1_765_332_618, name: 2.5, "value": 1.5}
    table = pl.DataFrame([pl.Series(key, [value]) for key, value in row.items()])
    parquet = io.BytesIO()
    table.write_parquet(parquet)
    file = {"csv": table.write_csv().encode(), "ndjson": lines(row), "parquet": parquet.getvalue()}[form]
    wide = rows(dataset(format=form, time=["t"], wide=["*"]), file)
    assert [(found["measurement"], found["value"]) for found in wide] == [(name, 2.5), ("value", 1.5)]
    (one,) = rows(dataset(format=form, time=["t"], value="value", measurement="=m"), file)
    assert (one["value"], one["_rescued"]) == (1.5, json.dumps({name: "2.5"}, separators=(",", ":")))
