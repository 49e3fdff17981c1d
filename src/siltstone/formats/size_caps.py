"""How large the content of a compressed file may become, and in which steps it grows until a cap stops it."""

from dataclasses import dataclass

from siltstone.errors import Unreadable

RATIO_FLOOR = 64 << 20
"""Bytes up to which the ratio does not matter: a small file of equal lines may be packed very tightly."""

STEP = 4 << 20
"""Bytes that a decompressor gives in one step: so many may be too many before a cap is checked."""

ZSTD_FEED = 1 << 10
"""Bytes of zstd data in one step: 4 bytes of a bomb become 128 KiB, so small bites keep the memory flat."""

_USUAL_GROWTH = 16


@dataclass(frozen=True, slots=True)
class SizeCap:
    """At most `max_bytes`, and for more than 64 MiB at most `max_ratio` times the `stored` bytes of the file.

    `content` names what is capped, for the reason of a refusal.
    """

    content: str
    stored: int
    max_bytes: int
    max_ratio: int

    @property
    def bytes(self) -> int:
        """The most bytes that the content may have."""
        return min(self.max_bytes, max(RATIO_FLOOR, self.max_ratio * self.stored))

    def allows(self, size: int) -> bool:
        """Whether the content may have so many bytes."""
        return size <= self.bytes

    def check(self, size: int) -> None:
        """Raises Unreadable, with the limit that is exceeded, if the content may not have so many bytes."""
        if self.allows(size):
            return
        if size > self.max_bytes:
            raise Unreadable(f"{self.content} over limits.max_decompressed_mb ({self.max_bytes >> 20} MiB)")
        raise Unreadable(
            f"{self.content} over limits.max_ratio ({self.max_ratio} times the {self.stored:,} bytes stored)"
        )

    def most_made(self, size: int) -> int:
        """The bytes of texts that may be made of a content of `size` bytes: as many as the content may have, and 16
        times as many as it has."""
        return max(self.bytes, _USUAL_GROWTH * size)

    def check_made(self, what: str, made: int, size: int) -> None:
        """Raises Unreadable if texts that are made of a content of `size` bytes are beyond any sense; `what` names
        them."""
        if made > self.most_made(size):
            limit = "limits.max_ratio" if self.bytes < self.max_bytes else "limits.max_decompressed_mb"
            raise Unreadable(f"{what} would be {made:,} bytes of text, more than {limit} allows")
