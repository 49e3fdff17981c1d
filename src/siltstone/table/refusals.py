"""Why a commit is refused, and how long one has taken."""

import time

from siltstone.errors import SiltstoneError


class Refused(SiltstoneError):
    """Another commit took the version: look again at what it did, then try again."""

    exit_code = 4


class Fenced(Refused):
    """Only vacuums have committed since: look again, and see which files of this run are still there."""


class FilesGone(Refused):
    """A file that this run has written is gone before its commit: write it again."""


class Clock:
    """The time since this was made, by whichever clock says more: the host may have been suspended, or set."""

    def __init__(self) -> None:
        self._at = time.time(), time.monotonic()

    @property
    def seconds(self) -> float:
        return max(time.time() - self._at[0], time.monotonic() - self._at[1])
