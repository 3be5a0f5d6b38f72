"""Smooth functions by one table: a chosen input grid, a chosen output grid, a proved error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from qapflow.frontend.quantizers.site import Site
from qapflow.ir.fixed import Fixed, Overflow, Rounding
from qapflow.ir.ops import Clip, Const, Quantize, Table

TABLE_BITS = 12  # a table has at most 2**12 entries

Reals = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """A function that is monotone between `turns`, and the range outside which it is flat."""

    function: Callable[[Reals], Reals]
    lowest: float
    highest: float
    turns: tuple[float, ...] = ()


@dataclass(frozen=True)
class Tabulated:
    """The site behind a table, how many entries it has, and the largest error it makes."""

    site: Site
    entries: int
    error: float


def tabulate(site: Site, curve: Curve, frac: int) -> Tabulated:
    """Add `curve` as a table whose values are rounded to the grid 2**-frac.

    An input with more than 2**TABLE_BITS codes is first rounded (ties to even) and saturated to
    the finest grid that leaves so many over the range where the function is not flat. The error
    is the largest over both ends of every rounding cell, which bounds a monotone function.
    """
    lo, hi = site.hull()
    before = site.type.frac
    if hi - lo >= 1 << TABLE_BITS:
        site = _narrow(site, curve)
    first, last = site.hull()
    codes = np.arange(first, last + 1)
    grid = site.type.frac
    values = _on_grid(curve.function(np.ldexp(codes.astype(np.float64), -grid)), frac)
    if np.all(values == values[0]):
        flat = Const.exact(float(values[0]))
        out = site.add(Clip(flat, flat))
    else:
        out = site.add(Table(first, Const.exact(values)))
    ends = (float(np.ldexp(float(lo), -before)), float(np.ldexp(float(hi), -before)))
    error = _error(curve, codes, grid, values, ends, grid != before)
    return Tabulated(out, len(codes), error)


def _narrow(site: Site, curve: Curve) -> Site:
    lo, hi = (code * site.type.lsb for code in site.hull())
    low, high = max(lo, Fraction(curve.lowest)), min(hi, Fraction(curve.highest))
    if low >= high:  # nothing but the flat part arrives
        low, high = min(low, high), max(low, high)
    frac = site.type.frac
    kind = _holding(low, high, frac)
    while kind.width > TABLE_BITS:
        frac -= 1
        kind = _holding(low, high, frac)
    site = site.add(Quantize(kind, Rounding.RND_CONV, Overflow.SAT))
    return site


def _holding(low: Fraction, high: Fraction, frac: int) -> Fixed:
    scale = Fraction(2) ** frac
    last = max(round(high * scale) - 1, round(low * scale), 0)
    return Fixed.holding(round(low * scale), last, frac)


def _on_grid(values: Reals, frac: int) -> Reals:
    return np.asarray(np.ldexp(np.rint(np.ldexp(values, frac)), -frac), np.float64)


def _error(
    curve: Curve,
    codes: NDArray[np.int64],
    grid: int,
    values: Reals,
    ends: tuple[float, float],
    rounded: bool,
) -> float:
    half = 0.5 if rounded else 0.0
    left = np.ldexp(codes - half, -grid)
    right = np.ldexp(codes + half, -grid)
    left[0], right[-1] = min(ends[0], left[0]), max(ends[1], right[-1])
    left, right = np.maximum(left, ends[0]), np.minimum(right, ends[1])
    worst = np.maximum(
        np.abs(curve.function(left) - values), np.abs(curve.function(right) - values)
    )
    for turn in curve.turns:
        inside = (left <= turn) & (turn <= right)
        peak = np.abs(curve.function(np.array([turn]))[0] - values[inside])
        worst[inside] = np.maximum(worst[inside], peak)
    return float(worst.max())


def round_to_width(site: Site, bits: int) -> tuple[Site, float]:
    """Round the edge to `bits` bits if it has more; return the site and the largest error."""
    kind = site.type
    if kind.width <= bits:
        return site, 0.0
    lo, hi = site.hull()
    frac = kind.frac - (kind.width - bits)
    shift = kind.width - bits
    target = Fixed.holding(-((-lo) >> shift) if lo < 0 else 0, hi >> shift, frac)
    if target.width > bits:
        target = replace(target, width=bits)
    out = site.add(Quantize(target, Rounding.RND_CONV, Overflow.SAT))
    return out, float(target.lsb)
