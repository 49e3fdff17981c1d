"""What a comparison with the ledger hands to tasks, and how much of each device a run takes at a time."""

from typing import Any

import polars as pl

from siltstone.ingest.listing import ListingDiff, first_batch
from siltstone.ingest.task_spec import FormerVersion, SourceFile


def diff(*former: tuple[int, int, str]) -> ListingDiff:
    """Files a, b ... of which the table has so many rows and duplicate lines of that content."""
    rows: list[dict[str, Any]] = [
        {
            "path": f"x/{name}",
            "identity": name,
            "size": 5,
            "etag": "e",
            "modified_us": 7,
            "former_rows": rows,
            "former_duplicates": duplicates,
            "former_sha256": sha256,
        }
        for name, (rows, duplicates, sha256) in zip("abcd", former, strict=False)
    ]
    return ListingDiff(pl.DataFrame(rows), 0, [], [], frozenset())


def test_a_file_has_a_former_version_where_the_table_has_rows_or_duplicates_of_it() -> None:
    found = diff((3, 1, "ff"), (0, 2, "ee"), (0, 0, "dd"), (0, 0, ""))
    assert found.source_files() == [
        SourceFile("x/a", "a", 5, "e", 7, former=FormerVersion(3, 1, "ff")),
        SourceFile("x/b", "b", 5, "e", 7, former=FormerVersion(0, 2, "ee")),
        SourceFile("x/c", "c", 5, "e", 7),
        SourceFile("x/d", "d", 5, "e", 7),
    ]
    assert found.former_rows == {"a": 3, "b": 0, "c": 0, "d": 0}


def taken(sizes: dict[str, int], most: int) -> list[str]:
    todo = pl.DataFrame({"identity": list(sizes), "size": list(sizes.values())})
    return first_batch(todo, lambda identity: identity[0], most)["identity"].to_list()


def test_of_each_device_what_fits_and_one_file_at_least() -> None:
    assert taken({"a1": 5, "a2": 4, "a3": 2, "b1": 100, "b2": 1, "c1": 3}, 10) == ["a1", "a2", "b1", "c1"]
    assert taken({"a1": 5, "a2": 4}, 100) == ["a1", "a2"]
    assert taken({}, 10) == []
