"""One JSON object to its members, each with the text of its own token: what the careful lane decides on.

Stricter than most readers (repeated keys are kept, nothing may follow the object) and wider in one point: `NaN`,
`Infinity` and numbers beyond the doubles are members too, so that they can be rescued instead of failing a record.
"""

import json
import re
from typing import Literal, NamedTuple

import orjson

TokenKind = Literal["number", "boolean", "null", "string", "json", "misfit"]


class Token(NamedTuple):
    """A member of an object; `text` is the value's own text, `misfit` a value that JSON has no name for."""

    key: str
    text: str
    kind: TokenKind


class BadJson(ValueError):
    """The text is no JSON object, with the reason."""


_STRING = r'"(?:[^"\\\x00-\x1f]++|\\.)*+"'
_KEY = re.compile(rf"[ \t\r\n]*({_STRING})[ \t\r\n]*:[ \t\r\n]*")
_VALUE = re.compile(
    rf"(?P<string>{_STRING})"
    r"|(?P<number>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)(?![0-9A-Za-z.+-])"
    r"|(?P<boolean>true|false)\b|(?P<null>null)\b|(?P<misfit>NaN|-?Infinity)\b|(?P<json>[\[{])"
)
_NEXT = re.compile(r"[ \t\r\n]*([,}])")
_BRACKET = re.compile(rf"{_STRING}|[\[\]{{}}]")
_OPEN = re.compile(r"[ \t\r\n]*\{")
_CLOSE = re.compile(r"[ \t\r\n]*\}")


def scan_object(text: str, *, max_keys: int, max_depth: int) -> list[Token]:
    """The members of the one object that `text` holds, in order, repeated keys included.

    Raises BadJson for anything else: no object, text behind it, broken or too deep nesting, too many keys, lone
    surrogates.
    """
    start = _OPEN.match(text)
    if start is None:
        raise BadJson(f"not a JSON object: begins with {text.lstrip()[:12]!r}")
    tokens: list[Token] = []
    at = start.end()
    if (closed := _CLOSE.match(text, at)) is not None:
        return _ended(text, closed.end(), tokens)
    while True:
        key = _KEY.match(text, at)
        if key is None:
            raise BadJson(f"no key at character {at}")
        value = _VALUE.match(text, key.end())
        if value is None:
            raise BadJson(f"no value at character {key.end()}")
        kind = value.lastgroup
        end = value.end()
        if kind == "json":
            end = _nested_end(text, value.start(), max_depth)
        token = text[value.start() : end]
        tokens.append(Token(_decoded(key.group(1)), token, _checked(token, kind)))
        if len(tokens) > max_keys:
            raise BadJson(f"over limits.max_keys ({max_keys:,} keys)")
        following = _NEXT.match(text, end)
        if following is None:
            raise BadJson(f"neither comma nor end of object at character {end}")
        at = following.end()
        if following.group(1) == "}":
            return _ended(text, at, tokens)


def _ended(text: str, at: int, tokens: list[Token]) -> list[Token]:
    if rest := text[at:].strip(" \t\r\n"):
        raise BadJson(f"text behind the object at character {at}: {rest[:12]!r}")
    return tokens


def _nested_end(text: str, start: int, max_depth: int) -> int:
    depth = 0
    for bracket in _BRACKET.finditer(text, start):
        match bracket.group()[0]:
            case "{" | "[":
                depth += 1
                if depth > max_depth:
                    raise BadJson(f"nested deeper than limits.max_depth ({max_depth})")
            case "}" | "]":
                depth -= 1
                if depth == 0:
                    return bracket.end()
    raise BadJson(f"nested value without end at character {start}")


def _checked(token: str, kind: str | None) -> TokenKind:
    """The token's kind once its inside is known to be JSON; nested values with NaN inside are misfits."""
    match kind:
        case "string":
            if "\\" in token:
                _decoded(token)
            return "string"
        case "json":
            try:
                orjson.loads(token)
            except orjson.JSONDecodeError as error:
                try:
                    json.dumps(json.loads(token, parse_int=str), ensure_ascii=False).encode()  # int has a limit
                except (ValueError, RecursionError):
                    raise BadJson(f"nested value is not JSON: {error.msg}") from None
                return "misfit"
            return "json"
        case "number" | "boolean" | "null" | "misfit":
            return kind
    raise AssertionError(kind)


def _decoded(token: str) -> str:
    try:
        text: str = orjson.loads(token)
    except orjson.JSONDecodeError as error:
        raise BadJson(f"string is not JSON: {error.msg}") from None
    return text
