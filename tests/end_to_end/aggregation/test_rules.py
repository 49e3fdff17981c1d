"""`--rules`: capitals count in a user's patterns, but in tables that were made when they did not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from support.commands import command
from support.old_lakes import change_header
from support.readings_table import Readings, reading

DAY = "2015-01-01T"
NOTICE = "the rule {measurement: DOOR} of rules.yaml fits no series as it is written, only with other capitals"
FIRST, SECOND = [("00:00", 0.0), ("00:30", 10.0), ("01:00", 10.0)], [("01:30", 30.0), ("02:00", 30.0)]
# An hour as a step: 0 for half of it, then 10: 5. As a line: from 0 to 10 (5 on average), then 10: 7.5. The second hour
# as a step: 10, then 30: 20. As a line: from 10 to 30 (20 on average), then 30: 25.


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Readings:
    """The readings of a door in the first hour."""
    monkeypatch.chdir(tmp_path)
    readings = Readings(str(tmp_path / "lake"))
    readings.add([reading("door", DAY + at, value) for at, value in FIRST])
    return readings


def rules(pattern: str) -> None:
    Path("rules.yaml").write_text(f"measurements:\n  - match: {{measurement: {pattern}}}\n    kind: linear\n")


def aggregated(*more: str) -> list[float]:
    """Runs aggregate; the averages of the hours that are over."""
    words = ["--every", "1h", "--measure", "time_weighted_average", "--rules", "rules.yaml", *more]
    assert command(["aggregate", "lake/readings", "lake/hourly", *words]) == 0
    hours = pl.scan_delta("lake/hourly").filter(~pl.col("provisional")).collect().sort("bucket_start")
    return hours["time_weighted_average"].to_list()


def resampled(*more: str) -> list[float]:
    """Runs resample; the values at the first four quarters of an hour."""
    words = ["--every", "15m", "--rules", "rules.yaml", *more]
    assert command(["resample", "lake/readings", "lake/hourly", *words]) == 0
    return pl.scan_delta("lake/hourly").collect().sort("ts")["value"].to_list()[:4]


def made_before_capitals_counted(pattern: str) -> None:
    """Let the table's newest run say what 555e899 would have said of its rules."""

    def changed(header: dict[str, Any]) -> dict[str, Any]:
        stored = [{name: value for name, value in rule.items() if name != "case"} for rule in header["terms"]["rules"]]
        stored[0]["match"]["measurement"] = pattern
        return {**header, "terms": {**header["terms"], "rules": stored}}

    change_header(Path("lake/hourly"), changed)


@pytest.mark.usefixtures("lake")
@pytest.mark.parametrize(
    ("make", "as_step", "as_line"), [(aggregated, [5.0], [7.5]), (resampled, [0, 0, 10, 10], [0, 5, 10, 10])]
)
def test_a_rule_in_other_capitals_does_not_fit_and_is_named(
    make: Callable[[], list[float]],
    as_step: list[float],
    as_line: list[float],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    rules("DOOR")
    assert make() == as_step
    assert NOTICE in capsys.readouterr().err
    (tmp_path / "lake/hourly").rename(tmp_path / "other")
    rules("door")
    assert make() == as_line
    assert NOTICE not in capsys.readouterr().err


@pytest.mark.usefixtures("lake")
def test_also_a_table_by_a_convention_is_looked_at_for_rules_that_do_not_fit(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rules("DOOR")
    words = ["--every", "1h", "--convention", "flux", "--rules", "rules.yaml"]
    assert command(["aggregate", "lake/readings", "lake/hourly", *words]) == 0
    assert NOTICE in capsys.readouterr().err


@pytest.mark.parametrize("more", [(), ("--full",)])
def test_a_table_of_before_is_written_on_by_its_rules_as_they_were(
    lake: Readings, more: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    rules("door")
    assert aggregated() == [7.5]
    made_before_capitals_counted("DOOR")
    lake.add([reading("door", DAY + at, value) for at, value in SECOND])
    rules("DOOR")
    assert aggregated(*more) == [7.5, 25.0]
    assert NOTICE not in capsys.readouterr().err
    made_before_capitals_counted("WINDOW")
    assert command(["aggregate", "lake/readings", "lake/hourly", "--every", "1h", "--rules", "rules.yaml"]) == 2
    assert "other rules for reading between points (--rules, or siltstone's own)" in capsys.readouterr().err


def test_so_is_a_grid_of_before(lake: Readings) -> None:
    rules("door")
    assert resampled() == [0, 5, 10, 10]
    made_before_capitals_counted("DOOR")
    lake.add([reading("door", DAY + at, value) for at, value in SECOND])
    rules("DOOR")
    assert resampled() == [0, 5, 10, 10]


@pytest.mark.usefixtures("lake")
def test_a_table_made_with_siltstones_own_rules_stores_what_it_always_did() -> None:
    rules("door")
    aggregated()
    stored: list[dict[str, Any]] = []
    change_header(Path("lake/hourly"), lambda header: stored.extend(header["terms"]["rules"]) or header)
    assert [rule.get("case") for rule in stored] == ["counts"] + [None] * (len(stored) - 1)
    assert {tuple(rule["match"]) for rule in stored} == {("source", "device", "measurement", "series")}
