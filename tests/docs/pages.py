"""The fenced blocks of the pages, and how each is run: commands in this process, Python and YAML as they stand."""

import io
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from siltstone.cli.main import main
from siltstone.config.load import load_config
from siltstone.config.series_rules import load_interpretations

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
RUN = ("sh", "python", "yaml")  # blocks of other languages are shown, not run

_FENCE = re.compile(r"^```(\w*)$")
_NOT_RUN = re.compile(r"<!-- not run: (.+?) -->")
_FILE_NAME = re.compile(r"# (\S+\.(?:yaml|py))$")
_VARIES = (
    (re.compile(r"\d+\.\d+ s\b"), "0.0 s"),  # how long it took
    (re.compile(r"\d{8}-[0-9a-f]{8}"), "00000001-00000000"),  # the name of a run
    (re.compile(r"\d+ kB"), "0 kB"),  # of a picture, by the version of what draws it
    (re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00"), "2026-01-01T00:00:00+00:00"),  # when it was
)


@dataclass(frozen=True)
class Block:
    """A fenced block: where it begins, its language and text, why it is not run ("" if it is), and the lines that the
    page shows as its output."""

    page: Path
    line: int
    language: str
    text: str
    not_run: str
    shown: Sequence[str]

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    """The blocks of a page in order. A `text` block directly below another one is the output of that one."""
    found: list[Block] = []
    lines = page.read_text().splitlines()
    number, comment, is_below = 0, "", False
    while number < len(lines):
        if fence := _FENCE.match(lines[number]):
            end = next(n for n in range(number + 1, len(lines)) if lines[n] == "```")
            text = lines[number + 1 : end]
            if fence[1] == "text" and is_below:
                found[-1] = _with_output(found[-1], text)
            else:
                found.append(Block(page, number + 1, fence[1], "\n".join(text), comment, ()))
            number, comment, is_below = end, "", True
        elif lines[number].strip():
            reason = _NOT_RUN.fullmatch(lines[number])
            comment, is_below = reason[1] if reason else "", False
        number += 1
    return found


def _with_output(block: Block, shown: Sequence[str]) -> Block:
    return Block(block.page, block.line, block.language, block.text, block.not_run, shown)


def run_block(block: Block, names: dict[str, Any]) -> None:
    """Run a block in the working folder; `names` are what the page's Python knows so far. AssertionError where a
    command fails, or doesn't print what the page shows."""
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(out):
        if block.language == "sh":
            for words in commands_of(block.text):
                _run_command(words, names, f"{block.where}\n{out.getvalue()}")
        elif block.language == "python":
            _run_python(block.text, names)
        else:
            _read_yaml(block.text)
    missing = _not_in_order(block.shown, out.getvalue().splitlines())
    assert missing is None, f"{block.where}: the page shows {missing!r}, but it printed\n{out.getvalue()}"


def commands_of(text: str) -> Iterator[list[str]]:
    """The words of each command; lines end in `\\` where a command goes on."""
    for line in text.replace("\\\n", " ").splitlines():
        if words := shlex.split(line, comments=True):
            yield words


def _run_command(words: Sequence[str], names: dict[str, Any], where: str) -> None:
    match words:
        case ["siltstone", *arguments]:
            code = main(arguments)
            assert code == 0, f"{shlex.join(words)} gave exit code {code}, in {where}"
        case ["python", script]:
            exec(compile(Path(script).read_text(), script, "exec"), {"__name__": "__main__"})
        case ["head", number, file] if number.startswith("-"):
            print(*Path(file).read_text().splitlines()[: int(number[1:])], sep="\n")
        case _:
            raise AssertionError(f"no test can run {shlex.join(words)!r}: say why with <!-- not run: ... -->; {where}")


def _run_python(text: str, names: dict[str, Any]) -> None:
    """Run it; a script whose first line is `# NAME.py` is written into that file, to be run by a command."""
    if named := _FILE_NAME.match(text.partition("\n")[0]):
        Path(named[1]).write_text(text)
    else:
        exec(compile(text, "page", "exec"), names)


def _read_yaml(text: str) -> None:
    """Load it as siltstone does; one whose first line is `# NAME.yaml` stays in that file."""
    named = _FILE_NAME.match(text.partition("\n")[0])
    file = Path(named[1] if named else "block.yaml")
    file.write_text(text)
    if "measurements" in yaml.safe_load(text):
        load_interpretations(str(file))
    else:
        load_config([str(file)])


def _not_in_order(shown: Sequence[str], printed: Sequence[str]) -> str | None:
    """The first line that is shown but was not printed after those before it; `...` stands for what is left out."""
    rest = iter([_plain(line) for line in printed])
    return next((line for line in shown if line.strip() != "..." and _plain(line) not in rest), None)


def _plain(line: str) -> str:
    line = line.replace(f"{Path.cwd()}/", "")
    for pattern, instead in _VARIES:
        line = pattern.sub(instead, line)
    return " ".join(line.split())


def links_of(page: Path) -> Iterator[str]:
    """Each relative link of a page, without what is behind `#`."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" not in target and not target.startswith(("#", "mailto:")):
            yield target.partition("#")[0]


def paths_named_by(text: str) -> list[str]:
    """The paths of the checkout that a text names, such as `tests/docs/pages.py` or `tests/bench`."""
    return re.findall(r"\b(?:src|tests|docs|conf|jobs|notebooks)(?:/[\w-]+)+(?:\.\w+)?", text)


def named_tests(text: str) -> dict[int, list[str]]:
    """The tests that each row of a table names, `tests/FILE.py::FUNCTION`, by the row's number."""
    rows = re.findall(r"^\| (\d+) \|(.*)$", text, re.MULTILINE)
    return {int(number): re.findall(r"`(tests/\S+?\.py::\w+)`", row) for number, row in rows}


def has_test(name: str) -> bool:
    """Whether a file has a test of that name."""
    file, _, function = name.partition("::")
    path = ROOT / file
    return path.exists() and re.search(rf"^def {function}\(", path.read_text(), re.MULTILINE) is not None


def anchors_of(page: Path) -> set[str]:
    """The anchors that the headings of a page give."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.replace("`", "").lower()).replace(" ", "-") for h in headings}


def anchored_links_of(page: Path) -> Iterator[tuple[Path, str]]:
    """Page and anchor of each relative link with a `#`."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target, anchor in re.findall(r"\]\(([^)\s#:]*)#([^)\s]+)\)", text):
        yield (page.parent / target if target else page), anchor


def glossary_words(page: Path) -> list[str]:
    """The words that a glossary explains: what is bold at the beginning of a list item."""
    return re.findall(r"^- \*\*(.+?)\*\*", page.read_text(), re.MULTILINE)
