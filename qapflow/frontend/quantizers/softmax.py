"""Softmax over the last axis from two short exponential tables and one reciprocal table.

    d = x - max(x)              exact, then rounded to 2**-11 and saturated at -16
    e = exp(floor(d)) * exp(d - floor(d))
    s = sum(e), 2**k <= s < 2**(k+1), m = s * 2**-k in [1, 2)
    p = e * (1 / m) * 2**-k

Worst errors: rounding d changes e by 2**-12 of itself and p(1 - p) of that twice reaches p; m
changes p by 2**-12 of itself; the roundings of e sum to 2**-14 of s, whatever the number of
classes, and a thousand classes held at exp(-16) to 1.1e-4. Together less than 1e-3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from qapflow.frontend.quantizers.site import Activated, Site
from qapflow.frontend.quantizers.tables import Reals
from qapflow.ir.fixed import Fixed, Overflow, Rounding
from qapflow.ir.ops import Clip, Const, Merge, Quantize, Reduce, Table, Threshold

GRID = 11  # fraction bits of d and of m
EXP_FRAC = 13  # fraction bits of e, one more for each doubling of the classes
COARSE_FRAC = 26  # fraction bits of exp(floor(d)), down to exp(-16)
FACTOR_FRAC = 18  # fraction bits of exp(d - floor(d)) and of 1 / m


def add_softmax(site: Site, float_bits: int) -> Activated:
    """Add softmax over the last axis; probabilities on the grid 2**-(float_bits - 2)."""
    axis = len(site.shape) - 1
    peak = site.add(Reduce("max", (axis,), True), suffix="max")
    frac = EXP_FRAC + int(np.ceil(np.log2(site.shape[-1])))
    exponentials = _exponentials(site.add(Merge("sub"), peak, suffix="shifted"), frac)
    total = exponentials.add(Reduce("sum", (axis,), True), suffix="sum")
    scale = _scale(total)
    mantissa = total.add(Merge("mul"), scale, suffix="mantissa")
    rounded = mantissa.add(
        Quantize(Fixed(False, GRID + 1, GRID), Rounding.RND_CONV, Overflow.SAT), suffix="mantissa"
    )
    rounded = rounded.add(Clip(Const.exact(1.0), None), suffix="mantissa")
    inverse = _table(rounded, lambda m: 1 / m, FACTOR_FRAC, "inverse")
    factor = inverse.add(Merge("mul"), scale, suffix="factor")
    product = exponentials.add(Merge("mul"), factor, suffix="product")
    kind = Fixed(False, float_bits - 1, float_bits - 2)
    out = product.add(Quantize(kind, Rounding.RND_CONV, Overflow.SAT))
    reason = f"softmax from tables, {out.type} out; probabilities off by less than 1e-3"
    return out.done(False, reason)


def _exponentials(shifted: Site, exp_frac: int) -> Site:
    """exp(d) for d <= 0, as a product of two factors, rounded to the grid 2**-exp_frac."""
    frac = max(1, min(shifted.type.frac, GRID))
    kind = Fixed(True, 5 + frac, frac)
    shifted = shifted.add(Clip(None, Const.exact(0.0)), suffix="shifted")
    d = shifted.add(Quantize(kind, Rounding.RND_CONV, Overflow.SAT), suffix="exponent")
    whole = d.add(Quantize(Fixed(True, 6, 0), Rounding.TRN, Overflow.SAT), suffix="whole")
    rest = d.add(Merge("sub"), whole, suffix="rest")
    # the subtraction is proved to lie in [0, 1) only after this cast
    rest = rest.add(Quantize(Fixed(False, frac, frac), Rounding.TRN, Overflow.SAT), suffix="rest")
    coarse = _table(whole, np.exp, COARSE_FRAC, "coarse")
    fine = _table(rest, np.exp, FACTOR_FRAC, "fine")
    product = coarse.add(Merge("mul"), fine, suffix="exp")
    kind = Fixed(False, exp_frac + 1, exp_frac)
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


def _table(site: Site, function: Callable[[Reals], Reals], frac: int, suffix: str) -> Site:
    first, last = site.hull()
    codes = np.arange(first, last + 1).astype(np.float64)
    values = function(np.ldexp(codes, -site.type.frac))
    grid = np.ldexp(np.rint(np.ldexp(values, frac)), -frac)
    return replace(site, name=site.name).add(Table(first, Const.exact(grid)), suffix=suffix)
