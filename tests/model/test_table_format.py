"""What a header says of its table's format, who may read and write it, and what the next run says."""

from typing import Any

import pytest

from siltstone import __version__
from siltstone.errors import TableFormatError, UsageError
from siltstone.model import table_format
from siltstone.model.table_format import FIRST, TableFormat, check_format, format_of, next_format

# Version 3; readers must know 1, writers 2.
NEWER = {
    "version": 3,
    "min_reader_version": 1,
    "min_writer_version": 2,
    "min_reader_release": "0.1.0",
    "min_writer_release": "0.2.0",
}


@pytest.fixture(autouse=True)
def _knows_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_format, "KNOWN", 1)


def said(**changes: Any) -> dict[str, Any]:
    return {"format": {**NEWER, **changes}}


def test_a_header_without_a_format_is_of_format_1() -> None:
    assert format_of({}, "/lake/t") == TableFormat(1, 1, 1, "0.1.0", "0.1.0")


def test_fields_of_later_on_do_not_matter() -> None:
    assert format_of(said(features=["deletion vectors"]), "/lake/t") == TableFormat(3, 1, 2, "0.1.0", "0.2.0")


@pytest.mark.parametrize(
    "told",
    [
        *(None, 2, "2", [], {}, {"version": 1}),
        {**NEWER, "version": "3"},
        {**NEWER, "version": 0},
        {**NEWER, "min_reader_version": True},
        {**NEWER, "min_writer_version": None},
        {**NEWER, "min_reader_release": ""},
        {**NEWER, "min_writer_release": 2},
    ],
    ids=repr,
)
def test_what_is_no_format_is_refused(told: Any) -> None:
    with pytest.raises(
        TableFormatError, match=r"^/lake/t says of its format .* does not understand\. Upgrade"
    ) as error:
        format_of({"format": told}, "/lake/t")
    assert isinstance(error.value, UsageError)
    assert error.value.exit_code == 2


def test_a_reader_needs_the_least_version_of_readers_alone() -> None:
    check_format(format_of(said(), "/lake/t"), "/lake/t", writes=False)  # 1 is known, whatever writers need


def test_a_writer_needs_that_of_writers_too() -> None:
    with pytest.raises(TableFormatError) as error:
        check_format(format_of(said(), "/lake/t"), "/lake/t", writes=True)
    assert str(error.value) == (
        f"/lake/t has format 3, and writing it needs siltstone 0.2.0 or newer; this is {__version__}. "
        "Upgrade siltstone here, then run it again (docs/upgrading.md)."
    )


def test_of_two_unmet_needs_a_writer_hears_its_own() -> None:
    told = format_of(said(min_reader_version=2, min_reader_release="0.1.5"), "/lake/t")
    with pytest.raises(TableFormatError, match=r"reading it needs siltstone 0\.1\.5 or newer"):
        check_format(told, "/lake/t", writes=False)
    with pytest.raises(TableFormatError, match=r"writing it needs siltstone 0\.2\.0 or newer"):
        check_format(told, "/lake/t", writes=True)


def test_who_must_read_must_do_so_to_write() -> None:
    told = format_of(said(min_reader_version=2, min_reader_release="0.1.5", min_writer_version=1), "/lake/t")
    with pytest.raises(TableFormatError, match=r"reading it needs siltstone 0\.1\.5 or newer"):
        check_format(told, "/lake/t", writes=True)


def test_a_siltstone_that_knows_the_versions_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_format, "KNOWN", 2)
    check_format(format_of(said(), "/lake/t"), "/lake/t", writes=True)


def test_the_first_run_says_what_it_needs() -> None:
    assert TableFormat(**next_format([], "/lake/t")) == FIRST


def test_the_next_run_keeps_the_format_with_what_it_does_not_know() -> None:
    assert next_format([said(features=["x"])], "/lake/t") == {**NEWER, "features": ["x"]}


def test_each_part_is_the_highest_of_what_was_said_and_what_is_needed() -> None:
    needed = TableFormat(2, 2, 2, "0.1.5", "0.1.5")
    # Version 3 was said; readers must know 2 from now on, as this run says; that of writers was 2 already.
    assert next_format([said()], "/lake/t", needed) == {
        "version": 3,
        "min_reader_version": 2,
        "min_writer_version": 2,
        "min_reader_release": "0.1.5",
        "min_writer_release": "0.1.5",
    }


def test_a_run_of_before_formats_in_between_does_not_lower_it() -> None:
    assert next_format([{}, said(features=["x"]), {}], "/lake/t") == {**NEWER, "features": ["x"]}
