"""Companions: which files are read again with a superseded one; a letter is a device, a digit its file."""

from collections.abc import Mapping

import polars as pl
import pytest

from siltstone.ingest.reread import companions
from siltstone.table.ledger import LEDGER


def entries(**files: tuple[int, int, str]) -> pl.DataFrame:
    """Ledger entries: rows, repeated lines, and the folders, a letter each."""
    rows = [
        (path, "e", 1, "ff", "ingested", rows, 0, repeated, 0, list(folders), "datalog")
        for path, (rows, repeated, folders) in files.items()
    ]
    return pl.DataFrame(rows, schema=LEDGER, orient="row")


def found(
    todo: str, known: pl.DataFrame, listed: str = "a1 a2 a3 a4 b1 b2", state: Mapping[str, str] | None = None
) -> tuple[str, str, str]:
    """Read along, left out, together."""
    known = known.with_columns(state=pl.col("path").replace_strict(state or {}, default="ingested"))
    result = companions(todo.split(), listed.split(), known, lambda path: path[0])
    return tuple(" ".join(sorted(files)) for files in (result.along, result.left_out, result.together))  # type: ignore[return-value]


def test_new_files_and_those_without_a_former_version_have_none() -> None:
    assert found("a1", entries()) == ("", "", "")
    assert found("a1", entries(a2=(5, 5, "x"))) == ("", "", "")
    assert found("a1", entries(a1=(0, 0, ""), a2=(5, 5, "x"))) == ("", "", "")


def test_files_without_repeated_lines_are_read_alone() -> None:
    assert found("a1", entries(a1=(5, 0, "x"), a2=(5, 0, "x"))) == ("", "", "")


def test_repeated_lines_may_be_those_of_the_superseded_file() -> None:
    assert found("a1", entries(a1=(5, 0, "x"), a2=(5, 1, "x"))) == ("a2", "", "a1 a2")


@pytest.mark.parametrize(
    "other",
    [
        {"b1": (5, 1, "x")},  # another device
        {"a2": (5, 1, "y")},  # another partition
    ],
)
def test_elsewhere_lines_are_never_shared(other: dict[str, tuple[int, int, str]]) -> None:
    assert found("a1", entries(a1=(5, 0, "x"), **other)) == ("", "", "")


def test_the_rows_that_repeated_lines_may_repeat_are_read_again_with_them() -> None:
    # a2 repeats a line of a1 or of a3; were a3 not read, it would come twice
    known = entries(a1=(5, 0, "x"), a2=(5, 1, "xy"), a3=(5, 0, "y"), a4=(5, 0, "z"))
    assert found("a1", known) == ("a2 a3", "", "a1 a2 a3")
    # also where the superseded file is the one with the repeated lines, and from partition to partition
    assert found("a2", known) == ("a1 a3", "", "a1 a2 a3")
    far = entries(a1=(5, 0, "x"), a2=(5, 1, "xy"), a3=(5, 2, "yz"), a4=(5, 0, "z"))
    assert found("a1", far) == ("a2 a3 a4", "", "a1 a2 a3 a4")


def test_a_file_whose_companion_is_not_listed_is_left_out() -> None:
    known = entries(a1=(5, 0, "x"), a2=(5, 1, "x"), a3=(5, 0, "y"), b1=(5, 0, "x"))
    assert found("a1 a3 b1", known, listed="a1 a3 b1") == ("", "a1", "")


def test_a_file_that_is_left_out_is_no_companion_of_others() -> None:
    # a1 needs a2, which needs a3, which is away; a2 would need a4 too
    known = entries(a1=(5, 0, "x"), a2=(5, 1, "xy"), a3=(5, 1, "y"), a4=(5, 0, "y"))
    assert found("a1 a2", known, listed="a1 a2 a4") == ("", "a1 a2", "")


def test_a_file_whose_rows_may_be_repeated_is_no_must() -> None:
    known = entries(a1=(5, 0, "x"), a2=(5, 1, "xy"), a3=(5, 0, "y"))
    assert found("a1", known, listed="a1 a2") == ("a2", "", "a1 a2")
    # nor is one whose content today is refused: it would give no row
    assert found("a1", known, state={"a3": "quarantined"}) == ("a2", "", "a1 a2")


def test_changed_files_that_share_lines_are_together_too() -> None:
    known = entries(a1=(5, 0, "x"), a2=(5, 1, "x"), b1=(5, 0, "x"))
    assert found("a1 a2 b1 b2", known) == ("", "", "a1 a2")
