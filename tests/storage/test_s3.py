"""S3 as it is: odd keys, lost answers, refusals, cut bodies, credentials; and what is asked for ahead."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import polars as pl
import pytest

from siltstone.engine.codec import encode
from siltstone.errors import StorageError, UsageError
from siltstone.model.access import Access
from siltstone.storage import Fetched, access, open_root
from siltstone.storage import parallel_listing as ranges
from siltstone.storage import s3 as buckets_of_storage
from siltstone.storage.prefetch import ahead
from support.s3_bucket import Bucket
from support.s3_server import CUT, LOST, REFUSED

SECRET = "secret-of-the-tests"


def test_a_root_on_s3_has_one_name(bucket: Bucket) -> None:
    for uri in ("s3://name/a/b", "s3a://name/a/b/", "s3://name//a//b"):
        assert open_root(uri).root == "s3://name/a/b"
    assert open_root("s3a://name/").root == "s3://name"
    bucket.put("x", b"1")
    bucket.put("a/x", b"22")
    assert bucket.root().objects().select("path", "uri").rows() == [
        ("a/x", f"s3://{bucket.name}/a/x"),
        ("x", f"s3://{bucket.name}/x"),
    ]
    assert bucket.root("a").read("x") == bucket.root().read("a/x")


@pytest.mark.parametrize(
    ("uri", "problem"),
    [("s3://", "names no bucket"), ("s3:///a", "names no bucket"), ("s3a://b/../c", "is no safe path")],
)
def test_a_root_that_can_not_be_is_a_usage_error(uri: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        open_root(uri)


def test_the_markers_that_consoles_make_of_folders_are_no_second_object(bucket: Bucket) -> None:
    for key in ("in/", "in/a/", "in/a/x"):
        bucket.server.put(bucket.name, key, b"1" if key.endswith("x") else b"")
    bucket.server.put(bucket.name, "in/a/x/", b"")
    assert bucket.root("in").objects().select("path", "size").rows() == [("a", 0), ("a/x", 1)]


def test_keys_that_obstore_refuses_are_listed_and_read(bucket: Bucket) -> None:
    keys = ["in/./dot", "in//double/x", "in/a/../up", "in/bell\x07", "in/plain"]
    for key in keys:
        bucket.server.put(bucket.name, key, key.encode())
    store = bucket.root("in")
    listed = store.objects()
    assert listed["uri"].to_list() == [f"s3://{bucket.name}/{key}" for key in keys]
    for path, etag in listed.select("path", "etag").rows():
        assert store.read(path) == Fetched(f"in/{path}".encode(), etag)
    assert (store.read_range("/double/x", 3, 9), store.read_head("./dot", 4)) == (b"/doubl", b"in/.")
    assert (store.read("no//such"), store.read_head("no//such", 4)) == (None, b"")
    assert store.exists()


@pytest.mark.parametrize("top", ["", "in"])
def test_a_long_listing_is_asked_for_in_ranges_and_is_whole(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, top: str
) -> None:
    monkeypatch.setattr(ranges, "_BATCH", 10)
    monkeypatch.setattr(ranges, "_SERIAL_BATCHES", 2)
    monkeypatch.setattr(buckets_of_storage.S3Bucket, "calls_at_once", 4)
    folders = [f"{site}/{device}/{hour}" for site in ("B", "B-C", "é") for device in "abcde" for hour in range(2)]
    keys = sorted([f"in/{folder}/x" for folder in folders] + ["in", "in/B", "in/README", "in/zzz", "other/y"])
    for key in keys:
        bucket.server.put(bucket.name, key, b"1")
    for marker in ("in/", "in/B/", "in/B/a/"):
        bucket.server.put(bucket.name, marker)
    bucket.faults.fail(CUT, "GET", "start-after")
    bucket.faults.latency_s, bucket.faults.slow_path = 0.01, "start-after"
    expected = [k.removeprefix("in/") for k in keys if k.startswith("in/")] if top else keys
    assert bucket.root(top).objects().filter(pl.col("size") > 0)["path"].to_list() == expected
    assert bucket.faults.count("GET", "start-after") >= 5
    assert bucket.faults.most_under_way > 1


@pytest.mark.parametrize("what", [*REFUSED, *LOST])
def test_one_fault_of_each_call_changes_nothing(bucket: Bucket, what: str) -> None:
    store, faults = bucket.root("a"), bucket.faults
    for method in ("PUT", "GET", "HEAD", "DELETE"):
        faults.fail(what, method, "/a/x")
    faults.fail(what, "GET", "list-type=2")
    assert store.put("x", b"123")
    assert store.objects()["path"].to_list() == ["x"]
    assert store.read("x") == Fetched(b"123", "202cb962ac59075b964b07152d234b70")
    faults.fail(what, "GET", "/a/x")
    assert store.read_range("x", 1, 3) == b"23"
    assert store.size("x") == 3
    store.delete("x")
    assert not store.exists()
    assert [rule.times for rule in faults.rules] == [0] * 6


def test_a_body_that_breaks_off_is_asked_for_again(bucket: Bucket) -> None:
    store, faults = bucket.root(), bucket.faults
    store.put("x", b"0123456789" * 1000)
    for path in ("/x", "list-type=2"):
        faults.fail(CUT, "GET", path)
    fetched = store.read("x")
    assert fetched is not None
    assert fetched.data == b"0123456789" * 1000
    assert store.objects()["path"].to_list() == ["x"]
    assert [rule.times for rule in faults.rules] == [0, 0]


@pytest.mark.parametrize("what", LOST)
def test_a_create_whose_answer_was_lost_is_told_from_one_that_came_too_late(bucket: Bucket, what: str) -> None:
    store, faults = bucket.root(), bucket.faults
    faults.fail(what, "PUT")
    assert store.put("mine", b"equal") is True
    assert store.put("mine", b"equal") is False  # the same content, but of another writer
    faults.fail(what, "PUT")
    assert store.put("mine", b"equal") is False
    assert store.put("mine", b"other") is False
    assert bucket.faults.count("PUT") == 6  # four calls and two answers lost


def test_a_create_that_lost_to_another_writer_while_it_was_refused(bucket: Bucket) -> None:
    store, faults = bucket.root(), bucket.faults
    faults.fail("503", "PUT", "/x")
    real_next = faults.next

    def next_and_race(method: str, path: str) -> str:
        what = real_next(method, path)
        if what == "503":
            bucket.server.put(bucket.name, "x", b"theirs")
        return what

    faults.next = next_and_race
    assert store.put("x", b"mine") is False
    fetched = store.read("x")
    assert fetched is not None
    assert fetched.data == b"theirs"


PART = 100_000


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets_of_storage, "_PART_BYTES", PART)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("what", [*REFUSED, *LOST])
@pytest.mark.parametrize(
    ("size", "method", "path"),
    [(1_000, "PUT", "/x"), (3 * PART, "POST", "uploads"), (3 * PART, "PUT", "partNumber"), (3 * PART, "POST", "Id=")],
)
def test_an_upload_survives_a_fault(bucket: Bucket, what: str, size: int, method: str, path: str) -> None:
    store = bucket.root("out")
    bucket.faults.fail(what, method, path)
    data = bytes(range(250)) * (size // 250)
    with store.sink("x") as sink:
        for start in range(0, size, 30_000):
            sink.write(data[start : start + 30_000])
    fetched = store.read("x")
    assert fetched is not None
    assert fetched.data == data
    assert bucket.faults.rules[0].times == 0


@pytest.mark.usefixtures("small_parts")
def test_an_upload_that_never_arrives_is_an_error(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "RETRIES", 2)
    bucket.faults.fail("500", "POST", "uploadId", times=99)
    with pytest.raises(StorageError, match=r"can't write s3://.*/x: .*InternalError"), bucket.root().sink("x") as sink:
        sink.write(b"x" * (PART + 1))
    assert bucket.root().size("x") == 0


def test_a_store_that_stays_down_is_given_up_with_a_sentence(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "RETRIES", 3)
    bucket.faults.fail("503", "GET", times=99)
    with pytest.raises(
        StorageError,
        match=r"can't read s3://\S+/x: .*503 .*SlowDown: as told\. The store is overloaded or down: run again later\.",
    ) as raised:
        bucket.root().read("x")
    assert bucket.faults.count("GET") == 4  # three retries
    assert raised.value.exit_code == 6
    assert len(str(raised.value).splitlines()) == 1
    nowhere = open_root("s3://bucket/x", Access(endpoint="http://127.0.0.1:9", path_style=True))
    with pytest.raises(StorageError, match=r"can't list s3://bucket/x: .*after 3 retries"):
        nowhere.exists()


def test_a_write_that_is_refused_tells_why(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "RETRIES", 1)
    bucket.faults.fail("403", "PUT", times=99)
    with pytest.raises(StorageError, match=r"can't write .*/x: .*AccessDenied: as told\. Give these credentials"):
        bucket.root().put("x", b"")
    bucket.faults.rules.clear()
    bucket.faults.fail("503", times=99)
    with pytest.raises(StorageError, match=r"can't write .*/x: .*PUT.*SlowDown: as told"):
        bucket.root().put("x", b"")


def test_a_refusal_is_not_tried_again_and_tells_no_secret(bucket: Bucket) -> None:
    bucket.faults.fail("403", times=99)
    with pytest.raises(
        StorageError, match=r"can't read s3://.*/x: .*403 .*AccessDenied: as told\. Give these"
    ) as raised:
        bucket.root().read("x")
    assert len(bucket.faults.calls) == 1
    for word in (SECRET, "Signature", "AWS4", "StringToSign"):
        assert word not in str(raised.value)


def test_a_bucket_that_is_not_there_is_an_error_not_an_empty_one(bucket: Bucket) -> None:
    store = open_root("s3://no-such-bucket/a", bucket.access)
    for call in (store.exists, store.objects, lambda: store.read("x"), lambda: store.put("x", b"")):
        with pytest.raises(StorageError, match=r"s3://no-such-bucket/a.*NoSuchBucket"):
            call()


def test_a_lake_must_not_lie_where_two_runs_could_both_commit(bucket: Bucket) -> None:
    bucket.root("lake").make()
    assert bucket.listed() == []
    bucket.faults.ignores_conditions = True
    with pytest.raises(UsageError, match=r"ignores If-None-Match.*Keep the lake in a store with conditional writes"):
        bucket.root("lake").make()
    for key in ("la ke", "50%", "a#b", "a?b", "é"):
        with pytest.raises(UsageError, match="characters in its path"):
            bucket.root(key).delta_options()


def test_objects_are_asked_for_together_and_ahead(bucket: Bucket) -> None:
    store = bucket.root("in")
    for number in range(12):
        bucket.put(f"in/{number}", b"%d" % number)
    bucket.faults.latency_s = 0.05
    results = store.ahead(store.read, map(str, range(12)), [1] * 12)
    assert next(results) == Fetched(b"0", "cfcd208495d565ef66e7dff9f98764da")
    assert [f and f.data for f in results] == [b"%d" % n for n in range(1, 12)]
    assert bucket.faults.most_under_way >= 6


def test_work_ahead_keeps_its_bounds() -> None:
    lock, running, most, begun = threading.Lock(), [0], [0], [0]
    go = threading.Semaphore(0)

    def work(item: int) -> int:
        with lock:
            running[0] += 1
            begun[0] += 1
            most[0] = max(most[0], running[0])
        go.acquire()
        with lock:
            running[0] -= 1
        return item

    go.release(1000)
    assert list(ahead(work, range(50), [0] * 50, 3)) == list(range(50))
    assert most[0] <= 3
    begun[0] = 0
    results = ahead(work, range(50), [16 << 20] * 50, 8)
    assert next(results) == 0
    assert begun[0] <= 3  # the one taken, and two of 16 MiB
    results.close()
    huge = ahead(work, range(3), [1 << 40] * 3, 8)
    assert list(huge) == [0, 1, 2]


def test_work_ahead_that_nobody_wants_any_more_is_not_waited_for() -> None:
    go = threading.Event()
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        assert item == 0 or go.wait(10)
        return item

    results = ahead(work, range(100), [0] * 100, 2)
    assert next(results) == 0
    results.close()  # would wait for the two that are under way
    assert len(begun) <= 3
    go.set()


def test_an_error_of_work_ahead_comes_at_its_turn() -> None:
    def work(item: int) -> int:
        if item == 2:
            raise StorageError("item 2")
        return item

    results = ahead(work, iter(range(9)), [0] * 9, 4)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(StorageError, match="item 2"):
        next(results)


@pytest.mark.parametrize(
    ("given", "bucket_name", "endpoint"),
    [
        (Access(), "b", ""),
        (Access(endpoint="http://minio:9000/", path_style=True), "b", "http://minio:9000"),
        (Access(endpoint="https://s3.example.com"), "b", "https://b.s3.example.com"),
        (Access(endpoint="https://s3.example.com"), "b.with.dots", "https://s3.example.com"),
    ],
)
def test_where_the_requests_for_a_bucket_go(given: Access, bucket_name: str, endpoint: str) -> None:
    assert given.bucket_endpoint(bucket_name) == endpoint


def test_delta_gets_the_keys_of_the_moment_and_no_plan_gets_any(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = bucket.root("lake")
    options = storage.delta_options()
    assert options is not None
    assert (options["aws_access_key_id"], options["aws_secret_access_key"]) == ("key-of-the-tests", SECRET)
    assert (options["aws_endpoint"], options["aws_allow_http"]) == (bucket.server.url, "true")
    assert options["aws_conditional_put"] == "etag"
    for told in (json.dumps(encode(storage)), repr(storage), repr(storage.__reduce__())):
        assert SECRET not in told
        assert "key-of-the-tests" not in told
    assert open_root("/tmp").delta_options() is None
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of somebody else")
    with pytest.raises(UsageError, match="AWS_SESSION_TOKEN is set, but the credentials in use have no token"):
        storage.delta_options()


@pytest.fixture
def fresh_sessions() -> Iterator[None]:
    """boto3 looks at the environment once for each session."""
    cached = (access._session, access._region, access._bucket_store)
    for cache in cached:
        cache.cache_clear()
    yield
    for cache in cached:
        cache.cache_clear()


@pytest.mark.usefixtures("fresh_sessions")
def test_without_credentials_the_error_says_where_they_may_come_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(StorageError, match=r"no credentials for S3: .*\. Set storage.profile") as raised:
        open_root("s3://bucket", Access(region="eu-west-1")).exists()
    assert raised.value.exit_code == 6
    with pytest.raises(StorageError, match="no credentials for S3: "):
        open_root("s3://bucket").exists()  # nor is it the region that is missing


@pytest.mark.usefixtures("fresh_sessions")
def test_a_profile_has_keys_and_a_region(bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    file = tmp_path / "credentials"
    file.write_text(
        "[plant]\naws_access_key_id = plant-key\naws_secret_access_key = s\naws_session_token = t\nregion = x-1"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    options = open_root("s3://bucket", Access(endpoint="http://h", profile="plant")).delta_options()
    assert options is not None
    assert (options["aws_access_key_id"], options["aws_session_token"], options["aws_region"]) == (
        "plant-key",
        "t",
        "x-1",
    )
    with pytest.raises(UsageError, match=r"storage.profile: The config profile \(mine\) could not be found"):
        open_root("s3://bucket", Access(profile="mine")).exists()


@pytest.mark.usefixtures("fresh_sessions")
def test_a_bucket_tells_its_region_where_nothing_else_does(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", bucket.server.url)  # for boto3 alone: a real bucket is asked here
    assert access._region(Access(), bucket.name) == "us-east-1"
    assert bucket.faults.count("HEAD") == 1
    assert access._region(Access(region="eu-west-1"), bucket.name) == "eu-west-1"
