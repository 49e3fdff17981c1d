"""Patterns of a configuration for paths, none of which can take for ever: `*a*a*a*b` and `((a+)+)$` neither.

Python's matcher goes back wherever a pattern repeats something, and again for each repeat within or behind another one.
So it gets patterns that repeat little; all others go to a matcher that takes linear time (Rust's, by polars), and are
refused where it does not know their words.
"""

import re
import warnings
from functools import lru_cache
from typing import Any

_FEW_STARS = 2  # in a glob: at most the square of a path's length in steps
_ESCAPED = re.compile(r"\\.", re.DOTALL)
_ONE_WAY = re.compile(r"\[\^/\][*+]/")  # it can't end elsewhere
_CLASS = re.compile(r"\[\^?\]?[^\]]*\]")
_REPEAT = re.compile(r"[*+]|\{[0-9,]+\}")
_REPEATED_GROUP = re.compile(r"\)(?:[*+]|\{[0-9,]+\})")
_BACK_REFERENCE = re.compile(r"\\[1-9]|\(\?P=|\(\?\(")
_END = re.compile(r"(\\\\)|\\Z")
_NO_WORDS = "look-around, references to groups, atomic groups"


@lru_cache(maxsize=65_536)
def fits_glob(pattern: str, path: str) -> bool:
    """Whether a path ends with what the glob says, from a folder's name on: `*` and `?` stop at a slash, `**/` is any
    folders."""
    translated, has_few_stars = _of_glob(pattern)
    if has_few_stars:
        return re.search(translated, path) is not None
    return bool(_series(path).str.contains(translated)[0])


@lru_cache(maxsize=256)
def _of_glob(pattern: str) -> tuple[str, bool]:
    """The glob as a regular expression, and whether it repeats so little that any matcher takes it."""
    parts = re.split(r"(\*\*/|\*|\?)", pattern)
    translations = {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
    translated = "(?:^|/)" + "".join(translations.get(part) or re.escape(part) for part in parts) + "$"
    return translated, sum(part in ("**/", "*") for part in parts) <= _FEW_STARS


@lru_cache(maxsize=65_536)
def first_group(pattern: str, path: str) -> str | None:
    """What the first group of a regular expression finds in a path; None where it finds nothing."""
    if _repeats_little(pattern):
        match = re.search(pattern, path)
        return match[1] if match else None
    found: str | None = _series(path).str.extract(_in_rust(pattern), 1)[0]
    return found


def wrong_pattern(pattern: str) -> str:
    """Why a regular expression can't be used to find a group in a path; "" if it can."""
    try:
        with warnings.catch_warnings(record=True) as doubts:
            warnings.simplefilter("always")
            groups = re.compile(pattern).groups
    except (re.error, OverflowError, RecursionError) as error:
        return f"it is no regular expression: {error}"
    if not groups:
        return "it has no group; put what is wanted in (...)"
    if _repeats_little(pattern):
        return ""
    if doubts or not _is_linear(pattern):
        return (
            f"it repeats so much that it must be matched in linear time, which knows no {_NO_WORDS}; "
            "repeat less, such as [^/]+ before a slash"
        )
    return ""


@lru_cache(maxsize=256)
def _repeats_little(pattern: str) -> bool:
    """Whether a pattern has at most one repeat that may have to go back, and none of a group."""
    if _BACK_REFERENCE.search(pattern):
        return False
    plain = _CLASS.sub("c", _ONE_WAY.sub("/", _ESCAPED.sub("e", pattern)))
    return not _REPEATED_GROUP.search(plain) and len(_REPEAT.findall(plain)) <= 1


def _is_linear(pattern: str) -> bool:
    from polars.exceptions import ComputeError

    try:
        _series("").str.extract(_in_rust(pattern), 1)
    except ComputeError:
        return False
    return True


def _in_rust(pattern: str) -> str:
    """The pattern with the end of the text as Rust writes it."""
    return _END.sub(lambda match: match[1] or r"\z", pattern)


def _series(path: str) -> Any:
    import polars as pl  # a configuration without such patterns needs no polars

    return pl.Series([path])
