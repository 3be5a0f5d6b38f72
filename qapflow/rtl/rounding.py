"""Rounding and overflow of one symbolic value, out of the few that the tracer has.

A symbolic value (`alkaid`'s FVariable) carries its exact range and grid. Every rounding of
`qapflow.ir.fixed` is a floor after one addition: with `eps` the step of the value, `lsb` the step
kept, `half` half of it, `odd` the lowest bit kept and `neg` the sign, each 0 or 1,

    RND         floor(x + half)                       ties towards plus infinity
    RND_MIN_INF floor(x + half - eps)                 ties towards minus infinity
    RND_CONV    floor(x + half - eps + odd * eps)     ties to even
    RND_ZERO    floor(x + half - eps + neg * eps)     ties towards zero
    RND_INF     floor(x + half - neg * eps)           ties away from zero
    TRN_ZERO    floor(x + neg * (lsb - eps))          towards zero
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.ir.fixed import Fixed, Overflow, Rounding

Symbol = Any  # alkaid.trace.FVariable, whose module is imported where tracing starts


def cast_symbol(x: Symbol, kind: Fixed, rounding: Rounding, overflow: Overflow) -> Symbol:
    """Return x rounded to the grid of `kind` and brought into its range."""
    return limit(round_to(x, kind.frac, rounding), kind, overflow)


def round_to(x: Symbol, frac: int, mode: Rounding) -> Symbol:
    """Return x on the grid 2**-frac."""
    step = x.kif[2]
    if step <= frac or x.low == x.high == 0:
        return x
    eps, lsb = 2.0**-step, 2.0**-frac
    half = lsb / 2
    match mode:
        case Rounding.TRN:
            return floor_to(x, frac)
        case Rounding.RND:
            return floor_to(x + half, frac)
        case Rounding.RND_MIN_INF:
            return floor_to(x + (half - eps), frac)
        case Rounding.RND_CONV:
            odd = x.quantize(0, 1 - frac, frac)
            return floor_to(x + (odd >> (step - frac)) + (half - eps), frac)
        case Rounding.RND_ZERO:
            return floor_to(x + x.is_negative() * eps + (half - eps), frac)
        case Rounding.RND_INF:
            return floor_to(x - x.is_negative() * eps + half, frac)
        case Rounding.TRN_ZERO:
            return floor_to(x + x.is_negative() * (lsb - eps), frac)


def floor_to(x: Symbol, frac: int) -> Symbol:
    """Drop all bits below 2**-frac."""
    signed, integer, _ = x.kif
    if signed and frac <= -integer - 1:  # nothing but the sign is left
        return x.is_negative() * -(2.0**-frac)
    return x.quantize(signed, integer, frac)


def limit(x: Symbol, kind: Fixed, mode: Overflow) -> Symbol:
    """Bring x, which lies on the grid of `kind` or a coarser one, into its range."""
    low, high = float(kind.lo * kind.lsb), float(kind.hi * kind.lsb)
    if mode is Overflow.SAT_SYM and kind.signed:
        low = -high
    if low <= x.low and x.high <= high:
        return x
    if mode is Overflow.WRAP:
        return x.quantize(kind.signed, kind.integer - kind.signed, kind.frac)
    if mode is Overflow.SAT_ZERO:
        outside = (x > high) | (x < low)
        inside = x.quantize(kind.signed, kind.integer - kind.signed, kind.frac)
        return outside.msb_mux(0.0, inside)
    return x.max_of(low).min_of(high)


def wrap(x: NDArray[np.float64] | np.float64, kif: tuple[int, int, int]) -> NDArray[np.float64]:
    """Drop bits of numbers below 2**-f and wrap them into k + i + f bits, exactly up to 2**50."""
    signed, integer, frac = kif
    size, low = 2.0 ** (signed + integer + frac), 2.0 ** (integer + frac) * signed
    whole = np.floor(np.ldexp(x, frac))
    return np.asarray(np.ldexp(np.mod(whole + low, size) - low, -frac))
