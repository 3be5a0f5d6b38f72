"""Each operation of the network on symbolic values, one small function each.

Arrays are numpy object arrays of alkaid's FVariable, without a batch axis. Values are real
numbers (code * 2**-frac), so no alignment is needed: each symbol knows its own grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial, singledispatch

import numpy as np

from qapflow.errors import UsageError
from qapflow.ir import ops
from qapflow.ir.net import Edge
from qapflow.rtl.divide import divide_symbol
from qapflow.rtl.rounding import cast_symbol, floor_to, limit
from qapflow.rtl.symbols import (
    Fabric,
    Symbol,
    Symbols,
    add_constant,
    add_constants,
    constant,
    each,
    fold,
    look_up,
    multiply,
    pad,
    reals,
    scale_by,
    slide,
    step_through,
)


@dataclass(frozen=True)
class Site:
    """Where an operation stands: its result, the edges it reads, and the price of logic."""

    out: Edge
    edges: tuple[Edge, ...]
    fabric: Fabric


@singledispatch
def run_symbols(op: ops.Op, site: Site, xs: list[Symbols]) -> Symbols:
    """Return the symbols of one operation, in the order of its output edge."""
    raise UsageError(f"{type(op).__name__} cannot be traced")


@run_symbols.register
def _(op: ops.Quantize, site: Site, xs: list[Symbols]) -> Symbols:
    if op.divisor == 1:
        return each(lambda x: cast_symbol(x, op.type, op.rounding, op.overflow), xs[0])
    kind = site.edges[0].type
    return each(lambda x: limit(divide_symbol(x, kind, op), op.type, op.overflow), xs[0])


@run_symbols.register
def _(op: ops.Dense, site: Site, xs: list[Symbols]) -> Symbols:
    rows = xs[0].reshape(-1, xs[0].shape[-1])
    result = multiply(rows, op.weight, site.fabric)
    return result if op.bias is None else add_constants(result, reals(op.bias))


@run_symbols.register
def _(op: ops.Conv, site: Site, xs: list[Symbols]) -> Symbols:
    codes = op.weight.codes
    x = pad(xs[0], (*op.padding, (0, 0)), constant(0.0, site.fabric))
    windows = slide(x, codes.shape[:-2], op.strides, op.dilation)
    places, channels = windows.shape[: len(op.strides)], x.shape[-1] // op.groups
    filters = codes.shape[-1] // op.groups
    parts = []
    for group in range(op.groups):
        taken = windows[..., group * channels : (group + 1) * channels]
        kernel = codes[..., group * filters : (group + 1) * filters].reshape(-1, filters)
        rows = taken.reshape(-1, kernel.shape[0])
        found = multiply(rows, ops.Const(kernel, op.weight.type), site.fabric)
        parts.append(found.reshape(*places, filters))
    result = np.concatenate(parts, axis=-1)
    return result if op.bias is None else add_constants(result, reals(op.bias))


@run_symbols.register
def _(op: ops.Pool, site: Site, xs: list[Symbols]) -> Symbols:
    edge = constant(0.0, site.fabric) if op.kind == "sum" else None
    x = pad(xs[0], (*op.padding, (0, 0)), edge)
    windows = slide(x, op.size, op.strides, (1,) * len(op.size))
    spatial = len(op.size)
    return fold(op.kind, windows, tuple(range(spatial, 2 * spatial)))


@run_symbols.register
def _(op: ops.Reduce, site: Site, xs: list[Symbols]) -> Symbols:
    return fold(op.kind, xs[0], op.axes)


@run_symbols.register
def _(op: ops.Merge, site: Site, xs: list[Symbols]) -> Symbols:
    pairs = {
        "add": lambda a, b: a + b,
        "sub": lambda a, b: a - b,
        "mul": lambda a, b: a * b,
        "max": lambda a, b: a.max_of(b),
        "min": lambda a, b: a.min_of(b),
    }
    return np.asarray(np.frompyfunc(pairs[op.kind], 2, 1)(*xs))


@run_symbols.register
def _(op: ops.MatMul, site: Site, xs: list[Symbols]) -> Symbols:
    left, right = xs
    products = left[..., :, :, None] * right[..., None, :, :]
    return fold("sum", products, (products.ndim - 2,))


@run_symbols.register
def _(op: ops.Affine, site: Site, xs: list[Symbols]) -> Symbols:
    x = xs[0]
    scaled = np.asarray(np.frompyfunc(scale_by, 2, 1)(x, reals(op.scale)))
    return scaled if op.offset is None else add_constants(scaled, reals(op.offset))


@run_symbols.register
def _(op: ops.Clip, site: Site, xs: list[Symbols]) -> Symbols:
    low = None if op.lower is None else float(reals(op.lower))
    high = None if op.upper is None else float(reals(op.upper))

    def clip(x: Symbol) -> Symbol:
        x = x if low is None else x.max_of(low)
        return x if high is None else x.min_of(high)

    return each(clip, xs[0])


@run_symbols.register
def _(op: ops.Leaky, site: Site, xs: list[Symbols]) -> Symbols:
    threshold = np.float64(0) if op.threshold is None else reals(op.threshold)

    def leak(x: Symbol, slope: float, at: float) -> Symbol:
        below = add_constant(x, -at)
        if below.low >= 0:
            return floor_to(x, site.out.type.frac)
        sloped = scale_by(below, slope)
        return below.is_negative().msb_mux(sloped, floor_to(x, site.out.type.frac))

    return np.asarray(np.frompyfunc(leak, 3, 1)(xs[0], reals(op.slope), threshold))


@run_symbols.register
def _(op: ops.Table, site: Site, xs: list[Symbols]) -> Symbols:
    values, step = reals(op.values), 2.0 ** -site.edges[0].type.frac
    columns = values.reshape(len(values), -1).T
    found = []
    for column in columns:
        read = partial(look_up, values=column, first=op.first * step, step=step)
        found.append(each(read, xs[0]))
    return np.stack(found, axis=-1)


@run_symbols.register
def _(op: ops.Threshold, site: Site, xs: list[Symbols]) -> Symbols:
    x, thresholds, values = xs[0], reals(op.thresholds), reals(op.values)
    if thresholds.ndim == 1:
        return each(partial(step_through, thresholds=thresholds, values=values), x)
    channels = []
    for channel, (at, level) in enumerate(zip(thresholds, values, strict=True)):
        channels.append(each(partial(step_through, thresholds=at, values=level), x[..., channel]))
    return np.stack(channels, axis=-1)


@run_symbols.register
def _(op: ops.Concat, site: Site, xs: list[Symbols]) -> Symbols:
    return np.concatenate(xs, axis=op.axis)


@run_symbols.register
def _(op: ops.Reshape, site: Site, xs: list[Symbols]) -> Symbols:
    return xs[0].reshape(op.shape)


@run_symbols.register
def _(op: ops.Transpose, site: Site, xs: list[Symbols]) -> Symbols:
    return xs[0].transpose(op.order)


@run_symbols.register
def _(op: ops.Pad, site: Site, xs: list[Symbols]) -> Symbols:
    return pad(xs[0], op.amounts, constant(0.0, site.fabric))


@run_symbols.register
def _(op: ops.Upsample, site: Site, xs: list[Symbols]) -> Symbols:
    result = xs[0]
    for axis, factor in enumerate(op.factors):
        result = np.repeat(result, factor, axis=axis)
    return result


@run_symbols.register
def _(op: ops.Flip, site: Site, xs: list[Symbols]) -> Symbols:
    return np.flip(xs[0], axis=op.axis)
