"""How much of each device a run takes at a time, and what it says of all batches."""

import polars as pl

from siltstone.ingest.listing import first_batch
from siltstone.ingest.summary import _COUNTS, united
from siltstone.model.run_summary import TableSummary


def taken(sizes: dict[str, int], most: int) -> list[str]:
    todo = pl.DataFrame({"identity": list(sizes), "size": list(sizes.values())})
    return first_batch(todo, lambda identity: identity[0], most)["identity"].to_list()


def test_of_each_device_what_fits_and_one_file_at_least() -> None:
    assert taken({"a1": 5, "a2": 4, "a3": 2, "b1": 100, "b2": 1, "c1": 3}, 10) == ["a1", "a2", "b1", "c1"]
    assert taken({"a1": 5, "a2": 4}, 100) == ["a1", "a2"]
    assert taken({}, 10) == []


def test_the_summary_of_batches_adds_up() -> None:
    counts = dict.fromkeys(_COUNTS, 2)
    one = TableSummary(
        **counts, run="r1", columns_added=["x"], files_skipped=7, files_later=3, files_listed=9, deferred_files=["a"]
    )
    two = TableSummary(**counts, files_skipped=9, files_listed=8)
    whole = united([one, two])
    assert (whole.rows_out, whole.run, whole.columns_added) == (4, "r1", ["x"])
    assert (whole.files_skipped, whole.files_later) == (7, 0)
    assert (whole.files_listed, whole.files_deferred, whole.deferred_files) == (9, 4, ["a"])
    assert united([one]) == one
