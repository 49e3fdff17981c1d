"""Which column a key goes to, and how the finds of parallel tasks become one schema."""

import hashlib

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siltstone.model.contracts import DATALOG, Column
from siltstone.model.kinds import Kind
from siltstone.model.schema import MergedSchema, Schema, base_schema, hinted, merge_drift
from support.parsing import columns
from support.rounds import examples

# printf %s KEY | sha256sum
HASH_OF_A_B_WITH_BLANK = "c8687a08"


def test_every_datalog_table_begins_with_the_same_columns() -> None:
    assert base_schema(DATALOG) == Schema(
        (
            Column("unitno", "string", "unitno"),
            Column("deviceid", "string", "deviceid"),
            Column("heartbeat", "bigint", "heartbeat"),
        ),
        ("ts", "hiveperiod", "dstrct_code", "source_file", "_rescued"),
    )


def test_a_key_belongs_to_its_own_spelling_else_to_another_case() -> None:
    schema = columns(Speed="double", unit="string")
    assert schema.column_for("Speed") == schema.column_for("SPEED") == Column("Speed", "double", "Speed")
    assert schema.column_for("speed2") is None


def test_only_unknown_keys_are_added_and_the_first_spelling_wins() -> None:
    grown = columns(a="double").extended([("A", "string"), ("B", "string"), ("b", "double")])
    assert grown.columns == (Column("a", "double", "a"), Column("B", "string", "B"))


def test_a_name_in_use_gets_the_hash_of_its_key() -> None:
    grown = Schema(()).extended([("a_b", "double"), ("a b", "double")])
    assert [c.name for c in grown.columns] == ["a_b", f"a_b_{HASH_OF_A_B_WITH_BLANK}"]
    assert [c.key for c in grown.columns] == ["a_b", "a b"]


def test_a_key_named_like_the_hashed_name_takes_no_ones_place() -> None:
    taken = f"a_b_{HASH_OF_A_B_WITH_BLANK}"
    grown = Schema(()).extended([("a_b", "double"), (taken, "double"), ("a b", "double")])
    longer = f"a_b_{hashlib.sha256(b'a b').hexdigest()[:16]}"
    assert [c.name for c in grown.columns] == ["a_b", taken, longer]


def test_reserved_names_are_compared_without_case() -> None:
    grown = Schema((), ("ts",)).extended([("TS", "double")])
    assert grown.columns[0].name == f"TS_{hashlib.sha256(b'TS').hexdigest()[:8]}"


def test_a_hint_is_found_without_case() -> None:
    assert hinted("Serial", "double", {"sERIAL": "bigint"}) == "bigint"
    assert hinted("other", "double", {"serial": "bigint"}) == "double"


def test_arrow_fields_are_in_order() -> None:
    schema = Schema((Column("a", "bigint", "A"), Column("n", "json", "n"), Column("j", "int", "j")), ("ts",))
    assert schema.arrow() == pa.schema([("a", pa.int64()), ("n", pa.large_string()), ("j", pa.int32())])
    assert schema.by_name["a"].key == "A"


def test_drift_is_settled_in_plan_order_and_tasks_that_wrote_otherwise_are_named() -> None:
    base = columns(d="double")
    drift = [
        [Column("x", "double", "x")],  # first in the plan: x is a double
        [Column("x", "string", "x")],  # another kind
        [],
        [Column("X", "double", "X"), Column("y", "boolean", "y")],  # another spelling
        [Column("y", "boolean", "y")],
    ]
    added = (Column("x", "double", "x"), Column("y", "boolean", "y"))
    assert merge_drift(base, drift, 5000) == MergedSchema(Schema((*base.columns, *added)), (1, 3), added)


def test_a_task_that_gave_a_name_which_another_key_took_first_disagrees() -> None:
    # alone, the second task named its column a_b; the first task's key has that name now
    merged = merge_drift(Schema(()), [[Column("a_b", "double", "a_b")], [Column("a_b", "double", "a b")]], 5000)
    assert merged.disagreeing == (1,)
    assert [c.name for c in merged.added] == ["a_b", f"a_b_{HASH_OF_A_B_WITH_BLANK}"]


def test_no_drift_changes_nothing() -> None:
    base = columns(d="double")
    assert merge_drift(base, [[], []], 5000) == MergedSchema(base, (), ())


KEYS = st.text("aAbB _.é=;,\t_0", max_size=4)
KINDS: st.SearchStrategy[Kind] = st.sampled_from(["double", "string", "json"])
FOUND = st.lists(st.tuples(KEYS, KINDS), max_size=12)


@settings(deadline=None, max_examples=examples(150))
@given(FOUND)
def test_no_two_columns_share_a_name_in_any_case_and_delta_takes_each(found: list[tuple[str, Kind]]) -> None:
    schema = Schema((), ("ts", "a", "_")).extended(found)
    names = [c.name.lower() for c in schema.columns]
    assert len(set(names)) == len(names)
    assert not {"ts", "a", "_"} & set(names)
    assert not any(set(name) & set(" ,;{}()\n\t=") or not name for name in names)
    for key, _ in found:
        column = schema.column_for(key)
        assert column is not None
        assert column.key.lower() == key.lower()


@settings(deadline=None, max_examples=examples(100))
@given(st.lists(FOUND, max_size=4))
def test_after_a_second_run_with_the_merged_schema_no_task_disagrees(finds: list[list[tuple[str, Kind]]]) -> None:
    base = Schema((), ("ts",))
    merged = merge_drift(base, [base.extended(found).columns for found in finds], 5000)
    again = [[c for c in merged.schema.extended(found).columns if c not in merged.schema.columns] for found in finds]
    assert merge_drift(merged.schema, again, 5000) == MergedSchema(merged.schema, (), ())


@pytest.mark.parametrize("key", ["a" * 300, "日本語", "a\x00b", "a\nb"])
def test_any_key_gets_a_name(key: str) -> None:
    (column,) = Schema(()).extended([(key, "double")]).columns
    assert column.key == key
    assert "\x00" not in column.name
    assert "\n" not in column.name


def test_names_run_out_of_digits_and_go_on() -> None:
    digest = hashlib.sha256(b"ts").hexdigest()
    keys = [f"ts_{digest[:digits]}" for digits in range(8, 65, 8)]
    schema = Schema((), ("ts",)).extended([(key, "double") for key in [*keys, "ts"]])
    assert schema.columns[-1] == Column(f"ts_{digest}_2", "double", "ts")


def test_no_more_columns_than_the_limit() -> None:
    drift = [[Column("a", "double", "a"), Column("b", "double", "b")], [Column("c", "double", "c")]]
    merged = merge_drift(Schema(()), drift, 2)
    assert [c.key for c in merged.schema.columns] == ["a", "b"]
    assert merged.disagreeing == (1,)  # it wrote c, which must be rescued now


def test_names_that_are_patterns_to_polars_are_none_in_a_table() -> None:
    schema = Schema(()).extended([("*", "double"), ("^v.*$", "double"), ("a*", "double"), ("^", "double")])
    assert [(c.key, c.name) for c in schema.columns] == [
        ("*", "__"), ("^v.*$", "_v.*_"), ("a*", "a*"), ("^", "^")
    ]  # fmt: skip
