"""Arithmetic between tensors, or of a tensor and a constant, broadcast as numpy does."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.frontend.layers.norm import scale_and_shift
from qapflow.frontend.layers.work import Work
from qapflow.ir.ops import Affine, Clip, Const, Merge

MERGES: dict[str, Any] = {
    "add": "add", "subtract": "sub", "multiply": "mul", "maximum": "max", "minimum": "min",
}  # fmt: skip
ONE = np.float32(1)
FLOAT32_BITS = 24
NARROW = 16  # bits of constants that are kept as they are


def combine(work: Work, kind: str, left: Any, right: Any) -> str:
    """Combine two operands, one of which may be a constant."""
    if isinstance(left, str) and isinstance(right, str):
        if len(work.shape(left)) != len(work.shape(right)):
            raise work.refuse(
                f"shapes {work.shape(left)} and {work.shape(right)} are broadcast into the batch",
                "reshape one of them first",
            )
        return work.add(Merge(MERGES[kind]), left, right)
    if isinstance(right, str):
        if kind == "subtract":
            negative = work.add(Affine(Const.exact(-1.0)), right, suffix="negative")
            return _constant(work, "add", negative, left)
        left, right = right, left
    if not isinstance(left, str):
        raise work.refuse("both of its operands are constants", "compute them in advance")
    return _constant(work, kind, left, right)


def divided(work: Work, edge: str, divisor: Any) -> str:
    """Divide by a constant."""
    if isinstance(divisor, str):
        raise work.refuse("it divides by a tensor", "multiply by its inverse, if it is constant")
    values = _values(work, edge, divisor)
    if not values.all():
        raise work.refuse("it divides by zero", "check the constant")
    inverse = np.asarray(ONE / values, np.float32)
    return work.finish(scale_and_shift(work, inverse, np.asarray(0.0), "division"))


def _constant(work: Work, kind: str, edge: str, value: Any) -> str:
    values = _values(work, edge, value)
    if kind in ("maximum", "minimum"):
        if values.size != 1:
            raise work.refuse(f"the {kind} with several constants is not supported", "use one")
        end = Const.exact(float(values.reshape(())))
        return work.add(Clip(end, None) if kind == "maximum" else Clip(None, end), edge)
    factor, offset = np.ones((), np.float32), np.zeros(())
    if kind == "multiply":
        factor = values
    else:
        offset = (-1.0 if kind == "subtract" else 1.0) * values.astype(np.float64)
    exact = Affine(Const.exact(factor), Const.exact(offset) if offset.any() else None)
    kinds = exact.scale.type, Const.exact(offset).type
    if max(kind.width for kind in kinds) <= NARROW:
        made = work.add(exact, edge)
        if work.builder.edges[made].type.width <= FLOAT32_BITS:
            return made
        work.reasons.append("its result has more bits than float32")
        return work.finish(made)
    return work.finish(scale_and_shift(work, factor, offset, "arithmetic with a constant"))


def _values(work: Work, edge: str, value: Any) -> NDArray[np.float32]:
    """Return a constant as float32; it must not make the result larger than the tensor."""
    try:
        values = np.asarray(value, np.float32)
    except (TypeError, ValueError):
        raise work.refuse(f"its operand {value!r} is no number", "use numbers") from None
    if not np.isfinite(values).all():
        raise work.refuse("its operand is NaN or infinite", "use numbers")
    shape = work.shape(edge)
    while values.ndim > len(shape) and values.shape[0] == 1:
        values = values[0]
    fits = values.ndim <= len(shape) and all(
        n in (1, m) for n, m in zip(values.shape[::-1], shape[::-1], strict=False)
    )
    if not fits:
        raise work.refuse(
            f"a constant of shape {values.shape} does not broadcast to {shape}", "reshape it"
        )
    return values
