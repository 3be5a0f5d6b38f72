"""Reading untrusted JSON: bounds before parsing, and typed access with errors that name a place."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from qapflow.errors import UsageError

MAX_LAYERS = 10_000
MAX_JSON_BYTES = 64 << 20
# Containers and values of the largest JSON text that is parsed; Python needs ~100 bytes for each.
MAX_JSON_VALUES = 4_000_000
MAX_JSON_DEPTH = 200  # of lists and objects; a nested model needs about 5
MAX_DEPTH = 32
RESAVE = "load it where it was trained and save it again with model.save('model.h5')"


def parse_json(data: bytes, at: str) -> dict[str, Any]:
    """Return the JSON object in `data`.

    Raises UsageError when it is too large, nested too deeply, no JSON, or no object.
    """
    if len(data) > MAX_JSON_BYTES:
        raise UsageError(
            f"the architecture is {len(data)} bytes long, more than {MAX_JSON_BYTES}", at, RESAVE
        )
    objects = data.count(b'"class_name"')
    values = data.count(b",") + data.count(b"[") + data.count(b"{")
    if objects > 20 * MAX_LAYERS or values > MAX_JSON_VALUES:
        raise UsageError(
            f"the architecture holds {objects} objects and {values} values, too many for a model "
            f"of at most {MAX_LAYERS} layers",
            at,
            "split the model",
        )
    try:
        found = json.loads(data)
    except RecursionError:
        raise UsageError("the architecture is nested too deeply", at, RESAVE) from None
    except ValueError as error:
        raise UsageError(f"the architecture is not JSON: {error}", at, RESAVE) from None
    if not _is_shallow(found):
        raise UsageError("the architecture is nested too deeply", at, RESAVE)
    return as_dict(found, "the architecture", at)


def _is_shallow(found: object) -> bool:
    """Tell whether values are nested at most `MAX_JSON_DEPTH` deep, so that recursion ends."""
    level: list[object] = [found]
    for _ in range(MAX_JSON_DEPTH):
        level = [
            item
            for value in level
            if isinstance(value, list | dict)
            for item in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return True
    return False


def damaged(what: str, wanted: str, value: object, at: str) -> UsageError:
    """Return the error for a value of the wrong kind."""
    return UsageError(
        f"{what} should be {wanted}, not {type(value).__name__}: this is no Keras model or it is "
        "damaged",
        at,
        RESAVE,
    )


def as_dict(value: object, what: str, at: str) -> dict[str, Any]:
    """Return `value` if it is a dictionary with text keys."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise damaged(what, "an object", value, at)
    return dict(value)


def as_list(value: object, what: str, at: str) -> list[Any]:
    """Return `value` if it is a list or tuple."""
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise damaged(what, "a list", value, at)
    return list(value)


def as_text(value: object, what: str, at: str) -> str:
    """Return `value` if it is non-empty text."""
    if not isinstance(value, str) or not value:
        raise damaged(what, "text", value, at)
    return value
