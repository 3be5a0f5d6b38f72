"""YAML for recipes: only data, no key twice, 1e-3 is a number, and the line of every setting."""

from __future__ import annotations

import re
from typing import Any

import yaml

from qapflow.errors import UsageError

Location = tuple[str | int, ...]
Lines = dict[Location, int]


class _RecipeLoader(yaml.SafeLoader):
    """The safe loader, with the two changes below."""


def _mapping_of_different_keys(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    """Refuse a key that is written twice: PyYAML would take the last one silently."""
    seen: dict[str, int] = {}
    for key, _ in node.value:
        if key.tag == "tag:yaml.org,2002:merge":
            continue
        problem = ""
        if key.tag != "tag:yaml.org,2002:str":
            shown = key.value if isinstance(key, yaml.ScalarNode) else "here"
            problem = f"the key {shown} is no text: put it in quotes"
        elif key.value in seen:
            problem = f"the key {key.value!r} is already in line {seen[key.value]}"
        if problem:
            raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
        seen[key.value] = key.start_mark.line + 1
    loader.flatten_mapping(node)
    return loader.construct_mapping(node, deep=True)


_RecipeLoader.add_constructor("tag:yaml.org,2002:map", _mapping_of_different_keys)
# YAML 1.1, which PyYAML reads, takes 1e-3 for text; YAML 1.2 takes it for a number.
_RecipeLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def parse_yaml(text: str, at: str) -> tuple[dict[str, Any], Lines]:
    """Return the settings of a YAML text and the line (from 1) of each.

    Raises:
        UsageError: the text is no YAML, is empty, holds a key twice, or something else than keys
            with values.
    """
    loader = _RecipeLoader(text)
    try:
        node = loader.get_single_node()
        data = None if node is None else loader.construct_document(node)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise UsageError(f"the recipe is not YAML: {_problem(error)}", _place(error, at)) from error
    finally:
        loader.dispose()
    if data is None:
        raise UsageError(
            "the recipe is empty", at, "every setting has a default: write one of them"
        )
    if not isinstance(data, dict):
        raise UsageError(
            f"a recipe is made of keys with values, this is a {type(data).__name__}",
            at,
            "write for example `seed: 1`",
        )
    lines: Lines = {}
    _collect_lines(node, (), lines)
    return data, lines


def _collect_lines(node: yaml.Node | None, location: Location, lines: Lines) -> None:
    if location in lines or node is None:
        return
    lines[location] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            _collect_lines(value, (*location, str(key.value)), lines)
            lines[(*location, str(key.value))] = key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _collect_lines(value, (*location, index), lines)


def _problem(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError):
        return str(error.problem or error.context)
    if isinstance(error, RecursionError):
        return "it contains itself, or is nested too deep"
    return str(error).splitlines()[0]


def _place(error: Exception, at: str) -> str:
    mark = getattr(error, "problem_mark", None)
    return at if mark is None else f"{at}, line {mark.line + 1}"
