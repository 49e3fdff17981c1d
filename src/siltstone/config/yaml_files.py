"""YAML files, read strictly: plain values only, and a key that is given twice is a problem."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError

from siltstone.errors import UsageError

_MOST_PARTS = 100_000


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that notes every key given twice."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.repeated: list[str] = []

    def bounded_value(self) -> Any:
        """The document's value. Raises ConstructorError where aliases repeat so much that it has too many parts."""
        node = self.get_single_node()
        if node is None:
            return None
        if _parts_of(node, {}) > _MOST_PARTS:
            raise ConstructorError(problem=f"its aliases make more than {_MOST_PARTS:,} values of it")
        return self.construct_document(node)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key in sorted(key for key, times in Counter(keys).items() if times > 1):
            self.repeated.append(f"key {key!r} is given twice in line {node.start_mark.line + 1} and below")
        return super().construct_mapping(node, deep)


def _parts_of(node: yaml.Node, known: dict[int, float]) -> float:
    """How many values a node stands for when each alias is one more; infinite where it is a part of itself."""
    if id(node) not in known:
        known[id(node)] = math.inf
        children = node.value if isinstance(node, yaml.CollectionNode) else ()
        pairs = (part for child in children for part in (child if isinstance(child, tuple) else (child,)))
        known[id(node)] = 1 + sum(_parts_of(part, known) for part in pairs)
    return known[id(node)]


def value_of(text: str) -> Any:
    """The value that a text means in YAML; the text itself if it is none."""
    try:
        return _StrictLoader(text).bounded_value()
    except (yaml.YAMLError, ValueError, RecursionError):
        return text


def read_yaml(path: Path, option: str, problems: list[str]) -> Any:
    """The file's value, {} if it is empty or no YAML; problems in it are added to `problems`.

    Raises UsageError, which names the command's `option`, where the file can't be read.
    """
    try:
        loader = _StrictLoader(path.read_text())
        value = loader.bounded_value()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", f"Give {option} an existing YAML file.") from None
    except RecursionError:
        problems.append(f"{path}: its values are nested too deep")
        return {}
    except (yaml.YAMLError, ValueError) as error:
        problems.append(f"{path}: {' '.join(str(error).split())}")
        return {}
    problems += [f"{path}: {repeated}" for repeated in loader.repeated]
    return value or {}
