"""Softmax over the last axis from two short exponential tables and one reciprocal table.

    d = x - max(x)              exact, then rounded to 2**-11 and saturated at -16
    e = exp(floor(d)) * exp(d - floor(d))
    s = sum(e), 2**k <= s < 2**(k+1), m = s * 2**-k in [1, 2)
    p = e * (1 / m) * 2**-k

Worst relative errors: 2**-12 from rounding d, 2**-12 from rounding m, and a thousand classes at
the floor of exp(-16) or off by one rounding of e add 2.4e-4; together p is off by less than 1e-3.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qapflow.frontend.quantizers.site import Activated, Site
from qapflow.ir.fixed import Fixed, Overflow, Rounding
from qapflow.ir.ops import Const, Merge, Quantize, Reduce, Table, Threshold

GRID = 11  # fraction bits of d and of m
EXP_FRAC = 22  # fraction bits of e
FACTOR_FRAC = 18  # fraction bits of the factors that make e
REACH = 16  # exp(-16) counts as the smallest exponential


def add_softmax(site: Site, float_bits: int) -> Activated:
    """Add softmax over the last axis; probabilities on the grid 2**-(float_bits - 2)."""
    axis = len(site.shape) - 1
    peak = site.add(Reduce("max", (axis,), True), suffix="max")
    exponentials = _exponentials(site.add(Merge("sub"), peak, suffix="shifted"))
    total = exponentials.add(Reduce("sum", (axis,), True), suffix="sum")
    scale = _scale(total)
    mantissa = total.add(Merge("mul"), scale, suffix="mantissa")
    rounded = mantissa.add(
        Quantize(Fixed(False, GRID + 1, GRID), Rounding.RND_CONV, Overflow.SAT), suffix="mantissa"
    )
    inverse = _table(rounded, lambda m: 1 / np.maximum(m, 1), FACTOR_FRAC, "inverse")
    factor = inverse.add(Merge("mul"), scale, suffix="factor")
    product = exponentials.add(Merge("mul"), factor, suffix="product")
    kind = Fixed(False, float_bits - 1, float_bits - 2)
    out = product.add(Quantize(kind, Rounding.RND_CONV, Overflow.SAT))
    reason = f"softmax from tables, {out.type} out; probabilities off by less than 1e-3"
    return out.done(False, reason)


def _exponentials(shifted: Site) -> Site:
    """exp(d) for d <= 0, as a product of two factors."""
    frac = min(shifted.type.frac, GRID)
    if frac < 1:
        frac = 1
    kind = Fixed(True, 5 + frac, frac)
    d = shifted.add(Quantize(kind, Rounding.RND_CONV, Overflow.SAT), suffix="exponent")
    whole = d.add(Quantize(Fixed(True, 6, 0), Rounding.TRN, Overflow.SAT), suffix="whole")
    rest = d.add(Merge("sub"), whole, suffix="rest")
    # the subtraction is proved to lie in [0, 1) only after this cast
    rest = rest.add(Quantize(Fixed(False, frac, frac), Rounding.TRN, Overflow.SAT), suffix="rest")
    coarse = _table(whole, lambda v: np.exp(np.clip(v, -REACH, 0)), EXP_FRAC, "coarse")
    fine = _table(rest, np.exp, FACTOR_FRAC, "fine")
    product = coarse.add(Merge("mul"), fine, suffix="exp")
    kind = Fixed(False, EXP_FRAC + 2, EXP_FRAC)
    return product.add(Quantize(kind, Rounding.RND_CONV, Overflow.SAT), suffix="exp")


def _scale(total: Site) -> Site:
    """2**-k with 2**k <= s: a threshold at every power of two that the sum can reach."""
    frac = total.type.frac
    _, high = total.hull()
    powers = [k for k in range(1, high.bit_length()) if 1 << (frac + k) <= high]
    values = np.ldexp(1.0, -np.arange(len(powers) + 1))
    codes = np.array([1 << (frac + k) for k in powers] or [1 << (frac + 1)], np.int64)
    if not powers:
        values = np.array([1.0, 0.5])
    kind = Fixed.holding(0, int(codes.max()), frac)
    return total.add(Threshold(Const(codes, kind), Const.exact(values)), suffix="scale")


def _table(site: Site, function: np.ufunc, frac: int, suffix: str) -> Site:
    first, last = site.hull()
    codes = np.arange(first, last + 1).astype(np.float64)
    values = function(np.ldexp(codes, -site.type.frac))
    grid = np.ldexp(np.rint(np.ldexp(values, frac)), -frac)
    return replace(site, name=site.name).add(Table(first, Const.exact(grid)), suffix=suffix)
