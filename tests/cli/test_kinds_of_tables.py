"""What commands say of tables that they don't take: which kind of table it is, and what serves instead."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from siltstone.cli.main import main
from support.commands import run_tasks_here
from support.readings_table import Readings, quarters

Said = Callable[..., str]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with readings and a table of each other kind: agg, by_opcua, grid and joined."""
    root = tmp_path_factory.mktemp("house") / "lake"
    Readings(str(root)).add(quarters("temp", "2025-12-01", 8))
    readings, local = str(root / "readings"), ["--engine", "local"]
    with pytest.MonkeyPatch.context() as patch:
        run_tasks_here(patch)
        for words in (
            ["aggregate", readings, str(root / "agg"), "--every", "1h"],
            ["aggregate", readings, str(root / "by_opcua"), "--every", "1h", "--convention", "opcua"],
            ["resample", readings, str(root / "grid"), "--every", "30m", "--format", "parquet"],
            ["asof", readings, readings, str(root / "joined")],
        ):
            assert main([*words, *local]) == 0
    return root


@pytest.fixture
def refusal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Said:
    run_tasks_here(monkeypatch)

    def refusal(*words: object) -> str:
        """What a command that ends with exit code 2 says."""
        capsys.readouterr()
        assert main([str(word) for word in words]) == 2
        return capsys.readouterr().err

    return refusal


@pytest.mark.parametrize("command", ["show", "quarantine", "verify", "optimize", "vacuum"])
@pytest.mark.parametrize(("table", "job"), [("grid", "resample"), ("joined", "asof")])
def test_a_table_of_another_job_is_called_so(command: str, table: str, job: str, lake: Path, refusal: Said) -> None:
    assert refusal(command, lake / table) == (
        f"siltstone: {lake}/{table} is a table of siltstone {job}, which show, quarantine, verify, optimize and vacuum "
        f"don't take. siltstone {job} with the same arguments brings it up to date.\n"
    )


def test_a_table_of_compact_under_another_name_is_told(lake: Path, tmp_path: Path, refusal: Said) -> None:
    shutil.copytree(lake / "readings", tmp_path / "lake" / "old")
    said = refusal("show", tmp_path / "lake" / "old")
    assert f"{tmp_path}/lake/old is a table of siltstone compact under a name that no source gives. Give it" in said
    assert "readings" in said


def test_a_table_without_a_run_is_told(tmp_path: Path, refusal: Said) -> None:
    (tmp_path / "lake" / "grid" / "_siltstone").mkdir(parents=True)
    assert f"no run has committed to {tmp_path}/lake/grid yet" in refusal("vacuum", tmp_path / "lake" / "grid")


@pytest.mark.parametrize(
    ("words", "proposed"),
    [
        (["vacuum", "LAKE"], "agg"),  # the first that it takes
        (["quarantine", "LAKE"], "agg"),
        (["verify", "LAKE"], "readings"),
        (["optimize", "LAKE"], "readings"),
        (["aggregate", "LAKE", "out", "--every", "1h"], "readings"),
        (["resample", "LAKE", "out", "--every", "1h"], "readings"),
        (["rollup", "LAKE", "out", "--every", "1d"], "agg"),
        (["plot", "LAKE", "--out", "a.html"], "agg"),
        (["asof", "LAKE", "LAKE", "out"], "agg"),
    ],
)
def test_of_a_lake_a_table_is_proposed_that_the_command_takes(
    words: list[str], proposed: str, lake: Path, refusal: Said
) -> None:
    said = refusal(*(word.replace("LAKE", str(lake)) for word in words))
    assert "is a lake, not a table. Its tables: agg, by_opcua, grid, joined, readings." in said
    assert said.endswith(f" Give one, such as {lake}/{proposed}.\n")


def test_where_no_table_of_a_lake_fits_none_is_proposed(lake: Path, tmp_path: Path, refusal: Said) -> None:
    shutil.copytree(lake / "grid", tmp_path / "lake" / "grid")
    for words in (["verify", tmp_path / "lake"], ["plot", tmp_path / "lake", "--out", "a.html"]):
        said = refusal(*words)
        assert said.endswith("is a lake, not a table. Its tables: grid. None of them is of the kind that is needed.\n")
