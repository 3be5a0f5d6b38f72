"""Operations to our own kernels: which C++ function, with which numbers.

Every kernel is exact: values are compared, added and multiplied at full width and land in a type
that the network proved to hold them. Only `Quantize` rounds, as its mode says.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from qapflow.ir.fixed import Codes, Fixed, Overflow, widen
from qapflow.ir.ops import (
    Affine,
    Clip,
    Const,
    Dense,
    Leaky,
    Op,
    Quantize,
    Table,
    Threshold,
)
from qapflow.lower.divide import division
from qapflow.lower.moves import MOVES
from qapflow.lower.program import Kernel, Rom, Wire


def kernel(op: Op, inputs: tuple[Wire, ...], out: Wire, stream: bool) -> Kernel:
    """Return the kernel of an operation that hls4ml's own layers do not cover."""
    make = _ELEMENTWISE.get(type(op))
    if make is not None:
        return make(op, inputs[0], out, stream)
    return MOVES[type(op)](op, inputs, out, stream)


def copy(wire: Wire) -> Kernel:
    """Return the kernel that copies a wire."""
    return _map("copy", wire)


def products(op: Dense) -> Kernel:
    """Return the kernel of a dense layer on one row that writes out every product not zero."""
    codes, frac = op.weight.codes, op.weight.type.frac
    n_in, n_out = codes.shape
    bias = np.zeros(n_out) if op.bias is None else op.bias.type.decode(op.bias.codes).reshape(-1)
    rows = []
    for j in range(n_out):
        places = np.flatnonzero(codes[:, j])
        terms = [(int(i), repr(float(np.ldexp(float(codes[i, j]), -frac)))) for i in places]
        rows.append((repr(float(bias[j])), terms))
    count = sum(len(terms) for _, terms in rows)
    params = {"sizes": {"n_in": n_in, "n_out": n_out}, "weight": op.weight.type}
    return Kernel("products", "products", {**params, "count": count, "rows": rows})


def clone(wire: Wire, readers: int) -> Kernel:
    """Return the kernel that sends one stream to several readers."""
    return Kernel("", "clone", {"wire": wire, "readers": readers})


def _map(macro: str, wire: Wire, roms: tuple[Rom, ...] = (), **params: Any) -> Kernel:
    sizes = {"size": wire.size, "lanes": wire.lanes, "packets": wire.packets}
    return Kernel("map", macro, {"sizes": sizes, **params}, roms)


def _quantize(op: Quantize, x: Wire, out: Wire, stream: bool) -> Kernel:
    if op.overflow is Overflow.SAT_SYM and op.type.signed and op.type.width == 1:
        return _map("zero", x)  # ap_fixed still gives -1 here
    if op.divisor == 1:
        # the open ap_fixed reads past the sign when more bits are dropped than there are
        width = max(x.type.width, x.type.frac - op.type.frac + 1)
        wide = None if width == x.type.width else Fixed(x.type.signed, width, x.type.frac)
        return _map("quantize", x, op=op, wide=wide)
    return _map("divide", x, op=op, by=division(x.type, op))


def _affine(op: Affine, x: Wire, out: Wire, stream: bool) -> Kernel:
    scale = _constant("s", op.scale, x, stream)
    if op.offset is None:
        return _map("affine", x, (scale[1],), scale=scale, offset=None)
    offset = _constant("o", op.offset, x, stream)
    return _map("affine", x, (scale[1], offset[1]), scale=scale, offset=offset)


def _clip(op: Clip, x: Wire, out: Wire, stream: bool) -> Kernel:
    roms = tuple(
        Rom(name, const.codes.reshape(1), const.type)
        for name, const in (("lower", op.lower), ("upper", op.upper))
        if const is not None
    )
    return _map("clip", x, roms, lower=op.lower is not None, upper=op.upper is not None)


def _leaky(op: Leaky, x: Wire, out: Wire, stream: bool) -> Kernel:
    slope = _constant("s", op.slope, x, stream)
    threshold = op.threshold or Const(np.zeros((), np.int64), Fixed(False, 1, 0))
    knee = Rom("t", threshold.codes.reshape(1), threshold.type)
    return _map("leaky", x, (slope[1], knee), slope=slope)


def _table(op: Table, x: Wire, out: Wire, stream: bool) -> Kernel:
    if op.values.codes.ndim > 1:
        rom = Rom("v", op.values.codes.reshape(-1), op.values.type)
        sizes = {"n_in": x.size, "n_out": out.size, "width": out.shape[-1]}
        return Kernel("lookup", "lookup", {"sizes": sizes, "first": op.first}, (rom,))
    return _map("table", x, (Rom("v", op.values.codes, op.values.type),), first=op.first)


def _threshold(op: Threshold, x: Wire, out: Wire, stream: bool) -> Kernel:
    """Thresholds move to the grid of x: t <= x exactly when ceil(t) <= code(x) there."""
    codes = _ceil_to(op.thresholds, x.type)
    count = codes.shape[-1]
    steps, width = [], count + 1
    while width > 1:
        steps.append((width + 1) // 2)
        width = steps[-1]
    kind = Fixed.holding(x.type.lo, x.type.hi + 1, 0)
    roms = (Rom("t", codes, kind), Rom("v", op.values.codes, op.values.type))
    channels = codes.shape[0] if codes.ndim == 2 else 1
    return _map("threshold", x, roms, count=count, steps=steps, channels=channels)


def _ceil_to(const: Const, kind: Fixed) -> Codes:
    """Codes of `const` rounded up onto the grid of `kind`, kept within its range and one above."""
    codes = widen(const.codes)
    shift = kind.frac - const.type.frac
    moved = codes * (1 << shift) if shift >= 0 else -((-codes) // (1 << -shift))
    return np.asarray(np.minimum(np.maximum(moved, kind.lo), kind.hi + 1))


def _constant(name: str, const: Const, x: Wire, stream: bool) -> tuple[str, Rom]:
    """Return the C++ index expression and the table of a constant broadcast against x."""
    codes = const.codes
    if codes.size == 1:
        return "0", Rom(name, codes.reshape(1), const.type)
    trailing = x.shape[len(x.shape) - codes.ndim :]
    rom = Rom(name, np.broadcast_to(codes, trailing).reshape(-1), const.type)
    period = prod(trailing)
    if period == x.lanes:
        return "c", rom
    return ("i" if period == x.size else f"i % {period}"), rom


_ELEMENTWISE: dict[type[Any], Callable[[Any, Wire, Wire, bool], Kernel]] = {
    Quantize: _quantize,
    Affine: _affine,
    Clip: _clip,
    Leaky: _leaky,
    Table: _table,
    Threshold: _threshold,
}
