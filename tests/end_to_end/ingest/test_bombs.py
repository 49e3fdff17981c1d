"""Small files that ask for much memory (tests/bench/bombs.py): legal ones are taken whole, the others refused with
their reason, and no process takes more than twice `engine.memory_mb` and 512 MiB."""

import json
import sys
from pathlib import Path

import pytest

from support.peak_memory import watched
from support.places import ROOT
from support.rounds import IS_SOAK

sys.path.insert(0, str(ROOT / "tests/bench"))

from bombs import BOMBS, Bomb

MEMORY_MB, LITTLE_MB = 512, 64
LIMIT_S = 1_800

SMALL = {"sparse": 0.16, "csv-name": 0.1, "parquet-texts": 0.25, "avro-name": 0.1, "avro-enum": 0.1}
"""What `make test` takes of some; before there were bounds, each of these took from 0.7 to 2.2 GiB."""

_HERE = """
import json, sys
sys.path[:0] = sys.argv[1:3]
from support.commands import command
from support.peak_memory import high_water_mb
for arguments in json.loads(sys.argv[3]):
    code = command(arguments)
    print(json.dumps(["ended", code, high_water_mb()]))
"""


@pytest.mark.slow("faults")
@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb.name)
def test_a_bomb_takes_no_more_memory_than_is_said(bomb: Bomb, tmp_path: Path) -> None:
    arguments, counts = _prepared(bomb, tmp_path, 1.0 if IS_SOAK else bomb.share)
    found = watched([sys.executable, "-m", "siltstone", *arguments], {}, LIMIT_S)
    assert found.exit_code == 0, found.err
    assert _taken(json.loads(found.out.splitlines()[-1])) == _expected(counts)
    assert found.peak_mb <= 2 * MEMORY_MB + 512


def test_small_bombs_take_little_memory(tmp_path: Path) -> None:
    """One after the other in one process, by settings of less memory."""
    commands, expected = [], []
    for bomb in (bomb for bomb in BOMBS if bomb.name in SMALL):
        arguments, counts = _prepared(bomb, tmp_path / bomb.name, SMALL[bomb.name])
        commands.append([*arguments, "--set", f"engine.memory_mb={LITTLE_MB}"])
        expected.append(_expected(counts))
    folders = [str(ROOT / "src"), str(ROOT / "tests"), json.dumps(commands)]
    found = watched([sys.executable, "-c", _HERE, *folders], {"POLARS_MAX_THREADS": "1"}, LIMIT_S)
    assert found.exit_code == 0, found.err
    told = [json.loads(line) for line in found.out.splitlines() if line.startswith(("{", "["))]
    assert [_taken(summary) for summary in told[::2]] == expected
    assert [code for _, code, _ in told[1::2]] == [0] * len(SMALL)
    assert max(peak for *_, peak in told[1::2]) <= 2 * LITTLE_MB + 512


def _prepared(bomb: Bomb, folder: Path, share: float) -> tuple[list[str], list[int | None]]:
    """The words of `compact` for a bomb, and how many records each file holds."""
    counts = [records for _, _, records in bomb.write_to(folder / "in", share)]
    (folder / "conf.yaml").write_text(json.dumps(bomb.configuration))
    words = ["compact", bomb.source, str(folder / "in"), str(folder / "lake"), "--engine", "local", "--json"]
    return [*words, "--conf", str(folder / "conf.yaml")], counts


def _expected(counts: list[int | None]) -> tuple[int, int]:
    return sum(count for count in counts if count is not None), counts.count(None)


def _taken(summary: dict) -> tuple[int, int]:
    """Records that were taken or refused one by one, and files refused as a whole."""
    tables = summary.get("tables", [summary])
    records, files = (sum(table[key] for table in tables) for key in ("records_in", "files_quarantined"))
    return records, files
