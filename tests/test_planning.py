"""Sizes to bins: worked examples with a target of 200 bytes, 150 to 250 accepted."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siltstone.planning import Planned, Sizes, plan_bins, should_roll

SIZES = Sizes(target=200, smallest=150, largest=250)
DAY = ("2025-12-10", "BRCB")
NEXT = ("2025-12-11", "BRCB")


def planned(ids: str, partition: tuple[str, str] = DAY, each: float = 100) -> list[Planned]:
    """One file per letter, the letter being its device."""
    return [Planned(i, partition, device, each) for i, device in enumerate(ids)]


def devices(bins: list[list[Planned]]) -> list[str]:
    return ["".join(f.device for f in b) for b in bins]


def test_400_bytes_become_two_files_in_order_of_device() -> None:
    assert devices(plan_bins(planned("DBCA"), SIZES)) == ["AB", "CD"]


def test_260_bytes_are_too_many_for_one_file() -> None:
    # 260 / 200 rounds to 1, but 260 is over 250: two bins; the first is full as soon as it holds half
    assert devices(plan_bins(planned("ABCD", each=65), SIZES)) == ["AB", "CD"]


def test_files_of_one_device_stay_together() -> None:
    # 600 bytes, cuts at 200 and 400: A alone has 300, with B it is 400, the rest has 200
    assert devices(plan_bins(planned("AAABCD"), SIZES)) == ["AAA", "CD", "B"]


def test_partitions_never_share_a_bin_and_the_largest_bin_comes_first() -> None:
    files = [*planned("A", DAY, 10), *planned("AB", NEXT, 100)]
    assert [(b[0].partition, len(b)) for b in plan_bins(files, SIZES)] == [(NEXT, 2), (DAY, 1)]


def test_no_files_no_bins_and_files_of_no_bytes_one_bin() -> None:
    assert plan_bins([], SIZES) == []
    assert devices(plan_bins(planned("AB", each=0), SIZES)) == ["AB"]


@pytest.mark.parametrize(
    ("written", "remaining", "group", "rolls"),
    [
        (100, 500.0, 50, False),  # far below the target
        (200, 40.0, 40, False),  # the rest fits: 240 <= 250
        (200, 60.0, 40, True),  # the rest would make it 260
        (220, 0.0, 40, True),  # one more group like the largest would make it 260
    ],
)
def test_when_to_start_a_new_file(written: int, remaining: float, group: int, rolls: bool) -> None:
    assert should_roll(written, remaining, group, SIZES) is rolls


FILES = st.lists(
    st.builds(
        Planned,
        id=st.integers(0, 10**6),
        partition=st.tuples(st.sampled_from(["d1", "d2"]), st.sampled_from(["s1", "s2"])),
        device=st.sampled_from("ABCDEFG"),
        output_bytes=st.one_of(st.just(0.0), st.floats(0, 1e12), st.floats(0, 300)),
    ),
    max_size=40,
    unique_by=lambda f: f.id,
)


@settings(deadline=None, max_examples=200)
@given(FILES)
def test_every_file_is_in_one_bin_and_a_device_of_a_partition_too(files: list[Planned]) -> None:
    bins = plan_bins(files, SIZES)
    assert Counter(f.id for b in bins for f in b) == Counter(f.id for f in files)
    assert all(bins)
    assert all(len({f.partition for f in b}) == 1 for b in bins)
    at = Counter((f.partition, f.device) for b in bins for f in {(f.partition, f.device): f for f in b}.values())
    assert set(at.values()) <= {1}
    sizes = [sum(f.output_bytes for f in b) for b in bins]
    assert sizes == sorted(sizes, reverse=True)
