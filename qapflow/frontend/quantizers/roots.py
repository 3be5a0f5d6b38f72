"""1 / sqrt(v) of a positive value of any range, from two short tables.

    v = m * 4**k, 1 <= m < 4      k from thresholds at the powers of four
    m = a + b, 0 <= b < 2**-8     a is the number of the table's entry
    factor / sqrt(v) = (first[a] + slope[a] * b) * 2**-k

Between two entries the curve is a straight line, moved up by half of its largest distance from
the curve: h**2 / 8 * 3/4 of the value at most (h = 2**-8).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from qapflow.frontend.quantizers.site import Site
from qapflow.ir.fixed import Fixed, Overflow, Rounding
from qapflow.ir.ops import Clip, Const, Merge, Quantize, Table, Threshold

PRECISION = 18  # bits kept of v and m
ENTRY = 8  # fraction bits of a
FACTOR_BITS = 20  # fraction bits of the tables, next to the factor
# Rounding v and m changes the root by 2**-20 of itself each, the tables by 2**-20 and 2**-22, the
# straight line by 2**-16 * 3/64.
RELATIVE_ERROR = 2 * 2.0**-20 + 2.0**-20 + 2.0**-22 + 2.0**-16 * 3 / 64


def inverse_root(site: Site, factor: float, frac: int) -> Site:
    """Return factor / sqrt(v) on the grid 2**-frac; v is proved to be positive.

    The result is off by at most RELATIVE_ERROR of itself and half a step of the grid.
    """
    site = _coarse(site)
    scale, root = _powers(site)
    mantissa = site.add(Merge("mul"), scale, suffix="mantissa")
    kind = Fixed(False, PRECISION + 2, PRECISION)
    mantissa = mantissa.add(Quantize(kind, Rounding.RND, Overflow.SAT), suffix="mantissa")
    mantissa = mantissa.add(Clip(Const.exact(1.0), None), suffix="mantissa")
    line = _line(mantissa, factor)
    exact = line.add(Merge("mul"), root, suffix="root")
    interval = exact.hull()
    drop = exact.type.frac - frac
    if drop <= 0:
        return exact
    target = Fixed.holding(0, (interval[1] >> drop) + 1, frac)
    return exact.add(Quantize(target, Rounding.RND, Overflow.SAT), suffix="root")


def _coarse(site: Site) -> Site:
    """Leave PRECISION bits behind the highest one of the smallest value."""
    low, high = site.hull()
    drop = low.bit_length() - 1 - PRECISION
    if drop <= 0:
        return site
    kind = Fixed.holding(low >> drop, (high >> drop) + 1, site.type.frac - drop)
    rounded = site.add(Quantize(kind, Rounding.RND, Overflow.SAT), suffix="coarse")
    return rounded.add(Clip(Const.exact(float((low >> drop) * kind.lsb)), None), suffix="coarse")


def _powers(site: Site) -> tuple[Site, Site]:
    """Return 4**-k and 2**-k."""
    low, high = site.hull()
    frac = site.type.frac
    first = (low.bit_length() - 1 - frac) // 2
    last = (high.bit_length() - 1 - frac) // 2
    powers = np.arange(first, max(last, first + 1) + 1)
    codes = np.array([1 << (2 * int(k) + frac) for k in powers[1:]], object)
    steps = Const(codes, Fixed.holding(0, int(codes.max()), frac))
    fourth = Threshold(steps, Const.exact(np.ldexp(1.0, -2 * powers)))
    half = Threshold(steps, Const.exact(np.ldexp(1.0, -powers)))
    return site.add(fourth, suffix="scale"), site.add(half, suffix="half")


def _line(mantissa: Site, factor: float) -> Site:
    entry = mantissa.add(
        Quantize(Fixed(False, ENTRY + 2, ENTRY), Rounding.TRN, Overflow.SAT), suffix="entry"
    )
    rest = mantissa.add(Merge("sub"), entry, suffix="rest")
    # the difference is proved to lie in [0, 2**-8) only after this cast
    kind = Fixed(False, PRECISION - ENTRY, PRECISION)
    rest = rest.add(Quantize(kind, Rounding.TRN, Overflow.SAT), suffix="rest")
    first, last = entry.hull()
    starts = np.ldexp(np.arange(first, last + 1).astype(np.float64), -ENTRY)
    step = 2.0**-ENTRY
    near, far = starts**-0.5, (starts + step) ** -0.5
    moved = near - step**2 / 16 * 0.75 * starts**-2.5
    frac = FACTOR_BITS - int(np.floor(np.log2(factor)))
    values = Table(first, _on_grid(factor * moved, frac))
    slopes = Table(first, _on_grid(factor * (far - near) / step, frac - ENTRY + 2))
    slope = entry.add(slopes, suffix="slope")
    bent = slope.add(Merge("mul"), rest, suffix="bent")
    return replace(entry.add(values, suffix="first")).add(Merge("add"), bent, suffix="line")


def _on_grid(values: NDArray[np.float64], frac: int) -> Const:
    return Const.exact(np.ldexp(np.rint(np.ldexp(values, frac)), -frac))
