"""Cases of Apache Iceberg for compaction planning (tests/conformance/vectors): each is ours too, or has a reason."""

import json
from typing import Any

import pytest

from siltstone.kernels.bin_packing import PlannedFile, _bin_count, _groups, plan_bins, plan_merges
from siltstone.model.data_files import DataFile, Sizes
from support.places import VECTORS as FOLDER

VECTORS = json.loads((FOLDER / "iceberg-compaction-planner.json").read_text())
CASES = {case["id"]: case for case in VECTORS["cases"]}
DAY = ("2025-12-10", "BRCB")

_EVEN = "the peer fills one bin after the other; here the parts of a partition are about equally full"
_IN_ORDER = "the peer puts an item into any bin with room; here a bin holds neighbours, so that files skip by unit"
DIFFERENT = {
    **dict.fromkeys(
        [
            "pack_ramp_target5_lookbackall",
            "pack_ramp_target8_lookbackall",
            "pack_ramp_target9_lookbackall",
            *(f"pack_end_ramp_target{n}_lookback1" for n in (4, 5, 7, 8, 9, 11, 12, 14)),
            *(f"pack_end_ramp_target{n}_lookbackall" for n in (9, 12, 14)),
        ],
        _EVEN,
    ),
    **dict.fromkeys(
        [
            *(f"pack_end_ramp_target{n}_lookbackall" for n in (4, 5, 6, 7, 8, 10, 11, 13)),
            "pack_alternating_target8_lookback2",
            "pack_alternating_target8_lookbackall",
        ],
        _IN_ORDER,
    ),
    "size_filtering": "the peer splits a file above the largest size and writes a small one alone; here a merge has "
    "two files at least and gives fewer, and a writer never makes a file too large",
    "single_file_above_target": "one file alone is never written anew",
    "job_order": "bins run largest first, the peer's bytes-desc, which is no choice",
}


def packed(case: dict[str, Any]) -> list[list[int]]:
    """Each item a device of its own, each bin at most of the target."""
    files = [PlannedFile(i, DAY, f"{i:03d}", size) for i, size in enumerate(case["items"])]
    bins = plan_bins(files, Sizes(target=case["target"], smallest=1, largest=case["target"]))
    return [[round(f.output_bytes) for f in b] for b in sorted(bins, key=lambda b: b[0].id)]


def selected(case: dict[str, Any]) -> list[int]:
    """The files that settling would write anew in a partition that still grows: there `min_input_files` counts."""
    files = [DataFile(f"{i:03d}", DAY, size, 1, "") for i, size in enumerate(case["files"])]
    no_limit = 10**9
    sizes = Sizes(case.get("target", no_limit), case["min"], case.get("max", no_limit))
    found = plan_merges(
        files, sizes, is_closed=lambda _: False, open_files=case["min_input_files"], most_bytes=no_limit
    )
    return [f.bytes for m in found for f in m.files]


def output_files(case: dict[str, Any]) -> dict[str, int]:
    """As many as the plan expects where files up to a tenth above the target are accepted, as the peer does."""
    sizes = Sizes(case["target"], 1, round(case["target"] * 1.1))
    return {name: _bin_count(sum(files), sizes) for name, files in case["partitions"].items()}


def groups(case: dict[str, Any]) -> dict[str, int]:
    return {
        name: len(
            _groups([DataFile(str(i), DAY, size, 1, "") for i, size in enumerate(files)], case["max_group_bytes"])
        )
        for name, files in case["partitions"].items()
    }


def order(case: dict[str, Any]) -> dict[str, list[str]]:
    files = [PlannedFile(0, (name, ""), "", sum(sizes)) for name, sizes in case["partitions"].items()]
    bins = plan_bins(files, Sizes(1000, 1, 1000))
    return {"bytes-desc": [b[0].partition[0] for b in bins]}


OURS = {
    "pack": packed,
    "pack_end": packed,
    "select_files": selected,
    "expected_output_files": output_files,
    "file_groups": groups,
    "job_order": order,
}


def test_every_difference_is_about_a_case() -> None:
    assert DIFFERENT.keys() <= CASES.keys()
    assert (len(CASES), len(DIFFERENT)) == (44, 27)


@pytest.mark.parametrize("name", CASES)
def test_the_case_is_ours_or_its_difference_is_told(name: str) -> None:
    case = CASES[name]
    assert (OURS[case["op"]](case) == case["expect"]) is (name not in DIFFERENT)


def test_the_order_by_bytes_is_the_peers() -> None:
    assert order(CASES["job_order"])["bytes-desc"] == CASES["job_order"]["expect"]["bytes-desc"]
