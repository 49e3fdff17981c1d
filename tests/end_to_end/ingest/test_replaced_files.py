"""Superseding: an object that comes again with other content replaces its former rows, in one commit."""

import os
import random
from collections import Counter
from collections.abc import Callable
from itertools import product
from typing import Any

import polars as pl
import pytest
from deltalake import DeltaTable
from polars.testing import assert_frame_equal

from siltstone.cli import main as cli
from siltstone.engine.local import LocalEngine
from siltstone.engine.spark import SparkEngine
from siltstone.errors import AccountsError
from siltstone.ingest.replace import RowReplacer
from siltstone.maintenance.describe import describe_lake, open_table, quarantined
from siltstone.table import ledger as ledgers
from siltstone.table.delta_table import Table
from support.commands import run_tasks_here
from support.fleet import NOON, Content, World, gz, ndjson, record
from support.old_lakes import change_header
from support.other_writers import clean_up_log
from support.races import MOMENTS as COMMITTING
from support.races import Meanwhile, Once, between, together
from support.rounds import rounds, some

LATER = "optimize.after_compact=false"
CLOSED = "optimize.closed_after_hours=0"


def hour(n: int, device: str = "DEV0", day: int = 10) -> str:
    return f"BRCB/{device}/202512{day:02d}{n:02d}"


def line(n: int, **more: Any) -> dict[str, Any]:
    """A record of its own for each number; below 100 of 2025-12-10."""
    return record(NOON + n, n=n, **more)


def lines(*numbers: int) -> list[dict[str, Any]]:
    return [line(n) for n in numbers]


def cut_short(records: list[dict[str, Any]]) -> bytes:
    """The records whole, then one that the end of the gzip data cuts."""
    noise = random.Random(0).randbytes(400).hex()
    return gz(ndjson(records) + ndjson([{"noise": noise}]))[:-100]


def numbers(world: World) -> list[float]:
    return [n for (n,) in world.rows("n")]


def entry(world: World, place: str) -> dict[str, Any]:
    """What the ledger knows of a file."""
    table = open_table(str(world.lake), "datalog", world.config().storage)
    snapshot = table.snapshot()
    assert snapshot is not None
    known = ledgers.load(table.storage, snapshot.head).entries.filter(path=str(world.path(place).resolve()))
    return dict(known.row(0, named=True))


def counts(summary: dict[str, Any], *names: str) -> list[int]:
    return [summary[name] for name in names]


TOLD = ("files_superseded", "rows_superseded", "rows_out")


# One commit


@pytest.mark.parametrize("settles", [0, 1, 2])
def test_former_rows_are_replaced_however_often_they_were_settled(world: World, settles: int) -> None:
    for n in range(3):
        world.deliver({hour(n): lines(n, 10 + n)})
        world.compact(LATER)
    for n in range(settles):
        assert world.settle(CLOSED)["files_removed"] == 3 - n
        world.deliver({hour(5 + n): lines(50 + n)})
        world.compact(LATER)
    stored, version, before = set(world.stored()), world.version(), numbers(world)
    world.deliver({hour(1): [line(1, new="column"), line(21)]})
    assert counts(world.compact(LATER), *TOLD) == [1, 2, 2]
    assert numbers(world) == sorted({*before, 21.0} - {11.0})
    # one data file held the former rows; the others stay. A settled one is written anew, one of its own just goes
    added, removed = set(world.stored()) - stored, stored - set(world.stored())
    assert (len(removed), len(added)) == ((1, 2) if settles else (1, 1))
    # first the new column in a commit of its own, then all else in one: nobody sees old and new rows together
    assert world.version() == version + 2
    assert sorted(world.frame(version + 1)["n"]) == before
    actions = world.actions()
    assert {a["add"]["path"] for a in actions if "add" in a} == added
    assert {a["remove"]["path"] for a in actions if "remove" in a} == removed
    assert {a[kind]["dataChange"] for a in actions for kind in ("add", "remove") if kind in a} == {True}
    again = world.compact(LATER)
    assert (again["files_skipped"], again["run"], world.version()) == (3 + settles, "", version + 2)


def test_rows_in_other_partitions_are_replaced_too(world: World) -> None:
    # the file's own day is 2025-12-10; 100,000 s later it is the 11th, 200,000 s later the 12th
    world.deliver({hour(12): lines(0, 100_000), hour(13): lines(1, 100_001)})
    world.compact(LATER)
    world.settle(CLOSED)
    world.deliver({hour(12): lines(2, 200_000)})
    assert counts(world.compact(LATER), *TOLD) == [1, 2, 2]
    assert world.rows("hiveperiod", "n") == [
        ("2025-12-10", 1.0),
        ("2025-12-10", 2.0),
        ("2025-12-11", 100_001.0),
        ("2025-12-12", 200_000.0),
    ]
    assert [f.partition("=")[2][:10] for f in entry(world, hour(12))["folders"]] == ["2025-12-10", "2025-12-12"]
    world.deliver({hour(12): lines(3)})
    assert counts(world.compact(LATER), *TOLD) == [1, 2, 1]
    assert numbers(world) == [1.0, 3.0, 100_001.0]


def test_only_files_that_hold_former_rows_are_written_anew(world: World) -> None:
    for n in range(4):
        world.deliver({hour(n): lines(n)})
        world.compact(LATER)
    stored = world.stored()
    world.deliver({hour(2): lines(20)})
    world.compact(LATER)
    (header, *_) = world.headers()
    (removed,) = header["removed"]
    assert pl.read_parquet(world.table / removed)["n"].to_list() == [2.0]
    assert len(stored.keys() & world.stored().keys()) == 3


def test_many_files_are_replaced_in_one_commit(world: World) -> None:
    places = [hour(h, f"DEV{d}") for d in range(5) for h in range(6)]
    world.deliver({place: lines(i, 100 + i) for i, place in enumerate(places)})
    world.compact(CLOSED)
    world.deliver({place: lines(200 + i) for i, place in enumerate(places) if i % 3})
    version = world.version()
    assert counts(world.compact(CLOSED), *TOLD) == [20, 40, 20]
    assert world.version() == version + 2  # and a settle of the two files
    kept = [i + add for i in range(0, 30, 3) for add in (0, 100)]
    assert numbers(world) == sorted(float(n) for n in (*kept, *(200 + i for i in range(30) if i % 3)))


def test_a_file_may_come_again_and_again(world: World) -> None:
    for n in range(4):
        world.deliver({hour(0): lines(*range(n, 2 * n + 1))})
        assert counts(world.compact(LATER), "files_superseded", "rows_superseded") == ([1, n] if n else [0, 0])
    assert numbers(world) == [3.0, 4.0, 5.0, 6.0]
    world.deliver({hour(0): lines(0)})  # as it was at first
    assert counts(world.compact(LATER), *TOLD) == [1, 4, 1]
    assert numbers(world) == [0.0]


def test_new_content_may_bring_columns_and_leave_some_out(world: World) -> None:
    world.deliver({hour(0): [line(0, speed=1.5)], hour(1): [line(1, speed="fast")]})
    world.compact(LATER)
    world.deliver({hour(0): [line(0, Speed=2.5, gear=3)]})
    summary = world.compact(LATER)
    assert summary["columns_added"] == ["gear"]
    assert world.rows("n", "speed", "gear", "_rescued") == [
        (0.0, 2.5, 3.0, None),
        (1.0, None, None, '{"speed":"\\"fast\\""}'),
    ]


def test_the_same_content_under_a_new_etag_is_only_noted(world: World) -> None:
    world.deliver({hour(0): lines(0), hour(1): lines(1)})
    world.compact(LATER)
    world.deliver({hour(0): lines(5)})
    world.compact(LATER)
    stored, etag = world.stored(), entry(world, hour(0))["etag"]
    world.deliver({hour(0): lines(5), hour(1): lines(1)})
    summary = world.compact(LATER)
    assert counts(summary, "files_superseded", "files_written", "files_skipped", "rows_out") == [0, 0, 2, 0]
    assert {kind for action in world.actions() for kind in action} == {"commitInfo", "txn"}
    assert world.stored() == stored
    assert entry(world, hour(0))["etag"] != etag
    version = world.version()
    assert world.compact(LATER)["files_skipped"] == 2  # not even read
    assert world.version() == version
    world.deliver({hour(0): lines(6)})
    assert counts(world.compact(LATER), *TOLD) == [1, 1, 1]
    assert numbers(world) == [1.0, 6.0]


@pytest.mark.parametrize("name", ["local", pytest.param("spark", marks=pytest.mark.slow("spark"))])
def test_processes_and_spark_replace_the_same_rows(world: World, name: str, request: pytest.FixtureRequest) -> None:
    engine = SparkEngine(request.getfixturevalue("spark")) if name == "spark" else LocalEngine(1)
    world.deliver({hour(0): lines(0, 100_000), hour(1): lines(1, 100_001)})
    world.compact(LATER)
    world.deliver({hour(0): lines(2, 100_002)})
    assert counts(world.compact(LATER, engine=engine), *TOLD) == [1, 2, 2]
    assert numbers(world) == [1.0, 2.0, 100_001.0, 100_002.0]


# What gives no row replaces nothing

NO_ROWS: dict[str, tuple[Content, str]] = {
    "no bytes": (b"", "files_quarantined"),
    "no text": (gz(b""), "files_ingested"),
    "no gzip": (b"no gzip", "files_quarantined"),
    "cut": (cut_short(lines(7, 8, 9)), "files_quarantined"),
    "junk behind": (gz(ndjson(lines(7))) + b"junk", "files_quarantined"),
    "all refused": (["{", record(None, n=7), record(1, n=8)], "files_ingested"),
}


@pytest.mark.part("laws")
@pytest.mark.parametrize(("kind", "is_settled"), some(list(product(NO_ROWS, (True, False))), 7))
def test_a_damaged_or_empty_version_leaves_the_former_rows(world: World, kind: str, is_settled: bool) -> None:
    content, told = NO_ROWS[kind]
    world.deliver({hour(0): lines(0, 1, 100_000), hour(1): lines(2)})
    world.compact(LATER)
    if is_settled:
        world.settle(CLOSED)
    stored, folders = world.stored(), entry(world, hour(0))["folders"]
    world.deliver({hour(0): content})
    summary = world.compact(LATER)
    assert counts(summary, told, "files_superseded", "rows_out", "files_written") == [1, 0, 0, 0]
    assert world.stored() == stored
    known = entry(world, hour(0))
    assert (known["rows_out"], known["folders"]) == (3, folders)
    assert world.compact(LATER)["files_skipped"] == 2  # done, not tried again
    # another copy of it is noted only, with all that is known
    world.deliver({hour(0): content})
    assert counts(world.compact(LATER), "files_skipped", "files_superseded") == [2, 0]
    assert {k: v for k, v in entry(world, hour(0)).items() if k not in ("etag", "state")} == {
        k: v for k, v in known.items() if k not in ("etag", "state")
    }
    world.deliver({hour(0): lines(3)})
    assert counts(world.compact(LATER), *TOLD) == [1, 3, 1]
    assert numbers(world) == [2.0, 3.0]
    assert (entry(world, hour(0))["rows_out"], entry(world, hour(0))["state"]) == (1, "ingested")


def test_a_salvaged_file_that_is_delivered_whole_replaces_its_part(world: World) -> None:
    world.deliver({hour(0): cut_short(lines(0, 1))})
    assert counts(world.compact(LATER), "files_salvaged", "rows_out") == [1, 2]
    world.deliver({hour(0): lines(0, 1, 2)})
    assert counts(world.compact(LATER), *TOLD) == [1, 2, 3]
    assert numbers(world) == [0.0, 1.0, 2.0]


def test_a_version_with_fewer_rows_than_refusals_replaces_all(world: World) -> None:
    world.deliver({hour(0): lines(0, 1, 2)})
    world.compact(LATER)
    world.deliver({hour(0): [line(3), "{", "{"]})
    assert counts(world.compact(LATER), *TOLD, "records_quarantined") == [1, 3, 1, 2]
    assert numbers(world) == [3.0]


def test_refused_records_are_taken_on_demand_under_new_settings(world: World) -> None:
    old, older = record(1_400_000_000, n=7), record(1_390_000_000, n=8)  # 2014
    world.deliver({hour(0): [line(0), old], hour(1): lines(1), hour(2): cut_short([line(2), older])})
    world.compact(LATER)
    assert numbers(world) == [0.0, 1.0, 2.0]
    earlier = 'sources.datalog.earliest="2014-01-01"'
    assert world.compact(LATER, earlier)["files_skipped"] == 3
    # a damaged file is still the content that gave the rows: it is no new version that must not replace them
    summary = world.compact(LATER, earlier, retry=True)
    assert counts(summary, *TOLD, "files_skipped", "files_quarantined") == [2, 2, 4, 1, 0]
    assert numbers(world) == [0.0, 1.0, 2.0, 7.0, 8.0]
    assert world.compact(LATER, earlier, retry=True)["files_skipped"] == 3


def test_rows_that_the_ledger_does_not_know_stop_the_run(world: World) -> None:
    world.deliver({hour(0): lines(0, 1), hour(1): lines(2)})
    world.compact(LATER)
    # Another writer's DELETE, of which neither the manifest nor the log of a table of before tells any more.
    DeltaTable(str(world.table)).delete("n = 1")
    change_header(world.table, lambda header: {key: value for key, value in header.items() if key != "data_files"})
    DeltaTable(str(world.table)).alter.set_table_description("fleet")
    clean_up_log(world.table)
    before = world.frame()
    world.deliver({hour(0): lines(3)})
    with pytest.raises(AccountsError, match="1 rows of its former version were in the table, the ledger says 2"):
        world.compact(LATER)
    assert_frame_equal(world.frame(), before)


# Lines that several files hold


def test_a_repeated_line_lives_on_in_the_file_that_still_has_it(world: World) -> None:
    world.deliver({hour(0): lines(0, 1), hour(1): lines(1, 2)})
    assert counts(world.compact(LATER), "rows_out", "duplicates_dropped") == [3, 1]
    world.settle(CLOSED)
    world.deliver({hour(0): lines(0, 5)})
    summary = world.compact(LATER)
    # both are read again: 0 and 5 of the one, 1 and 2 of the other, in place of 0, 1 and 2
    assert counts(summary, *TOLD, "duplicates_dropped", "files_ingested") == [2, 3, 4, 0, 2]
    assert world.rows("n", "source_file") == [(0.0, hour(0)), (1.0, hour(1)), (2.0, hour(1)), (5.0, hour(0))]


def test_a_repeated_line_comes_once_whichever_of_its_files_comes_again(world: World) -> None:
    world.deliver({hour(0): lines(0, 1), hour(1): lines(1, 2), hour(2): lines(2, 3)})
    assert world.compact(LATER)["duplicates_dropped"] == 2
    for again, more in ((0, 4), (1, 5), (2, 6)):
        world.deliver({hour(again): lines(again, again + 1, more)})
        world.compact(LATER)
        assert numbers(world) == [float(n) for n in range(more + 1)]


def test_a_file_of_repeated_lines_alone_may_come_again(world: World) -> None:
    world.deliver({hour(0): lines(0, 1), hour(1): lines(0, 1)})
    assert counts(world.compact(LATER), "rows_out", "duplicates_dropped") == [2, 2]
    world.deliver({hour(1): lines(1, 2)})
    assert world.compact(LATER)["rows_superseded"] == 2
    assert numbers(world) == [0.0, 1.0, 2.0]
    world.deliver({hour(0): lines(9)})
    world.compact(LATER)
    assert numbers(world) == [1.0, 2.0, 9.0]


def test_a_repeated_line_of_a_damaged_file_is_kept(world: World) -> None:
    world.deliver({hour(0): lines(0), hour(1): cut_short(lines(0, 1))})
    assert counts(world.compact(LATER), "rows_out", "duplicates_dropped", "files_salvaged") == [2, 1, 1]
    world.deliver({hour(0): lines(5)})
    assert counts(world.compact(LATER), *TOLD, "files_salvaged") == [2, 2, 3, 1]
    assert numbers(world) == [0.0, 1.0, 5.0]


def test_a_file_is_left_out_while_one_that_shares_its_lines_is_not_listed(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.deliver({hour(0): lines(0, 1), hour(1): lines(1, 2), hour(5, "DEV1"): lines(5)})
    world.compact(LATER)
    away = world.path(hour(1)).rename(world.root / "away.gz")
    world.deliver({hour(0): lines(0), hour(5, "DEV1"): lines(6)})
    run_tasks_here(monkeypatch)
    words = ["compact", "datalog", str(world.input), str(world.lake), "--engine", "local", "--set", LATER]
    assert cli.main(words) == 0
    told = capsys.readouterr().out
    assert "1 files came again with other content and were left out" in told
    assert str(world.path(hour(0)).resolve()) in told
    assert numbers(world) == [0.0, 1.0, 2.0, 6.0]
    summary = world.compact(LATER)
    assert counts(summary, "files_changed", "files_skipped", "files_superseded") == [1, 1, 0]
    away.rename(world.path(hour(1)))
    assert counts(world.compact(LATER), "files_changed", "files_superseded") == [0, 2]
    assert numbers(world) == [0.0, 1.0, 2.0, 6.0]


def test_files_of_other_devices_and_days_are_no_companions(world: World) -> None:
    twice = [line(50), line(50)]
    other_day = hour(1, day=12)
    world.deliver({hour(0): lines(0), hour(1, "DEV1"): twice, other_day: [line(200_000), line(200_000)]})
    assert world.compact(LATER)["duplicates_dropped"] == 2
    for place in (hour(1, "DEV1"), other_day):
        world.path(place).unlink()
    world.deliver({hour(0): lines(1)})
    assert counts(world.compact(LATER), *TOLD, "files_changed") == [1, 1, 1, 0]
    assert numbers(world) == [1.0, 50.0, 200_000.0]


@pytest.mark.parametrize("vanishes", [True, False])
@pytest.mark.parametrize("wave", [0, 1])
def test_a_file_waits_while_one_that_shares_its_lines_is_on_the_move(world: World, wave: int, vanishes: bool) -> None:
    # the late row of 2025-12-11 makes a second pass
    world.deliver({hour(0): lines(0, 1), hour(1): lines(1, 2, 100_000), hour(5, "DEV1"): lines(5)})
    world.compact(LATER)
    world.deliver({hour(0): lines(0), hour(5, "DEV1"): lines(6)})
    companion, later = world.path(hour(1)), 1_767_000_000

    def act() -> None:
        if vanishes:
            companion.rename(world.root / "away.gz")
        else:
            os.utime(companion, (later, later))

    summary = world.compact(LATER, engine=Meanwhile(acts={wave: act}, done=[]))
    assert counts(summary, "files_changed", "files_deferred", "files_superseded", "rows_out") == [1, 1, 1, 1]
    assert numbers(world) == [0.0, 1.0, 2.0, 6.0, 100_000.0]
    if vanishes:
        (world.root / "away.gz").rename(companion)
    assert counts(world.compact(LATER), "files_changed", "files_deferred", "files_superseded") == [0, 0, 2]
    assert numbers(world) == [0.0, 1.0, 2.0, 6.0, 100_000.0]


@pytest.mark.part("laws")
@pytest.mark.parametrize("seed", rounds(3))
def test_whatever_comes_again_no_line_is_lost_stale_or_doubled(world: World, seed: int) -> None:
    """Random deliveries, settled or not, against a model: each file's lines as they are accepted."""
    chance = random.Random(seed)
    places = [hour(h, f"DEV{d}", day) for d in range(2) for day in (10, 11) for h in (12, 13)]
    accepted: dict[str, set[int]] = {}
    for _ in range(4):
        former = dict(accepted)
        for place in chance.sample(places, chance.randint(1, 4)):
            found = [chance.choice([0, 1, 2, 100_000, 100_001]) for _ in range(chance.randint(0, 4))]
            records = [line(n, device=place.split("/")[1]) for n in found]
            is_cut = chance.random() < 0.2
            world.deliver({place: cut_short(records) if is_cut else records})
            if found and not (is_cut and former.get(place)):
                accepted[place] = set(found)
            else:  # what gives no row leaves the former ones
                accepted[place] = former.get(place, set())
        for path in world.compact(LATER)["changed"]:  # left out for the sake of another's refused version
            place = path.removeprefix(f"{world.input.resolve()}/").rpartition("/")[0]
            accepted[place] = former[place]
        if chance.random() < 0.4:
            world.settle(CLOSED)
        offered = Counter((place.split("/")[1], n) for place, found in accepted.items() for n in found)
        stored = Counter((device, int(n)) for device, n in world.rows("deviceid", "n")) if offered else Counter()
        assert stored.keys() == offered.keys()
        assert all(times <= offered[key] for key, times in stored.items())


# Runs that meet

MOMENTS: dict[str, tuple[Any, str, bool]] = {
    "before the rewrite": (RowReplacer, "drop", False),
    "after the rewrite": (RowReplacer, "drop", True),
    **{moment: COMMITTING[moment] for moment in COMMITTING if moment.endswith(("columns", "commit"))},
}


def the_same(world: World) -> None:
    world.compact(LATER)


def another_file(world: World) -> None:
    world.deliver({hour(1, "DEV1"): [line(11, other=1)]})
    world.compact(LATER, source=world.input / "BRCB/DEV1")


def a_settle(world: World) -> None:
    world.settle(CLOSED)


OTHERS: dict[Callable[[World], None], list[float]] = {
    the_same: [1.0, 10.0],
    another_file: [10.0, 11.0],
    a_settle: [1.0, 10.0],
}


@pytest.mark.part("races")
@pytest.mark.parametrize(("moment", "other"), some(list(product(MOMENTS, OTHERS)), 10))
def test_a_run_that_comes_between_is_respected(
    world: World, monkeypatch: pytest.MonkeyPatch, moment: str, other: Callable[[World], None]
) -> None:
    for n in range(2):
        world.deliver({hour(n, f"DEV{n}"): lines(n)})
        world.compact(LATER)
    world.deliver({hour(0): [line(10, new="column")]})
    owner, name, after = MOMENTS[moment]
    once = Once(lambda: other(world))
    with monkeypatch.context() as patch:
        between(patch, owner, name, once, after=after)
        summary = world.compact(LATER)
    assert once.left == 0
    assert counts(summary, *TOLD) == ([0, 0, 0] if other is the_same else [1, 1, 1])
    assert numbers(world) == OTHERS[other]
    assert world.compact(LATER)["files_skipped"] == 2


def test_a_run_with_an_older_listing_does_not_put_the_older_rows_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.deliver({hour(0): lines(0)})
    world.compact(LATER)
    world.deliver({hour(0): lines(1)})

    def newer() -> None:
        world.deliver({hour(0): lines(2)})
        world.compact(LATER)

    with monkeypatch.context() as patch:
        between(patch, Table, "commit", Once(newer))
        world.compact(LATER)
    assert numbers(world) == [2.0]
    assert world.compact(LATER)["files_skipped"] == 1


def test_a_cut_version_that_was_first_does_not_replace_the_whole_one_of_another_run(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the run reads the cut file when nothing of it is in the table, so its part is salvaged; meanwhile another run,
    # which has listed the file before, commits it whole
    world.deliver({hour(1): lines(1)})
    world.compact(LATER)
    path = world.path(hour(0))
    world.deliver({hour(0): lines(2, 3, 4)})
    whole, whole_at = path.read_bytes(), path.stat().st_mtime
    world.deliver({hour(0): cut_short(lines(2))})
    cut, cut_at = path.read_bytes(), path.stat().st_mtime

    def put(data: bytes, at: float) -> None:
        path.write_bytes(data)
        os.utime(path, (at, at))

    def other() -> None:
        put(whole, whole_at)
        world.compact(LATER)
        put(cut, cut_at)

    with monkeypatch.context() as patch:
        between(patch, Table, "commit", Once(other))
        summary = world.compact(LATER)
    assert counts(summary, "files_quarantined", "files_salvaged", "files_superseded") == [1, 0, 0]
    assert numbers(world) == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.part("races")
@pytest.mark.parametrize("round_number", rounds(2))
def test_runs_that_replace_the_same_files_at_once_take_each_once(world: World, round_number: int) -> None:
    places = [hour(h, f"DEV{d}") for d in range(2) for h in range(2)]
    world.deliver({place: lines(i) for i, place in enumerate(places)})
    world.compact(CLOSED if round_number % 2 else LATER)
    world.deliver({place: lines(10 + i, 20 + i) for i, place in enumerate(places)})
    narrow = world.input / "BRCB/DEV1"
    summaries = together(
        lambda: world.compact(LATER),
        lambda: world.compact(CLOSED, source=narrow),
        lambda: world.compact(LATER),
    )
    assert [sum(s[name] for s in summaries) for name in TOLD] == [4, 4, 8]
    assert numbers(world) == sorted(float(10 * tens + i) for tens in (1, 2) for i in range(4))
    assert world.compact(LATER)["files_skipped"] == 4


# What is told of it


def refusals(world: World) -> list[tuple[str, str]]:
    """The quarantine as it is listed: place and the beginning of the reason."""
    found = quarantined(str(world.lake), "datalog", world.config().storage).select("source_file", "reason").rows()
    return sorted((file.split("/")[-2], reason.split(":")[0].split(" after")[0]) for file, reason in found)


def totals(world: World) -> list[int]:
    (table,) = describe_lake(str(world.lake), "datalog", world.config())["tables"]
    return [table[k] for k in ("files_quarantined", "files_salvaged", "records_quarantined", "values_rescued")]


def test_refusals_of_a_version_that_was_replaced_are_history(world: World) -> None:
    zero, one, two = (f"202512100{n}" for n in range(3))
    bad_line, no_time = "no key at character 1", "heartbeat is missing or no integer"
    world.deliver({hour(0): [line(0, x=1), line(1, x="n/a"), "{"], hour(1): ["{", line(9)], hour(2): b"no gzip"})
    world.compact(LATER)
    first = [(zero, bad_line), (one, bad_line), (two, "neither gzip, zstd nor NDJSON text")]
    assert refusals(world) == first
    assert totals(world) == [1, 0, 2, 1]
    # copies under a new etag, good or bad, and a settle change nothing
    for place in (hour(0), hour(2)):
        world.put(world.path(place), world.path(place).read_bytes())
    world.compact(LATER)
    world.deliver({hour(3): lines(3)})
    world.compact(CLOSED)
    assert (refusals(world), totals(world)) == (first, [1, 0, 2, 1])
    # a new version replaces its refusals, good or other ones
    world.deliver({hour(1): lines(9), hour(2): [record(None), line(2)]})
    world.compact(LATER)
    assert refusals(world) == [(zero, bad_line), (two, no_time)]
    assert totals(world) == [0, 0, 2, 1]
    # one that gives no row is refused itself, and the rows of the former one stay with their refusals; twice too
    for damaged in (b"no gzip", b"again"):
        world.deliver({hour(0): damaged})
        world.compact(LATER)
        assert refusals(world) == [
            (zero, "neither gzip, zstd nor NDJSON text"),
            (zero, bad_line),
            (two, no_time),
        ]
        assert totals(world) == [1, 0, 2, 1]
    world.deliver({hour(0): cut_short(lines(0))})
    world.compact(LATER)
    assert [reason for place, reason in refusals(world) if place == zero] == ["gzip cut short", bad_line]
    world.deliver({hour(0): lines(0)})
    world.compact(LATER)
    assert refusals(world) == [(two, no_time)]
    assert totals(world) == [0, 0, 1, 0]


GARBAGE = b"no gzip"


@pytest.mark.parametrize("runs", [1, 2])
@pytest.mark.parametrize("damaged", ["garbage", "cut"])
def test_a_refused_version_keeps_the_lines_that_others_stand_for(world: World, runs: int, damaged: str) -> None:
    one, two = "BRCB/DEV1/2025121012", "BRCB/DEV1/2025121013"
    x, y, z = (record(NOON + n, a=n) for n in range(3))
    world.deliver({one: [x, y], two: [x]})  # x is one row, of the first file
    assert world.compact()["duplicates_dropped"] == 1
    world.deliver({two: GARBAGE if damaged == "garbage" else gz(ndjson([x]))[:-9]})
    if runs == 2:
        assert world.compact()["files_quarantined"] == 1
    world.deliver({one: [y, z]})
    summary = world.compact()
    # only the second file's former version knows x by now, so the first one's rows must stay
    assert (summary["files_changed"], summary["files_superseded"]) == (1, 0)
    assert world.rows("a") == [(0.0,), (1.0,)]
    world.deliver({two: [x, record(NOON + 9, a=9)]})
    assert world.compact()["files_superseded"] == 1
    assert world.rows("a") == [(0.0,), (1.0,), (2.0,), (9.0,)]
