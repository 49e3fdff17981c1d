"""The page on Python, and who uses what: docs, notebooks and the demo import the public face alone."""

import ast
import inspect
import re
from collections.abc import Iterator

import pytest
from tests.docs.pages import PAGES, ROOT, blocks_of

import siltstone
from siltstone import errors
from siltstone.model import derived_summary, run_summary, survey_summary
from siltstone.model.run_summary import RunSummary, Summary, names_of

PAGE = (ROOT / "docs/python.md").read_text()
KINDS: dict[str, type[Summary]] = {
    "compact": run_summary.TableSummary,
    "optimize": run_summary.OptimizeSummary,
    "verify": run_summary.VerifySummary,
    "vacuum": run_summary.VacuumSummary,
    "adopt": run_summary.AdoptSummary,
    "repair": run_summary.RepairSummary,
    "taken over": run_summary.TakeOverSummary,
    "aggregate": derived_summary.AggregateSummary,
    "convention": derived_summary.ConventionSummary,
    "rollup": derived_summary.RollupSummary,
    "resample": derived_summary.ResampleSummary,
    "asof": derived_summary.AsofSummary,
    "publish": derived_summary.PublishSummary,
    "plot": derived_summary.PlotSummary,
}
PUBLIC = ("siltstone", "siltstone.spark", "siltstone.errors", "siltstone.dimensions")
OF_SOURCES = ("siltstone.formats", "siltstone.mapping", "siltstone.model")  # a source lies inside the package
SCRIPTS = [*(ROOT / "notebooks").glob("*.py"), *(ROOT / "tests/demo").glob("*.py")]


def imported(text: str) -> Iterator[str]:
    """The modules of siltstone that a text of Python imports, and `siltstone.NAME` for a name of the package."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "siltstone")
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "siltstone":
            names = [f"siltstone.{alias.name}" for alias in node.names]
            yield from names if node.module == "siltstone" else [node.module]


def is_public(name: str) -> bool:
    module, _, last = name.rpartition(".")
    return (
        name in PUBLIC
        or name.startswith("siltstone.dimensions.")
        or (module, last in siltstone.__all__)
        == (
            "siltstone",
            True,
        )
    )


def texts() -> Iterator[tuple[str, str]]:
    """The Python of each page, and each script, with the place."""
    for page in PAGES:
        yield from ((block.where, block.text) for block in blocks_of(page) if block.language == "python")
    yield from ((str(script.relative_to(ROOT)), script.read_text()) for script in SCRIPTS)


def test_docs_notebooks_and_demo_import_the_public_face_alone() -> None:
    assert len(SCRIPTS) >= 5
    offenders = [
        f"{where} imports {name}"
        for where, text in texts()
        for name in imported(text)
        if not is_public(name) and not (where.startswith("docs/adding-a-source.md") and name.startswith(OF_SOURCES))
    ]
    assert not offenders, "\n".join(offenders)


@pytest.mark.parametrize(
    ("text", "offends"),
    [
        ("from siltstone import compact, load_config", False),
        ("from siltstone.spark import asof", False),
        ("from siltstone.dimensions.assets import with_assets", False),
        ("from siltstone import sources", True),
        ("from siltstone.ingest.job import compact", True),
        ("import siltstone.cli.main", True),
    ],
)
def test_an_import_of_something_else_would_be_noticed(text: str, offends: bool) -> None:
    assert any(not is_public(name) for name in imported(text)) is offends


def test_the_page_explains_every_public_name() -> None:
    shown = set(re.findall(r"\b\w+\b", PAGE))
    assert [name for name in siltstone.__all__ if name not in shown | {"Config", "LakeTable", "__version__"}] == []


def test_every_key_of_every_summary_is_in_the_table() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([a-z, ]+) \| .+ \|$", PAGE.partition("## Summaries")[2], re.MULTILINE)
    told = {key: kinds.split(", ") for key, kinds in rows}
    keys = {
        name: [kind for kind, of in KINDS.items() if name in names_of(of)]
        for of in KINDS.values()
        for name in names_of(of)
    }
    assert told == keys
    assert len(rows) == len(told)


def test_every_key_of_a_survey_is_named() -> None:
    words = set(re.findall(r"`(\w+)`", PAGE.partition("`survey` gives `datasets`")[2]))
    kinds = (survey_summary.RecordsSurvey, survey_summary.ReadingsSurvey, survey_summary.FieldSummary)
    assert {name for kind in kinds for name in names_of(kind)} == words


def test_no_kind_of_summary_is_forgotten() -> None:
    modules = (run_summary, derived_summary, survey_summary)
    classes = {c for module in modules for _, c in inspect.getmembers(module, inspect.isclass)}
    made = {c for c in classes if issubclass(c, Summary)}
    bases = {Summary, RunSummary, derived_summary.DerivedSummary, derived_summary.BucketsSummary}
    of_survey = {survey_summary.SurveySummary, survey_summary.RecordsSurvey, survey_summary.ReadingsSurvey}
    assert made - bases - of_survey - {
        survey_summary.FieldSummary,
        run_summary.CompactSummary,
        run_summary.Failure,
    } == set(KINDS.values())


def test_every_error_has_its_row() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| (\d) \|", PAGE, re.MULTILINE)
    kinds = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, errors.SiltstoneError)]
    assert sorted(rows) == sorted((c.__name__, c.__bases__[0].__name__, str(c.exit_code)) for c in kinds)
