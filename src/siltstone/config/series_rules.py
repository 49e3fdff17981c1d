"""Reads a file of rules such as conf/measurements.yaml: how the series of each measurement are read between points."""

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

from siltstone.config.yaml_files import read_yaml
from siltstone.errors import ConfigError
from siltstone.timeseries.default_rules import KNOWN_RULES
from siltstone.timeseries.interpretation import (
    Interpretation,
    Interpretations,
    Kind,
    Match,
    Rule,
    Uncertain,
    duration_us,
)

_DURATIONS = ("max_hold", "max_gap")
_KEYS = ("match", "kind", *_DURATIONS, "uncertain", "sentinels")
_MATCH_KEYS = tuple(f.name for f in fields(Match) if f.name != "ignores_case")


def load_interpretations(path: str | None = None) -> Interpretations:
    """The rules of the file, in order, and after them siltstone's own; without a file only siltstone's own. In the
    patterns of the file capitals count, in siltstone's own they don't.

    Raises ConfigError with every problem of the file at once, UsageError where it can't be read.
    """
    if path is None:
        return Interpretations(KNOWN_RULES)
    problems: list[str] = []
    given = read_yaml(Path(path), "--rules", problems)
    rules = _rules(given, path, problems)
    if problems:
        raise ConfigError(problems, f"Fix {path}, then run the command again.")
    return Interpretations((*rules, *KNOWN_RULES))


def _rules(given: Any, path: str, problems: list[str]) -> list[Rule]:
    if not isinstance(given, dict):
        problems.append(f"{path}: the file: expected `measurements:` and a list of rules, found {given!r}")
        return []
    problems += (f"{path}: {problem}" for problem in _unknown(given, ("measurements",), ""))
    blocks = given.get("measurements", [])
    if not isinstance(blocks, list):
        problems.append(f"{path}: measurements: expected a list of rules, each `- match: ...`, found {blocks!r}")
        return []
    rules: list[Rule] = []
    first_with: dict[Match, int] = {}
    for number, block in enumerate(blocks, 1):
        in_rule: list[str] = []
        rule = _rule(block, in_rule)
        if not in_rule and (first := first_with.setdefault(rule.match, number)) != number:
            in_rule.append(f"match: the same as that of rule {first}, which wins; remove one of the two")
        problems += (f"{path}: measurements, rule {number}: {problem}" for problem in in_rule)
        rules.append(rule)
    return rules


def _rule(block: Any, problems: list[str]) -> Rule:
    if not isinstance(block, dict):
        problems.append(f"expected `match:` and how its series are read, found {block!r}")
        return Rule(Match(), Interpretation())
    problems += _unknown(block, _KEYS, "")
    match = _match(block.get("match"), problems)
    kind = block.get("kind", "step")
    _check_word(kind, Kind, "kind", problems)
    uncertain = block.get("uncertain", "bad")
    _check_word(uncertain, Uncertain, "uncertain", problems)
    durations = {f"{key}_us": _duration(block[key], key, problems) for key in _DURATIONS if key in block}
    sentinels = _sentinels(block.get("sentinels", []), problems)
    for key, kinds in (("max_hold", "step linear next counter"), ("max_gap", "linear")):
        if key in block and isinstance(kind, str) and kind not in kinds.split():
            problems.append(f"{key}: means nothing to the kind {kind}; remove it, or give a kind of {kinds}")
    return Rule(match, Interpretation(kind, uncertain=uncertain, sentinels=sentinels, **durations))


def _match(given: Any, problems: list[str]) -> Match:
    choice = f"expected one or more of {', '.join(_MATCH_KEYS)} with a pattern, such as {{measurement: CO2}}"
    if not isinstance(given, dict) or not given:
        problems.append(f"match: {choice}" + (f"; found {given!r}" if given else ""))
        return Match()
    problems += _unknown(given, _MATCH_KEYS, "match.")
    for key, pattern in given.items():
        if key in _MATCH_KEYS and not (isinstance(pattern, str) and pattern):
            problems.append(f"match.{key}: expected a pattern, found {pattern!r}; put it in quotes")
    patterns: dict[str, Any] = {key: str(given[key]) for key in _MATCH_KEYS if key in given}
    return Match(**patterns)


def _unknown(given: Mapping[Any, Any], keys: Iterable[str], prefix: str) -> Iterable[str]:
    for key in given:
        if key not in keys:
            near = difflib.get_close_matches(str(key), keys, 1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(keys)}"
            yield f"{prefix}{key}: unknown key; {hint}"


def _check_word(word: Any, words: Any, key: str, problems: list[str]) -> None:
    if word not in get_args(words):
        problems.append(f"{key}: expected one of {', '.join(get_args(words))}, found {word!r}")


def _duration(given: Any, key: str, problems: list[str]) -> int:
    us = duration_us(given)
    if us is None:
        problems.append(f"{key}: expected a duration above 0 such as 90s, 15m, 1h or 2d, found {given!r}")
    return us or 0


def _sentinels(given: Any, problems: list[str]) -> tuple[float, ...]:
    values = given if isinstance(given, list) else [given]
    if all(isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x) for x in values):
        return tuple(float(x) for x in values)
    problems.append(f"sentinels: expected a list of numbers such as [-9999], found {given!r}; NaN is always bad")
    return ()
