"""The survey: kinds, hints, the shift of folder hours and the ratio of sizes, from a spread of files."""

import gzip
import os
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from siltstone.ingest.listing import spread
from siltstone.ingest.survey import FieldFound, Survey, take_survey
from siltstone.mapping.rules import Rules
from siltstone.model.contracts import DATALOG
from siltstone.model.schema import base_schema
from siltstone.sources import datalog
from siltstone.storage import Storage

BASE = base_schema(DATALOG)
RULES = Rules(
    hints=datalog.HINTS,
    max_text_bytes=1 << 24,
    zone="Asia/Makassar",
    earliest_us=1_420_070_400_000_000,
    future_us=86_400_000_000,
)
NOON = 1_765_339_200  # 2025-12-10T04:00:00Z, noon in Makassar


@pytest.fixture
def store(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path))


def take(store: Storage, *contents: bytes | str, hour: str = "2025121004", lines: int | None = None) -> Survey:
    """The survey of one file per content, named by a folder hour; texts are gzipped."""
    for number, content in enumerate(contents):
        path = f"BRCB/X{number}/{hour}/f.gz"
        store.put(path, gzip.compress(content.encode()) if isinstance(content, str) else content)
        os.utime(Path(store.root) / path, (NOON, NOON))
    files = store.objects().with_columns(identity=pl.col("path"))
    return take_survey(store, files, datalog.Datalog(), BASE, RULES, lines)


def test_fields_in_order_of_sight_with_their_tokens(store: Storage) -> None:
    survey = take(
        store,
        f'{{"heartbeat":{NOON},"gpsspeed":0.5,"src":"GPS"}}\n{{"heartbeat":{NOON},"gpsspeed":1}}\n',
        f'{{"heartbeat":{NOON},"GpsSpeed":null,"pos":[1],"src":5}}\nno record\n{{"heartbeat":0,"junk":1}}\n',
    )
    assert (survey.files, survey.unreadable, survey.records, survey.bad_records) == (2, 0, 3, 2)
    assert list(survey.fields) == ["heartbeat", "gpsspeed", "src", "pos"]
    assert survey.fields["gpsspeed"] == FieldFound(
        "gpsspeed", Counter(number=2), nulls=1, has_decimals=True, spellings={"GpsSpeed"}
    )
    assert survey.fields["src"].tokens == Counter(string=1, number=1)
    assert [(c.key, c.kind) for c in survey.schema(BASE, RULES).columns[3:]] == [
        ("gpsspeed", "double"),
        ("src", "string"),
        ("pos", "json"),
    ]


def test_the_kind_is_that_of_most_values_and_bigint_where_a_double_would_round() -> None:
    assert FieldFound("a", Counter(string=2, number=3)).kind == "double"
    assert FieldFound("a", Counter(number=3), big_integers=1).kind == "bigint"
    assert FieldFound("a", Counter(number=3), big_integers=1, has_decimals=True).kind == "double"
    assert FieldFound("a", Counter(misfit=3), nulls=2).kind is None


def test_integers_beyond_2_to_the_53_are_found(store: Storage) -> None:
    numbers = '"serial":9007199254740993,"even":9007199254740992,"huge":18446744073709551616'
    survey = take(store, f'{{"heartbeat":{NOON},{numbers}}}\n')
    kinds = {k: f.kind for k, f in survey.fields.items() if k != "heartbeat"}
    assert kinds == {"serial": "bigint", "even": "double", "huge": "double"}
    assert survey.kinds["heartbeat"] == "bigint"  # by contract, whatever its values are


def test_a_hint_goes_before_what_was_found(store: Storage) -> None:
    survey = take(store, f'{{"heartbeat":{NOON},"x":1}}\n')
    assert survey.schema(BASE, Rules(hints={"X": "bigint"})).columns[-1].kind == "bigint"


@pytest.mark.parametrize(("hour", "shift"), [("2025121004", 8), ("2025121012", 0), ("2025121013", -1)])
def test_the_shift_leads_from_the_folders_hour_to_the_local_hour(store: Storage, hour: str, shift: int) -> None:
    # the record's local time is 12:00
    assert take(store, f'{{"heartbeat":{NOON}}}\n', hour=hour).shift_hours == shift


def test_the_shift_of_most_files_counts_and_rows_without_time_do_not(store: Storage) -> None:
    later = f'{{"heartbeat":{NOON + 3600}}}\n'
    survey = take(store, f'{{"heartbeat":0}}\n{{"heartbeat":{NOON}}}\n', later, later, '{"heartbeat":null}\n')
    assert survey.shift_hours == 9


def test_fields_whose_kind_turns_from_file_to_file_do_not_stop_the_survey(store: Storage) -> None:
    # x is a number in the first file and mostly text after the second
    survey = take(
        store,
        f'{{"heartbeat":{NOON},"x":1}}\n',
        f'{{"heartbeat":{NOON},"x":"a"}}\n{{"heartbeat":{NOON},"x":"b"}}\n',
        f'{{"heartbeat":{NOON},"x":"c","y":true}}\n',
    )
    assert survey.fields["x"].tokens == Counter(number=1, string=3)
    assert survey.fields["x"].kind == "string"
    assert survey.ratio > 0


def test_unreadable_files_are_counted_and_the_rest_is_surveyed(store: Storage) -> None:
    survey = take(store, b"", b"\x1f\x8bjunk-junk-junk", f'{{"heartbeat":{NOON},"x":1}}\n')
    assert (survey.files, survey.unreadable, survey.records) == (3, 2, 1)


def test_no_file_at_all_leaves_the_defaults(store: Storage) -> None:
    assert take(store) == Survey(kinds={"unitno": "string", "deviceid": "string", "heartbeat": "bigint"})


def test_only_the_first_lines_are_read_and_the_ratio_is_scaled_to_them(store: Storage) -> None:
    text = "".join(f'{{"heartbeat":{NOON + i},"v":{i % 7}}}\n' for i in range(3_000))
    whole, head = take(store, text), take(store, text, lines=1_000)
    assert (whole.records, head.records) == (3_000, 1_000)
    assert head.ratio == pytest.approx(whole.ratio, rel=0.5)


def test_the_sample_is_evenly_spread() -> None:
    files = pl.DataFrame({"n": range(10)})
    # 0, 4.5, 9 with 4.5 rounded to the even 4
    assert spread(files, 3)["n"].to_list() == [0, 4, 9]
    assert spread(files, 1)["n"].to_list() == [0]
    assert spread(files, 10)["n"].to_list() == spread(files, 99)["n"].to_list() == list(range(10))


def test_the_schema_stops_at_the_cap_on_columns() -> None:
    survey = Survey({k: FieldFound(k, Counter(number=1)) for k in "abcd"})
    assert [c.key for c in survey.schema(BASE, Rules(max_columns=5)).columns[3:]] == ["a", "b"]


def test_the_tables_own_columns_take_no_room_from_new_ones() -> None:
    survey = Survey({k: FieldFound(k, Counter(string=1)) for k in ("unitno", "deviceid", "heartbeat", "a", "b")})
    assert [c.key for c in survey.schema(BASE, Rules(max_columns=5)).columns[3:]] == ["a", "b"]
