"""One file of a published folder, the same for the same content."""

import gzip
import hashlib
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from siltstone.cli import main as cli
from siltstone.config.load import load_config
from siltstone.errors import StorageError, UsageError
from siltstone.publishing.job import publish
from support.fleet import quiet
from support.readings_table import Readings, quarters

A = "01f5cba4-111b-42a4-bbb4-4844ec3ad6f6"


@pytest.fixture
def lake(tmp_path: Path) -> str:
    Readings(str(tmp_path / "lake")).add(quarters(A, "2015-01-01", 4))
    return str(tmp_path / "lake")


def archived(lake: str, out: Path, **more: Any) -> dict[str, Any]:
    return publish(lake, str(out), load_config([], []), quiet, **more)


def contents(path: Path) -> dict[str, bytes]:
    """The files of an archive, in its order."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    with tarfile.open(path) as archive:
        return {m.name: archive.extractfile(m).read() for m in archive.getmembers()}  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_equal_content_gives_equal_bytes_and_the_sums_are_right(lake: str, tmp_path: Path, kind: Any) -> None:
    out = tmp_path / "out"
    summary = archived(lake, out, archive=kind)
    path = tmp_path / f"out.{kind}"
    data = path.read_bytes()
    assert summary["archive"] == str(path)
    assert (summary["archive_bytes"], summary["archive_sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert (tmp_path / f"out.{kind}.sha256").read_text() == f"{summary['archive_sha256']}  out.{kind}\n"
    archived(lake, out, archive=kind)
    assert path.read_bytes() == data
    archived(lake, tmp_path / "twin", archive=kind, archive_to=str(tmp_path / "elsewhere" / f"b.{kind}"))
    assert (tmp_path / "elsewhere" / f"b.{kind}").read_bytes() == data
    (name,) = (str(p.relative_to(out)) for p in out.rglob("*.parquet"))
    files = contents(path)
    assert list(files) == [f"mortar/{n}" for n in ("SHA256SUMS", "_common_metadata", "_metadata", name)]
    for line in files.pop("mortar/SHA256SUMS").decode().splitlines():
        digest, _, of = line.partition("  ")
        assert digest == hashlib.sha256(files[f"mortar/{of}"]).hexdigest()
        assert files.pop(f"mortar/{of}") == (out / of).read_bytes()
    assert files == {}


def test_nothing_of_the_machine_is_in_an_archive(lake: str, tmp_path: Path) -> None:
    archived(lake, tmp_path / "out", archive="zip")
    archived(lake, tmp_path / "out", archive="tar.gz")
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert {(i.date_time, i.external_attr >> 16) for i in archive.infolist()} == {((1980, 1, 1, 0, 0, 0), 0o100644)}
    with tarfile.open(tmp_path / "out.tar.gz") as tar:
        assert {(m.mtime, m.mode, m.uid, m.gid, m.uname) for m in tar.getmembers()} == {(0, 0o644, 0, 0, "")}
    with gzip.open(tmp_path / "out.tar.gz") as packed:
        packed.read(1)
        assert packed.mtime == 0


def test_a_damaged_file_is_not_archived(lake: str, tmp_path: Path) -> None:
    archived(lake, tmp_path / "out")
    (path,) = (tmp_path / "out").rglob("*.parquet")
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(StorageError, match="is not what was published"):
        archived(lake, tmp_path / "out", archive="zip")
    assert list(tmp_path.glob("out.zip*")) == []


def test_an_archive_that_can_not_be_written_leaves_the_edition(
    lake: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    words = ["publish", "mortar", lake, str(tmp_path / "out"), "--json", "--archive", "zip", "--archive-to"]
    assert cli.main([*words, str(tmp_path / "file/out.zip")]) == 9
    said = capsys.readouterr()
    assert "edition 1 of " in said.err
    assert "is committed, but its archive was not written: can't create" in said.err
    assert json.loads(said.out)["edition"] == 1
    assert cli.main([*words, str(tmp_path / "out.zip")]) == 0


def test_an_archive_lies_outside_of_its_folder(lake: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="would lie in the folder that it holds"):
        archived(lake, tmp_path / "out", archive="zip", archive_to=str(tmp_path / "out" / "all.zip"))


def test_the_command_says_what_it_did(lake: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*arguments: str) -> int:
        return cli.main(["publish", "mortar", lake, str(tmp_path / "out"), *arguments])

    assert run("--archive", "zip", "--json") == 0
    said = capsys.readouterr()
    assert "rows         4 added, 0 superseded ones taken out\n" in said.err
    (line,) = said.out.splitlines()
    assert line.startswith('{"out": "')
    assert run() == 0
    assert "nothing to do: 4 rows of 1 streams in 1 files" in capsys.readouterr().out
    assert run("--archive-to", "x.zip") == 2
    assert "--archive-to is given without --archive. Add --archive zip" in capsys.readouterr().err
