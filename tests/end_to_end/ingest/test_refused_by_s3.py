"""A run that S3 refuses in its middle, for whatever reason: exit code 6, nothing is published, and once the reason is
gone the same command takes what is there."""

import itertools

import pytest

from siltstone.errors import StorageError
from siltstone.storage import access
from support.fleet import NOON, record
from support.s3_bucket import Bucket, BucketWorld
from support.s3_server import OF_SIGNATURE, REFUSALS, TRIED_AGAIN

_TRIES = 3
_MOMENTS = {
    "the listing": ("GET", "list-type=2&prefix=in"),
    "a source file": ("GET", "/in/"),
    "a data file": ("PUT", "data_.*parquet"),
    "the manifest": ("PUT", "_siltstone/runs/"),
    "the commit": ("PUT", "_delta_log/0+3.json"),
}
_SHORT = [("the commit", "RequestTimeTooSkewed")]
_CASES = list(itertools.product(_MOMENTS, REFUSALS))


@pytest.mark.parametrize(
    ("moment", "what"),
    [*_SHORT, *(pytest.param(*case, marks=pytest.mark.slow("faults")) for case in _CASES if case not in _SHORT)],
)
def test_nothing_is_published_and_the_next_run_goes_on(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, moment: str, what: str
) -> None:
    monkeypatch.setattr(access, "RETRIES", _TRIES - 1)
    there = BucketWorld(bucket)
    there.deliver({"BRCB/DEV1/2025121012": [record(NOON, a=1)]})
    there.compact("survey.files=1", "optimize.after_compact=false")
    there.deliver({"BRCB/DEV2/2025121012": [record(NOON, a=2)]})
    bucket.faults.fail(what, *_MOMENTS[moment], times=999)
    with pytest.raises(StorageError) as raised:
        there.compact("survey.files=1", "optimize.after_compact=false")
    refused = sum(told == what for _, _, told in bucket.faults.calls)
    bucket.faults.rules.clear()

    assert raised.value.exit_code == 6
    assert REFUSALS[what][1] in str(raised.value)
    assert bucket.name in str(raised.value)
    assert not any(secret in str(raised.value) for secret in (OF_SIGNATURE, "of-the-tests", "StringToSign"))
    assert refused == (_TRIES if what in TRIED_AGAIN else 1)  # no storm of them
    assert there.rows("a") == [(1.0,)]
    assert there.compact("survey.files=1", "optimize.after_compact=false")["rows_out"] == 1
    assert there.rows("a") == [(1.0,), (2.0,)]
