"""`make docs`: writes docs/cli.md from what `--help` prints, and docs/configuration.md from conf/base.yaml."""

import io
import os
import re
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from unittest.mock import patch

import yaml

from siltstone.cli.commands import COMMANDS
from siltstone.cli.main import main

ROOT = Path(__file__).parents[2]

CLI = """\
# Command line

This page is made from what `--help` prints: `make docs` writes it, and a test compares. What the exit codes mean is on
[a page of its own](exit-codes.md); what each key of `--set` and `--conf` does, in [configuration](configuration.md).
"""
CONFIGURATION = """\
# Configuration

This page is made from [conf/base.yaml](../conf/base.yaml): `make docs` writes it, and a test compares.

siltstone runs without any configuration. To change something, write a YAML file with only the keys that differ and give
it with `--conf FILE` (repeatable; later files win), or give single keys with `--set KEY=VALUE` (these win over files).
An unknown key, a value of the wrong type and a contradiction are errors, all reported at once, before anything runs.

```yaml
# my.yaml
compaction:
  target_file_mb: 128
  min_file_mb: 100
sources:
  datalog:
    zone: America/Lima
```

```sh
siltstone doctor --conf my.yaml --set engine.workers=2
```

Credentials have no key here: see [S3](running.md#s3). How series are read between their points is in a file of its own,
given with `--rules`: see [aggregates](aggregates.md#rules-how-a-series-is-read-between-its-points).
"""
_SECTION = re.compile(r"^(?P<indent> *)(?P<name>\w+):\s*(?:#\s*(?P<comment>.*))?$")
_KEY = re.compile(r"^ +(?P<name>\w+): *(?P<value>\"[^\"]*\"|\S+) *#? *(?P<comment>.*)$")


def cli_page() -> str:
    """docs/cli.md: the help of siltstone and of each of its commands."""
    whole = _help()
    parts = [CLI, "## siltstone", _fenced(whole)]
    for name in COMMANDS:
        parts += [f"## siltstone {name}", _fenced(_help(name))]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _help(*command: str) -> str:
    """What `--help` prints, 100 columns wide, without the line on exit codes below it."""
    out = io.StringIO()
    with patch.dict(os.environ, {"COLUMNS": "100"}), redirect_stdout(out):
        try:
            main([*command, "--help"])
        except SystemExit as done:
            if done.code:
                raise
    return out.getvalue().partition("\nexit codes:")[0].rstrip()


def _fenced(text: str) -> str:
    return f"```text\n{text}\n```"


def configuration_page() -> str:
    """docs/configuration.md: a table for each section, a row for each key."""
    text = (ROOT / "conf/base.yaml").read_text()
    rows = "\n".join(_rows(text))
    count = len(re.findall(r"^\| `", rows, re.MULTILINE))
    assert count == _count(yaml.safe_load(text)), "a line of conf/base.yaml was not understood"
    return f"{CONFIGURATION}{rows}\n"


def _rows(text: str) -> Iterator[str]:
    section: list[str] = []
    for line in text.splitlines():
        if head := _SECTION.match(line):
            section[len(head["indent"]) // 2 :] = [head["name"]]
            if len(section) > 1 or head["name"] != "sources":
                yield from ("", f"## {'.'.join(section)}", "")
                if head["comment"]:
                    yield from (f"{head['comment'][0].upper()}{head['comment'][1:]}.", "")
                yield from ("| key | default | |", "|---|---|---|")
        elif key := _KEY.match(line):
            if len(line) - len(line.lstrip()) == 2 * len(section) - 2:
                section.pop()
                yield from ("", f"## {'.'.join([*section, key['name']])}", "", "| key | default | |", "|---|---|---|")
            yield f"| `{key['name']}` | `{key['value']}` | {key['comment'].replace('|', chr(92) + '|')} |"


def _count(block: dict[str, object]) -> int:
    return sum(_count(value) if isinstance(value, dict) and value else 1 for value in block.values())


if __name__ == "__main__":
    (ROOT / "docs/cli.md").write_text(cli_page())
    (ROOT / "docs/configuration.md").write_text(configuration_page())
