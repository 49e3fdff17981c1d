"""Lines of JSON and CSV as devices write them, and as they should not."""

import json
from collections.abc import Sequence
from random import Random

T0 = 1_765_332_618  # 2025-12-10T02:10:18Z

_NUMBERS = [
    *("0", "1", "-1", "1.5", "0.813028", "6", "-9999", "1e3", "-0", "-0.0", "1e400", "-1e400", "NaN", "Infinity"),
    *("9007199254740991", "9007199254740992", "9007199254740993", "9223372036854775807", "9223372036854775808", "1.0"),
    *("5.10", "1e-400", "100000000000000000000", "1e5", "1E5", "2147483648", "0.1234567890123456789", "1e22", "1e23"),
    *("123456789.123456789123", "4.35", "2.2250738585072011e-308", "1e-99999999999999", "-1e-1000000000"),
]
_TEXTS = [
    *('"GPS"', '"CANBus"', '""', '"NaN"', '"1.5"', '":"', '":null"', '"[a]"', r'"\u00e9"', r'"\ud83d\ude00"'),
    *(r'"a\"b"', r'"x\\"', '"n"', '"é"', r'"\n"', r'"\u0000"', '"LD783"', '"\u202eevil"', '"[]"', '"x-0 y"'),
]
_NESTED = [
    *("[]", "{}", '["x"]', "[1,2]", '{"a":1}', '{"a":null}', "[NaN]", '[[["x"]]]', '{"a":1,"a":2}', "[-0]"),
    *('{"z":01}', '{"z":garbage here}', "[" * 70 + "]" * 70, '{"z":1e400}'),
    *('{"z":-1%s}' % ("0" * 400), '{"z":{"y":1%s}}' % ("0" * 5_000)),
]
_KEYS = [
    *("heartbeat", "unitno", "gpsspeed", "VehicleSpeed", "vehiclespeed", "flag", "nest", "a b", "é", "", "k.1", " x"),
    *(
        "X",
        "x",
        "ts",
        "hiveperiod",
        "source_file",
        "_rescued",
        "\u0130",
        "\u0131",
        "ß",
        "SS",
        "K",
        "\u212a",
        "o",
        "v",
        "t",
    ),
]


def value(chance: Random) -> str:
    """The JSON text of a value, or what some take for one."""
    kind = chance.random()
    if kind < 0.4:
        return chance.choice(_NUMBERS)
    if kind < 0.7:
        return chance.choice(_TEXTS)
    return chance.choice(_NESTED) if kind < 0.8 else chance.choice(("true", "false", "null"))


def json_lines(chance: Random, members: Sequence[tuple[str, str]]) -> bytes:
    """Records with the given members and some more, at times in another order."""
    lines = []
    layout = chance.choice((":", ":", ":", ": ", " :"))
    for _ in range(chance.choice((0, 1, 2, 3, 8, 30))):
        own = [(key, value(chance) if chance.random() < 0.1 else text) for key, text in members]
        own += [(chance.choice(_KEYS), value(chance)) for _ in range(chance.choice((0, 0, 0, 1, 2)))]
        if chance.random() < 0.15:
            chance.shuffle(own)
        quoted = ((json.dumps(key, ensure_ascii=chance.random() < 0.5), text) for key, text in own)
        lines.append("{" + ",".join(f"{key}{layout}{text}" for key, text in quoted) + "}")
    return _ended(chance, lines, chance.choice(("\n", "\n", "\n", "\r\n", "\n\n")))


def csv_lines(chance: Random, header: Sequence[str], columns: Sequence[str], delimiter: str = ",") -> bytes:
    """A header, and rows that begin with the given cells."""
    rows = [header] if chance.random() < 0.98 else []
    nasty = chance.choice((0.0, 0.1, 0.5))
    for _ in range(chance.choice((0, 1, 3, 10))):
        row = [*columns, *(_cell(chance, nasty) for _ in header[len(columns) :])]
        row = [_cell(chance, nasty) if chance.random() < 0.03 else cell for cell in row]
        rows.append(row[: len(row) - (chance.random() < 0.03)])
    lines = [delimiter.join(row) for row in rows]
    return _ended(chance, lines, chance.choice(("\n", "\n", "\n", "\r\n", "\r")))


_CELLS = [
    *(
        "",
        '""',
        '"a"',
        '"a""b"',
        '"a\nb"',
        'a"b',
        "1,5",
        "1.5",
        "-0",
        "1e400",
        "NaN",
        "é",
        "\0",
        '"',
        " 5",
        "5 ",
        "inf",
    ),
    *("\u202e", "=1+1", "nan", "0x1", "1_0", "٣", "true", "\r", '"x', 'x"', "9007199254740993", "0" * 5_000 + "1"),
]


def _cell(chance: Random, nasty: float) -> str:
    return chance.choice(_CELLS) if chance.random() < nasty else str(chance.randrange(100) / 4)


def _ended(chance: Random, lines: Sequence[str], end: str) -> bytes:
    text = end.join(lines) + (end if chance.random() < 0.9 else "")
    return text.encode("utf-8", "surrogatepass")
