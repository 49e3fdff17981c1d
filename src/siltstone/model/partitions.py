"""Which sites may name a folder: one rule for paths, rows and the configuration."""

import re

_SAFE = re.compile(r"[A-Za-z0-9._-]{1,64}")


def is_safe(site: str) -> bool:
    """Whether a site can be a partition value: its folder is inside the table, and no reader takes it for null."""
    return bool(_SAFE.fullmatch(site) and site.strip(".") and site != "__HIVE_DEFAULT_PARTITION__")
