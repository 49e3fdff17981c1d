"""What a run says of all its batches."""

from siltstone.ingest.summary import _COUNTS, united
from siltstone.model.run_summary import TableSummary


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
