"""What pydantic found wrong with a recipe, in the words of the recipe: key, value, line, fix."""

from __future__ import annotations

import difflib
import json
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from pydantic import BaseModel, ValidationError

from qapflow.errors import UsageError
from qapflow.train.recipes.recipe import Recipe
from qapflow.train.recipes.yaml import Lines, Location

# Type of pydantic's error -> what the value must be; braces hold pydantic's context.
_MUST = {
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le:g}",
    "literal_error": "{expected}",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a smaller number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "path_type": "a path",
    "tuple_type": "a list",
    "dict_type": "keys with values",
    "model_type": "keys with values",
    "model_attributes_type": "keys with values",
    "too_long": "a list of {max_length}",
    "union_tag_invalid": "of one of the kinds {expected_tags}",
    "none_required": "null",
}


def recipe_error(
    error: ValidationError, data: Mapping[str, Any], lines: Lines, at: str
) -> UsageError:
    """Turn pydantic's findings into one error that names every wrong setting at once."""
    if not error.errors()[0]["loc"]:  # the text itself: lone surrogates
        return UsageError(f"the recipe is not text: {error.errors()[0]['msg']}", at)
    found: dict[tuple[Location, str], list[Mapping[str, Any]]] = {}
    for item in error.errors(include_url=False):
        location = _location(item["loc"], data)
        # The branches of a union fail one by one at the same place: one finding.
        key = item["type"] if item["type"] in ("extra_forbidden", "missing") else ""
        found.setdefault((location, key), []).append(dict(item))
    findings = [(loc, *_sentence(loc, items, data)) for (loc, _), items in found.items()]
    if len(findings) == 1:
        location, what, hint = findings[0]
        return UsageError(what, _place(at, _line(location, lines)), hint)
    rows = [
        f"  - {_place('', _line(location, lines))}{what}" + (f" ({hint})" if hint else "")
        for location, what, hint in findings
    ]
    return UsageError("\n".join([f"{len(findings)} settings of the recipe are wrong:", *rows]), at)


def key_of(location: Iterable[str | int]) -> str:
    """Write a location as in `model.layers[2].units`."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def nearest(key: str, names: Iterable[str]) -> str:
    """Return a hint that names the closest of the known names, or all of them."""
    known = list(names)
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"


def _location(loc: Sequence[str | int], data: Any) -> Location:
    """Leave out what pydantic adds to a location: the branches of unions."""
    kept: list[str | int] = []
    for index, part in enumerate(loc):
        last = index == len(loc) - 1
        if isinstance(data, dict) and (part in data or (last and part != data.get("kind"))):
            kept.append(part)
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int):
            kept.append(part)
            data = data[part] if part < len(data) else None
    return tuple(kept)


def _sentence(location: Location, items: Sequence[Mapping[str, Any]], data: Any) -> tuple[str, str]:
    key, kind = key_of(location), items[0]["type"]
    if kind == "extra_forbidden":
        names = list(_part_at(location[:-1], data).model_fields)
        return f"there is no setting {key}", nearest(str(location[-1]), names)
    if kind == "missing":
        return f"{key} is missing", "write a value for it"
    if kind == "union_tag_not_found":
        return f"{key} has no kind", "write for example {kind: dense, units: 32}"
    must = " or ".join(dict.fromkeys(map(_must, items)))
    value = items[0]["input"]
    if kind == "union_tag_invalid":
        value = items[0]["ctx"]["tag"]
    return f"{key} is {_short(value)}, it must be {must}", _fix(location, value, items, data)


def _must(item: Mapping[str, Any]) -> str:
    words = _MUST.get(item["type"])
    return words.format(**item.get("ctx", {})) if words else str(item["msg"])


def _fix(location: Location, value: Any, items: Sequence[Mapping[str, Any]], data: Any) -> str:
    context = items[0].get("ctx", {})
    expected = str(context.get("expected", context.get("expected_tags", "")))
    names = [word for word in expected.replace('"', "'").split("'")[1::2] if word]
    if location[-1] == "alpha":
        return "other scales are no powers of two, and would stay multipliers in firmware"
    if isinstance(value, str) and (close := difflib.get_close_matches(value, names, n=1)):
        return f"did you mean {close[0]!r}?"
    field = _part_at(location[:-1], data).model_fields.get(str(location[-1]))
    if field is None or field.is_required() or isinstance(field.default, BaseModel):
        return ""
    return f"the default is {_short(field.default)}"


def _part_at(location: Location, data: Any) -> type[BaseModel]:
    """Return the class of the part of a recipe at a location."""
    node: Any = data
    part: type[BaseModel] = Recipe
    pool: list[type[BaseModel]] = []
    for key in location:
        node = cast(Any, node)[key] if isinstance(node, dict | list) else None
        if key in part.model_fields:
            pool = list(_parts_in(part.model_fields[str(key)].annotation))
        kind = node.get("kind") if isinstance(node, dict) else None
        for candidate in pool if isinstance(node, dict) else ():
            kinds = candidate.model_fields.get("kind")
            if kinds is None or kind in typing.get_args(kinds.annotation):
                part = candidate
    return part


def _parts_in(annotation: Any) -> Iterable[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _parts_in(argument)


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _line(location: Location, lines: Lines) -> int | None:
    while location and location not in lines:
        location = location[:-1]
    return lines.get(location)


def _place(at: str, line: int | None) -> str:
    if line is None:
        return at
    return f"{at}, line {line}" if at else f"line {line}: "
