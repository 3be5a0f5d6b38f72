"""Arithmetic on arrays of symbolic values: sums, products, windows, tables.

A symbol (alkaid's FVariable) stands for one wire and knows its exact range and grid. alkaid keeps
added constants in 32 bits and the weights of its solver as float32; what does not fit is split or
refused here, never rounded.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from qapflow.ir.digits import signed_digits
from qapflow.ir.ops import Const
from qapflow.rtl.repair import TooWide, odd_part

Symbol = Any  # alkaid.trace.FVariable
Symbols = NDArray[Any]
F64 = NDArray[np.float64]

FACTOR_BITS = 10
"""Longest factor whose shortest chain of additions is searched: the search is exponential."""
WEIGHT_BITS = 23
"""Weights that float32 holds, and a sign."""
TABLE_BITS = 24
"""Bits of a table's values that the tracer, which finds their grid in float32, keeps."""
EXTRA_DEPTH = 2
"""Adders by which a sum may be deeper than its shortest tree, for the sake of shared terms.

Without a limit 16-64-32-32-5 of dense 6-bit weights is 81 units deep, with it 49, at the same LUT.
"""
TABLE_CODES = 1 << 12
"""Step functions of inputs with fewer codes become tables, the others comparisons."""


@dataclass(frozen=True)
class Fabric:
    """How the tracer prices logic: adder and carry size in bits, and the deepest path in adders.

    Each of alkaid's HWConfig, and its own defaults; -1 means no limit, but no carry size: with it
    alkaid's delay of an adder falls with its width.
    """

    adder_size: int = 1
    carry_size: int = 1
    latency_cutoff: int = -1

    @property
    def prices(self) -> tuple[int, int, int]:
        """The three numbers as alkaid takes them."""
        return (self.adder_size, self.carry_size, self.latency_cutoff)


def reals(const: Const) -> F64:
    """Return the values of a constant.

    Raises:
        TooWide: doubles do not hold them.
    """
    values = np.ldexp(const.codes.astype(np.float64), -const.type.frac)
    if const.type.width > 53:
        raise TooWide(f"constants of {const.type.width} bits")
    return values


def each(function: Callable[[Symbol], Symbol], xs: Symbols) -> Symbols:
    """Apply a function to every symbol."""
    return np.asarray(np.frompyfunc(function, 1, 1)(xs), dtype=object)


def constant(value: float, fabric: Fabric) -> Symbol:
    """Return a symbol that is always `value`."""
    from alkaid.trace import FVariable, HWConfig

    return FVariable.from_const(float(value), hwconf=HWConfig(*fabric.prices))


def add_constant(x: Symbol, value: float) -> Symbol:
    """Return x + value.

    Raises:
        TooWide: the constant has more than 31 bits.
    """
    return x + float(value)


def add_constants(xs: Symbols, values: F64) -> Symbols:
    """Return xs + values, broadcast."""
    return np.asarray(np.frompyfunc(add_constant, 2, 1)(xs, values), dtype=object)


def scale_by(x: Symbol, value: float) -> Symbol:
    """Return x * value: by the tracer's shortest chain, for a long factor by its signed digits."""
    whole, shift = odd_part(value)
    if abs(whole).bit_length() <= FACTOR_BITS:
        return x * float(value)
    terms = [x * (sign * 2.0 ** (place + shift)) for place, sign in signed_digits(whole)]
    return fold("sum", np.array(terms, dtype=object), (0,))[()]


def multiply(rows: Symbols, weight: Const, fabric: Fabric) -> Symbols:
    """Return rows[n, k] @ weight[k, m] by shared shifts and additions."""
    codes = weight.codes.reshape(rows.shape[-1], -1).astype(np.int64)
    parts: list[Symbols] = []
    frac = weight.type.frac
    while codes.any() or not parts:
        wide = np.abs(codes).max(initial=0) >> WEIGHT_BITS
        low = codes & ((1 << WEIGHT_BITS) - 1) if wide else codes
        parts.append(_multiply(rows, np.ldexp(low.astype(np.float64), -frac), fabric))
        codes = (codes - low) >> WEIGHT_BITS
        frac -= WEIGHT_BITS
    return total(parts)


def _multiply(rows: Symbols, kernel: F64, fabric: Fabric) -> Symbols:
    from alkaid.trace import FVArray

    fixed = np.array([all(x.low == x.high for x in row) for row in rows], bool)
    result = np.empty((len(rows), kernel.shape[1]), dtype=object)
    if fixed.any():  # alkaid takes no row without a variable
        values = np.array([[float(x.low) for x in row] for row in rows[fixed]])
        result[fixed] = each(lambda v: constant(v, fabric), np.asarray(values @ kernel, object))
    if not fixed.all():
        options: Any = {"hard_dc": EXTRA_DEPTH}
        found = FVArray(rows[~fixed], options, hwconf=fabric.prices) @ kernel
        result[~fixed] = each(
            lambda x: x if hasattr(x, "kif") else constant(x, fabric), np.asarray(found)
        )
    return result


def total(arrays: Sequence[Symbols]) -> Symbols:
    """Add arrays."""
    return np.asarray(pair_up(operator.add, arrays), dtype=object)


def pair_up(combine: Callable[[Any, Any], Any], items: Sequence[Any]) -> Any:
    """Combine items two by two, so that the tree is as shallow as can be."""
    layer = list(items)
    while len(layer) > 1:
        pairs = [combine(a, b) for a, b in zip(layer[::2], layer[1::2], strict=False)]
        layer = pairs + layer[len(layer) - len(layer) % 2 :]
    return layer[0]


def fold(kind: str, xs: Symbols, axes: tuple[int, ...]) -> Symbols:
    """Return sum or maximum over axes; None stands for padding that never wins."""
    combine = operator.add if kind == "sum" else _larger
    kept = [axis for axis in range(xs.ndim) if axis not in axes]
    flat = xs.transpose(*kept, *axes).reshape(*(xs.shape[a] for a in kept), -1)
    result = np.empty(flat.shape[:-1], dtype=object)
    for place in product(*map(range, result.shape)):
        result[place] = pair_up(combine, [x for x in flat[place] if x is not None])
    return result


def _larger(a: Symbol, b: Symbol) -> Symbol:
    return a.max_of(b)


def pad(xs: Symbols, amounts: Sequence[tuple[int, int]], edge: Symbol) -> Symbols:
    """Put `edge` around; negative amounts crop."""
    inner = tuple(
        slice(max(-a, 0), size - max(-b, 0)) for (a, b), size in zip(amounts, xs.shape, strict=True)
    )
    xs = xs[inner]
    grown = [(max(a, 0), max(b, 0)) for a, b in amounts]
    result = np.empty([a + n + b for (a, b), n in zip(grown, xs.shape, strict=True)], dtype=object)
    result.fill(edge)
    result[tuple(slice(a, a + n) for (a, _), n in zip(grown, xs.shape, strict=True))] = xs
    return result


def slide(
    xs: Symbols, size: Sequence[int], strides: Sequence[int], dilation: Sequence[int]
) -> Symbols:
    """Return windows [*places, *size, channels] of xs [*spatial, channels]."""
    axes = tuple(range(len(size)))
    spans = [(n - 1) * d + 1 for n, d in zip(size, dilation, strict=True)]
    views: Symbols = sliding_window_view(xs, tuple(spans), axis=axes)  # [*places, channels, *spans]
    views = views[tuple(slice(None, None, s) for s in strides)]
    steps: tuple[Any, ...] = (..., *(slice(None, None, d) for d in dilation))
    views = views[steps]
    return np.moveaxis(views, len(size), -1)


def look_up(x: Symbol, values: F64, first: float, step: float) -> Symbol:
    """Return values[i] for x = first + i * step; x is proved to stay inside.

    Raises:
        TooWide: the values need more than 48 bits.
    """
    low, high = round((x.low - first) / step), round((x.high - first) / step)
    stride = round(x.step / step) if high > low else 1
    # The range of a symbol may be looser than what is proved; codes outside never come.
    taken = values[np.clip(np.arange(low, high + 1, stride), 0, len(values) - 1)]
    if len(taken) == 1:
        return x.from_const(float(taken[0]), hwconf=x.hwconf)
    grid = _grid(taken)
    below = np.mod(taken, grid * 2.0**TABLE_BITS)
    above = taken - below
    if np.abs(above).max() >= grid * 2.0 ** (2 * TABLE_BITS):
        raise TooWide(f"table values of more than {2 * TABLE_BITS} bits")
    parts = [x.lookup(part) for part in (below, above) if part.any()]
    return pair_up(operator.add, parts) if parts else x.from_const(0.0, hwconf=x.hwconf)


def _grid(values: F64) -> float:
    """Return the coarsest power of two that all values are multiples of."""
    shifts = [odd_part(v)[1] for v in values if v]
    return float(2.0 ** min(shifts, default=0))


def step_through(x: Symbol, thresholds: F64, values: F64) -> Symbol:
    """Return values[k], k = how many of the ascending thresholds are <= x."""
    codes = round((x.high - x.low) / x.step) + 1 if x.high > x.low else 1
    if codes <= TABLE_CODES:
        grid = x.low + np.arange(codes) * float(x.step if codes > 1 else 0)
        found = values[np.searchsorted(thresholds, grid, side="right")]
        return look_up(x, found, float(x.low), float(x.step) if codes > 1 else 1.0)
    first = int(np.searchsorted(thresholds, float(x.low), side="right"))
    last = int(np.searchsorted(thresholds, float(x.high), side="right"))
    jumps = [
        scale_by(x >= float(thresholds[k]), float(values[k + 1] - values[k]))
        for k in range(first, last)
        if values[k + 1] != values[k]
    ]
    start = x.from_const(float(values[first]), hwconf=x.hwconf)
    return fold("sum", np.array([start, *jumps], dtype=object), (0,))[()]
