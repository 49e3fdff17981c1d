"""Patterns for paths: what they mean, and that none takes for ever."""

import time

import pytest

from siltstone.mapping.path_patterns import first_group, fits_glob, wrong_pattern

LONG = "a" * 1_000
AT_MOST_S = 2.0  # a matcher that goes back would take more than the age of the universe


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("*.csv", "in/a.csv", True),
        ("*.csv", "in/a.csv.gz", False),
        ("day/*.csv", "in/day/a.csv", True),
        ("day/*.csv", "in/today/a.csv", False),  # from a folder's name on
        ("day/*.csv", "in/day/b/a.csv", False),
        ("day/**/a?.csv", "in/day/b/c/ab.csv", True),
        ("day/**/a?.csv", "day/ab.csv", True),
        ("[a].csv", "in/[a].csv", True),
        ("**/*x*y*/z", "in/axbyc/z", True),  # many stars: the matcher of linear time, the same meaning
        ("**/*x*y*/z", "in/axb/yc/z", False),
        ("d/*-*-*.csv", "in/d/2025-12-10.csv", True),
        ("d/*-*-*.csv", "in/d/2025-12/10.csv", False),
        ("*é*é*é.csv", "in/aébécé.csv", True),
    ],
)
def test_a_glob_means_the_same_however_many_stars_it_has(pattern: str, path: str, fits: bool) -> None:
    assert fits_glob(pattern, path) is fits


@pytest.mark.parametrize(
    ("pattern", "path", "found"),
    [
        (r"([^/]+)\.csv$", "in/a.csv", "a"),
        (r"/([^/]+)/[^/]+\.csv$", "in/day/a.csv", "day"),
        (r"site=([^/]+)/.*", "in/site=x/a/b", "x"),
        (r"(?<=in/)(\w+)", "in/day/a.csv", "day"),  # look-around is fine where little is repeated
        (r"(?:x(\d))?y", "y", None),
        (r"(\d+)-(\d+)-\d+\.csv\Z", "in/2025-12-10.csv", "2025"),  # three repeats: linear time, \\Z too
        (r"([a-z]+[0-9]*)+_", "in/ab12cd3_", "cd3"),  # of a repeated group its last one, as ever
        (r"((?:a|b)+)$", "in/abc", None),
    ],
)
def test_the_first_group_is_found_by_either_matcher(pattern: str, path: str, found: str | None) -> None:
    assert wrong_pattern(pattern) == ""
    assert first_group(pattern, path) == found


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(", "it is no regular expression: missing ), unterminated subpattern at position 0"),
        ("abc", "it has no group; put what is wanted in (...)"),
        (r"(a+)\1b", "it repeats so much that it must be matched in linear time"),
        (r"(a+)(?=b+)c+", "it repeats so much that it must be matched in linear time"),
        (r"([a&&b]+)c+", "it repeats so much that it must be matched in linear time"),  # the two matchers differ
        (r"(a{1000}){1000}", "it repeats so much that it must be matched in linear time"),
    ],
)
def test_a_pattern_that_can_not_be_used_says_why(pattern: str, why: str) -> None:
    assert wrong_pattern(pattern).startswith(why)


def test_no_pattern_takes_for_ever() -> None:
    started = time.monotonic()
    assert not fits_glob("*a*a*a*a*a*a*b", LONG)
    assert not fits_glob("**/**/**/**/**/**/b", "a/" * 500 + "c")
    assert first_group("((a+)+)$", LONG + "!") is None
    assert first_group("(a*)a*a*a*b", LONG) is None
    assert time.monotonic() - started < AT_MOST_S
