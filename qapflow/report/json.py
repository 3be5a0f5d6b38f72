"""The report as JSON and back, nothing lost: every field by its name, in the order of the class."""

from __future__ import annotations

import json
import math
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from qapflow.errors import UsageError
from qapflow.report.figures import Report
from qapflow.verify.bisection import Bisection

T = TypeVar("T")

FORMAT = "qapflow report 4"


def render_json(report: Report) -> str:
    """Return the report as indented JSON; `format` and `passed` come first."""
    head = {"format": FORMAT, "passed": report.passed}
    return json.dumps({**head, **encode(report)}, indent=1, allow_nan=False) + "\n"


def read_report(text: str) -> Report:
    """Read what `render_json` wrote.

    Raises:
        UsageError: the text is no JSON, or not of this format.
    """
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(
            f"the report is not JSON: {error.msg}",
            at=f"line {error.lineno}",
            hint="run qapflow build again",
        ) from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        found = data.get("format") if isinstance(data, dict) else type(data).__name__
        raise UsageError(
            f"the report has another format: {found!r}, not {FORMAT!r}",
            hint="run qapflow build again with this version",
        )
    report = _decode(Report, data, "report")
    assert isinstance(report, Report)
    return report


def read_as(kind: type[T], data: Any, at: str) -> T:
    """Build a record of the report from its JSON; `at` names it in errors.

    Raises:
        UsageError: a value is missing or of the wrong kind.
    """
    made = _decode(kind, data, at)
    assert isinstance(made, kind)
    return made


def render_bisection_json(bisection: Bisection) -> str:
    """Return a bisection as indented JSON; `passed` comes first, a layer's `state` is given."""
    data = {"passed": bisection.passed, **encode(bisection)}
    for row, check in zip(data["layers"], bisection.layers, strict=True):
        row["state"] = check.state
    return json.dumps(data, indent=1, allow_nan=False) + "\n"


def encode(value: Any) -> Any:
    """Return records, enumerations and mappings as plain JSON values; infinities become text."""
    if is_dataclass(value):
        return {item.name: encode(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [encode(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _decode(kind: Any, value: Any, at: str) -> Any:
    """Build a value of `kind`; `at` is the path to it, for errors."""
    if is_dataclass(kind) and isinstance(kind, type):
        return _decode_class(kind, value, at)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _decode(next(a for a in arguments if a is not type(None)), value, at)
    if origin is tuple and isinstance(value, list):
        inner = arguments[:1] * len(value) if Ellipsis in arguments else arguments
        if len(inner) == len(value):
            return tuple(_decode(k, v, at) for k, v in zip(inner, value, strict=True))
    if origin in (Mapping, dict) and isinstance(value, dict):
        return {key: _decode(arguments[1], item, f"{at}.{key}") for key, item in value.items()}
    if origin is Literal and value in arguments:
        return value
    return _decode_plain(kind, value, at)


def _decode_class(kind: Any, value: Any, at: str) -> Any:
    if not isinstance(value, dict):
        raise _broken(at)
    hints = get_type_hints(kind)
    missing = [item.name for item in fields(kind) if item.name not in value]
    if missing:
        raise _broken(f"{at}.{missing[0]}")
    return kind(
        **{k.name: _decode(hints[k.name], value[k.name], f"{at}.{k.name}") for k in fields(kind)}
    )


def _decode_plain(kind: Any, value: Any, at: str) -> Any:
    try:
        if kind is float and isinstance(value, int | float | str) and not isinstance(value, bool):
            return float(value)
        if isinstance(kind, type) and issubclass(kind, Enum):
            return kind(value)
    except ValueError as error:
        raise _broken(at) from error
    if not isinstance(kind, type) or not isinstance(value, kind):
        raise _broken(at)
    return value


def _broken(at: str) -> UsageError:
    return UsageError(
        "the report is damaged: a value is missing or of the wrong kind",
        at=at,
        hint="run qapflow build again",
    )
