"""Objects with keys that obstore refuses (`a//b`, `.`, control characters), which some uploaders make: by boto3.

obstore refuses a whole listing because of one such key. boto3 takes ten times the CPU, so it is used only then.
"""

from collections.abc import Callable
from typing import TypeVar

import polars as pl

from siltstone.model.access import Access
from siltstone.storage.access import boto3_client
from siltstone.storage.parallel_listing import LISTED
from siltstone.storage.store import Fetched

Result = TypeVar("Result")


def listed(access: Access, bucket: str, top: str) -> pl.DataFrame:
    """Every object below a key, columns as LISTED."""
    pages = boto3_client(access, bucket).get_paginator("list_objects_v2")
    answers = _as_os_errors(lambda: list(pages.paginate(Bucket=bucket, Prefix=f"{top}/" if top else "")))
    rows = [
        (o["Key"].removesuffix("/"), o["Size"], o["ETag"].strip('"'), round(o["LastModified"].timestamp() * 1e6))
        for page in answers
        for o in page.get("Contents", ())
    ]
    return pl.DataFrame(rows, schema=LISTED, orient="row")


def read(access: Access, bucket: str, key: str) -> Fetched | None:
    """A whole object, or None if it does not exist."""
    from botocore.exceptions import ClientError

    def fetch() -> Fetched:
        answer = boto3_client(access, bucket).get_object(Bucket=bucket, Key=key)
        return Fetched(answer["Body"].read(), answer["ETag"].strip('"'))

    try:
        return _as_os_errors(fetch)
    except OSError as error:
        cause = error.__cause__
        if isinstance(cause, ClientError) and cause.response["Error"]["Code"] in ("NoSuchKey", "404"):
            return None
        raise


def _as_os_errors(call: Callable[[], Result]) -> Result:
    """What the call returns; boto3's errors become OSError, which callers explain."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return call()
    except (BotoCoreError, ClientError) as error:
        raise OSError(str(error)) from error
