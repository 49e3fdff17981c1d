"""How storage is reached, as plain values that travel with a task."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Access:
    """How S3 is reached; credentials are no part of it. `sync`: on a local disk whatever a commit makes true has
    reached the disk before it, and the commit itself before the run goes on."""

    endpoint: str = ""
    region: str = ""
    path_style: bool = False
    profile: str = ""
    sync: bool = True

    def bucket_endpoint(self, bucket: str) -> str:
        """Where the requests for a bucket go; "" for Amazon's own."""
        scheme, _, host = self.endpoint.rstrip("/").partition("://")
        return "" if not host else f"{scheme}://{host}" if self.by_path(bucket) else f"{scheme}://{bucket}.{host}"

    def by_path(self, bucket: str) -> bool:
        """Whether the bucket is named in the path, as it must be where its dots would break the certificate."""
        return self.path_style or "." in bucket


AMAZON = Access()
