"""What a message hides: passwords, keys and tokens that came into it by mistake, and nothing else."""

import pytest

from siltstone.errors import ConfigError, UsageError, masked


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:pa55word@minio:9000: no", "http://***@minio:9000: no"),
        ("http://me:1234@minio:9000", "http://***@minio:9000"),
        ("s3://AKIAIOSFODNN7EXAMPLE:wJalr/K7MDENG+bPx@bucket/lake", "s3://***@bucket/lake"),
        ("s3://AKIAIOSFODNN7EXAMPLE/lake", "s3://***/lake"),
        ("s3:/key:wJalr/K7MDENG+bPx@bucket/lake is no URI", "s3:/***@bucket/lake is no URI"),
        ("AKIAIOSFODNN7EXAMPLE:wJalrXUtnFEMI/K7MDENG", "***"),
        ("https://ghp_0123456789abcdef@host/x", "https://***@host/x"),
        ("sc://host:443/;token=dapi0123;user=me", "sc://host:443/;token=***;user=me"),
        ("http://h/b?X-Amz-Signature=ab12&X-Amz-Expires=5", "http://h/b?X-Amz-Signature=***&X-Amz-Expires=5"),
        ("aws_secret_access_key: wJalrXUtnFEMI/K7MDENG", "aws_secret_access_key: ***"),
        ("password=hunter2", "password=***"),
    ],
)
def test_secrets_are_masked(text: str, shown: str) -> None:
    assert masked(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "can't read s3://bucket/a@b/c: 403 Forbidden",
        "http://127.0.0.1:9000/bucket/a@b is no endpoint; expected such as http://127.0.0.1:9000",
        "sources.records.signals: unknown key; known: time, key",
        "storage.secret_access_key: unknown key; known: endpoint, region",
        "more than one row for signal 5, token: 'x'",
        "no credentials for S3: there are none in the environment",
        "LAKE/t/site=a&key: 3 rows",
    ],
)
def test_what_is_no_secret_is_told(text: str) -> None:
    assert masked(text) == text


def test_every_error_masks_its_message() -> None:
    assert str(UsageError("no bucket at s3://me:pass@b")) == "no bucket at s3://***@b"
    assert "http://***@h" in str(ConfigError(["storage.endpoint: 'http://me:pass@h' is no endpoint"]))
