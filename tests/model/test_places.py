"""What looks like a URI and is none never becomes a folder of that name."""

from pathlib import Path

import pytest

from siltstone.errors import UsageError
from siltstone.model.places import refuse_half_uri


@pytest.mark.parametrize(
    ("given", "move"),
    [
        ("dbfs:/lake", "Give a local path, or s3://BUCKET/FOLDER."),
        ("s3:/bucket/lake", "Give s3://bucket/lake."),
        ("s3a:bucket/lake", "Give s3://bucket/lake."),
        ("S3:/bucket", "Give s3://bucket."),
        ("s3//bucket/lake", "Give s3://bucket/lake."),
        (str(Path("s3://bucket/lake")), "Give s3://bucket/lake."),  # a Path loses a slash
        ("file:/data/lake", "Give /data/lake, or file:///data/lake."),
        ("abfss:/container/lake", "Give a local path"),
        ("unknown+scheme:/lake", "Give a local path"),
    ],
)
def test_half_a_uri_is_refused_with_what_was_meant(given: str, move: str) -> None:
    with pytest.raises(UsageError, match="is neither a path nor a URI") as refused:
        refuse_half_uri(given)
    assert move in str(refused.value)
    assert f"./{given}" in str(refused.value)


@pytest.mark.parametrize(
    "given",
    ["lake", "/lake", "./s3:/lake", "s3/lake", "s3://bucket/lake", "s3a://bucket", "file:///lake", "a:b/c", "~/x"],
)
def test_paths_and_whole_uris_pass(given: str) -> None:
    refuse_half_uri(given)
