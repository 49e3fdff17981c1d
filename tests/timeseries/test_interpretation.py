"""Which rule says how a series is read, and every problem of a file of rules in one message."""

import pickle
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from siltstone.config.series_rules import load_interpretations
from siltstone.errors import ConfigError, UsageError
from siltstone.sources.haltian import MEASUREMENTS
from siltstone.timeseries.default_rules import KNOWN_RULES
from siltstone.timeseries.interpretation import NO_LIMIT, Interpretation, Interpretations, Match, Rule, duration_us
from support.places import ROOT

SHIPPED = ROOT / "conf/measurements.yaml"
HOUR_US = 3_600_000_000


@pytest.fixture
def loaded(tmp_path: Path) -> Any:
    """Writes a file of rules and loads it."""

    def load(text: str) -> Interpretations:
        path = tmp_path / "my.yaml"
        path.write_text(text)
        return load_interpretations(str(path))

    return load


def test_the_shipped_file_says_what_applies_without_one() -> None:
    given = load_interpretations(str(SHIPPED)).rules
    as_given = tuple(replace(rule, match=replace(rule.match, ignores_case=False)) for rule in KNOWN_RULES)
    assert given == as_given + KNOWN_RULES
    assert load_interpretations() == Interpretations(KNOWN_RULES)


def test_every_field_of_haltian_has_a_rule_of_its_own() -> None:
    kinds = {
        "AmbientTemperature": "linear",
        "BatteryPercentage": "step",
        "BatteryVoltage": "step",
        "BootCount.bootCount": "counter",
        "BootCount.bootReason": "step",
        "CO2": "linear",
        "DirectionalMovement.entries": "bucketed",
        "DirectionalMovement.exits": "bucketed",
        "Distance": "step",
        "OccupancySeconds": "bucketed",
        "OccupancyStatus": "step",
        "OccupantsCount": "step",
        "Position.isStatic": "step",
        "Position.spaceId": "step",
        "Position.positionGlobal": "step",
        "PositionZone": "step",
        "TVOC": "linear",
    }
    named = [
        name if len(fields) == 1 else f"{name}.{field.name}"
        for name, fields in MEASUREMENTS.items()
        for field in fields
    ]
    assert sorted(named) == sorted(kinds)
    own = Interpretations(tuple(rule for rule in KNOWN_RULES if rule.match.source == "haltian"))
    assert {name: own.of("haltian", "d1", name, f"d1/{name}").kind for name in named} == kinds
    assert all(any(rule.match.fits_kind("haltian", name) for rule in own.rules) for name in named)


@pytest.mark.parametrize(
    ("measurement", "kind"),
    [
        ("BLDG1.ZONE.AHU04A.RM050_LAB.Zone Supply Air Temp", "linear"),
        ("BLDG1.AHU.AHU07A.Supply Air Temp Setpoint", "step"),
        ("BLDG1.ZONE.AHU07B.RM096_LAB.Zone Reheat Valve Command", "step"),
        ("BLDG1.AHU.AHU01A.Outside_Air_Temp_Virtual", "linear"),
        ("Pump1_Start/Stop", "step"),
        ("Supply Air Pressure", "linear"),
        ("Building_Chilled_Water_Flow", "linear"),
        ("temperature", "linear"),
        ("attempts", "step"),
        ("/delta/m5/c12", "step"),
        (None, "step"),
    ],
)
def test_a_name_says_what_it_is(measurement: str | None, kind: str) -> None:
    assert load_interpretations().of("mortar", None, measurement, "s1").kind == kind


def test_the_fleets_speed_is_a_line_that_no_missing_minute_is_crossed_by() -> None:
    speed = Interpretation("linear", max_hold_us=60_000_000, max_gap_us=60_000_000, sentinels=(-9999.0,))
    of = load_interpretations().of
    assert of("datalog", "LD783", "gpsspeed", "LD783/gpsspeed") == speed
    assert of("datalog", "LD783", "vehiclespeed", "LD783/vehiclespeed") == speed, "another firmware's spelling"


def test_the_first_rule_that_fits_wins_and_a_users_rules_come_before_the_known(loaded: Any) -> None:
    rules = loaded(
        """
        measurements:
          - match: {measurement: CO2, device: "lab-*"}
            kind: step
            max_hold: 2d
            sentinels: [-200, 0.5]
            uncertain: keep
          - match: {series: "*/CO2", source: haltian}
            kind: linear
            max_gap: 15m
          - match: {measurement: "Kwh?"}
            kind: bucketed
        """
    )
    of = rules.of
    assert of("haltian", "lab-7", "CO2", "lab-7/CO2") == Interpretation(
        max_hold_us=48 * HOUR_US, sentinels=(-200.0, 0.5), uncertain="keep"
    )
    assert of("haltian", "hall", "CO2", "hall/CO2") == Interpretation("linear", max_gap_us=HOUR_US // 4)
    assert of("records.riot", "hall", "CO2", "hall/CO2") == Interpretation("linear"), "a known rule"
    assert of("records.riot", "m", "Kwh1", "m/Kwh1") == Interpretation("bucketed")
    assert of("records.riot", "m", "Kwh", "m/Kwh") == Interpretation("step", NO_LIMIT, NO_LIMIT, "bad", ())


def test_capitals_count_in_a_users_rules_and_not_in_the_known_ones(loaded: Any) -> None:
    of = loaded("measurements:\n  - match: {measurement: CO2}\n    kind: counter").of
    kinds = [of("haltian", "hall", name, f"hall/{name}").kind for name in ("CO2", "co2")]
    assert kinds == ["counter", "linear"], "the known rule *CO2* fits both"


def test_what_is_kept_of_one_device_is_not_taken_for_another() -> None:
    linear = Interpretation("linear")
    rules = Interpretations((Rule(Match(device="a"), linear), Rule(Match(measurement="x*"), Interpretation("next"))))
    found = [rules.of("s", device, "x1", None).kind for device in ("a", "b", "a", None)]
    assert found == ["linear", "next", "linear", "next"]
    assert rules.of("s", "b", "y", None) == Interpretation()
    assert pickle.loads(pickle.dumps(rules)) == rules


@pytest.mark.parametrize(
    ("text", "us"),
    [("90s", 90_000_000), ("15m", 900_000_000), ("1h", HOUR_US), ("2d", 48 * HOUR_US), ("250ms", 250_000)],
)
def test_durations(text: str, us: int) -> None:
    assert duration_us(text) == us


@pytest.mark.parametrize("text", ["0s", "1.5h", "-1h", "h", "1mo", "", 90, None])
def test_no_durations(text: Any) -> None:
    assert duration_us(text) is None


def problems(load: Any, text: str) -> list[str]:
    with pytest.raises(ConfigError, match=r"configuration: [0-9]+ problem") as caught:
        load(text)
    _, *found, last = str(caught.value).split("\n")
    assert re.fullmatch(r"Fix .*my\.yaml, then run the command again\.", last)
    return [line.split("my.yaml: ", 1)[1] for line in found]


def test_every_problem_of_a_file_is_named_at_once(loaded: Any) -> None:
    assert problems(
        loaded,
        """
        measurment: []
        measurements:
          - match: {measurement: CO2, devise: x}
            kind: stepp
            max_holt: 1h
          - kind: step
          - match: {device: 7}
            uncertain: maybe
            max_hold: 90
            sentinels: [none, 1]
          - match: {measurement: Power}
            kind: counter
            max_gap: 1h
          - match: {measurement: Flow}
            kind: bucketed
            period: 1d
            max_hold: 1d
          - match: {measurement: Level}
          - match: {measurement: Level}
            kind: linear
          - CO2
        """,
    ) == [
        "measurment: unknown key; did you mean measurements?",
        "measurements, rule 1: max_holt: unknown key; did you mean max_hold?",
        "measurements, rule 1: match.devise: unknown key; did you mean device?",
        "measurements, rule 1: kind: expected one of step, linear, next, counter, bucketed, found 'stepp'",
        "measurements, rule 2: match: expected one or more of source, device, measurement, series with a pattern, "
        "such as {measurement: CO2}",
        "measurements, rule 3: match.device: expected a pattern, found 7; put it in quotes",
        "measurements, rule 3: uncertain: expected one of bad, good, keep, found 'maybe'",
        "measurements, rule 3: max_hold: expected a duration above 0 such as 90s, 15m, 1h or 2d, found 90",
        "measurements, rule 3: sentinels: expected a list of numbers such as [-9999], found ['none', 1]; "
        "NaN is always bad",
        "measurements, rule 4: max_gap: means nothing to the kind counter; remove it, or give a kind of linear",
        "measurements, rule 5: period: unknown key; known: match, kind, max_hold, max_gap, uncertain, sentinels",
        "measurements, rule 5: max_hold: means nothing to the kind bucketed; remove it, or give a kind of "
        "step linear next counter",
        "measurements, rule 7: match: the same as that of rule 6, which wins; remove one of the two",
        "measurements, rule 8: expected `match:` and how its series are read, found 'CO2'",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("measurements:\n  - match: {series: a}\n    kind: step\n    kind: linear", "key 'kind' is given twice"),
        ("measurements: {CO2: step}", "measurements: expected a list of rules"),
        ("- CO2", "the file: expected `measurements:` and a list of rules"),
        ("measurements: [", "while parsing a flow"),
        ("measurements:\n  - match: {series: a}\n    sentinels: [.nan]", "NaN is always bad"),
        ("measurements:\n  - match: {series: a}\n    kind: [step]", "kind: expected one of"),
        ("measurements:\n  - match: CO2", "such as {measurement: CO2}; found 'CO2'"),
        ("measurements:\n  - match: {series: !!python/name:os.system a}", "could not determine a constructor"),
    ],
)
def test_a_file_of_another_shape(loaded: Any, text: str, problem: str) -> None:
    assert [problem in found for found in problems(loaded, text)] == [True]


def test_no_file_and_an_empty_one(loaded: Any, tmp_path: Path) -> None:
    assert loaded("") == loaded("measurements: []") == load_interpretations()
    with pytest.raises(UsageError, match=r"none\.yaml: No such file.*\. Give --rules an existing YAML file\."):
        load_interpretations(str(tmp_path / "none.yaml"))


def test_no_pattern_of_a_rule_takes_for_ever() -> None:
    """Python's own globs never go back behind a star that has found its text."""
    started = time.monotonic()
    assert not Match(series="*a*a*a*a*a*a*a*b").fits_series("", "a" * 20_000)
    assert time.monotonic() - started < 2
