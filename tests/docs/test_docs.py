"""The pages keep their word: commands run and print what is shown, links lead somewhere, references are complete."""

import ast
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import duckdb
import duckdb_extension_delta
import pytest
from tests.docs.generate import cli_page, configuration_page
from tests.docs.inputs import OF_PAGE
from tests.docs.pages import (
    PAGES,
    ROOT,
    RUN,
    anchored_links_of,
    anchors_of,
    blocks_of,
    glossary_words,
    has_test,
    links_of,
    named_tests,
    paths_named_by,
    run_block,
)

from siltstone.cli.exit_codes import EXIT_CODES
from siltstone.mapping.records_options import RecordsOptions
from siltstone.mapping.source_options import SourceOptions
from support.commands import run_tasks_here


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def that_run(page: Path) -> bool:
    return any(b.language in RUN and not b.not_run for b in blocks_of(page))


@pytest.fixture(scope="module")
def duckdb_reads_delta() -> None:
    """DuckDB's own connection with the extension that it would download elsewhere."""
    (extension,) = Path(duckdb_extension_delta.__file__).parent.rglob("delta.duckdb_extension")
    duckdb.execute(f"load '{extension}'")


@pytest.mark.usefixtures("duckdb_reads_delta")
@pytest.mark.parametrize("page", [p for p in PAGES if that_run(p)], ids=name_of)
def test_what_a_page_shows_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    run_tasks_here(monkeypatch)
    (tmp_path / "conf").symlink_to(ROOT / "conf")
    for folder, prepare in OF_PAGE.get(name_of(page), {}).items():
        prepare(tmp_path / folder)
    names: dict[str, Any] = {"__name__": "page"}
    for block in blocks_of(page):
        if block.language in RUN and not block.not_run:
            run_block(block, names)


def test_a_command_that_fails_or_prints_something_else_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = ROOT / "page.md"
    for text, expected in (
        ("```sh\nsiltstone show nowhere\n```", "gave exit code 2"),
        ("```sh\nsiltstone conventions\n```\n\n```text\nnobody\n```", "the page shows 'nobody'"),
        ("```sh\nls\n```", "no test can run 'ls'"),
        ("```python\n1 / 0\n```", "division by zero"),
    ):
        (tmp_path / "page.md").write_text(f"{text}\n")
        (block,) = blocks_of(tmp_path / "page.md")
        with pytest.raises((AssertionError, ZeroDivisionError), match=re.escape(expected)):
            run_block(type(block)(page, *(getattr(block, f.name) for f in fields(block)[1:])), {})


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_command_hides_from_the_tests(page: Path) -> None:
    """Blocks that are not run show output, a tree or a formula; a command in one says why it is not run."""
    shown = [b for b in blocks_of(page) if b.language not in RUN and not b.not_run]
    assert {b.language for b in shown} <= {"", "text"}
    hidden = [b.where for b in shown if re.search(r"^(\$ |\S+ \S+ \* .*)?(siltstone|make|pip) ", b.text, re.MULTILINE)]
    assert hidden == []


def test_what_is_said_to_run_a_block_exists() -> None:
    blocks = [block for page in PAGES for block in blocks_of(page)]
    named = [(block.where, path) for block in blocks for path in paths_named_by(block.not_run)]
    assert len(named) > 5
    assert [(where, path) for where, path in named if not (ROOT / path).exists()] == []


def test_paths_of_the_checkout_are_found_in_a_sentence() -> None:
    text = "needs Spark; tests/test_jobs.py and tests/end_to_end/engines run it. See conf/base.yaml, not S3://a/docs"
    assert paths_named_by(text) == ["tests/test_jobs.py", "tests/end_to_end/engines", "conf/base.yaml"]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_relative_link_is_dead(page: Path) -> None:
    there = {name_of(p) for p in PAGES}
    dead = [link for link in links_of(page) if not _leads_somewhere(page.parent / link, there)]
    assert dead == []
    lost = [(name_of(p), a) for p, a in anchored_links_of(page) if p.exists() and a not in anchors_of(p.resolve())]
    assert lost == []


def _leads_somewhere(target: Path, there: set[str]) -> bool:
    resolved = target.resolve()
    return resolved.exists() or (resolved.is_relative_to(ROOT) and name_of(resolved) in there)


def test_every_page_is_reached_from_the_readme() -> None:
    seen, ahead = set(), {ROOT / "README.md"}
    while ahead:
        page = ahead.pop()
        seen.add(page)
        found = {(page.parent / link).resolve() for link in links_of(page)}
        ahead |= {p for p in found if p.suffix == ".md" and p.exists()} - seen
    assert sorted(name_of(p) for p in set(PAGES) - seen) == []


def test_the_readme_is_short() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 150
    limits = lines[lines.index("## Limits") :][:12]
    assert any("Only siltstone may write" in line for line in limits)


@pytest.mark.parametrize(("file", "made"), [("cli.md", cli_page), ("configuration.md", configuration_page)])
def test_the_references_are_what_make_docs_writes(file: str, made: Callable[[], str]) -> None:
    """Word for word; where lines are broken depends on the version of Python."""
    assert (ROOT / "docs" / file).read_text().split() == made().split(), "run: make docs"


def test_the_glossary_explains_each_word_once() -> None:
    words = [word.lower() for word in glossary_words(ROOT / "docs/glossary.md")]
    assert len(words) > 20
    assert sorted(words) == sorted(set(words))


def test_the_page_on_records_explains_every_key_of_a_block() -> None:
    keys = re.findall(r"^\| `(\w+)`", (ROOT / "docs/sources/records.md").read_text(), re.MULTILINE)
    shared = [f.name for f in fields(SourceOptions)]
    assert keys == [*(f.name for f in fields(RecordsOptions) if f.name not in shared), *shared]


def test_every_exit_code_has_its_row() -> None:
    from siltstone import errors

    codes = {e.exit_code for e in vars(errors).values() if isinstance(e, type) and hasattr(e, "exit_code")}
    rows = re.findall(r"^\| \**(\d+)", (ROOT / "docs/exit-codes.md").read_text(), re.MULTILINE)
    assert {*codes, *_returned_by_commands()} == {int(code) for code in rows}
    short = re.findall(r"^ +(\d+)  ", EXIT_CODES, re.MULTILINE)
    assert list(dict.fromkeys(rows)) == short


def _returned_by_commands() -> set[int]:
    """Every number that a function of the command line returns as an exit code."""
    found: set[int] = set()
    for path in (ROOT / "src/siltstone/cli").glob("*.py"):
        functions = [f for f in ast.walk(ast.parse(path.read_text())) if isinstance(f, ast.FunctionDef)]
        of_codes = {"run", "main", "guarded", "_code_of", "_run", "print_findings"}
        for function in (f for f in functions if f.name in of_codes):
            for node in (n for n in ast.walk(function) if isinstance(n, ast.Return) and n.value is not None):
                found |= {n.value for n in _outcomes(node.value) if isinstance(n, ast.Constant)}
    return found


def _outcomes(value: ast.expr | None) -> list[ast.expr | None]:
    """What a returned expression may be."""
    return [*_outcomes(value.body), *_outcomes(value.orelse)] if isinstance(value, ast.IfExp) else [value]


def test_the_page_on_architecture_names_every_room() -> None:
    rows = re.findall(r"^\| \d \| (.+?) \|", (ROOT / "docs/architecture.md").read_text(), re.MULTILINE)
    told = {name for row in rows for name in re.findall(r"`(\w+)/?`", row)}
    source = ROOT / "src/siltstone"
    there = {p.name for p in source.iterdir() if p.is_dir() and (p / "__init__.py").exists()}
    assert told - {"errors"} == there


def test_each_of_the_32_faults_names_tests_that_exist() -> None:
    named = named_tests((ROOT / "docs/faults.md").read_text())
    assert sorted(named) == list(range(1, 33))
    assert [number for number, tests in named.items() if not tests] == [5]  # what is not there yet: exports
    assert [(n, test) for n, tests in named.items() for test in tests if not has_test(test)] == []


def test_a_fault_whose_test_is_gone_is_noticed() -> None:
    own = "tests/docs/test_docs.py"
    rows = (
        f"| 1 | a | b | `{own}::test_the_readme_is_short`<br>`{own}::test_gone` |\n| 2 | a | b | `tests/gone.py::a` |"
    )
    assert {n: [has_test(test) for test in tests] for n, tests in named_tests(rows).items()} == {
        1: [True, False],
        2: [False],
    }
