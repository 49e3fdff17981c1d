"""What a store or a disk refuses: the code and the next move, no storm of retries, and nothing that is secret."""

import errno
import os
import tempfile
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from siltstone.errors import StorageError
from siltstone.storage import Storage, access, next_move
from support.full_disk import largest_file
from support.s3_bucket import Bucket
from support.s3_server import OF_SIGNATURE, PROXY, REFUSALS, TRIED_AGAIN

_TRIES = 3
_OF_CODE = {
    "403": "AccessDenied: as told. Give these credentials s3:ListBucket, s3:GetObject",
    "ExpiredToken": "ExpiredToken: The provided token has expired. Log in again or renew the token, then run again.",
    "InvalidToken": (
        "InvalidToken: The provided token is malformed or otherwise invalid. Log in again or renew the token"
    ),
    "InvalidAccessKeyId": (
        "InvalidAccessKeyId: The AWS Access Key Id you provided does not exist in our records. Correct "
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give others by storage.profile."
    ),
    "SignatureDoesNotMatch": "Check your key and signing method. Correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "RequestTimeTooSkewed": "the current time is too large. Set this machine's clock, then run again.",
    "KMS.DisabledException": (
        "KMS.DisabledException: arn:aws:kms:eu-central-1:111122223333:key/k is disabled. Enable the KMS key"
    ),
    "KMS denied": (
        "AccessDenied: User: arn:aws:iam::111122223333:user/u is not authorized to perform: kms:GenerateDataKey on "
        "resource: arn:aws:kms:eu-central-1:111122223333:key/k. Enable the KMS key, and allow these credentials"
    ),
    "NoSuchBucket": "NoSuchBucket: The specified bucket does not exist. Check the bucket's name, storage.endpoint",
    "500": "InternalError: as told. The store is overloaded or down: run again later.",
    "503": "SlowDown: as told. The store is overloaded or down: run again later.",
    "507": "XMinioStorageFull: Storage backend has reached its minimum free drive threshold. Make room in the store",
}


def _calls(store: Storage) -> dict[str, Callable[[], object]]:
    return {
        f"can't list {store.root}": store.objects,
        f"can't read {store.root}/x": lambda: store.read("x"),
        f"can't write {store.root}/x": lambda: store.put("x", b""),
        f"can't delete {store.root}/x": lambda: store.delete("x"),
        f"can't rename {store.root}/x": lambda: store.rename("x", "y"),
    }


@pytest.mark.parametrize("what", REFUSALS)
def test_each_call_tells_action_object_code_and_next_move(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(access, "RETRIES", _TRIES - 1)
    store = bucket.root("folder-of-a-long-name" * 10)
    bucket.faults.fail(what, times=999)
    tries = _TRIES if what in TRIED_AGAIN else 1
    for action, call in _calls(store).items():
        bucket.faults.calls.clear()
        with pytest.raises(StorageError) as raised:
            call()
        told = str(raised.value)
        assert told.startswith(action)
        assert _OF_CODE[what] in told
        assert "\n" not in told
        for secret in (OF_SIGNATURE, "of-the-tests", "AWS4", "StringToSign"):
            assert secret not in told
        # A write without an answer asks whether its object is there.
        asks = tries if action.startswith("can't write") and ("400" in REFUSALS[what][0] or tries > 1) else 0
        renames = tries if action.startswith("can't rename") and what == "NoSuchBucket" else 0  # is it there already?
        assert len(bucket.faults.calls) == tries + asks + renames


def test_a_refusal_of_head_has_no_code_but_a_status(bucket: Bucket) -> None:
    bucket.faults.fail("ExpiredToken", "HEAD")
    with pytest.raises(StorageError, match=r"can't read s3://\S+/x: HEAD gave 400 Bad Request\. Log in again"):
        bucket.root().size("x")
    bucket.faults.fail("403", "HEAD")
    with pytest.raises(StorageError, match=r"can't read s3://\S+/x: HEAD gave 403 Forbidden\. Give these credentials"):
        bucket.root().size("x")


def test_a_refusal_by_boto3_has_the_same_next_move(bucket: Bucket) -> None:
    bucket.server.put(bucket.name, "in//x", b"1")
    bucket.faults.fail("RequestTimeTooSkewed", path=urllib.parse.quote("in//x"))
    with pytest.raises(StorageError, match=r"\(RequestTimeTooSkewed\).*\. Set this machine's clock, then run again\."):
        bucket.root("in").read("/x")


def test_an_answer_of_something_else_is_told_as_it_is(bucket: Bucket) -> None:
    bucket.faults.fail(PROXY)
    with pytest.raises(StorageError, match=r"can't list s3.*GET http://127.*404 Not Found: <html>no such host</html>"):
        bucket.root().objects()


def _full(code: int) -> OSError:
    return OSError(code, os.strerror(code))


def test_a_full_disk_is_told_with_what_is_free_in_the_nearest_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = f"Make room: 12,288 bytes are free in {tmp_path}. Then run again."
    monkeypatch.setattr(os, "statvfs", lambda folder: _statvfs(free_blocks=3, free_inodes=1))
    assert next_move(f"{tmp_path}/not/there", _full(errno.ENOSPC)) == told
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert next_move("s3://bucket/x", _full(errno.ENOSPC)) == f"{told} Or set TMPDIR to a larger folder."
    monkeypatch.setattr(os, "statvfs", lambda folder: _statvfs(free_blocks=3, free_inodes=0))
    assert next_move(str(tmp_path), _full(errno.ENOSPC)) == (
        f"Delete files: no inode is free for another one in {tmp_path}. Then run again."
    )


def test_no_room_for_a_copy_of_an_object_is_told_with_where_it_would_be(bucket: Bucket) -> None:
    bucket.put("x", b"1")
    told = r"can't read s3://\S+/x: File too large\. .*\(ulimit -f\), then run again\. Or set TMPDIR to a larger folder"
    with largest_file(0), pytest.raises(StorageError, match=told):
        bucket.root().open("x")
    with bucket.root().open("x") as copy:
        assert copy.read() == b"1"


def _statvfs(free_blocks: int, free_inodes: int) -> SimpleNamespace:
    return SimpleNamespace(f_bavail=free_blocks, f_frsize=4096, f_files=100, f_favail=free_inodes)


@pytest.mark.parametrize(
    ("code", "move"),
    [
        (errno.EDQUOT, "Raise the quota or delete files, then run again."),
        (errno.EFBIG, "Raise the limit on the size of a file (ulimit -f), then run again."),
        (errno.EROFS, "Mount it for writing, or give another place."),
        (errno.EACCES, "Check the path, its permissions and the free space."),
        (errno.EIO, "Run again."),
    ],
)
def test_what_a_disk_refuses_has_its_next_move(code: int, move: str) -> None:
    assert next_move("/lake", _full(code), otherwise="Run again.") == move
