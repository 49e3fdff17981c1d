"""Configuration: frozen dataclasses with the defaults, loaded once at the edge from YAML files and `key=value` pairs.

`conf/base.yaml` lists every key with its unit; files given later win, then `--set`. Unknown and repeated keys, wrong
types and limits that contradict each other are all reported in one ConfigError.
"""

import difflib
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from siltstone import sources
from siltstone.config.model import Config, LimitsConfig, OptimizeConfig, SourcesConfig, SurveyConfig
from siltstone.config.yaml_files import read_yaml, value_of
from siltstone.errors import ConfigError

_Path = str | os.PathLike[str]
_BLOCK_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_OLD_NAMES: Mapping[str, tuple[str, type]] = {"settle": ("optimize", OptimizeConfig)}  # of sections, for a release
_ENDPOINT = re.compile(r"https?://(?:[\w.-]+|\[[0-9a-fA-F:.]+\])(?::([0-9]{1,5}))?/?")
_HIDDEN = (
    (r"^(https?://)?.*@", r"\1***@"),
    (r"[?#].*", "?***"),
    (
        r"[\w+/=-]{0,64}[A-Z][\w+/=-]{15,}|[\w+/=-]{15,64}[A-Z][\w+/=-]*",
        "***",
    ),  # hosts have no long words with capitals
)
"""What may be a key or a password in the place of an endpoint, and what is shown instead."""


def load_config(
    files: _Path | Sequence[_Path] = (),
    settings: str | Sequence[str] = (),
    *,
    notice: Callable[[str], None] | None = None,
) -> Config:
    """The defaults, overlaid with each YAML file in order, then with each `section.key=value`; one file or setting may
    be given alone. `notice` is called with a sentence for each section that is given by its old name.

    Raises ConfigError with every problem of all files and settings at once.
    """
    problems: list[str] = []
    merged: dict[str, Any] = {}
    for file in [files] if isinstance(files, str | os.PathLike) else files:
        _overlay(merged, read_yaml(Path(file), "--conf", problems), Config, "", os.fspath(file), problems)
    for setting in [settings] if isinstance(settings, str) else settings:
        key, equals, text = setting.partition("=")
        if not equals:
            problems.append(f"--set {setting}: expected key=value")
            continue
        nested: Any = value_of(text)
        for part in reversed(key.strip().split(".")):
            nested = {part: nested}
        _overlay(merged, nested, Config, "", "--set", problems)
    for old in merged.keys() & _OLD_NAMES.keys():
        name, _ = _OLD_NAMES[old]
        problems += _contrary(old, merged[old], name, merged.get(name, {}))
        merged[name] = {**merged.pop(old), **merged.get(name, {})}
        if notice is not None:
            notice(f"{old} in the configuration is now called {name}; the old name goes after one release")
    config: Config = _build(Config, merged)
    if not config.storage.endpoint:
        config = replace(config, storage=replace(config.storage, endpoint=_endpoint_of_environment()))
    problems += _contradictions(config)
    if problems:
        raise ConfigError(problems)
    return config


def _contrary(old: str, by_old: Mapping[str, Any], name: str, by_name: Mapping[str, Any]) -> Iterator[str]:
    """The keys that a section has under both of its names, with different values."""
    for key, value in by_old.items():
        if by_name.get(key, value) != value:
            yield (
                f"{old}.{key}: {value} and {name}.{key}: {by_name[key]} contradict each other: {old} is the old "
                f"name of {name}; give {name} alone"
            )


def _endpoint_of_environment() -> str:
    """What the AWS tools go by; taken in here, so that it travels to every task."""
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""


def _overlay(merged: dict[str, Any], given: Any, model: type, prefix: str, where: str, problems: list[str]) -> None:
    """Copy `given` into `merged` where it fits the dataclass `model`; collect what does not."""
    if not isinstance(given, dict):
        problems.append(f"{where}: {prefix.rstrip('.') or 'the file'}: expected keys and values, found {given!r}")
        return
    hints = _hints(model)
    for key, value in given.items():
        name = f"{prefix}{key}"
        if model is Config and key in _OLD_NAMES:
            _overlay(merged.setdefault(key, {}), value, _OLD_NAMES[key][1], f"{key}.", where, problems)
        elif key not in hints:
            old_names = {old: new for old, (new, _) in _OLD_NAMES.items()} if model is Config else {}
            near = difflib.get_close_matches(str(key), [*hints, *old_names], 1)
            hint = f"did you mean {old_names.get(near[0], near[0])}?" if near else f"known: {', '.join(hints)}"
            problems.append(f"{where}: {name}: unknown key; {hint}")
        elif is_dataclass(hints[key]):
            _overlay(merged.setdefault(key, {}), value, hints[key], f"{name}.", where, problems)
        elif (block := _block_of(hints[key])) is not None:
            if not isinstance(value, dict):
                problems.append(f"{where}: {name}: expected names and their blocks, found {value!r}")
                continue
            for block_name, given in value.items():
                if not _BLOCK_NAME.fullmatch(str(block_name)):
                    problems.append(f"{where}: {name}.{block_name}: a name has letters, digits, - and _ only")
                blocks = merged.setdefault(key, {})
                _overlay(blocks.setdefault(str(block_name), {}), given, block, f"{name}.{block_name}.", where, problems)
        elif hints[key] is str and isinstance(value, date):
            merged[key] = value.isoformat()
        elif (expected := _mismatch(value, hints[key])) is not None:
            problems.append(f"{where}: {name}: expected {expected}, found {value!r}")
        else:
            merged[key] = {**merged.get(key, {}), **value} if isinstance(value, dict) else value


class _SourceHints(Mapping[str, Any]):
    """The type of each source's section, by the source's name; asking for one imports the source's module."""

    def __contains__(self, name: object) -> bool:
        return name in sources.names()

    def __getitem__(self, name: str) -> Any:
        options = sources.options_type(name)
        return Mapping[str, options] if sources.has_blocks(name) else options  # type: ignore[valid-type]

    def __iter__(self) -> Iterator[str]:
        return iter(sources.names())

    def __len__(self) -> int:
        return len(sources.names())


def _hints(model: Any) -> Mapping[str, Any]:
    """The type of each key of a section."""
    return _SourceHints() if model is SourcesConfig else get_type_hints(model)


def _block_of(hint: Any) -> Any:
    """The dataclass of the blocks that a setting holds by name, None if it is no such setting."""
    arguments = get_args(hint)
    return arguments[1] if len(arguments) == 2 and is_dataclass(arguments[1]) else None


def _mismatch(value: Any, hint: Any) -> str | None:
    """What was expected, if the value is not of the hinted type."""
    if get_origin(hint) is Literal:
        return None if value in get_args(hint) else f"one of {', '.join(get_args(hint))}"
    if get_origin(hint) is Sequence:
        fits = isinstance(value, list) and all(isinstance(x, str) for x in value)
        return None if fits else "a list of texts"
    if get_origin(hint) is not None:
        fits = isinstance(value, dict) and all(isinstance(x, str) for pair in value.items() for x in pair)
        return None if fits else "a mapping of texts"
    if hint is float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return None if is_number and math.isfinite(value) else "a number"
    if hint is bool:
        return None if isinstance(value, bool) else "true or false"
    if hint is int:
        return None if isinstance(value, int) and not isinstance(value, bool) else "a whole number"
    return None if isinstance(value, str) else "a text"


def _build(model: Any, given: Mapping[str, Any]) -> Any:
    hints = _hints(model)
    return model(**{key: _built(hints[key], value) for key, value in given.items()})


def _built(hint: Any, value: Any) -> Any:
    if hint is SourcesConfig:
        return _sources(value)
    if is_dataclass(hint):
        return _build(hint, value)
    if (block := _block_of(hint)) is not None:
        return {name: _build(block, given) for name, given in value.items()}
    return value


def _sources(given: Mapping[str, Any]) -> SourcesConfig:
    """The sources' options; a section with only defaults is left out, so that equal configurations compare as equal."""
    hints = _SourceHints()
    sections = {name: _built(hints[name], section) for name, section in given.items()}
    return SourcesConfig(
        {
            name: section
            for name, section in sections.items()
            if section and (sources.has_blocks(name) or section != sources.options_type(name)())
        }
    )


def _contradictions(config: Config) -> Iterator[str]:
    sizes = config.compaction
    if not 0 < sizes.min_file_mb <= sizes.target_file_mb <= sizes.max_file_mb:
        yield (
            f"compaction: 0 < min_file_mb {sizes.min_file_mb:g} <= target_file_mb {sizes.target_file_mb:g} "
            f"<= max_file_mb {sizes.max_file_mb:g} does not hold"
        )
    positive: list[tuple[LimitsConfig | SurveyConfig, str]] = [(config.limits, "limits"), (config.survey, "survey")]
    for section, name in positive:
        for f in fields(section):
            value = getattr(section, f.name)
            if isinstance(value, int) and value < 1:
                yield f"{name}.{f.name}: {value} is below 1"
    for key in ("batch_mb", "memory_mb"):
        if getattr(config.engine, key) < 1:
            yield f"engine.{key}: {getattr(config.engine, key)} is below 1"
    if config.optimize.closed_after_hours < 0 or config.optimize.open_files < 2:
        yield "optimize: closed_after_hours must not be below 0, open_files not below 2"
    if config.vacuum.grace_hours < 0:
        yield f"vacuum.grace_hours: {config.vacuum.grace_hours} is below 0"
    if config.optimize.most_mb < 2 * sizes.max_file_mb:
        yield f"optimize.most_mb: {config.optimize.most_mb:g} is below twice compaction.max_file_mb"
    if config.engine.workers < 0:
        yield f"engine.workers: {config.engine.workers} is below 0"
    if sizes.row_group_mb <= 0 or sizes.max_columns < 1:
        yield "compaction: row_group_mb and max_columns must be above 0"
    yield from _problems_of_endpoint(config.storage.endpoint)
    yield from (f"sources.{problem}" for problem in config.sources.problems())


def _problems_of_endpoint(endpoint: str) -> Iterator[str]:
    found = _ENDPOINT.fullmatch(endpoint)
    if not endpoint or (found and int(found[1] or 0) < 1 << 16):
        return
    for pattern, shown in _HIDDEN:
        endpoint = re.sub(pattern, shown, endpoint)
    yield f"storage.endpoint: {endpoint!r} is no endpoint; expected such as http://127.0.0.1:9000"
