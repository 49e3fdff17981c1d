"""Bad input: one bad file or record never fails a run and never vanishes, and the accounts close around it."""

import json
import random
import zlib
from typing import Any

import polars as pl
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from siltstone.cli import main as cli
from support.commands import run_tasks_here
from support.fleet import NOON, Content, World, gz, ndjson, record
from support.rounds import examples

BAD = "BRCB/BAD/2025121012"
GOOD = "BRCB/GOOD/2025121012"
MANY = ndjson([record(NOON + s, s=s) for s in range(200)])
# The last 4 bytes of a gzip are the length, the 4 before them the checksum of its text.
FALSE_CHECKSUM = gz(MANY)[:-8] + b"\0\0\0\0" + gz(MANY)[-4:]


def bomb(megabytes: int) -> bytes:
    """So much blank text as gzip. Each megabyte is packed for itself, so one is packed for all; no reader comes to the
    checksum."""
    packer = zlib.compressobj(wbits=31)
    first, *others = (packer.compress(b" " * (1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return first + others[0] * (megabytes - 1) + packer.flush()


def _compact_with(world: World, content: Content, *options: str) -> dict[str, Any]:
    """The summary of a run over the content and one good file, whose row is checked here once for all."""
    world.deliver({BAD: content, GOOD: [record(NOON, "OTHER", "GOOD", s=-1)]})
    summary = world.compact(*options)
    found = world.frame().filter(pl.col("source_file") == GOOD)
    assert found.select("heartbeat", "unitno", "s").rows() == [(NOON, "OTHER", -1.0)]
    return summary


def _rows(world: World, *columns: str) -> list[tuple[Any, ...]]:
    """The bad file's rows."""
    return world.frame().filter(pl.col("source_file") == BAD).sort("heartbeat").select(columns).rows()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file: 0 bytes, not even a gzip header"),
        (b"this is no gzip\n", "neither gzip, zstd nor NDJSON text: begins with b'this is '"),
        (FALSE_CHECKSUM, "broken gzip after "),
        (gz(MANY)[:5], "gzip cut short after 0 bytes of text"),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + b"\xff" * 40, "broken gzip after 0 bytes of text"),
        (bomb(70), "text is over limits.max_ratio (200 times"),
        (bomb(257), "text is over limits.max_"),
    ],
    ids=["0 bytes", "text", "checksum", "header only", "junk after the header", "bomb by ratio", "bomb by size"],
)
def test_a_file_that_gives_nothing_is_quarantined_with_its_reason_and_its_bytes(
    world: World, content: bytes, reason: str
) -> None:
    summary = _compact_with(world, content)
    assert (summary["files_quarantined"], summary["files_ingested"], summary["rows_out"]) == (1, 1, 1)
    [(place, line, offset, said, raw)] = world.quarantine()
    assert (place, line, offset) == (BAD, None, None)
    assert said.startswith(reason)
    assert raw == content[: 64 << 10]
    assert world.compact()["files_skipped"] == 2


def test_a_gzip_cut_in_half_keeps_the_records_before_the_cut(world: World) -> None:
    whole = gz(MANY)
    content = whole[: len(whole) // 2]
    summary = _compact_with(world, content)
    rows = _rows(world, "s")
    assert 0 < len(rows) < 200
    assert rows == [(float(s),) for s in range(len(rows))]
    assert (summary["files_ingested"], summary["files_salvaged"], summary["records_quarantined"]) == (2, 1, 0)
    [(_, _, _, reason, raw)] = world.quarantine()
    assert reason.startswith("gzip cut short after ")
    lines = MANY.split(b"\n")
    assert lines[len(rows)].startswith(raw)  # the record that the cut went through
    assert raw != lines[len(rows)]


def test_a_cut_that_leaves_a_whole_last_record_keeps_it(world: World) -> None:
    _compact_with(world, gz(MANY)[:-8])  # all of the text, but neither checksum nor length
    assert len(_rows(world, "s")) == 200


@pytest.mark.parametrize(
    ("salvage", "content", "rows"),
    [
        ("none", gz(MANY)[:-8], 0),
        ("none", gz(MANY) + b"junk", 0),
        ("truncated", gz(MANY) + b"junk", 200),
        ("truncated", FALSE_CHECKSUM, 0),
        ("all", FALSE_CHECKSUM, 200),
    ],
)
def test_which_damaged_files_give_rows_is_set_by_salvage(world: World, salvage: str, content: bytes, rows: int) -> None:
    summary = _compact_with(world, content, f"limits.salvage={salvage}")
    assert len(_rows(world, "s")) == rows
    assert summary["files_salvaged"] + summary["files_quarantined"] == 1
    assert len(world.quarantine()) == 1


@pytest.mark.parametrize(
    "content",
    [
        gz(MANY[: len(MANY) // 2]) + gz(MANY[len(MANY) // 2 :]),  # two members, cut inside a record
        gz(MANY) + b"\0" * 512,  # padded with zeros, as tapes do
        zstandard.compress(MANY),
        MANY,  # plain text
        b"\xef\xbb\xbf" + MANY,
        gz(b"\xef\xbb\xbf" + MANY),
        gz(MANY.replace(b"\n", b"\r\n")),
        gz(MANY.replace(b"\n", b"\n\n  \n")),
        gz(MANY.removesuffix(b"\n")),
    ],
    ids=["members", "zeros", "zstd", "plain", "BOM plain", "BOM", "CRLF", "blank lines", "no last newline"],
)
def test_other_wrappings_of_the_same_records_give_the_same_rows(world: World, content: bytes) -> None:
    summary = _compact_with(world, content)
    assert _rows(world, "s") == [(float(s),) for s in range(200)]
    assert (summary["records_quarantined"], summary["files_salvaged"], summary["files_quarantined"]) == (0, 0, 0)


@pytest.mark.parametrize("content", [gz(b""), gz(b"\n \n")], ids=["no text", "blank lines"])
def test_a_whole_file_without_records_is_ingested_as_such(world: World, content: bytes) -> None:
    summary = _compact_with(world, content)
    assert (summary["files_ingested"], summary["files_quarantined"], summary["records_in"]) == (2, 0, 1)
    assert world.quarantine() == []


HEAD = f'{{"heartbeat": {NOON + 1}, "s": 1'
BAD_RECORDS = {
    "two objects": (f"{HEAD}}}{HEAD}}}", "text behind the object"),
    "text behind": (f"{HEAD}}} oops", "text behind the object"),
    "comma behind": (f"{HEAD}}},", "text behind the object"),
    "array": ('[{"heartbeat": 1765339201}]', "not a JSON object"),
    "number": ("1765339201", "not a JSON object"),
    "string": ('"x"', "not a JSON object"),
    "null": ("null", "not a JSON object"),
    "no end": (HEAD, "neither comma nor end of object"),
    "no value": (f'{HEAD}, "t": }}', "no value"),
    "no quotes": (f"{HEAD}, t: 1}}", "no key"),
    "trailing comma": (f"{HEAD}, }}", "no key"),
    "leading zero": (f'{HEAD}, "t": 01}}', "no value"),
    "NUL": (f'{HEAD}, "t": "a\0b"}}', "no value"),
    "escaped lone surrogate": (f'{HEAD}, "t": "\\ud800"}}', "string is not JSON"),
    "bad escape": (f'{HEAD}, "t": "\\x41"}}', "string is not JSON"),
    "deep": (f'{HEAD}, "t": {"[" * 1500}{"]" * 1500}}}', "nested deeper than limits.max_depth (64)"),
    "unclosed nesting": (f'{HEAD}, "t": [[1, 2]}}', "nested value"),
    "many keys": (
        f"{HEAD}, " + ", ".join(f'"k{n}": {n}' for n in range(10_001)) + "}",
        "over limits.max_keys (10,000 keys)",
    ),
    "long line": (f'{HEAD}, "t": "{"x" * (1 << 20)}"}}', "line of 1,048,6"),
    "heartbeat text": ('{"heartbeat": "1765339201"}', "heartbeat is missing or no integer"),
    "heartbeat decimal": ('{"heartbeat": 1765339201.5}', "heartbeat is missing or no integer"),
    "heartbeat missing": ('{"s": 1}', "heartbeat is missing or no integer"),
    "empty object": ("{}", "heartbeat is missing or no integer"),
    "heartbeat 2286": ('{"heartbeat": 9999999999}', "heartbeat 9999999999 is 2286-11-20T17:46:39Z, outside 2015-01-01"),
    "heartbeat 1970": (
        '{"heartbeat": 10000000000}',
        "heartbeat 10000000000 is 1970-04-26T17:46:40Z, outside 2015-01-01",
    ),
    "heartbeat 2014": ('{"heartbeat": 1420070399}', "heartbeat 1420070399 is 2014-12-31T23:59:59Z, outside 2015-01-01"),
    "heartbeat too great": ('{"heartbeat": 99999999999999999999}', "heartbeat is missing or no integer"),
    "heartbeat true": ('{"heartbeat": true}', "heartbeat is missing or no integer"),
}


@pytest.mark.parametrize("case", BAD_RECORDS)
def test_a_bad_record_is_quarantined_and_its_neighbours_are_not(world: World, case: str) -> None:
    line, reason = BAD_RECORDS[case]
    before, after = record(NOON, s=0), record(NOON + 2, s=2)
    summary = _compact_with(world, [before, line, after])
    assert _rows(world, "heartbeat", "s") == [(NOON, 0.0), (NOON + 2, 2.0)]
    assert (summary["records_in"], summary["records_quarantined"], summary["files_ingested"]) == (4, 1, 2)
    [(place, number, offset, said, raw)] = world.quarantine()
    assert (place, number, offset) == (BAD, 2, len(ndjson([before])))
    assert said.startswith(reason)
    # A record over the limit of length is kept as length and SHA-256 only, others by their first 64 KiB.
    assert raw == (b"" if case == "long line" else line.encode()[: 64 << 10])


def test_a_line_that_is_no_utf8_is_quarantined(world: World) -> None:
    line = HEAD.encode() + b', "t": "caf\xe9"}'
    _compact_with(world, gz(ndjson([record(NOON, s=0)]) + line + b"\n" + ndjson([record(NOON + 2, s=2)])))
    assert _rows(world, "s") == [(0.0,), (2.0,)]
    [(_, number, _, reason, raw)] = world.quarantine()
    assert (number, raw) == (2, line)
    assert reason.startswith("not UTF-8: invalid continuation byte at byte")


# Values that no column can hold exactly, and those that only look so: JSON text -> (stored double, rescued text).
ODD_NUMBERS: dict[str, tuple[float | None, str | None]] = {
    "NaN": (None, "NaN"),
    "Infinity": (None, "Infinity"),
    "-Infinity": (None, "-Infinity"),
    '"NaN"': (None, '"NaN"'),
    "1e400": (None, "1e400"),
    "-1e400": (None, "-1e400"),
    "9007199254740993": (None, "9007199254740993"),  # 2^53 + 1
    "9007199254740992": (9007199254740992.0, None),
    "18446744073709551616": (18446744073709551616.0, None),  # 2^64, which a double holds exactly
    "-0.0": (-0.0, None),
    "1E2": (100.0, None),
    "5e-324": (5e-324, None),
    "true": (None, "true"),
    "[1, 2]": (None, "[1, 2]"),
    '{"a": NaN}': (None, '{"a": NaN}'),
    "null": (None, None),
}


@pytest.mark.parametrize("text", ODD_NUMBERS)
def test_a_number_is_stored_exactly_or_rescued_with_its_own_text(world: World, text: str) -> None:
    stored, rescued = ODD_NUMBERS[text]
    summary = _compact_with(world, [record(NOON, x=0.5), f'{{"heartbeat": {NOON + 1}, "x": {text}}}'])
    [_, (x, found)] = _rows(world, "x", "_rescued")
    assert (x, str(x)) == (stored, str(stored))
    assert found == (None if rescued is None else json.dumps({"x": rescued}, separators=(",", ":")))
    assert summary["values_rescued"] == (rescued is not None)


def test_a_column_first_met_as_an_integer_beyond_2_53_is_bigint(world: World) -> None:
    _compact_with(world, [record(NOON, id=9007199254740993), record(NOON + 1, id=-1)])
    assert _rows(world, "id") == [(9007199254740993,), (-1,)]
    assert world.frame().schema["id"] == pl.Int64


def test_a_repeated_key_keeps_the_first_value_and_rescues_the_others(world: World) -> None:
    _compact_with(world, [record(NOON, x=0), f'{{"heartbeat": {NOON + 1}, "x": 1, "x": 2, "x": "3"}}'])
    assert _rows(world, "x", "_rescued") == [(0.0, None), (1.0, '{"x":["2","\\"3\\""]}')]


def test_an_object_in_one_record_and_a_scalar_in_another_share_the_column_by_rescue(world: World) -> None:
    _compact_with(world, [record(NOON, x={"a": [1, 2.50]}), f'{{"heartbeat": {NOON + 1}, "x": 7}}'])
    found = _rows(world, "x", "_rescued")
    assert found in (
        [('{"a": [1, 2.5]}', None), (None, '{"x":"7"}')],
        [(None, '{"x":"{\\"a\\": [1, 2.5]}"}'), (7.0, None)],
    )


def test_strange_names_become_columns_of_their_own(world: World) -> None:
    names = [
        "a.b",
        "a b",
        "ä",
        "Ω/s",
        "a=b",
        "",
        " ",
        "date",
        "source_file",
        "_rescued",
        "hiveperiod",
        "__document",
        "{document}",
    ]
    summary = _compact_with(world, [record(NOON, **{name: n for n, name in enumerate(names)})])
    columns = [name for name, _, key in world.headers()[0]["columns"] if key in names]
    assert len(set(columns)) == len(names)
    assert _rows(world, *columns) == [tuple(float(n) for n in range(len(names)))]
    assert summary["values_rescued"] == 0
    assert {key for _, _, key in world.headers()[0]["columns"]} == {*names, "s"}


def test_keys_beyond_the_largest_number_of_columns_are_rescued(world: World) -> None:
    fields = {f"k{n:02d}": n for n in range(40)}
    world.deliver({GOOD: [record(NOON, **fields)]})
    summary = world.compact("compaction.max_columns=20")
    # 20 record columns: unitno, deviceid, heartbeat and 17 of the 40 keys.
    assert summary["columns_added"] == [f"k{n:02d}" for n in range(17)]
    assert json.loads(world.rows("_rescued")[0][0]) == {f"k{n:02d}": str(n) for n in range(17, 40)}
    assert summary["values_rescued"] == 23


def test_five_thousand_new_keys_in_one_record_are_five_thousand_cells(world: World) -> None:
    summary = _compact_with(world, [record(NOON, **{f"k{n}": n for n in range(4_900)})])
    assert (len(summary["columns_added"]), summary["values_rescued"], summary["keys_seen"]) == (4_901, 0, 4_903 + 4)


SITES = {
    "a b": "_invalid",
    "x=y": "_invalid",
    "%41": "_invalid",
    "é": "_invalid",
    "s" * 65: "_invalid",
    "__HIVE_DEFAULT_PARTITION__": "_invalid",
    "A-1_b.c": "A-1_b.c",
    "01": "01",  # read as a number by those who guess
    "null": "null",
}


@pytest.mark.parametrize("site", SITES)
def test_a_site_that_is_unsafe_in_a_path_is_invalid_and_kept_in_the_source_file(world: World, site: str) -> None:
    world.deliver({f"{site}/DEV/2025121012": [record()]})
    world.compact()
    assert world.rows("dstrct_code", "source_file") == [(SITES[site], f"{site}/DEV/2025121012")]
    assert world.frame().schema["dstrct_code"] == pl.String


@pytest.mark.parametrize(
    ("content", "options", "code"),
    [
        ([record(NOON)], [], 0),
        ([record(NOON)], ["--strict"], 0),
        ([record(NOON), "{"], [], 0),
        ([record(NOON), "{"], ["--strict"], 3),
        (b"no gzip", ["--strict"], 3),
        (gz(MANY)[:-8], ["--strict"], 3),
        ([record(NOON)], ["--set", "compaction.target_file_mbs=1"], 2),
        ([record(NOON)], ["--set", "compaction.target_file_mb=999"], 2),
        ([record(NOON)], ["--conf", "no/such.yaml"], 2),
    ],
)
def test_the_exit_code_says_what_happened(
    world: World, monkeypatch: pytest.MonkeyPatch, content: Content, options: list[str], code: int
) -> None:
    run_tasks_here(monkeypatch)
    world.deliver({BAD: content})
    arguments = ["compact", "datalog", str(world.input), str(world.lake), "--engine", "local", *options]
    assert cli.main(arguments) == code
    assert (world.table / "_delta_log").exists() == (code != 2)


def test_an_unknown_source_and_a_missing_input_are_usage_errors(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["compact", "datalogs", str(world.input), str(world.lake), "--engine", "local"]) == 2
    assert cli.main(["compact", "datalog", str(world.input / "nowhere"), str(world.lake), "--engine", "local"]) == 2
    told = capsys.readouterr().err
    assert "no source named 'datalogs'" in told
    assert "there is no input at" in told
    assert cli.main(["compact", "datalog"]) == 2


LINES = st.sampled_from(
    [record(NOON + s, s=s) for s in range(3)]
    + [record(1_765_382_400, late=True), record(NOON, S="x"), record(NOON, deep={"a": None}), record(0)]
    + [line for line, _ in BAD_RECORDS.values() if len(line) < 200]
    + ["", "  ", f'{{"heartbeat": {NOON}, "s": NaN}}', f'{{"heartbeat": {NOON}, "s": 1, "s": 2}}']
)
DAMAGE = st.sampled_from(["none", "cut", "flip", "junk behind", "zeros behind", "twice", "plain"])


def _damaged(data: bytes, damage: str, seed: int) -> bytes:
    chance = random.Random(seed)
    at = chance.randrange(len(data))
    match damage:
        case "cut":
            return data[:at]
        case "flip":
            return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
        case "junk behind":
            return data + chance.randbytes(20)
        case "zeros behind":
            return data + bytes(20)
        case "twice":
            return data + data
    return data


@settings(max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    files=st.lists(st.tuples(st.lists(LINES, max_size=6), DAMAGE, st.integers(0, 1 << 16)), min_size=1, max_size=5),
    salvage=st.sampled_from(["none", "truncated", "all"]),
)
def test_whatever_the_damage_the_accounts_close_and_every_record_is_somewhere(
    tmp_path_factory: pytest.TempPathFactory, files: list[tuple[list[Any], str, int]], salvage: str
) -> None:
    world = World(tmp_path_factory.mktemp("damaged"))
    tree: dict[str, Content] = {}
    for n, (lines, damage, seed) in enumerate(files):
        text = ndjson(lines)
        is_plain = damage == "plain" and text.startswith(b"{")  # text that begins otherwise is not taken for NDJSON
        tree[f"BRCB/DEV{n % 2}/20251210{n + 10}"] = text if is_plain else _damaged(gz(text), damage, seed)
    world.deliver(tree)
    summary = world.compact(f"limits.salvage={salvage}", "survey.files=2")
    rows = world.rows("source_file", "heartbeat")
    assert len(rows) == summary["rows_out"]
    quarantined = world.quarantine()
    assert sum(line is not None for _, line, _, _, _ in quarantined) == summary["records_quarantined"]
    assert (
        sum(line is None for _, line, _, _, _ in quarantined)
        == summary["files_quarantined"] + summary["files_salvaged"]
    )
    whole = [n for n, (_, damage, _) in enumerate(files) if damage in ("none", "plain", "zeros behind")]
    for n in whole:
        place = f"BRCB/DEV{n % 2}/20251210{n + 10}"
        records = [line for line in files[n][0] if not isinstance(line, str) or line.strip()]
        written = sum(file == place for file, _ in rows)
        refused = sum(file == place for file, _, _, _, _ in quarantined)
        assert written + refused <= len(records)
        assert written + refused + summary["duplicates_dropped"] >= len(records)
    again = world.compact(f"limits.salvage={salvage}")
    assert (again["files_skipped"], again["run"]) == (len(files), "")
