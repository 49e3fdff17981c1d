"""How S3 is reached: settings that travel as plain values, and in each process one boto3 session for the credentials.

boto3 takes 0.3 s to import, so only who meets an S3 URI pays for it. No key is ever part of a plan, a setting or a log.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any

from obstore.store import S3Store

from siltstone.errors import StorageError, UsageError
from siltstone.model.access import Access

if TYPE_CHECKING:
    from obstore.store import S3Config, S3Credential


# A store that is down is given up after about half a minute, one that does not answer at all after two.
RETRIES = 10
FIRST_WAIT_MS = 100
LONGEST_WAIT_MS = 5_000
RETRY_FOR_S = 120
_CONNECT_S = 5
_ANSWER_S = 120  # a whole request, with the upload of a part of 8 MiB or a file of 250 MB read
_CREDENTIALS_FOR = timedelta(minutes=5)  # boto3 renews at the latest 10 minutes before they end
_ASK_ROLE_TIMES = 3  # many tasks that start at once on one machine: its metadata service drops some


_building = Lock()


def bucket_store(access: Access, bucket: str) -> S3Store:
    """The process's connections to a bucket; obstore asks boto3's session again every few minutes."""
    with _building:  # else the first threads that read ahead would all look for credentials
        return _bucket_store(access, bucket)


@lru_cache
def _bucket_store(access: Access, bucket: str) -> S3Store:
    endpoint = access.bucket_endpoint(bucket)
    config: S3Config = {
        "region": _region(access, bucket),
        "virtual_hosted_style_request": not access.by_path(bucket),
        "conditional_put": "etag",
        "disable_bulk_delete": True,  # not every S3-compatible store has it
    }
    if endpoint:
        config |= {"endpoint": endpoint, "aws_endpoint_url_s3": endpoint}
    return S3Store(
        bucket,
        config=config,
        credential_provider=_Credentials(access.profile),
        client_options={
            "allow_http": endpoint.startswith("http://"),
            "connect_timeout": timedelta(seconds=_CONNECT_S),
            "timeout": timedelta(seconds=_ANSWER_S),
        },
        retry_config={
            "max_retries": RETRIES,
            "retry_timeout": timedelta(seconds=RETRY_FOR_S),
            "backoff": {
                "init_backoff": timedelta(milliseconds=FIRST_WAIT_MS),
                "max_backoff": timedelta(milliseconds=LONGEST_WAIT_MS),
                "base": 2,
            },
        },
    )


def delta_options(access: Access, bucket: str) -> dict[str, str]:
    """The options of delta-rs for one handle, with the credentials of this moment: never keep or print them."""
    endpoint = access.bucket_endpoint(bucket)
    keys = _Credentials(access.profile)()
    token = keys.get("token")
    if token is None and os.environ.get("AWS_SESSION_TOKEN"):
        raise UsageError(
            "AWS_SESSION_TOKEN is set, but the credentials in use have no token, and delta-rs would send that one",
            "Unset it.",
        )
    return {
        "aws_access_key_id": keys["access_key_id"],
        "aws_secret_access_key": keys["secret_access_key"],
        **({"aws_session_token": token} if token else {}),
        **({"aws_endpoint": endpoint, "aws_endpoint_url_s3": endpoint} if endpoint else {}),
        "aws_region": _region(access, bucket),
        "aws_virtual_hosted_style_request": str(not access.by_path(bucket)).lower(),
        "aws_allow_http": str(endpoint.startswith("http://")).lower(),
        "aws_conditional_put": "etag",  # an environment variable could switch it off, and with it the safety of commits
        "max_retries": str(RETRIES),
        "retry_timeout": f"{RETRY_FOR_S}s",
        "backoff_config.init_backoff": f"{FIRST_WAIT_MS}ms",
        "backoff_config.max_backoff": f"{LONGEST_WAIT_MS}ms",
        "backoff_config.base": "2",
        "connect_timeout": f"{_CONNECT_S}s",
        "timeout": f"{_ANSWER_S}s",
    }


@lru_cache
def boto3_client(access: Access, bucket: str) -> Any:
    """A boto3 client, for the few objects with names that obstore refuses."""
    from botocore.config import Config

    style: Any = {"addressing_style": "path" if access.by_path(bucket) else "virtual"}
    return _session(access.profile).client(
        "s3",
        endpoint_url=access.endpoint or None,
        region_name=_region(access, bucket),
        config=Config(s3=style, retries={"mode": "standard", "max_attempts": RETRIES + 1}),
    )


class _Credentials:
    """What boto3's chain finds (environment, profile, role), renewed by it before it ends."""

    def __init__(self, profile: str) -> None:
        with _explain_credentials(profile):
            self._credentials = _session(profile).get_credentials()
        if self._credentials is None:
            raise StorageError(
                "no credentials for S3: there are none in the environment, in a profile, or from a role",
                "Set storage.profile, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role.",
            )
        self._profile = profile

    def __call__(self) -> "S3Credential":
        with _explain_credentials(self._profile):
            keys = self._credentials.get_frozen_credentials()
        return {
            "access_key_id": keys.access_key,
            "secret_access_key": keys.secret_key,
            "token": keys.token,
            "expires_at": datetime.now(UTC) + _CREDENTIALS_FOR,
        }


@lru_cache
def _session(profile: str) -> Any:
    import boto3
    import botocore.session

    core = botocore.session.Session(profile=profile or None)
    if "AWS_METADATA_SERVICE_NUM_ATTEMPTS" not in os.environ:
        core.set_config_variable("metadata_service_num_attempts", _ASK_ROLE_TIMES)
    with _explain_credentials(profile):
        return boto3.Session(botocore_session=core)


@contextmanager
def _explain_credentials(profile: str) -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ProfileNotFound

    try:
        yield
    except ProfileNotFound as error:
        raise UsageError(f"storage.profile: {error}", "Give one of ~/.aws/config.") from None
    except BotoCoreError as error:
        named = f" of profile {profile}" if profile else ""
        raise StorageError(
            f"can't get the credentials{named} for S3: {error}", "Log in again, then run the command again."
        ) from error


@lru_cache
def _region(access: Access, bucket: str) -> str:
    """The region to sign for: as configured, else that of the profile or environment, else where the bucket says it
    is."""
    session = _session(access.profile)
    region: str = access.region or session.region_name or ("us-east-1" if access.endpoint else "")
    return region or _bucket_region(access.profile, bucket)


def _bucket_region(profile: str, bucket: str) -> str:
    """The region that the bucket answers, also if it may not be read."""
    from botocore.exceptions import BotoCoreError, ClientError

    _Credentials(profile)()  # where they are missing or can't be renewed, this says so; a region would not help
    try:
        answer = _session(profile).client("s3", region_name="us-east-1").head_bucket(Bucket=bucket)
    except ClientError as error:
        answer = error.response
    except BotoCoreError as error:
        raise StorageError(f"can't ask s3://{bucket} for its region: {error}", "Set storage.region.") from error
    region: str = answer["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region", "us-east-1")
    return region
