"""What a compressed file may become: in all, and for its own size."""

import pytest

from siltstone.errors import Unreadable
from siltstone.formats.size_caps import SizeCap

MIB = 1 << 20


@pytest.mark.parametrize(
    ("stored", "most"),
    [
        (100, 64 * MIB),  # 200 times 100 bytes is less than the 64 MiB that any file may become
        (MIB, 200 * MIB),
        (2 * MIB, 256 * MIB),  # 400 MiB by the ratio, but no file may have more than 256
    ],
)
def test_the_most_bytes_that_a_file_may_become(stored: int, most: int) -> None:
    cap = SizeCap("text is", stored, max_bytes=256 * MIB, max_ratio=200)
    assert cap.bytes == most
    assert (cap.allows(most), cap.allows(most + 1)) == (True, False)
    cap.check(most)


def test_a_refusal_names_the_limit() -> None:
    cap = SizeCap("its blocks are", 1_500, max_bytes=256 * MIB, max_ratio=200)
    with pytest.raises(Unreadable, match=r"its blocks are over limits\.max_ratio \(200 times the 1,500 bytes stored\)"):
        cap.check(64 * MIB + 1)
    with pytest.raises(Unreadable, match=r"its blocks are over limits\.max_decompressed_mb \(256 MiB\)"):
        cap.check(256 * MIB + 1)
