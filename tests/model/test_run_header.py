"""A run's header: what is stored comes back as it was, whatever version wrote it."""

import json
from pathlib import Path

import polars as pl
import pytest

from siltstone.model.run_header import RunHeader
from siltstone.model.table_format import next_format
from support.old_lakes import OldLake


def test_headers_of_before_come_back_as_they_were_stored(tmp_path: Path) -> None:
    root = OldLake.below(tmp_path).root
    manifests = [path for path in sorted(root.rglob("*.manifest")) if "_siltstone" in path.parts]
    kinds = set()
    for manifest in manifests:
        stored = json.loads(pl.read_parquet_metadata(manifest)["siltstone"])
        header = RunHeader.from_dict(stored)
        kinds.add(header.kind)
        assert header.as_dict() == stored
        assert (header.name, header.parent) == (stored["name"], stored["parent"])
        assert list(header.removed) == stored["removed"]
    assert kinds == {"compact", "settle", "aggregate", "rollup", "resample", "asof"}


def test_keys_of_later_versions_are_kept_and_keys_that_are_missing_say_nothing() -> None:
    header = RunHeader.from_dict({"kind": "compact", "run": 2, "grain": None, "vectors": ["a"]})
    assert (header.run, header.parent, header.grain, header.learned, header.files) == (2, None, None, None, ())
    assert header.more == {"grain": None, "vectors": ["a"]}
    assert header.as_dict() == {
        "kind": "compact", "run": 2, "grain": None, "vectors": ["a"], "name": "", "parent": None, "ledger": "",
    }  # fmt: skip


def test_a_header_of_version_0_knows_of_the_dataset_that_is_named_as_its_source() -> None:
    header = RunHeader.from_dict({"source": "datalog", "zone": "UTC", "files named by": "whole path", "ratio": 0.5})
    learned = {"zone": "UTC", "files named by": "whole path", "shift_hours": None, "ratio": 0.5}
    assert header.learned_by_dataset == {"datalog": learned}
    assert RunHeader.from_dict({"source": "datalog", "learned": {}}).learned_by_dataset == {}


def test_the_paths_of_outputs_are_those_of_the_new_data_files() -> None:
    assert RunHeader(outputs=[{"path": "d/a", "rows": 1}, {"path": "d/b", "rows": 2}]).output_paths == ["d/a", "d/b"]


@pytest.mark.parametrize("version", [1, 2])
def test_the_format_of_the_next_run_is_at_least_that_of_a_header(version: int) -> None:
    told = {
        "version": version, "min_reader_version": 1, "min_writer_version": 1,
        "min_reader_release": "0.1.0", "min_writer_release": "0.1.0",
    }  # fmt: skip
    assert next_format([RunHeader.from_dict({"format": told}).more], "/lake/t")["version"] == version
