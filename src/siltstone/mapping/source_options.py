"""The options that every source has. A source with further ones extends `SourceOptions` in its own module."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Self
from zoneinfo import ZoneInfo

from siltstone.model.partitions import is_safe


@dataclass(frozen=True)
class SourceOptions:
    """A source's section of the configuration.

    A source with local times adds `zone`, an IANA name; one without has times in UTC.

    - `earliest`: UTC date YYYY-MM-DD; rows before it are quarantined.
    - `future_hours`: h; rows later than this after the upload of their file are quarantined.
    """

    earliest: str = "1970-01-01"
    future_hours: int = 24

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> Self:
        """The options with some values, by key; the others have their defaults."""
        return cls(**values)

    @property
    def earliest_us(self) -> int:
        """Microseconds since 1970 of the first instant that a row may have."""
        return int(datetime.fromisoformat(self.earliest).replace(tzinfo=UTC).timestamp()) * 1_000_000

    @property
    def future_us(self) -> int:
        """Microseconds that a row may be later than the upload of its file."""
        return self.future_hours * 3_600_000_000

    @property
    def kinds(self) -> Mapping[str, str]:
        """The kind that a new column gets, by the key of the records; other keys get it from their values."""
        return {}

    def problems(self) -> Iterator[str]:
        """Each contradiction, beginning with the key that it is about."""
        try:
            date.fromisoformat(self.earliest)
        except ValueError:
            yield f"earliest: {self.earliest!r} is no date; expected YYYY-MM-DD in quotes"
        if self.future_hours < 0:
            yield f"future_hours: {self.future_hours} is below 0"


def zone_problems(zone: str, example: str = "Asia/Makassar") -> Iterator[str]:
    """The problem of an option `zone` that is no IANA name, if it is none."""
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        yield f"zone: {zone!r} is no time zone; give an IANA name such as {example}"


def folder_problems(key: str, value: str) -> Iterator[str]:
    """The problem of an option that names a folder of a table and can't; "" stands for none."""
    if value and not is_safe(value):
        yield f"{key}: {value!r} is no safe folder name; give up to 64 letters, digits, dots, - and _"
