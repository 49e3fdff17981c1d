"""YAML files, read strictly: plain values only, and a key that is given twice is a problem."""

from pathlib import Path
from typing import Any

import yaml

from siltstone.errors import UsageError


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that notes every key given twice."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.repeated: list[str] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key in sorted({k for k in keys if keys.count(k) > 1}):
            self.repeated.append(f"key {key!r} is given twice in line {node.start_mark.line + 1} and below")
        return super().construct_mapping(node, deep)


def read_yaml(path: Path, option: str, problems: list[str]) -> Any:
    """The file's value, {} if it is empty or no YAML; problems in it are added to `problems`.

    Raises UsageError, which names the command's `option`, where the file can't be read.
    """
    try:
        loader = _StrictLoader(path.read_text())
        value = loader.get_single_data()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", f"Give {option} an existing YAML file.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        problems.append(f"{path}: {' '.join(str(error).split())}")
        return {}
    problems += [f"{path}: {repeated}" for repeated in loader.repeated]
    return value or {}
