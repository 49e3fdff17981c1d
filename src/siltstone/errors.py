"""The errors an operator can meet: each says what happened, where, and the next move, and knows its exit code."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

_KEYS = r"(?:aws[_-])?(?:secret[_-]access[_-]key|session[_-]token|access[_-]key[_-]id)"
_NAMES = r"[\w.-]{0,64}(?:token|secret|passw|signature|sig|credential|key)[\w.-]{0,64}"
_SECRETS = (
    # user and password of a URI: a secret key may hold slashes, and a port with a path behind it is no password
    (r"(:/{1,2})[^\s/@:]*:(?!\d{1,5}(?:[^\w@]|$))[^\s@]*@", r"\1***@"),
    (r"(?<=://)[^\s/@:]{16,}@", "***@"),
    (rf"(?i)(?<=[?&;])({_NAMES}=)[^\s&;,'\"]+", r"\1***"),
    (rf"(?i)\b({_KEYS}[\"']?\s?[=:]\s?[\"']?)[\w/+=-]{{16,}}", r"\1***"),
    (r"(?i)\b((?:password|passwd|token|secret)=)[^\s&;,'\"]+", r"\1***"),
    (r"(?:AKIA|ASIA)[A-Z0-9]{12,}(?::[\w/+=-]{16,})?", "***"),
)
"""Where secrets stand, and what is shown instead; compiled when there is an error."""


def masked(text: str) -> str:
    """A message without passwords, keys and tokens that a URI or a setting in it holds by mistake."""
    for pattern, shown in _SECRETS:
        text = re.sub(pattern, shown, text)
    return text


class SiltstoneError(Exception):
    """A run that stops; `exit_code` is what the process returns."""

    exit_code = 1

    def __init__(self, what: str, next_move: str = "") -> None:
        joint = "\n" if "\n" in what else ". "
        super().__init__(masked(f"{what}{joint}{next_move}" if next_move else what))

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuilt, (type(self), str(self))


class UsageError(SiltstoneError):
    """A wrong argument, path or table name."""

    exit_code = 2


class OtherTermsError(UsageError):
    """A table that was written with other settings than those of this run."""


class TableFormatError(UsageError):
    """A table of a format that this siltstone may not read or write, or does not understand."""


class OtherWriterError(SiltstoneError):
    """Another writer has changed a table's rows, which siltstone's accounts don't know."""

    exit_code = 2


class ConfigError(SiltstoneError):
    """Every problem of one configuration at once."""

    exit_code = 2

    def __init__(self, problems: Sequence[str], next_move: str = "Fix it, then: siltstone doctor --conf FILE") -> None:
        count = f"{len(problems)} problem{'s' if len(problems) != 1 else ''}"
        super().__init__(f"configuration: {count}\n" + "\n".join(f"  {p}" for p in problems), next_move)


class RepeatedKeyError(SiltstoneError):
    """Two rows with one key, where the configuration says that there are none."""

    exit_code = 2

    def __init__(self, key: Mapping[str, object], source_file: str) -> None:
        shown = ", ".join(f"{name} {value}" for name, value in key.items())
        super().__init__(
            f"{source_file}: more than one row for {shown} (ts in microseconds), and the source's policy for "
            "duplicates is error",
            "Remove the repeated rows, or set `duplicates` to first, last, version, distinct or all.",
        )


class LostRaceError(SiltstoneError):
    """Other runs committed first, again and again."""

    exit_code = 4


class UnknownOutcomeError(SiltstoneError):
    """The commit may or may not have happened, and the log can't be read to tell."""

    exit_code = 5


class StorageError(SiltstoneError):
    """A path can't be listed, read or written."""

    exit_code = 6


class DamagedFileError(StorageError):
    """A data file of a table is not as it was written."""


class AccountsError(SiltstoneError):
    """The accounts of a run do not close, so that it commits nothing of what they are about."""

    def __init__(self, where: str, problems: Sequence[str]) -> None:
        super().__init__(
            f"the accounts of {where} do not close, so it was not committed:\n" + "\n".join(f"  {p}" for p in problems),
            "This is a defect of siltstone: please report it with this message. The input is untouched.",
        )


class PartlyError(SiltstoneError):
    """A run of which a part is committed and the rest is not; `summary` tells what is."""

    exit_code = 9
    summary: Any = None

    def __init__(self, what: str, next_move: str, summary: Any = None) -> None:
        super().__init__(what, next_move)
        self.summary = summary


class Unreadable(Exception):
    """One source file that can't be read at all; its message is the reason in the quarantine."""


def rebuilt(kind: type[SiltstoneError], text: str) -> SiltstoneError:
    """An error that crossed a process boundary, whatever its constructor takes."""
    error = kind.__new__(kind)
    Exception.__init__(error, text)
    return error


class OverlapError(SiltstoneError):
    """Two partial states of a series overlap in time: their points must be read together."""
