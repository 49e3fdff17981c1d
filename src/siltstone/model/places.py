"""Paths and URIs as they are given: what looks like a URI and is none is refused before it becomes a folder."""

import re

from siltstone.errors import UsageError

_SCHEMES = (
    *("s3", "s3a", "s3n", "dbfs", "file", "abfs", "abfss", "adl", "wasb", "wasbs", "gs", "gcs", "hdfs", "viewfs"),
    *("oss", "cos", "az", "azure", "http", "https", "r2", "minio"),
)
_HALF = re.compile(rf"({'|'.join(_SCHEMES)})(:(?!//)|//)|([a-z][a-z0-9+.-]+):/(?!/)", re.IGNORECASE)
_SUPPORTED = "a local path, or s3://BUCKET/FOLDER"


def refuse_half_uri(given: str) -> None:
    """Raise UsageError for `dbfs:/lake`, `s3:/bucket/lake` and the like, which would be folders of these names here."""
    found = _HALF.match(given)
    if found is None:
        return
    scheme, rest = found[1] or found[3], given[found.end() :].strip("/")
    if scheme.lower() in ("s3", "s3a", "s3n"):
        move = f"Give s3://{rest or 'BUCKET/FOLDER'}."
    elif scheme.lower() == "file":
        move = f"Give /{rest}, or file:///{rest}."
    else:
        move = f"Give {_SUPPORTED}."
    raise UsageError(f"{given} is neither a path nor a URI", f"{move} A folder of this very name is ./{given}")
