"""The whole job on small trees: what lands where, under which name, and what the run says of it."""

import os
import random
import shutil
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from polars.testing import assert_frame_equal

from siltstone.errors import UsageError
from siltstone.ingest.job import compact
from siltstone.ingest.task_spec import IngestReport
from support.fleet import MIDNIGHT, NOON, InProcess, World, gz, ndjson, record
from support.races import Meanwhile


def test_a_row_has_its_fields_its_date_its_instant_and_its_file(world: World) -> None:
    world.deliver({"BRCB/SLS30I009/2025121012": [record(NOON, gpsspeed=0.5, speedsource="GPS", door=True)]})
    summary = world.compact()
    expected = pl.DataFrame(
        {
            "ts": [datetime(2025, 12, 10, 4, tzinfo=UTC)],
            "unitno": ["LD772"],
            "deviceid": ["SLS30I009"],
            "hiveperiod": [date(2025, 12, 10)],
            "dstrct_code": ["BRCB"],
            "source_file": ["BRCB/SLS30I009/2025121012"],
            "_rescued": pl.Series([None], dtype=pl.String),
            "heartbeat": [NOON],
            "gpsspeed": [0.5],
            "speedsource": ["GPS"],
            "door": [True],
        },
        schema_overrides={"ts": pl.Datetime("us", "UTC")},
    )
    assert_frame_equal(world.frame(), expected)
    whole_path = str(world.path("BRCB/SLS30I009/2025121012").resolve())
    assert pl.scan_delta(str(world.table)).select("source_file").collect().item() == whole_path
    assert summary["columns_added"] == ["gpsspeed", "speedsource", "door"]
    assert (summary["keys_seen"], summary["cells_stored"], summary["bytes_written"]) == (
        6,
        6,
        sum(p.stat().st_size for p in world.table.rglob("*.parquet")),
    )


@pytest.mark.parametrize(
    ("zone", "days"),
    [
        ("", ["2025-12-10", "2025-12-11", "2025-12-11"]),  # the default, Asia/Makassar: midnight is 16:00:00Z
        ("UTC", ["2025-12-10", "2025-12-10", "2025-12-10"]),
        ("Asia/Kathmandu", ["2025-12-10", "2025-12-10", "2025-12-11"]),  # +05:45: midnight is 18:15:00Z
        ("America/New_York", ["2025-12-10", "2025-12-10", "2025-12-10"]),  # -05:00: 10:59 to 13:15
    ],
)
def test_the_date_is_the_calendar_date_of_the_zone(world: World, zone: str, days: list[str]) -> None:
    times = [MIDNIGHT - 1, MIDNIGHT, MIDNIGHT + 8100]  # 15:59:59Z, 16:00:00Z, 18:15:00Z
    world.deliver({"BRCB/SLS30I009/2025121015": [record(t) for t in times]})
    world.compact(*([f"sources.datalog.zone={zone}"] if zone else []))
    assert world.rows("heartbeat", "hiveperiod") == list(zip(times, days, strict=True))


@pytest.mark.parametrize(("folder", "shift_hours"), [("2025121020", 8), ("2025121104", 0)])
def test_the_folder_hour_may_be_utc_or_local(world: World, folder: str, shift_hours: int) -> None:
    # 2025-12-10T20:00:00Z is 04:00 on the 11th in Asia/Makassar: the folder's own date is the right one only if local.
    world.deliver({f"BRCB/SLS30I009/{folder}": [record(MIDNIGHT + 4 * 3600 + s) for s in range(3)]})
    world.compact()
    assert world.rows("hiveperiod", "dstrct_code", "ts") == [
        ("2025-12-11", "BRCB", "2025-12-10T20:00:00.000000"),
        ("2025-12-11", "BRCB", "2025-12-10T20:00:01.000000"),
        ("2025-12-11", "BRCB", "2025-12-10T20:00:02.000000"),
    ]
    assert (world.headers()[0]["learned"]["datalog"]["shift_hours"], world.headers()[0]["deferred"]) == (shift_hours, 0)


def test_rows_of_other_dates_than_their_folders_go_where_they_belong(world: World) -> None:
    world.deliver(
        {
            "BRCB/SLS30I009/2025121023": [
                record(MIDNIGHT - 2),
                record(MIDNIGHT - 1),
                record(MIDNIGHT),
                record(MIDNIGHT - 3 * 86_400),
            ],
            "BRCB/SLS30I009/2025121100": [record(MIDNIGHT + 1)],
            "BRCG/SLS30I623/2025121023": [record(MIDNIGHT + 2, "LD783", "SLS30I623"), record(MIDNIGHT - 5, "LD783")],
        }
    )
    summary = world.compact()
    first, second, other = "BRCB/SLS30I009/2025121023", "BRCB/SLS30I009/2025121100", "BRCG/SLS30I623/2025121023"
    assert world.rows("hiveperiod", "dstrct_code", "heartbeat", "source_file") == [
        ("2025-12-08", "BRCB", MIDNIGHT - 3 * 86_400, first),  # the instant at which the 8th begins
        ("2025-12-10", "BRCB", MIDNIGHT - 2, first),
        ("2025-12-10", "BRCB", MIDNIGHT - 1, first),
        ("2025-12-10", "BRCG", MIDNIGHT - 5, other),
        ("2025-12-11", "BRCB", MIDNIGHT, first),
        ("2025-12-11", "BRCB", MIDNIGHT + 1, second),
        ("2025-12-11", "BRCG", MIDNIGHT + 2, other),
    ]
    # Strays: two of the first file, one of the third. Files: three homes, then BRCB 8th and 11th, BRCG 11th.
    assert (summary["records_in"], summary["rows_out"], summary["files_written"]) == (7, 7, 6)
    assert world.headers()[0]["deferred"] == 3


def test_a_heartbeat_tells_its_unit_by_magnitude_and_nanoseconds_are_cut(world: World) -> None:
    # From the fleet: 1765332618 is 2025-12-10T02:10:18Z. ...123456789 ns is .123456; a float division gives .123457.
    heartbeats = [1_765_332_618, 1_765_332_618_123, 1_765_332_618_123_456, 1_765_332_618_123_456_789]
    world.deliver({"BRCB/SLS30I623/2025121010": [record(h) for h in heartbeats]})
    summary = world.compact()
    assert world.rows("heartbeat", "ts") == [
        (1_765_332_618, "2025-12-10T02:10:18.000000"),
        (1_765_332_618_123, "2025-12-10T02:10:18.123000"),
        (1_765_332_618_123_456, "2025-12-10T02:10:18.123456"),
        (1_765_332_618_123_456_789, "2025-12-10T02:10:18.123456"),
    ]
    assert summary["time_units"] == {"s": 1, "ms": 1, "us": 1, "ns": 1}


def test_what_is_refused_keeps_its_line_its_offset_its_reason_and_its_bytes(world: World) -> None:
    lines = [record(NOON), "{broken", "", record(0), record(-9999), record(None), record(NOON + 1)]
    world.deliver({"BRCB/SLS30I009/2025121012": lines})
    summary = world.compact()
    place = "BRCB/SLS30I009/2025121012"
    starts = [len(ndjson(lines[:n])) for n in range(len(lines))]
    raws = [ndjson([line]).rstrip(b"\n") for line in lines]
    # Lines count from 1; the third one is blank and no record.
    assert world.quarantine() == [
        (place, 2, starts[1], "no key at character 1", b"{broken"),
        (place, 4, starts[3], "heartbeat 0 is no time", raws[3]),
        (place, 5, starts[4], "heartbeat -9999 is no time", raws[4]),
        (place, 6, starts[5], "heartbeat is missing or no integer", raws[5]),
    ]
    assert world.rows("heartbeat") == [(NOON,), (NOON + 1,)]
    assert (summary["records_in"], summary["records_quarantined"], summary["files_quarantined"]) == (6, 4, 0)


def test_equal_lines_of_one_device_are_one_row_within_a_file_across_files_and_across_midnight(world: World) -> None:
    here, there = record(NOON, n=1), record(MIDNIGHT + 30, n=2)
    world.deliver(
        {
            "BRCB/SLS30I009/2025121012": [
                here,
                here,
                record(NOON, n=3),
            ],  # once more in its file; another n is another row
            "BRCB/SLS30I009/2025121023": [here, there],  # once more in another file; `there` strays to the 11th,
            "BRCB/SLS30I009/2025121100": [there],  # where an equal row is at home
        }
    )
    summary = world.compact()
    assert world.rows("hiveperiod", "heartbeat", "n") == [
        ("2025-12-10", NOON, 1.0),
        ("2025-12-10", NOON, 3.0),
        ("2025-12-11", MIDNIGHT + 30, 2.0),
    ]
    assert (summary["records_in"], summary["rows_out"], summary["duplicates_dropped"]) == (6, 3, 3)


def test_equal_strays_of_two_files_are_one_row_even_when_none_is_at_home(world: World) -> None:
    stray = record(MIDNIGHT + 30)
    world.deliver({f"BRCB/SLS30I009/20251210{hour}": [record(NOON + int(hour)), stray] for hour in (21, 22, 23)})
    summary = world.compact()
    # The folders' hours are early for NOON, so the shift is measured as -9 to -11 h; the dates come from the rows.
    assert world.rows("hiveperiod", "heartbeat") == [
        ("2025-12-10", NOON + 21),
        ("2025-12-10", NOON + 22),
        ("2025-12-10", NOON + 23),
        ("2025-12-11", MIDNIGHT + 30),
    ]
    assert summary["duplicates_dropped"] == 2


def test_equal_lines_of_two_devices_are_two_rows(world: World) -> None:
    same = record(NOON)
    world.deliver({"BRCB/SLS30I009/2025121012": [same], "BRCB/SLS30I010/2025121012": [same]})
    summary = world.compact()
    assert (summary["rows_out"], summary["duplicates_dropped"]) == (2, 0)
    assert world.rows("heartbeat", "source_file") == [
        (NOON, "BRCB/SLS30I009/2025121012"),
        (NOON, "BRCB/SLS30I010/2025121012"),
    ]


def test_late_files_are_added_and_nothing_is_read_twice(world: World) -> None:
    world.deliver({"BRCB/SLS30I009/2025121012": [record(NOON)]})
    world.compact()
    world.deliver(
        {"BRCB/SLS30I009/2025121011": [record(NOON - 3600)], "BRCB/SLS30I009/2025121112": [record(NOON + 86_400)]}
    )
    summary = world.compact()
    assert (summary["files_listed"], summary["files_skipped"], summary["files_ingested"]) == (3, 1, 2)
    assert world.rows("hiveperiod", "heartbeat") == [
        ("2025-12-10", NOON - 3600),
        ("2025-12-10", NOON),
        ("2025-12-11", NOON + 86_400),
    ]


def test_a_second_run_on_the_same_input_writes_nothing(world: World) -> None:
    world.deliver({"BRCB/SLS30I009/2025121012": [record(NOON), "{"], "BRCB/SLS30I009/2025121013": b"no gzip"})
    world.compact()
    version, files = world.version(), world.files()
    summary = world.compact()
    assert (world.version(), world.files()) == (version, files)
    assert (summary["run"], summary["files_listed"], summary["files_skipped"]) == ("", 2, 2)
    assert (summary["records_in"], summary["files_written"]) == (0, 0)


def test_a_new_key_of_a_later_run_is_a_new_column_null_before(world: World) -> None:
    world.deliver({"BRCB/SLS30I009/2025121012": [record(NOON)]})
    world.compact()
    world.deliver({"BRCB/SLS30I009/2025121013": [record(NOON + 3600, gpslat=-0.5, gpsfix=None), record(NOON + 3601)]})
    summary = world.compact()
    assert summary["columns_added"] == ["gpslat"]  # a key that was null throughout makes no column
    assert world.rows("heartbeat", "gpslat") == [(NOON, None), (NOON + 3600, -0.5), (NOON + 3601, None)]
    assert (summary["keys_seen"], summary["cells_stored"], summary["nulls"]) == (8, 7, 1)


def test_a_value_of_another_type_than_its_column_is_rescued_with_its_own_text(world: World) -> None:
    world.deliver({"BRCB/SLS30I009/2025121012": [record(NOON, speed=1.5, cam="ok", on=True)]})
    world.compact()
    world.deliver(
        {
            "BRCB/SLS30I009/2025121013": [
                '{"heartbeat": 1765342800, "unitno": 5, "deviceid": "D", "speed": "NaN", "cam": 1.50, "on": [1]}',
                '{"heartbeat": 1765342801, "unitno": "LD772", "speed": 9007199254740993, "cam": "no", "on": false}',
            ]
        }
    )
    summary = world.compact()
    assert world.rows("heartbeat", "unitno", "speed", "cam", "on", "_rescued") == [
        (NOON, "LD772", 1.5, "ok", True, None),
        (NOON + 3600, None, None, None, None, '{"unitno":"5","speed":"\\"NaN\\"","cam":"1.50","on":"[1]"}'),
        (NOON + 3601, "LD772", None, "no", False, '{"speed":"9007199254740993"}'),  # 2^53 + 1: a double would round it
    ]
    assert (summary["values_rescued"], summary["columns_added"]) == (5, [])


def test_another_case_of_a_name_goes_to_the_same_column(world: World) -> None:
    world.deliver(
        {
            "BRCB/SLS30I009/2025121012": [record(NOON, VehicleSpeed=1), record(NOON + 1, vehiclespeed=2)],
            "BRCB/SLS30I009/2025121013": [record(NOON + 3600, vehiclespeed=3, VehicleSpeed=4)],  # both in one record
        }
    )
    world.compact()
    assert world.frame().columns[-1:] == ["VehicleSpeed"]
    assert world.rows("heartbeat", "VehicleSpeed", "_rescued") == [
        (NOON, 1.0, None),
        (NOON + 1, 2.0, None),
        (NOON + 3600, 4.0, '{"vehiclespeed":"3"}'),
    ]


def test_names_that_delta_refuses_are_replaced_and_the_key_is_kept(world: World) -> None:
    fields = {"Zone Temp": 1.5, "Zone_Temp": 2.5, "ts": 3.5, "a/b": 4.5, "": 5.5}
    world.deliver({"BRCB/SLS30I009/2025121012": [record(NOON, **fields)]})
    summary = world.compact()
    # A name that is taken gets the first digits of `printf KEY | sha256sum`.
    added = ["Zone_Temp", "Zone_Temp_8a78e76a", "ts_44ad63f6", "a/b", "_"]
    assert summary["columns_added"] == added
    assert world.rows(*added) == [(1.5, 2.5, 3.5, 4.5, 5.5)]
    keys = [key for _, _, key in world.headers()[0]["columns"]]
    assert keys == list(fields)


@dataclass(frozen=True)
class Counting(InProcess):
    """Keeps the number of tasks of every round."""

    rounds: list[int] = None  # type: ignore[assignment]

    def run(self, tasks: Any, done: Any) -> list[IngestReport]:
        self.rounds.append(len(tasks))
        return super().run(tasks, done)


def test_bins_that_disagree_on_a_new_column_run_again(world: World) -> None:
    # The survey sees only the first file, so two tasks are the first to meet `x`: a number on the 10th, a text later.
    world.deliver(
        {
            "BRCB/AAA/2025120912": [record(NOON - 86_400)],
            "BRCB/SLS30I009/2025121012": [record(NOON + s, x=s, Y=True) for s in range(40)],  # the larger task is first
            "BRCB/SLS30I009/2025121112": [record(NOON + 86_400, x="full", y=False), record(NOON + 86_401, x=7, y=True)],
        }
    )
    rounds: list[int] = []
    summary = world.compact("survey.files=1", engine=Counting(rounds=rounds))
    assert rounds == [3, 1]
    assert summary["columns_added"] == ["x", "Y"]
    assert world.rows("heartbeat", "x", "Y", "_rescued") == [
        (NOON - 86_400, None, None, None),
        *((NOON + s, float(s), True, None) for s in range(40)),
        (NOON + 86_400, None, False, '{"x":"\\"full\\""}'),
        (NOON + 86_401, 7.0, True, None),
    ]
    assert len(list(world.table.rglob("*.parquet"))) == 4  # the file of the first try stays behind, named by nobody
    assert len(world.headers()[0]["outputs"]) == 3


def test_files_roll_over_and_stay_below_the_largest_size(world: World) -> None:
    chance = random.Random(1)
    devices = [f"DEV{n}" for n in range(4)]
    for device in devices:
        for hour in range(5):
            start = NOON - 4 * 3600 + hour * 3600
            rows = [record(start + s, f"U{device}", device, a=chance.random(), b=chance.random()) for s in range(300)]
            world.deliver({f"BRCB/{device}/20251210{8 + hour:02d}": rows})
    sizes = ["compaction.target_file_mb=0.05", "compaction.min_file_mb=0.03", "compaction.max_file_mb=0.0625"]
    summary = world.compact(*sizes, "compaction.row_group_mb=0.02")
    files = {p: p.stat().st_size for p in world.table.rglob("*.parquet")}
    assert summary["rows_out"] == 4 * 5 * 300
    assert sum(files.values()) == summary["bytes_written"]
    # 6,000 rows of two random doubles are at least 96,000 bytes; two files of 62,500 can hold them.
    assert len(files) >= 2
    assert max(files.values()) < 62_500
    for path in files:
        rows = pq.ParquetFile(path).read(["unitno", "ts"]).to_pylist()
        keys = [(row["unitno"], row["ts"]) for row in rows]
        assert keys == sorted(keys)


def test_one_large_bin_is_cut_into_files_by_what_was_written(world: World) -> None:
    # All rows of one device are one task, so only the writer can keep its files small.
    chance = random.Random(2)
    for hour in range(8, 18):
        start = NOON + (hour - 12) * 3600
        world.deliver({f"BRCB/DEV/20251210{hour:02d}": [record(start + s, a=chance.random()) for s in range(900)]})
    sizes = ["compaction.target_file_mb=0.02", "compaction.min_file_mb=0.015", "compaction.max_file_mb=0.025"]
    summary = world.compact(*sizes, "compaction.row_group_mb=0.01", "engine.batch_mb=1", "engine.memory_mb=1")
    sizes_found = sorted(p.stat().st_size for p in world.table.rglob("*.parquet"))
    assert summary["rows_out"] == 9_000
    assert len(sizes_found) >= 72_000 / 25_000
    assert sizes_found[-1] < 25_000


def test_a_copied_file_is_noted_and_not_written_again(world: World) -> None:
    world.deliver({"BRCB/SLS30I009/2025121012": [record(NOON)]})
    world.compact()
    world.deliver({"BRCB/SLS30I009/2025121012": [record(NOON)]})  # same bytes, another time of writing
    rows = world.rows("heartbeat", "source_file")
    summary = world.compact()
    assert (summary["files_skipped"], summary["files_ingested"], summary["files_written"]) == (1, 0, 0)
    assert world.rows("heartbeat", "source_file") == rows
    version = world.version()
    assert world.compact()["files_skipped"] == 1
    assert world.version() == version  # noted once, in a commit without files; now the new etag is known


def test_a_tree_may_move_when_identity_is_the_path_below_a_root(world: World, tmp_path: Path) -> None:
    world.deliver({"BRCB/SLS30I009/2025121012": [record(NOON)]})
    world.compact(f"compaction.source_root={world.input.resolve()}")
    moved = tmp_path / "moved"
    shutil.copytree(world.input, moved)
    summary = world.compact(f"compaction.source_root={moved.resolve()}", source=moved)
    assert (summary["files_skipped"], summary["files_written"]) == (1, 0)
    assert world.frame()["source_file"].to_list() == ["BRCB/SLS30I009/2025121012"]


def test_changed_content_replaces_the_former_rows(world: World) -> None:
    place = "BRCB/SLS30I009/2025121012"
    world.deliver({place: [record(NOON, a=1)], "BRCB/SLS30I009/2025121013": [record(NOON + 3600)]})
    world.compact()
    world.deliver({place: [record(NOON, a=2), record(NOON + 1)], "BRCB/SLS30I009/2025121014": [record(NOON + 7200)]})
    summary = world.compact()
    assert (summary["files_superseded"], summary["rows_superseded"], summary["files_changed"]) == (1, 1, 0)
    assert (summary["files_skipped"], summary["files_ingested"], summary["rows_out"]) == (1, 2, 3)
    assert world.rows("heartbeat", "a") == [(NOON, 2.0), (NOON + 1, None), (NOON + 3600, None), (NOON + 7200, None)]
    version = world.version()
    again = world.compact()
    assert (again["files_superseded"], again["files_skipped"], again["run"]) == (0, 3, "")
    assert world.version() == version


def test_a_quarantined_file_that_is_delivered_whole_is_taken(world: World) -> None:
    place = "BRCB/SLS30I009/2025121012"
    world.deliver({place: b"\x1f\x8bnothing"})
    assert world.compact()["files_quarantined"] == 1
    assert world.rows("heartbeat") == []
    assert world.compact()["files_skipped"] == 1  # known, not read again
    world.deliver({place: [record(NOON)]})
    summary = world.compact()
    assert (summary["files_ingested"], summary["files_changed"]) == (1, 0)
    assert world.rows("heartbeat") == [(NOON,)]


def test_a_file_that_vanishes_or_changes_after_the_listing_waits_for_the_next_run(world: World) -> None:
    gone, grown = "BRCB/SLS30I009/2025121012", "BRCB/SLS30I009/2025121013"
    world.deliver(
        {gone: [record(NOON)], grown: [record(NOON + 3600)], "BRCB/SLS30I009/2025121014": [record(NOON + 7200)]}
    )

    def act() -> None:
        world.path(gone).unlink()
        world.deliver({grown: [record(NOON + 3600), record(NOON + 3601)]})

    summary = world.compact(engine=Meanwhile(acts={0: act}, done=[]))
    assert (summary["files_deferred"], summary["files_ingested"], summary["rows_out"]) == (2, 1, 1)
    assert world.rows("heartbeat") == [(NOON + 7200,)]
    summary = world.compact()
    assert (summary["files_listed"], summary["files_skipped"], summary["files_ingested"]) == (2, 1, 1)
    assert world.rows("heartbeat") == [(NOON + 3600,), (NOON + 3601,), (NOON + 7200,)]


def test_a_run_that_finds_nothing_where_it_listed_something_commits_nothing(world: World) -> None:
    world.deliver({"BRCB/SLS30I009/2025121012": [record(NOON)]})
    act = world.path("BRCB/SLS30I009/2025121012").unlink
    summary = world.compact(engine=Meanwhile(acts={0: act}, done=[]))
    assert (summary["files_deferred"], summary["run"], world.headers()) == (1, "", [])


def test_a_file_that_changes_between_the_passes_waits_for_the_next_run(world: World) -> None:
    place = "BRCB/SLS30I009/2025121023"
    world.deliver({place: [record(MIDNIGHT - 1), record(MIDNIGHT)]})

    def act() -> None:
        world.deliver({place: [record(MIDNIGHT - 1)]})

    world.deliver({"BRCB/SLS30I010/2025121023": [record(MIDNIGHT - 1, device="SLS30I010")]})
    summary = world.compact(engine=Meanwhile(acts={1: act}, done=[]))
    # the file waits for the next run, the other one of its task is taken without it
    assert (summary["files_deferred"], summary["files_ingested"], summary["rows_out"]) == (1, 1, 1)
    assert summary["deferred_files"][0].endswith("2025121023.txt.gz (changed since the listing)")
    summary = world.compact()
    assert (summary["files_ingested"], summary["rows_out"]) == (1, 1)


def test_a_home_file_that_changes_before_its_strays_are_compared_waits(world: World) -> None:
    equal = record(MIDNIGHT)
    world.deliver({"BRCB/SLS30I009/2025121023": [equal], "BRCB/SLS30I009/2025121100": [equal]})

    def act() -> None:
        os.utime(world.path("BRCB/SLS30I009/2025121100"), (NOON, NOON))

    summary = world.compact(engine=Meanwhile(acts={1: act}, done=[]))
    assert (summary["files_deferred"], summary["rows_out"], summary["duplicates_dropped"]) == (1, 1, 0)
    assert world.compact()["rows_out"] == 1  # equal lines are duplicates within a run only


def test_a_refused_record_does_not_shape_the_table(world: World) -> None:
    world.deliver({"BRCB/SLS30I009/2025121012": [record(NOON)]})
    world.compact()
    junk = record(0, speed="junk", j1=1)
    world.deliver({"BRCB/SLS30I009/2025121013": [junk, record(NOON + 3600, speed=5), "no record"]})
    summary = world.compact()
    assert (summary["columns_added"], summary["values_rescued"]) == (["speed"], 0)
    assert (summary["records_in"], summary["records_quarantined"]) == (3, 2)
    assert [(line, offset) for _, line, offset, _, _ in world.quarantine()] == [(1, 0), (3, 87 + 82)]


def test_a_tables_zone_and_names_of_files_stay(world: World) -> None:
    world.deliver({"BRCB/SLS30I009/2025121012": [record(NOON)]})
    world.compact()
    with pytest.raises(UsageError, match="was written with zone 'Asia/Makassar', this run has 'UTC'"):
        world.compact("sources.datalog.zone=UTC")
    with pytest.raises(UsageError, match="was written with files named by 'whole path'"):
        world.compact(f"compaction.source_root={world.input}")


def test_the_cap_on_columns_holds_over_all_tasks(world: World) -> None:
    world.deliver(
        {f"S{i}/D{i}/2025121012": [record(NOON, device=f"D{i}", **{f"a{i}": 1, f"b{i}": 2})] for i in range(3)}
    )
    summary = world.compact("compaction.max_columns=6", "survey.files=1")
    assert len(summary["columns_added"]) == 3
    assert summary["values_rescued"] == 3


def test_equal_lines_of_two_sites_are_no_duplicates_even_in_one_invalid_partition(world: World) -> None:
    world.deliver({"a b/D/2025121012": [record(NOON)], "c d/D/2025121012": [record(NOON)]})
    assert world.compact()["rows_out"] == 2


def test_what_was_quarantined_whole_can_be_read_again_under_other_settings(world: World) -> None:
    world.deliver({"BRCB/SLS30I009/2012121012": [record(1_355_155_200)]})  # 2012-12-10T16:00Z
    assert world.compact()["records_quarantined"] == 1
    assert world.compact()["records_in"] == 0
    assert world.compact("sources.datalog.earliest=2012-01-01")["records_in"] == 0
    config = world.config("sources.datalog.earliest=2012-01-01")
    summary = compact(
        "datalog", str(world.input), str(world.lake), config, world.engine, lambda *_: None, retry_quarantined=True
    )
    assert (summary["rows_out"], summary["records_quarantined"]) == (1, 0)


def test_hidden_and_foreign_files_are_ignored_and_counted(world: World) -> None:
    place = world.path("BRCB/SLS30I009/2025121012")
    world.deliver({"BRCB/SLS30I009/2025121012": [record(NOON)]})
    good = gz(ndjson([record(NOON + 1)]))
    for other in (
        place.with_name(".2025121012.txt.gz.part"),
        place.with_name("_SUCCESS"),
        world.input / "README.txt",
        world.input / "BRCB/SLS30I009/notanhour/2025121012.txt.gz",
        world.input / "BRCB/SLS30I009/2025121399/2025121399.txt.gz",  # no such hour
    ):
        world.put(other, good)
    summary = world.compact()
    assert (summary["files_listed"], summary["files_ignored"], summary["rows_out"]) == (1, 5, 1)


@pytest.mark.parametrize("lake", ["in", "in/lake"])
def test_a_lake_inside_the_input_is_refused(world: World, lake: str, tmp_path: Path) -> None:
    from siltstone.ingest.job import compact

    world.deliver({"BRCB/SLS30I009/2025121012": [record(NOON)]})
    with pytest.raises(UsageError, match="lies inside the input"):
        compact("datalog", str(world.input), str(tmp_path / lake), world.config(), InProcess(), lambda *_: None)


def test_an_input_without_files_is_refused_before_anything_is_made(world: World) -> None:
    world.put(world.input / "notes.txt", b"x")
    with pytest.raises(UsageError, match=r"no datalog files below .*Expected \{site\}/\{device\}"):
        world.compact()
    assert not world.lake.exists()


def test_a_source_root_may_be_a_link_and_must_hold_the_input(world: World, tmp_path: Path) -> None:
    world.deliver({"BRCB/SLS30I009/2025121004": [record()]})
    (tmp_path / "link").symlink_to(tmp_path)
    root = f"compaction.source_root={tmp_path}/link/in"  # a link is followed, like the input's own path
    assert world.compact(root)["files_ingested"] == 1
    assert world.rows("source_file") == [("BRCB/SLS30I009/2025121004",)]
    with pytest.raises(UsageError, match="does not hold all of"):
        world.compact(f"compaction.source_root={tmp_path}/elsewhere")
