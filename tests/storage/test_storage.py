"""Storage on a local folder and on S3: safe paths, one name per object, etags, create-only writes."""

import errno
import json
import os
import pickle
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from siltstone.engine.codec import decode, encode
from siltstone.errors import StorageError, UsageError
from siltstone.storage import OBJECTS, Fetched, Storage, join, open_root


@pytest.fixture
def local(tmp_path: Path) -> Storage:
    return open_root(str(tmp_path))


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest) -> Storage:
    """What every kind of storage can do is tested on both."""
    if request.param == "local":
        return request.getfixturevalue("local")
    return request.getfixturevalue("bucket").root("some/folder")


def test_join_puts_parts_together() -> None:
    assert join("a=1", "b/c", "d e") == "a=1/b/c/d e"


@pytest.mark.parametrize(
    "part", ["..", ".", "", "a/../b", "/etc", "a//b", "a/", "a\0b", "a\\b", "..\\x", "x/.."], ids=repr
)
def test_join_refuses_what_could_lead_out_of_the_root(part: str) -> None:
    with pytest.raises(UsageError, match="is no safe path: it holds"):
        join("hiveperiod=2025-12-10", part)


def test_a_child_stays_below_its_root(store: Storage) -> None:
    assert store.child("lake", "datalog").root == f"{store.root}/lake/datalog"
    with pytest.raises(UsageError, match="is no safe path"):
        store.child("../up")


def test_what_was_put_is_listed_and_read_with_the_same_etag(store: Storage) -> None:
    contents = {"b/x.gz": b"12345", "a b/é#%41.gz": b"1", "top": b""}
    for path, data in contents.items():
        assert store.put(path, data)
    listed = store.objects()
    assert listed.schema == OBJECTS
    assert listed.select("path", "size").rows() == [("a b/é#%41.gz", 1), ("b/x.gz", 5), ("top", 0)]
    assert listed["uri"].to_list() == [f"{store.root}/{path}" for path in listed["path"]]
    for path, etag in listed.select("path", "etag").rows():
        assert store.read(path) == Fetched(contents[path], etag)


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 300_000])
def test_a_file_of_any_size_is_read_whole(local: Storage, size: int) -> None:
    data = bytes(n % 251 for n in range(size))
    local.put("x", data)
    assert local.read("x") == Fetched(data, local.objects()["etag"][0])


def test_the_upload_time_is_in_microseconds(local: Storage) -> None:
    local.put("x", b"1")
    os.utime(Path(local.root) / "x", ns=(0, 1_765_324_800_123_456_000))
    assert local.objects()["modified_us"].to_list() == [1_765_324_800_123_456]


def test_other_content_has_another_etag(local: Storage) -> None:
    local.put("x", b"1")
    before = local.objects()["etag"][0]
    os.utime(Path(local.root) / "x", ns=(0, 1_000_000_000))
    after = local.read("x")
    assert after is not None
    assert after.etag != before
    assert after.etag == local.objects()["etag"][0]


def test_only_what_is_below_the_prefix_is_listed(store: Storage) -> None:
    store.put("a/x", b"")
    store.put("ab/y", b"")
    assert store.objects("a")["path"].to_list() == ["a/x"]
    assert store.objects("nothing")["path"].to_list() == []


def test_a_file_that_is_linked_twice_is_listed_once_under_its_real_name(local: Storage) -> None:
    root = Path(local.root)
    local.put("sub/f", b"22")
    (root / "linked").symlink_to(root / "sub")
    (root / "zlink").symlink_to(root / "sub" / "f")
    (root / "dangling").symlink_to(root / "nowhere")
    listed = local.objects()
    assert listed.select("path", "uri").rows() == [("dangling", f"{root}/nowhere"), ("sub/f", f"{root}/sub/f")]
    assert local.read("sub/f") == Fetched(b"22", listed["etag"][1])
    assert local.read("dangling") is None


def test_odd_names_and_loops_of_links_do_not_stop_a_listing(local: Storage) -> None:
    root = Path(local.root)
    local.put("a/f", b"1")
    (root / "a" / "loop").symlink_to(root)
    (root / "line\nbreak").write_bytes(b"2")
    (root / os.fsdecode(b"latin-\xe9")).write_bytes(b"3")
    listed = local.objects()
    assert listed["path"].to_list() == ["a/f", "latin-\\xe9", "line\nbreak"]
    assert local.read("latin-\\xe9") == Fetched(b"3", listed["etag"][1])
    assert local.read_range("latin-\\xe9", 0, 1) == b"3"
    assert local.read("latin-\\xe8") is None


def test_folders_with_names_that_are_not_utf_8_are_read_too(local: Storage) -> None:
    folder = os.path.join(os.fsencode(local.root), b"\xc3\xa9-\xff\xfe")
    os.mkdir(folder)
    Path(os.fsdecode(folder), "x").write_bytes(b"1")
    listed = local.objects()
    assert listed["path"].to_list() == ["é-\\xff\\xfe/x"]
    assert local.read(listed["path"][0]) == Fetched(b"1", listed["etag"][0])


def test_what_is_no_file_is_not_waited_for(local: Storage) -> None:
    root = Path(local.root)
    os.mkfifo(root / "pipe")
    os.mkfifo(root / "written")
    writer = os.open(root / "written", os.O_RDWR)
    (root / "null").symlink_to("/dev/null")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(root / "socket"))
        etags = dict(local.objects().select("path", "etag").rows())
        pipe, socket_ = "it is a named pipe, no file", "it is a socket, no file"
        refusals = {"pipe": pipe, "written": pipe, "socket": socket_}
        for name, refusal in refusals.items():
            assert local.read(name) == Fetched(b"", etags[name], refusal)
    os.close(writer)
    assert local.read_head("pipe", 10) == b""
    null = local.read("null")
    assert null is not None
    assert null.refusal == "it is a device, no file"


def test_links_are_left_out_where_they_are_not_followed(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "real", tmp_path / "elsewhere"
    local = Storage(str(root))
    elsewhere.mkdir()
    root.mkdir()
    local.put("sub/f", b"22")
    (elsewhere / "x").write_bytes(b"1")
    (root / "folder").symlink_to(elsewhere)
    (root / "file").symlink_to(elsewhere / "x")
    (tmp_path / "root").symlink_to(root)
    for storage in (local, Storage(f"{tmp_path}/root")):
        assert storage.objects(follows_links=False)["path"].to_list() == ["sub/f"]
        assert storage.objects("sub", follows_links=False)["path"].to_list() == ["sub/f"]
        assert storage.objects("folder", follows_links=False)["path"].to_list() == []
        with pytest.raises(StorageError, match=r"can't delete .*folder/x: .*/folder is a link, or lies behind one"):
            storage.delete("folder/x", follows_links=False)
    assert (elsewhere / "x").read_bytes() == b"1"
    local.delete("file", follows_links=False)  # the link alone
    local.delete("sub/f", follows_links=False)
    assert local.objects()["path"].to_list() == ["folder/x"]


@pytest.mark.parametrize("path", ["../x", "a/../../x", ".."])
def test_nothing_above_the_root_is_deleted(store: Storage, path: str) -> None:
    with pytest.raises(UsageError, match="leads out of"):
        store.child("lake").delete(path)


def test_the_store_says_when_an_object_was_written(store: Storage) -> None:
    before = time.time()
    store.put("a/x", b"1")
    at = store.modified_us("a/x")
    assert at is not None
    assert abs(at / 1e6 - before) < 5
    assert store.modified_us("a/y") is None


def test_the_root_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "x").write_bytes(b"1")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for uri in (str(tmp_path / "link"), f"file://{tmp_path}/link", f"{tmp_path}/link/../link/"):
        assert open_root(uri).objects()["uri"].to_list() == [f"{tmp_path}/real/x"]


def test_put_creates_and_never_replaces(store: Storage) -> None:
    assert store.put("a/b", b"first") is True
    assert store.put("a/b", b"second") is False
    fetched = store.read("a/b")
    assert fetched is not None
    assert fetched.data == b"first"


def test_what_is_not_there(store: Storage) -> None:
    assert store.read("no") is None
    assert store.size("no") == 0
    assert not store.child("no").exists()
    with pytest.raises(StorageError, match=r"can't read .*/no: .*(No such file or directory|NoSuchKey)"):
        store.read_range("no", 0, 1)


def test_size_and_ranges(store: Storage) -> None:
    store.put("x", b"0123456789")
    assert store.size("x") == 10
    assert (store.read_range("x", 2, 5), store.read_range("x", 8, 99), store.read_range("x", 10, 99)) == (
        b"234",
        b"89",
        b"",
    )
    store.put("empty", b"")
    assert (store.read_head("x", 3), store.read_head("empty", 3), store.read_head("no", 3)) == (b"012", b"", b"")


def test_an_object_can_be_opened_to_seek_in(store: Storage) -> None:
    store.put("x", bytes(range(256)) * 40_000)  # 10 MB: more than one part
    with store.open("x") as file:
        file.seek(-2, 2)
        assert (file.read(), file.tell()) == (b"\xfe\xff", 10_240_000)
        file.seek(256 * 39_999)
        assert file.read(3) == b"\0\1\2"
    with pytest.raises(StorageError, match=r"can't read .*/no: "):
        store.open("no")


def test_an_object_gets_another_name(store: Storage) -> None:
    store.put("a/old", b"1")
    store.rename("a/old", "b/new")
    assert store.objects()["path"].to_list() == ["b/new"]
    store.rename("a/old", "b/new")
    with pytest.raises(StorageError, match=r"can't rename .*/a/old"):
        store.rename("a/old", "b/other")


def test_a_sink_appears_when_it_is_closed_and_counts_its_bytes(store: Storage) -> None:
    with store.sink("out/f") as sink:
        sink.write(b"abc")
        sink.write(b"de")
        assert store.objects()["path"].to_list() == []
    assert (sink.bytes_written, store.size("out/f")) == (5, 5)


def test_a_sink_left_by_an_error_leaves_nothing(store: Storage) -> None:
    def fail() -> None:
        with store.sink("out/f") as sink:
            sink.write(b"abc")
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        fail()
    assert store.objects()["path"].to_list() == []


def test_a_folder_in_the_place_of_a_file_is_an_error_with_its_path(local: Storage) -> None:
    local.put("a/b", b"")
    with pytest.raises(StorageError, match=r"can't read .*/a: Is a directory"):
        local.read("a")
    with pytest.raises(StorageError, match=r"can't write .*/a/b/c"):
        local.put("a/b/c", b"")


def test_delete_and_make(store: Storage) -> None:
    child = store.child("new")
    child.make()
    child.make()
    child.put("x", b"1")
    assert child.exists()
    child.delete("x")
    child.delete("x")
    assert child.read("x") is None


def test_work_ahead_gives_its_results_in_order(store: Storage) -> None:
    for number in range(40):
        store.put(f"{number}", b"%d" % number)
    fetched = store.ahead(store.read, map(str, range(41)), [1] * 41)
    assert [f and f.data for f in fetched] == [*(b"%d" % n for n in range(40)), None]


def test_a_storage_travels_as_plain_values(store: Storage) -> None:
    store.put("x", b"1")
    for other in (decode(Storage, json.loads(json.dumps(encode(store)))), pickle.loads(pickle.dumps(store))):
        assert other == store
        assert other.size("x") == 1


def test_local_storage_needs_no_boto3() -> None:
    use = (
        "import sys; from siltstone import cli, storage; storage.open_root('.').exists(); print('boto3' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", use], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_an_unknown_scheme_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="ftp://host/x: no storage for ftp://"):
        open_root("ftp://host/x")


@pytest.mark.parametrize("root", ["/dbfs", "/dbfs/lake", "/Volumes/main/fleet/lake"])
def test_a_mount_of_databricks_is_no_place_for_tables(root: str) -> None:
    with pytest.raises(UsageError, match=f"{root} is no place for tables.*Give s3://BUCKET/FOLDER"):
        open_root(root).refuse_unsafe()


@pytest.fixture
def no_device_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("siltstone.storage.local._PROVEN", set())


@pytest.mark.usefixtures("no_device_is_known")
def test_a_place_that_creates_a_file_once_is_safe_and_stays_as_it_was(local: Storage) -> None:
    local.child("table/that/is/new").refuse_unsafe()
    assert list(Path(local.root).iterdir()) == []


@pytest.mark.usefixtures("no_device_is_known")
@pytest.mark.parametrize("reason", ["two creations of one name are taken", *map(str, (1, 38, 95))])
def test_a_file_system_that_can_not_create_a_file_once_is_no_place_for_tables(
    reason: str, local: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(written: str, name: str) -> None:
        if reason.isdigit():
            raise OSError(int(reason), "no hard links")
        Path(name).write_bytes(Path(written).read_bytes())

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(UsageError, match=r"is no place for tables: files can't be created in one step there"):
        local.child("lake").refuse_unsafe()
    assert list(Path(local.root).iterdir()) == []


@pytest.mark.usefixtures("no_device_is_known")
def test_what_else_goes_wrong_is_left_to_who_writes(local: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(written: str, name: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", link)
    local.refuse_unsafe()


@pytest.mark.parametrize(
    "uri",
    [
        "s3://me:pa55@bucket/lake",
        "s3://me:pa55/lake",
        "s3://AKIAIOSFODNN7EXAMPLE:wJalr/K7MDENG@bucket",
        "s3://b?X-Amz-Signature=abcd/x",
    ],
)
def test_a_bucket_with_keys_in_it_is_refused_without_them(uri: str) -> None:
    with pytest.raises(UsageError, match=r"names no bucket: .*keys come from the environment") as refused:
        open_root(uri)
    assert not any(secret in str(refused.value) for secret in ("pa55", "AKIA", "wJalr", "abcd"))


def test_a_file_uri_with_a_host_is_no_folder_of_that_name() -> None:
    with pytest.raises(UsageError, match=r"file://lake/datalog names a host\. Give file:///lake/datalog"):
        open_root("file://lake/datalog")
