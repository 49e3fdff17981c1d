"""Where a Parquet file says what its pages hold: the places to damage."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from siltstone.formats.parquet.thrift import decoded
from support.rounds import rounds

IS_ALL = len(rounds(1)) >= 5
"""Whether every single damage is tried, and not only a part of them."""


@dataclass(frozen=True)
class Flip:
    """One bit: in a byte of the header of a column's page, both counted from 0."""

    column: str
    page: int
    byte: int
    bit: int

    def __str__(self) -> str:
        return f"{self.column}-{self.page}-{self.byte}-{self.bit}"

    def of(self, data: bytes) -> bytes:
        """The file with this bit changed."""
        return flipped(data, headers(data)[self.column][self.page].start + self.byte, self.bit)


def flipped(data: bytes, at: int, bit: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def footer_at(data: bytes) -> range:
    """Where the footer is, with its length behind it."""
    return range(len(data) - 8 - int.from_bytes(data[-8:-4], "little"), len(data) - 4)


def columns_of(data: bytes) -> Iterator[Mapping[int, Any]]:
    """What the footer says of each column of each row group."""
    footer, _ = decoded(data, footer_at(data).start)
    for group in footer[4][1][1]:
        for chunk in group[1][1][1]:
            yield chunk[3][1]


def headers(data: bytes) -> dict[str, list[range]]:
    """Column -> where the headers of its pages are, in order."""
    found: dict[str, list[range]] = {}
    for column in columns_of(data):
        at = column[11 if 11 in column else 9][1]
        end = at + column[7][1]
        while at < end:
            header, content = decoded(data, at)
            found.setdefault(b".".join(column[3][1][1]).decode(), []).append(range(at, content))
            at = content + header[3][1]
    return found
