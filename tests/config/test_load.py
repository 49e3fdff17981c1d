"""The configuration: defaults, overlays, and every problem in one message."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from siltstone import sources
from siltstone.config.load import load_config
from siltstone.config.model import Config, as_dict
from siltstone.config.task_settings import options_of, settings_of
from siltstone.errors import ConfigError, UsageError
from siltstone.model.access import Access
from support.places import ROOT

CONF = ROOT / "conf"


@pytest.fixture
def conf(tmp_path: Path) -> Any:
    """Writes a YAML file and gives its path."""

    def write(text: str, name: str = "x.yaml") -> str:
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


def problems(files: list[str], settings: list[str] | None = None) -> list[str]:
    with pytest.raises(ConfigError, match=r"configuration: [0-9]+ problem") as caught:
        load_config(files, settings or [])
    head, *found, last = str(caught.value).split("\n")
    assert head == f"configuration: {len(found)} problem{'s' if len(found) != 1 else ''}"
    assert last == "Fix it, then: siltstone doctor --conf FILE"
    return [line.removeprefix("  ") for line in found]


def test_base_yaml_has_every_key_with_its_default_in_the_same_order() -> None:
    base = yaml.safe_load((CONF / "base.yaml").read_text())
    assert base == as_dict(Config())
    assert [list(section) for section in base.values()] == [list(section) for section in as_dict(Config()).values()]
    assert list(base) == list(as_dict(Config()))
    assert load_config([str(CONF / "base.yaml")]) == load_config() == Config()


@pytest.mark.parametrize("name", sorted({p.name for p in CONF.glob("*.yaml")} - {"measurements.yaml"}))
def test_every_shipped_file_is_valid(name: str) -> None:
    load_config([str(CONF / name)])


def test_later_files_win_and_settings_win_over_files(conf: Any) -> None:
    first = conf("engine: {workers: 2, batch_mb: 8}\nsources: {datalog: {zone: UTC}}", "a.yaml")
    second = conf("engine: {workers: 3}", "b.yaml")
    config = load_config(
        [first, second], ["engine.memory_mb=64", "limits.salvage=none", "sources.datalog.hints={serial: bigint}"]
    )
    assert (config.engine.workers, config.engine.batch_mb, config.engine.memory_mb) == (3, 8, 64)
    assert (config.limits.salvage, options_of(config, "datalog")["zone"]) == ("none", "UTC")
    assert options_of(config, "datalog")["hints"] == {"serial": "bigint"}


def test_one_hint_can_be_set_by_its_key() -> None:
    config = load_config([], ["sources.datalog.hints.serial=bigint"])
    assert options_of(config, "datalog")["hints"] == {"serial": "bigint"}


def test_sizes_may_be_fractions() -> None:
    config = load_config([], ["compaction.min_file_mb=0.1", "compaction.target_file_mb=0.5"])
    assert config.compaction.target_file_mb == 0.5


def test_an_empty_file_changes_nothing(conf: Any) -> None:
    assert load_config([conf("# nothing\n")]) == Config()


def test_all_problems_of_all_files_and_settings_come_at_once(conf: Any) -> None:
    one = conf("engine:\n  worker: 2\nlimits:\n  max_keys: many\n", "a.yaml")
    two = conf("sources:\n  datlog: {}\nexport: 1\n", "b.yaml")
    assert problems([one, two], ["engine.workers", "limits.salvage=some"]) == [
        f"{one}: engine.worker: unknown key; did you mean workers?",
        f"{one}: limits.max_keys: expected a whole number, found 'many'",
        f"{two}: sources.datlog: unknown key; did you mean datalog?",
        f"{two}: export: unknown key; known: engine, compaction, optimize, vacuum, survey, limits, storage, sources",
        "--set engine.workers: expected key=value",
        "--set: limits.salvage: expected one of none, truncated, all, found 'some'",
    ]


def test_how_s3_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    given = load_config(settings=["storage.endpoint=http://minio:9000", "storage.path_style=true", "storage.profile=p"])
    assert given.storage == Access(endpoint="http://minio:9000", path_style=True, profile="p")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://general")
    assert load_config().storage.endpoint == "http://general"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://special")
    assert load_config().storage.endpoint == "http://special"
    assert load_config(settings=["storage.endpoint=https://s3.local/"]).storage.endpoint == "https://s3.local/"
    assert problems([], ["storage.endpoint=minio:9000", "storage.path_style=1"]) == [
        "--set: storage.path_style: expected true or false, found 1",
        "storage.endpoint: 'minio:9000' is no endpoint; expected such as http://127.0.0.1:9000",
    ]
    for endpoint in ("http://user:secret@host", "http://host/bucket", "s3://bucket"):
        assert len(problems([], [f"storage.endpoint={endpoint}"])) == 1


@pytest.mark.parametrize(
    ("endpoint", "shown"),
    [
        ("AKIAIOSFODNN7EXAMPLE:wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY@localhost", "***@localhost"),
        ("https://user:p@ss:w0rd@localhost:9", "https://***@localhost:9"),
        ("ht tp://wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "ht tp:***"),
        ("http://host?key=abc", "http://host?***"),
        ("http://[::1", "http://[::1"),
        ("http://host:65536", "http://host:65536"),
    ],
)
def test_a_malformed_endpoint_is_shown_without_what_may_be_a_secret(endpoint: str, shown: str) -> None:
    expected = f"storage.endpoint: {shown!r} is no endpoint; expected such as http://127.0.0.1:9000"
    assert problems([], [f"storage.endpoint={endpoint}"]) == [expected]


def test_endpoints_may_have_ports_and_addresses_of_any_kind() -> None:
    for endpoint in ("http://[::1]:9000", "https://s3.eu-central-1.amazonaws.com/", "http://minio_1:65535"):
        assert load_config(settings=[f"storage.endpoint={endpoint}"]).storage.endpoint == endpoint


def test_a_key_given_twice_is_refused_at_its_place(conf: Any) -> None:
    file = conf("engine:\n  workers: 1\n  workers: 2\n")
    (problem,) = problems([file])
    assert problem.startswith(f"{file}: key 'workers' is given twice")
    assert "line 2" in problem


def test_all_problems_of_a_file_come_at_once(conf: Any) -> None:
    file = conf("engine:\n  workers: 1\n  workers: 2\ncompaction:\n  target_file_mb: 400\nfoo: 1\n")
    repeated, unknown, sizes = problems([file])
    assert "'workers' is given twice" in repeated
    assert "foo: unknown key" in unknown
    assert "target_file_mb 400 <= max_file_mb 250 does not hold" in sizes


def test_a_date_may_stand_without_quotes() -> None:
    config = load_config(settings=["sources.datalog.earliest=2016-01-01"])
    assert options_of(config, "datalog")["earliest"] == "2016-01-01"


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("compaction.max_file_mb=.inf", "--set: compaction.max_file_mb: expected a number, found inf"),
        ("engine.workers=1.5", "--set: engine.workers: expected a whole number, found 1.5"),
        ("engine.workers=true", "--set: engine.workers: expected a whole number, found True"),
        ("engine.workers=", "--set: engine.workers: expected a whole number, found None"),
        ("compaction.target_file_mb=big", "--set: compaction.target_file_mb: expected a number, found 'big'"),
        ("compaction.target_file_mb=true", "--set: compaction.target_file_mb: expected a number, found True"),
        ("compaction.source_root=5", "--set: compaction.source_root: expected a text, found 5"),
        ("sources.datalog.hints=[a]", "--set: sources.datalog.hints: expected a mapping of texts, found ['a']"),
        ("sources.datalog.hints={a: 1}", "--set: sources.datalog.hints: expected a mapping of texts, found {'a': 1}"),
        ("sources.mortar=5", "--set: sources.mortar: expected keys and values, found 5"),
        (
            "sources.mortar.duplicates=lines",
            "--set: sources.mortar.duplicates: expected one of all, distinct, first, last, error, found 'lines'",
        ),
        ("sources.haltian.earlyest=2020", "--set: sources.haltian.earlyest: unknown key; did you mean earliest?"),
        (
            "sources.records.x={time: [t], value: v, tine: t}",
            "--set: sources.records.x.tine: unknown key; did you mean time?",
        ),
        (
            "sources.records.a b={time: [t], value: v}",
            "--set: sources.records.a b: a name has letters, digits, - and _ only",
        ),
        ("engine=5", "--set: engine: expected keys and values, found 5"),
        ("engine.workers.x=5", "--set: engine.workers: expected a whole number, found {'x': 5}"),
    ],
)
def test_a_wrong_type_says_what_was_expected_and_found(setting: str, problem: str) -> None:
    assert problems([], [setting]) == [problem]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (
            ["compaction.target_file_mb=400"],
            "compaction: 0 < min_file_mb 150 <= target_file_mb 400 <= max_file_mb 250 does not hold",
        ),
        (
            ["compaction.min_file_mb=0"],
            "compaction: 0 < min_file_mb 0 <= target_file_mb 200 <= max_file_mb 250 does not hold",
        ),
        (["limits.max_depth=0"], "limits.max_depth: 0 is below 1"),
        (["survey.files=0"], "survey.files: 0 is below 1"),
        (["engine.batch_mb=0"], "engine.batch_mb: 0 is below 1"),
        (["engine.workers=-1"], "engine.workers: -1 is below 0"),
        (["compaction.max_columns=0"], "compaction: row_group_mb and max_columns must be above 0"),
        (
            ["sources.datalog.zone=Asia/Makasar"],
            "sources.datalog.zone: 'Asia/Makasar' is no time zone; give an IANA name such as Asia/Makassar",
        ),
        (
            ["sources.datalog.zone=../etc"],
            "sources.datalog.zone: '../etc' is no time zone; give an IANA name such as Asia/Makassar",
        ),
        (
            ["sources.datalog.earliest='2015'"],
            "sources.datalog.earliest: '2015' is no date; expected YYYY-MM-DD in quotes",
        ),
        (["sources.haltian.future_hours=-1"], "sources.haltian.future_hours: -1 is below 0"),
        (
            ["sources.sitewise.site=a/b"],
            "sources.sitewise.site: 'a/b' is no safe folder name; give up to 64 letters, digits, dots, - and _",
        ),
        (
            ["sources.mortar.collection=.."],
            "sources.mortar.collection: '..' is no safe folder name; give up to 64 letters, digits, dots, - and _",
        ),
        (
            ["sources.records.x={time: [t], value: v, zone: Europe/Rom}"],
            "sources.records.x.zone: 'Europe/Rom' is no time zone; give an IANA name such as Europe/Rome",
        ),
        (
            ["sources.datalog.hints={speed: float}"],
            "sources.datalog.hints.speed: 'float' is no kind; known: double, bigint, int, boolean, string, json",
        ),
    ],
)
def test_values_that_contradict_each_other_or_the_world(settings: list[str], problem: str) -> None:
    assert problems([], settings) == [problem]


def test_contradictions_come_all_at_once_too() -> None:
    assert len(problems([], ["limits.max_keys=0", "engine.workers=-1", "sources.datalog.zone=x"])) == 3


@pytest.mark.parametrize("text", ["engine: [", "? [a]\n: 1\n", "- 1\n", "just text\n", "engine:\n\tworkers: 1\n"])
def test_a_file_that_is_no_mapping_is_a_problem_and_no_crash(conf: Any, text: str) -> None:
    file = conf(text)
    (problem,) = problems([file])
    assert problem.startswith(f"{file}: ")


def test_a_file_that_is_no_utf8_is_a_problem_and_no_crash(tmp_path: Path) -> None:
    file = tmp_path / "latin.yaml"
    file.write_bytes(b"engine: {workers: 1} # caf\xe9\n")
    assert problems([str(file)])[0].startswith(f"{file}: 'utf-8' codec can't decode byte 0xe9")


def test_a_missing_file_is_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"nowhere\.yaml: No such file or directory.\s*Give --conf an existing YAML file"
    ):
        load_config([str(tmp_path / "nowhere.yaml")])


def test_settle_is_the_old_name_of_optimize_and_is_told(conf: Any) -> None:
    told: list[str] = []
    old = conf("settle: {open_files: 3, after_compact: false}")
    config = load_config([old], ["optimize.closed_after_hours=1", "optimize.open_files=3"], notice=told.append)
    found = config.optimize
    assert (found.open_files, found.after_compact, found.closed_after_hours) == (3, False, 1)
    assert told == ["settle in the configuration is now called optimize; the old name goes after one release"]
    load_config(settings=["optimize.open_files=3"], notice=told.append)
    assert len(told) == 1


def test_an_old_and_a_new_name_with_different_values_contradict_each_other(conf: Any) -> None:
    assert problems([conf("settle: {open_files: 3}")], ["optimize.open_files=4"]) == [
        "settle.open_files: 3 and optimize.open_files: 4 contradict each other: settle is the old name of optimize; "
        "give optimize alone"
    ]
    assert problems([], ["settle.open_file=3"]) == ["--set: settle.open_file: unknown key; did you mean open_files?"]


@pytest.fixture
def pumps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A source in a file of its own, beside those of siltstone."""
    (tmp_path / "pumps.py").write_text(PUMPS)
    monkeypatch.setattr(sources, "__path__", [*sources.__path__, str(tmp_path)])
    sources.names.cache_clear()
    yield
    sources.names.cache_clear()


PUMPS = """
from dataclasses import dataclass
from siltstone.mapping.source_options import SourceOptions, zone_problems

@dataclass(frozen=True)
class Options(SourceOptions):
    earliest: str = "2020-01-01"
    zone: str = "UTC"
    stroke_ms: int = 250

    def problems(self):
        yield from zone_problems(self.zone)
        yield from super().problems()
"""


@pytest.mark.usefixtures("pumps")
def test_the_options_of_a_source_are_those_of_its_own_file() -> None:
    config = load_config(settings=["sources.pumps.stroke_ms=300", "sources.pumps.zone=Asia/Tokyo"])
    assert options_of(config, "pumps") == {
        "earliest": "2020-01-01",
        "future_hours": 24,
        "zone": "Asia/Tokyo",
        "stroke_ms": 300,
    }
    rules = settings_of(config, "pumps").rules
    assert (rules.zone, rules.earliest_us) == ("Asia/Tokyo", 1_577_836_800_000_000)  # 2020-01-01T00:00Z
    assert options_of(load_config(), "pumps")["stroke_ms"] == 250
    assert problems([], ["sources.pumps.stroke=1", "sources.pumps.stroke_ms=x", "sources.pumps.zone=Mars"]) == [
        "--set: sources.pumps.stroke: unknown key; did you mean stroke_ms?",
        "--set: sources.pumps.stroke_ms: expected a whole number, found 'x'",
        "sources.pumps.zone: 'Mars' is no time zone; give an IANA name such as Asia/Makassar",
    ]
    assert list(as_dict(load_config())["sources"]) == ["datalog", "haltian", "mortar", "pumps", "records", "sitewise"]


def test_a_block_that_is_not_configured_and_a_source_that_is_none_are_named() -> None:
    with pytest.raises(UsageError, match=r"no block sources\.records\.x in the configuration.\s*The configuration has"):
        options_of(load_config(), "records.x")
    config = load_config(settings=["sources.records.plc={time: [t], value: v}"])
    with pytest.raises(UsageError, match=r"no block sources\.records\.NAME in the configuration.\s*There are: plc\."):
        options_of(config, "records")
    assert options_of(config, "records.plc")["value"] == "v"
    with pytest.raises(
        UsageError, match=r"no source named 'datlog'. Did you mean datalog\? Known sources: datalog, haltian, "
    ):
        options_of(config, "datlog")


def test_only_the_sources_that_are_configured_are_imported() -> None:
    code = """
import sys
from siltstone import sources
from siltstone.config.load import load_config
load_config()
print([name for name in sys.modules if name.startswith("siltstone.sources.")])
load_config(settings=["sources.haltian.future_hours=48"])
print([name for name in sys.modules if name.startswith("siltstone.sources.")])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "['siltstone.sources.haltian']"]


def test_one_file_and_one_setting_may_be_given_alone(tmp_path: Path) -> None:
    file = tmp_path / "plant.yaml"
    file.write_text("engine: {workers: 3}")
    for given in (file, str(file), [file]):
        assert load_config(given).engine.workers == 3
    assert load_config(file, "engine.workers=2").engine.workers == 2


def test_aliases_that_multiply_are_a_problem_and_no_hang(conf: Any) -> None:
    """Ten lists of ten aliases each stand for 10^10 values; by merge keys alike, and a list may hold itself."""
    laughs = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 11))
    merges = "a0: &a0 {x: 1}\n" + "".join(
        f"a{n}: &a{n}\n  <<: [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 11)
    )
    for text in (laughs, merges, "engine: &a [*a]\n"):
        with pytest.raises(ConfigError, match="its aliases make more than 100,000 values of it"):
            load_config([conf(text)])


@pytest.mark.parametrize("text", ["[" * 5_000, "a: " + "9" * 5_000], ids=["deep", "long"])
def test_what_python_can_not_hold_is_a_problem(conf: Any, text: str) -> None:
    with pytest.raises(ConfigError, match=r"nested too deep|integer string conversion"):
        load_config([conf(text)])
