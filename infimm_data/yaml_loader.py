"""YAML as its users expect it: the scalars of version 1.2, and no key twice.

PyYAML reads version 1.1, where `no` (Norwegian) is false, `1e-4` a text, `10:30` the number 630, `010` eight and
`2024-01-01` a date; and of a key that stands twice it silently takes the last.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import yaml

_CORE = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(0|[1-9][0-9_]*)|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9][0-9_]*\.[0-9]*)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+0123456789.",
    ),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", r"<<", "<"),
)
"""(tag, pattern, first letters): YAML 1.2.2, section 10.3.2, with `_` between digits and 1.1's merge key kept."""


def _by_first_letter() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    found: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    for tag, pattern, letters in _CORE:
        for letter in letters:
            found.setdefault(letter, []).append((f"tag:yaml.org,2002:{tag}", re.compile(rf"^(?:{pattern})$")))
    return found


class Loader(yaml.SafeLoader):
    """A SafeLoader with the scalars of YAML 1.2 that refuses a key that stands twice in one mapping."""

    yaml_implicit_resolvers = _by_first_letter()

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Return the mapping; raises ConstructorError, a YAMLError, where a key stands twice."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    problem = f"the key '{key.value}' stands there twice"
                    raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)
