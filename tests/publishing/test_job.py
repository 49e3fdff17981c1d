"""What is published of readings, and what a second run changes of it."""

import hashlib
import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from polars.testing import assert_frame_equal

from siltstone.config.load import load_config
from siltstone.errors import LostRaceError, PartlyError, StorageError, UsageError
from siltstone.publishing import editions as publications
from siltstone.publishing.editions import Publication
from siltstone.publishing.job import publish
from siltstone.storage import Storage
from support.fleet import quiet
from support.readings_table import Readings, quarters, reading

if TYPE_CHECKING:
    from support.s3_bucket import Bucket

A = "01f5cba4-111b-42a4-bbb4-4844ec3ad6f6"
B = "badd2ed0-1cf4-11ec-8cd1-1002b58053c7"
DAY, NEXT = "2015-01-01", "2015-01-02"


@dataclass
class World:
    """A lake and a folder to publish to."""

    root: Path
    kind: str = "auto"

    @property
    def readings(self) -> Readings:
        return Readings(str(self.root / "lake"), kind=self.kind)

    @property
    def out(self) -> Path:
        return self.root / "out"

    def publish(self, **more: Any) -> dict[str, Any]:
        return publish(str(self.root / "lake"), str(self.out), load_config([], []), quiet, **more)

    def files(self, pattern: str = "**/*.parquet") -> list[str]:
        return sorted(str(p.relative_to(self.out)) for p in self.out.glob(pattern))

    def frame(self) -> pl.DataFrame:
        """What is published, by the folder and by `_metadata` alike, sorted."""
        schema = {"collection": pl.String, "uuid": pl.String}
        frame = pl.read_parquet(self.out / "**/*.parquet", hive_partitioning=True, hive_schema=schema)
        named = pq.read_metadata(self.out / "_metadata")
        assert sorted({named.row_group(i).column(0).file_path for i in range(named.num_row_groups)}) == self.files()
        return frame.select("collection", "uuid", "time", "value", "uri", "label").sort("collection", "uuid", "time")

    def values(self, stream: str) -> list[tuple[str, float | None]]:
        """Time and value of each row of a stream."""
        rows = self.frame().filter(uuid=stream).select(pl.col("time").dt.strftime("%m-%d %H:%M"), "value").rows()
        return [(at, value) for at, value in rows]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def counts(summary: dict[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(summary[n] for n in names)


def test_a_stream_is_a_folder_of_files_ordered_by_time(world: World) -> None:
    world.readings.add([*quarters(A, NEXT, 2), *quarters(A, DAY, 2), reading(B, DAY, site="bldg2", value=None)])
    summary = world.publish()
    assert counts(summary, "edition", "streams", "files", "rows", "rows_added") == (1, 2, 2, 5, 5)
    assert summary["collections"] == ["bldg1", "bldg2"]
    first, second = world.files()
    assert first.startswith(f"collection=bldg1/uuid={A}/20150101T000000000000-")
    assert second.startswith(f"collection=bldg2/uuid={B}/20150101T000000000000-")
    table = pq.ParquetFile(world.out / first).read()
    assert table.schema == pa.schema(
        {"time": pa.timestamp("us", "UTC"), "value": pa.float64(), "uri": pa.string(), "label": pa.string()}
    )
    times = [t.isoformat()[:16] for t in table.column("time").to_pylist()]
    assert times == [f"{DAY}T00:00", f"{DAY}T00:15", f"{NEXT}T00:00", f"{NEXT}T00:15"]
    assert table.column("value").to_pylist() == [0.0, 1.0, 0.0, 1.0]
    assert (table["uri"].unique().to_pylist(), table["label"].unique().to_pylist()) == ([f"urn:bldg1/{A[:4]}"], [A[:4]])
    assert pq.ParquetFile(world.out / second).read().column("value").to_pylist() == [None]
    footer = pq.read_metadata(world.out / first).metadata
    assert (footer[b"collection"], footer[b"uuid"]) == (b"bldg1", A.encode())


def test_metadata_tells_count_and_bounds_of_every_file_as_the_files_do(world: World) -> None:
    world.readings.add([*quarters(A, DAY, 3), *quarters(B, DAY, 5, device_id="urn:b")])
    world.publish()
    whole = pq.read_metadata(world.out / "_metadata")
    groups = [whole.row_group(i) for i in range(whole.num_row_groups)]
    told = [
        (g.column(0).file_path, g.num_rows, g.column(0).statistics.max.isoformat(), g.column(1).statistics.max)
        for g in groups
    ]
    a, b = world.files()
    # quarters of an hour from midnight: the third at 00:30, the fifth at 01:00, their values 2 and 4
    assert told == [(a, 3, f"{DAY}T00:30:00+00:00", 2.0), (b, 5, f"{DAY}T01:00:00+00:00", 4.0)]
    for path, group in zip((a, b), groups, strict=True):
        own = pq.read_metadata(world.out / path).row_group(0)
        assert group.num_rows == own.num_rows
        for c in range(own.num_columns):
            assert group.column(c).statistics == own.column(c).statistics
    assert whole.metadata is None  # what one file says of itself holds for none of the others
    assert pq.read_schema(world.out / "_common_metadata") == pq.read_schema(world.out / a).remove_metadata()
    sql = """select row_group_num_rows, stats_min_value, stats_max_value from parquet_metadata($1)
             where path_in_schema = 'time' order by row_group_id"""
    rows = duckdb.execute(sql, [str(world.out / "_metadata")]).fetchall()
    assert rows == [(3, f"{DAY} 00:00:00+00", f"{DAY} 00:30:00+00"), (5, f"{DAY} 00:00:00+00", f"{DAY} 01:00:00+00")]


@pytest.mark.parametrize("keys_in_files", [False, True])
def test_pyarrow_duckdb_and_polars_read_the_same(world: World, *, keys_in_files: bool) -> None:
    world.readings.add([*quarters(A, DAY, 3), *quarters(B, DAY, 2, site="007", device_id=None)])
    world.publish(keys_in_files=keys_in_files)
    expected = world.frame()
    assert (expected.height, expected["collection"].unique().sort().to_list()) == (5, ["007", "bldg1"])
    keys = pa.schema({"collection": pa.string(), "uuid": pa.string()})
    parts = ds.partitioning(keys, flavor="hive")
    by_metadata = ds.parquet_dataset(world.out / "_metadata", partitioning=parts)
    by_folder = ds.dataset(world.out, format="parquet", partitioning=parts)
    for dataset in (by_metadata, by_folder):
        frame = pl.DataFrame(dataset.to_table()).select(expected.columns).sort("collection", "uuid", "time")
        assert_frame_equal(frame, expected)
    assert by_metadata.count_rows(filter=ds.field("collection") == "007") == 2
    sql = """select collection, uuid, time, value, uri, label
             from read_parquet($1, hive_partitioning=true, hive_types={'collection': varchar, 'uuid': varchar})"""
    found = duckdb.execute(sql, [str(world.out / "**/*.parquet")]).to_arrow_table()
    assert_frame_equal(
        pl.DataFrame(found).with_columns(pl.col("time").dt.convert_time_zone("UTC")).sort("collection", "uuid", "time"),
        expected,
    )
    if keys_in_files:
        single = pq.ParquetFile(world.out / world.files()[0]).read().to_pylist()[0]
        assert (single["collection"], single["uuid"]) == ("007", B)
    else:
        assert pq.read_table(world.out).num_rows == 5  # as pandas does it


def test_a_second_run_changes_nothing_and_a_third_appends_what_is_new(world: World) -> None:
    world.readings.add([*quarters(A, DAY, 4), *quarters(B, DAY, 4)])
    world.publish()
    before = {p: (world.out / p).stat().st_mtime_ns for p in world.files("**/*")}
    summary = world.publish()
    assert counts(summary, "edition", "rows_added", "files_written", "rows") == (None, 0, 0, 8)
    assert {p: (world.out / p).stat().st_mtime_ns for p in world.files("**/*")} == before
    old = world.files()
    world.readings.add([reading(A, f"{DAY}T23:00", 9.0), reading(A, f"{NEXT}T01:00", 10.0)])
    summary = world.publish()
    # only A has new rows, both after its file: one more file
    names = ("edition", "rows_added", "files_written", "files_replaced", "files", "rows")
    assert counts(summary, *names) == (2, 2, 1, 0, 3, 10)
    assert set(old) < set(world.files())
    assert world.values(A)[3:] == [("01-01 00:45", 3.0), ("01-01 23:00", 9.0), ("01-02 01:00", 10.0)]


@pytest.mark.parametrize("kind", ["delta", "parquet"])
def test_a_settled_table_changes_nothing(tmp_path: Path, kind: str) -> None:
    world = World(tmp_path, kind)
    first, second = quarters(A, DAY, 4), [reading(A, f"{DAY}T05:00")]
    world.readings.add(first)
    world.readings.add(second)
    world.publish()
    files = world.files()
    world.readings.add([*first, *second], replaces=[(DAY, "bldg1")])
    summary = world.publish()
    assert counts(summary, "rows_added", "rows_removed", "files_written", "rows") == (0, 0, 0, 5)
    assert world.files() == files
    assert world.publish()["edition"] is None


def test_late_rows_go_where_they_belong(world: World) -> None:
    world.readings.add([reading(A, f"{DAY}T{h}", float(h[:2])) for h in ("02:00", "04:00")])
    world.publish()
    world.readings.add([reading(A, f"{DAY}T08:00", 8.0), reading(A, f"{DAY}T10:00", 10.0)])
    world.publish()
    late = ("01:00", "03:00", "06:00")
    world.readings.add([reading(A, f"{DAY}T{h}", float(h[:2])) for h in late])
    summary = world.publish()
    # 03:00 is within the first file, which is written anew; 01:00 is before it, 06:00 between the two: a file each
    assert counts(summary, "rows_added", "files_written", "files_replaced", "files") == (3, 3, 1, 4)
    assert [v for _, v in world.values(A)] == [1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0]
    spans = [pq.read_table(world.out / p, partitioning=None)["value"].to_pylist() for p in world.files()]
    assert spans == [[1.0], [2.0, 3.0, 4.0], [6.0], [8.0, 10.0]]


def test_superseded_rows_are_taken_out_of_their_files_alone(world: World) -> None:
    world.readings.add([*quarters(A, DAY, 4), *quarters(B, DAY, 2)])
    world.publish()
    world.readings.add(quarters(A, NEXT, 2))
    world.publish()
    kept = [p for p in world.files() if B in p or "20150102" in p]
    # 00:15 of A has another value, 00:30 is gone
    changed = [reading(A, f"{DAY}T00:15", -1.0) if r["value"] == 1.0 else r for r in quarters(A, DAY, 4)]
    world.readings.add([*changed[:2], changed[3], *quarters(B, DAY, 2)], replaces=[(DAY, "bldg1")])
    summary = world.publish()
    names = ("rows_added", "rows_removed", "files_written", "files_replaced", "rows")
    assert counts(summary, *names) == (1, 2, 1, 1, 7)
    assert world.values(A)[:3] == [("01-01 00:00", 0.0), ("01-01 00:15", -1.0), ("01-01 00:45", 3.0)]
    assert set(kept) < set(world.files())
    assert len(world.files()) == 3  # and the old file of A is deleted


def test_a_stream_that_is_gone_from_the_table_is_gone(world: World) -> None:
    world.readings.add([*quarters(A, DAY, 2), *quarters(A, NEXT, 2), *quarters(B, NEXT, 1)])
    world.publish()
    world.readings.add(quarters(B, NEXT, 1), replaces=[(DAY, "bldg1"), (NEXT, "bldg1")])
    summary = world.publish()
    assert counts(summary, "rows_removed", "files_replaced", "streams", "rows") == (4, 1, 1, 1)
    assert [p.split("/")[1] for p in world.files()] == [f"uuid={B}"]


def test_equal_rows_stay_as_many_as_they_are(world: World) -> None:
    twice = [reading(A, DAY, 0.0), reading(A, DAY, 0.0), reading(A, DAY, float("nan"))]
    world.readings.add(twice)
    world.publish()
    world.readings.add([*twice, reading(A, DAY, -0.0)], replaces=[(DAY, "bldg1")])
    summary = world.publish()
    assert counts(summary, "rows_added", "rows_removed", "rows") == (1, 0, 4)
    assert sorted(map(str, (v for _, v in world.values(A)))) == ["-0.0", "0.0", "0.0", "nan"]


def test_text_has_no_place_and_is_counted(world: World) -> None:
    rows = [
        reading(A, f"{DAY}T00:00", None, text="open", kind="string"),
        reading(A, f"{DAY}T00:01", None, text='{"x":1}', kind="json"),
        reading(A, f"{DAY}T00:02", None),
        reading(A, f"{DAY}T00:03", 1.0, kind="boolean", quality="bad", ts_nanos=7),
        reading(B, f"{DAY}T00:00", 5.0, source="sitewise"),
    ]
    world.readings.add(rows)
    names = ("rows", "not_published", "nanoseconds_cut", "not_good", "streams")
    assert counts(world.publish(), *names) == (2, 2, 1, 1, 1)
    assert counts(world.publish(), *names) == (2, 2, 1, 1, 1)  # said of all that is published, not of the run
    assert world.values(A) == [("01-01 00:02", None), ("01-01 00:03", 1.0)]


def test_another_source_gets_uuids_of_its_series(world: World) -> None:
    world.readings.add([reading("pump/1", DAY, source="fleet"), reading(A, DAY)])
    summary = world.publish(source="all")
    stream = str(uuid.uuid5(uuid.NAMESPACE_URL, "pump/1"))
    assert summary["renamed"] == {"pump/1": stream}
    assert world.values(stream) == [("01-01 00:00", 1.5)]
    world.readings.add([reading(stream, NEXT)])
    with pytest.raises(UsageError, match=f"pump/1 and {stream} of bldg1 would both be stream {stream}"):
        world.publish(source="all")


def test_collections_are_published_one_by_one(world: World) -> None:
    world.readings.add([*quarters(A, DAY, 2), *quarters(B, DAY, 3, site="bldg2")])
    assert counts(world.publish(collections=["bldg2"]), "rows", "collections") == (3, ["bldg2"])
    assert counts(world.publish(), "rows_added", "rows") == (2, 5)
    with pytest.raises(UsageError, match=r"no collection bldg3 in the table. Known: bldg1, bldg2"):
        world.publish(collections=["bldg3"])


def test_a_long_stream_is_several_files_also_when_all_of_it_changes(world: World) -> None:
    rows = quarters(A, DAY, 40)
    world.readings.add(rows)
    assert world.publish(most_rows=16)["files"] == 3
    lengths = [pq.read_metadata(world.out / p).num_rows for p in world.files()]
    assert lengths == [16, 16, 8]
    doubled = [{**r, "value": 2 * r["value"]} for r in rows]
    world.readings.add(doubled, replaces=[(DAY, "bldg1")])
    summary = world.publish(most_rows=12)
    # the first value is 0 and stays; each file is written anew, now in parts of 12
    assert counts(summary, "rows_added", "rows_removed", "files_replaced") == (39, 39, 3)
    assert [v for _, v in world.values(A)] == [2.0 * i for i in range(40)]


class Killed(BaseException):
    """What ends a run at once."""


def test_a_run_that_was_killed_is_cleaned_up_by_the_next(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.readings.add(quarters(A, DAY, 2))
    world.publish()
    world.readings.add(quarters(A, DAY, 4), replaces=[(DAY, "bldg1")])
    with monkeypatch.context() as patch:
        patch.setattr(Publication, "commit", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            world.publish()
    assert len(world.files()) == 1  # no reader sees the new file, which no edition names
    assert pq.read_metadata(world.out / "_metadata").num_rows == 2
    world.readings.add(quarters(A, DAY, 3), replaces=[(DAY, "bldg1")])
    assert counts(world.publish(), "rows", "files") == (3, 2)
    assert [v for _, v in world.values(A)] == [0.0, 1.0, 2.0]


def test_names_that_could_not_be_given_after_the_commit_are_told_as_a_part(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.readings.add(quarters(A, DAY, 2))

    def full(*_: Any) -> None:
        raise StorageError("can't rename a file: No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Storage, "rename", full)
        with pytest.raises(PartlyError, match=r"edition 1 of .* is committed, but .*No space left") as told:
            world.publish()
    assert told.value.exit_code == 9
    assert world.publish()["rows"] == 2
    assert len(world.values(A)) == 2


def test_a_run_that_was_killed_after_its_commit_is_finished(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.readings.add(quarters(A, DAY, 2))
    with monkeypatch.context() as patch:
        patch.setattr(Publication, "finish", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            world.publish()
    assert not (world.out / "_metadata").exists()
    assert counts(world.publish(), "edition", "rows", "rows_added") == (None, 2, 0)
    assert world.values(A) == [("01-01 00:00", 0.0), ("01-01 00:15", 1.0)]


def test_of_two_runs_at_once_one_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.readings.add(quarters(A, DAY, 2))
    commit = Publication.commit

    def overtaken(*given: Any) -> None:
        monkeypatch.setattr(Publication, "commit", commit)
        assert world.publish()["rows"] == 2
        commit(*given)

    monkeypatch.setattr(Publication, "commit", overtaken)
    with pytest.raises(LostRaceError, match=r"another run has published to .*/out meanwhile; nothing of this one"):
        world.publish()
    assert world.values(A) == [("01-01 00:00", 0.0), ("01-01 00:15", 1.0)]
    assert world.publish()["edition"] is None


def test_a_file_that_is_being_deleted_is_not_taken_for_a_new_one(world: World) -> None:
    rows = quarters(A, DAY, 2)
    world.readings.add(rows)
    world.publish()
    (old,) = world.files()
    for factor in (-1, 1):  # the second edition deletes the first one's file, the third has the same content again
        world.readings.add([{**r, "value": factor * r["value"]} for r in rows], replaces=[(DAY, "bldg1")])
        world.publish()
    (new,) = world.files()
    assert new != old
    assert (world.out / new).exists()
    assert [v for _, v in world.values(A)] == [0.0, 1.0]


def test_wrong_places_are_refused_with_the_next_move(world: World) -> None:
    with pytest.raises(UsageError, match=r"no table at .*/lake/readings. siltstone compact mortar"):
        world.publish()
    world.readings.add([reading(A, DAY, source="fleet")])
    with pytest.raises(UsageError, match=r"no reading of source mortar with a number. --source NAME"):
        world.publish()
    config = load_config([], [])
    with pytest.raises(UsageError, match=r"lie in each other. Publish to a folder of its own"):
        publish(str(world.root / "lake"), str(world.root / "lake" / "out"), config, quiet)
    strange = world.root / "strange"
    strange.mkdir()
    (strange / "mine.csv").write_text("x")
    with pytest.raises(
        UsageError, match=r"holds 1 files that siltstone did not publish: mine.csv. Give an empty folder"
    ):
        publish(str(world.root / "lake"), str(strange), config, quiet, source="all")
    assert list(strange.iterdir()) == [strange / "mine.csv"]


def test_a_folder_keeps_to_its_terms_and_its_files(world: World) -> None:
    world.readings.add(quarters(A, DAY, 2))
    world.publish()
    with pytest.raises(UsageError, match=r"was published from source mortar, not all. Go on with that"):
        world.publish(source="all")
    (world.out / "collection=bldg1/other.parquet").write_bytes(b"x")
    with pytest.raises(
        UsageError, match=r"holds 1 files that siltstone did not publish: collection=bldg1/other.parquet"
    ):
        world.publish()
    (world.out / "collection=bldg1/other.parquet").unlink()
    (world.out / world.files()[0]).unlink()
    with pytest.raises(StorageError, match="1 published files are missing"):
        world.publish()


def test_it_works_in_a_bucket(bucket: "Bucket") -> None:
    settings = [f"storage.endpoint={bucket.server.url}", "storage.path_style=true"]
    lake, out = f"s3://{bucket.name}/lake", f"s3://{bucket.name}/out"
    readings = Readings(lake, bucket.access)
    readings.add([*quarters(A, DAY, 3), *quarters(B, DAY, 2)])
    config = load_config([], settings)
    first = publish(lake, out, config, quiet, archive="zip")
    assert counts(first, "rows", "files") == (5, 2)
    changed = [*quarters(A, DAY, 3)[:2], *quarters(B, DAY, 4)]
    readings.add(changed, replaces=[(DAY, "bldg1")])
    second = publish(lake, out, config, quiet, archive="zip")
    assert counts(second, "rows_added", "rows_removed", "files", "rows") == (2, 1, 3, 6)
    storage = Storage(out, bucket.access)
    whole = pq.read_metadata(pa.BufferReader(storage.read("_metadata").data))  # type: ignore[union-attr]
    named = {whole.row_group(i).column(0).file_path for i in range(whole.num_row_groups)}
    there = set(storage.objects()["path"])
    assert named == {p for p in there if p.endswith(".parquet")}
    assert not [p for p in there if p.startswith(publications._NEW)]
    archive = bucket.root().read("out.zip")
    assert archive is not None
    assert hashlib.sha256(archive.data).hexdigest() == second["archive_sha256"] != first["archive_sha256"]
    log = json.loads(storage.read("_siltstone/log/00000000000000000002.json").data)  # type: ignore[union-attr]
    assert log["terms"] == {"table": f"{lake}/readings", "source": "mortar", "keys_in_files": False}
