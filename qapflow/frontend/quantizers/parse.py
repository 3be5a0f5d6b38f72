"""Read quantizers in all the forms that Keras files hold them. Nothing is ever evaluated."""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from qapflow.frontend.quantizers.spec import (
    KERAS_ACTIVATIONS,
    KINDS,
    NEUTRAL,
    Quantizer,
    UnsupportedQuantizer,
    make,
)

_NONE = (None, "", "None", "none", "null")
_OPENING, _CLOSING = "([{", ")]}"
FLOAT32_MAX = float(np.finfo(np.float32).max)


# Parameters that may be lists: scales by channel, axes; of "bits" and "integer" more is said below.
ARRAYS = (
    "alpha", "threshold", "bits", "integer", "scale_axis", "elements_per_scale",
    "post_training_scale",
)  # fmt: skip


def parse_quantizer(spec: Any) -> Quantizer | None:
    """Turn None, a string, a Keras dictionary or `[class_name, config]` into a `Quantizer`.

    Raises:
        UnsupportedQuantizer: unknown kind or parameter, or a value that has no exact meaning.
    """
    if spec is None or isinstance(spec, Quantizer):
        return spec
    if isinstance(spec, str):
        return None if spec.strip() in _NONE else _parse_text(spec.strip())
    if isinstance(spec, Mapping):
        return _parse_mapping(spec)
    if isinstance(spec, Sequence):
        return _parse_list(spec)
    raise UnsupportedQuantizer(f"a quantizer given as {type(spec).__name__} is not understood")


def _parse_list(spec: Sequence[Any]) -> Quantizer | None:
    if len(spec) == 1:
        return parse_quantizer(spec[0])
    if len(spec) == 2 and isinstance(spec[0], str) and isinstance(spec[1], Mapping):
        return _parse_mapping({"class_name": spec[0], "config": spec[1]})
    raise UnsupportedQuantizer(
        f"a list of {len(spec)} quantizers stands where one is expected",
        "give the layer one quantizer",
    )


def _parse_mapping(spec: Mapping[str, Any]) -> Quantizer | None:
    name, config = spec.get("class_name"), spec.get("config")
    if name in ("function", "builtins>function") or (name is None and isinstance(config, str)):
        return parse_quantizer(config)
    if not isinstance(name, str):
        raise UnsupportedQuantizer("a quantizer without class_name is not understood")
    kind = name.rsplit(">", 1)[-1].rsplit(".", 1)[-1]
    if config is None:
        config = {}
    if not isinstance(config, Mapping):
        raise UnsupportedQuantizer(f"{kind}: the configuration is no dictionary")
    return _build(kind, {k: v for k, v in config.items() if k not in ("name", "dtype")}, "")


def _parse_text(text: str) -> Quantizer:
    kind, opened, rest = text.partition("(")
    kind = kind.strip()
    if not opened:
        return _build(kind, {}, text)
    if "(" in rest:
        # QKeras's own reader splits at "(" and drops all arguments if there are more than two
        # parts; the trained model computes with the defaults, and so must the firmware.
        note = f"QKeras drops the nested arguments of {text!r} and computes {kind}() with defaults"
        return _build(kind, {}, text, note)
    if not rest.rstrip().endswith(")"):
        raise UnsupportedQuantizer(f"{text!r} has no closing bracket")
    args, params = _arguments(rest.rstrip()[:-1], text)
    names = list(KINDS.get(kind, {}))
    if kind in KINDS and len(args) > len(names):
        raise UnsupportedQuantizer(f"{kind} takes {len(names)} arguments, {text!r} has {len(args)}")
    return _build(kind, {**dict(zip(names, args, strict=False)), **params}, text)


def _arguments(body: str, text: str) -> tuple[list[Any], dict[str, Any]]:
    args: list[Any] = []
    params: dict[str, Any] = {}
    for piece in _split(body):
        if match := re.match(r"\s*([A-Za-z_]\w*)\s*=(?!=)(.*)", piece, re.DOTALL):
            params[match[1]] = _literal(match[2], text)
        elif params:
            raise UnsupportedQuantizer(f"{text!r} has a positional argument after a named one")
        else:
            args.append(_literal(piece, text))
    return args, params


def _split(body: str) -> list[str]:
    """Split at commas outside brackets and quotes."""
    pieces, start, depth, quote = [], 0, 0, ""
    for i, char in enumerate(body):
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char in _OPENING:
            depth += 1
        elif char in _CLOSING:
            depth -= 1
        elif char == "," and not depth:
            pieces.append(body[start:i])
            start = i + 1
    pieces.append(body[start:])
    return [piece for piece in pieces if piece.strip()]


def _literal(piece: str, text: str) -> Any:
    try:
        return ast.literal_eval(piece.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise UnsupportedQuantizer(f"{piece.strip()!r} in {text!r} is no plain value") from error


def _build(kind: str, params: Mapping[str, Any], text: str, note: str = "") -> Quantizer:
    if kind in KERAS_ACTIVATIONS:
        return make(kind, params, text or kind, note)
    if kind not in KINDS:
        known = (*KINDS, *KERAS_ACTIVATIONS)
        close = difflib.get_close_matches(kind, known, 1)
        hint = f"did you mean {close[0]}?" if close else "docs/quantizers.md lists what is known"
        raise UnsupportedQuantizer(f"unknown quantizer or activation {kind!r}", hint)
    unknown = [name for name in params if name not in KINDS[kind]]
    if unknown:
        raise UnsupportedQuantizer(
            f"{kind} has no parameter {unknown[0]!r}", f"it takes {', '.join(KINDS[kind])}"
        )
    values = {name: _plain(kind, name, value) for name, value in params.items()}
    for name, value in values.items():
        if name in NEUTRAL and value != NEUTRAL[name]:
            raise UnsupportedQuantizer(
                f"{kind}: {name}={value!r} is not supported, only {NEUTRAL[name]!r}",
                f"set {name} to {NEUTRAL[name]!r} and save the model again",
            )
    quantizer = make(kind, values, text, note)
    _check(quantizer)
    return quantizer


def _plain(kind: str, name: str, value: Any) -> Any:
    """Return numbers as int or float, arrays (also Keras's serialized ones) as nested tuples."""
    if isinstance(value, Mapping):
        inner = value.get("config", value)
        value = inner.get("value", inner) if isinstance(inner, Mapping) else inner
    if isinstance(value, Mapping):
        raise UnsupportedQuantizer(f"{kind}: {name} is a dictionary, not a value")
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        flat = tuple(_plain(kind, name, v) for v in value)
        single = len(flat) == 1 and name in ("bits", "integer")
        return flat[0] if single else flat
    if isinstance(value, bool) and name in ("alpha", "threshold"):
        return float(value)  # as the multiplication in float32 reads it
    return value


def _check(quantizer: Quantizer) -> None:
    """Refuse values for which QKeras itself would fail or give no defined result."""
    kind, params = quantizer.kind, quantizer.params
    _check_numbers(kind, params)
    for name in ("bits", "integer"):
        value = params.get(name, 1)
        if not isinstance(value, int | float) or value != int(value):
            raise UnsupportedQuantizer(
                f"{kind}: {name}={value!r} is not one whole number",
                "per-channel integer bits are not supported" if isinstance(value, tuple) else "",
            )
    if not 1 <= params.get("bits", 1) <= 64:
        raise UnsupportedQuantizer(f"{kind}: bits={params['bits']} is outside 1 to 64")
    if abs(params.get("integer", 0)) > 64:
        raise UnsupportedQuantizer(f"{kind}: integer={params['integer']} is outside -64 to 64")
    if params.get("keep_negative", 0) not in (0, 1):
        raise UnsupportedQuantizer(f"{kind}: keep_negative={params['keep_negative']!r} is no flag")
    alpha = params.get("alpha")
    if isinstance(alpha, str) and alpha not in ("auto", "auto_po2"):
        raise UnsupportedQuantizer(f"{kind}: alpha={alpha!r} is not 'auto' or 'auto_po2'")
    slope = params.get("negative_slope", 0)
    if slope and (slope < 0 or np.log2(slope) % 1):
        raise UnsupportedQuantizer(f"{kind}: negative_slope={slope} is not a power of two")
    if kind == "bernoulli":
        raise UnsupportedQuantizer(
            "bernoulli draws random numbers at inference too", "use binary or stochastic_binary"
        )
    _check_threshold(kind, params.get("threshold"), alpha)
    if params.get("log2_rounding", "rnd") not in ("rnd", "floor"):
        raise UnsupportedQuantizer(f"{kind}: log2_rounding={params['log2_rounding']!r} is unknown")


def _check_numbers(kind: str, params: Mapping[str, Any]) -> None:
    """Refuse what is no number in float32 where QKeras computes with it."""
    for name, value in params.items():
        wordy = not isinstance(KINDS[kind][name], bool | int | float)  # as alpha="auto"
        if isinstance(value, tuple) and name not in ARRAYS:
            raise UnsupportedQuantizer(f"{kind}: {name} is a list, not one number")
        for part in _flatten(value):
            if isinstance(part, int | float) and abs(part) <= FLOAT32_MAX:
                continue
            if part is not None and not (wordy and isinstance(part, str)):
                raise UnsupportedQuantizer(f"{kind}: {name}={part!r} is no number")


def _flatten(value: Any) -> Iterator[Any]:
    for part in value if isinstance(value, tuple) else ():
        yield from _flatten(part)
    if not isinstance(value, tuple):
        yield value


def _check_threshold(kind: str, threshold: object, alpha: object) -> None:
    if isinstance(threshold, str):
        raise UnsupportedQuantizer(f"{kind}: threshold={threshold!r} is no number")
    if threshold is not None and isinstance(alpha, str):
        raise UnsupportedQuantizer(f"{kind}: a threshold and alpha={alpha!r} exclude each other")
