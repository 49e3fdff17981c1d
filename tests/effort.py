"""How often tests repeat what chance decides: a little in every run, more where SILTSTONE_ROUNDS says so.

SILTSTONE_ROUNDS=5 makes it five times as many rounds of a race, and examples of a law.
"""

import os

_TIMES = int(os.environ.get("SILTSTONE_ROUNDS") or 1)


def rounds(usual: int) -> range:
    """The numbers of a race's rounds."""
    return range(usual * _TIMES)


def examples(usual: int) -> int:
    """How many examples hypothesis tries of a law."""
    return usual * _TIMES
