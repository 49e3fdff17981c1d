"""How files go wrong: bytes changed, doubled and lost, and wrappings cut short."""

import gzip
from collections.abc import Sequence
from random import Random
from typing import TypeVar

import zstandard

T = TypeVar("T")

NASTY = (
    *(b"\0", b"\xff", b"\xed\xa0\x80", b"\\ud800", b"\\udfff\\ud800", b"\xef\xbb\xbf", b"\r", b"\r\n", b"\n", b"\x1f"),
    *(b'"', b"\\", b'\\"', b"{", b"}", b"[", b"]", b":", b",", b" ", b"\t", b"null", b"NaN", b"-Infinity", b"1e400"),
    *(b"-0", b"-0.0", b"01", b"1.", b".5", b"+1", b"0x10", b"1e-99999999999999", b"1E+2", b"9007199254740993"),
    *(b"9223372036854775808", b"123456789012345678901234567890", b"0.1000000000000000055511151231257827", b"1_000"),
    *(b"\xe2\x80\xa8", b"\xe2\x80\xae", b"\\u0000", b"\\u0022", b'":n', b'": null', b'"t":1,', b'"HeartBeat":5,'),
    *(b"true", b"{}", b"[]", b'["a"]', b'{"a":null}', b'""', b"_rescued", b"\\/", b"\x85", b"\xc2\x85", b"\x0c"),
    *(b"\xef\xbc\x91", b"\xd9\xa1", b"0" * 5_000, b"garbage here", b"PAR1", b"Obj\x01"),
)


def some(chance: Random, weighted: dict[T, int]) -> T:
    """One of the keys, each as often as its weight says."""
    return chance.choices(list(weighted), list(weighted.values()))[0]


def damaged(chance: Random, data: bytes) -> bytes:
    """The bytes with one to five changes."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 5))):
        at = chance.randrange(len(changed) + 1)
        behind = min(len(changed), at + chance.choice((1, 2, 3, 8, 30)))
        match some(chance, {"bit": 4, "byte": 2, "insert": 5, "drop": 3, "replace": 3, "repeat": 2, "cut": 1}):
            case "bit" if at < len(changed):
                changed[at] ^= 1 << chance.randrange(8)
            case "byte" if at < len(changed):
                changed[at] = chance.choice((0, 0x7F, 0x80, 0xFF, chance.randrange(256)))
            case "drop":
                del changed[at:behind]
            case "replace":
                changed[at:behind] = chance.choice(NASTY)
            case "repeat":
                changed[at:at] = changed[at:behind]
            case "cut":
                del changed[at:]
            case _:
                changed[at:at] = chance.choice(NASTY)
    return bytes(changed)


def wrapped(chance: Random, text: bytes) -> bytes:
    """The text as a file: plain or compressed, mostly whole."""
    packed = gzip.compress(text, 1)
    half = len(text) // 2
    match some(chance, {"plain": 8, "gzip": 8, "members": 2, "zstd": 1, "cut": 1, "behind": 1, "damaged": 2}):
        case "gzip":
            return packed
        case "members":
            return gzip.compress(text[:half], 1) + gzip.compress(text[half:], 1)
        case "zstd":
            return zstandard.ZstdCompressor().compress(text)
        case "cut":
            return packed[: chance.randrange(len(packed) + 1)]
        case "behind":
            return packed + chance.choice((b"\0" * 10, b"junk", b"\x1f\x8b", b"\x1f\x8b\x08\0"))
        case "damaged":
            return damaged(chance, packed)
    return text


def several(chance: Random, choices: Sequence[int] = (1, 1, 2, 3)) -> range:
    """The numbers of the files of a case."""
    return range(chance.choice(choices))
