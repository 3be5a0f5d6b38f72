"""Types for layers that compute in floats: one stated rule.

Weights keep `float_bits` bits below the largest magnitude of their array. Results keep `float_bits`
bits; their integer part holds twice the largest magnitude seen on the calibration samples (or the
proved range, if that is smaller), and the rest is fraction. They round to nearest and saturate.
"""

from __future__ import annotations

import numpy as np

from qapflow.ir import kernels
from qapflow.ir.builder import NetBuilder
from qapflow.ir.fixed import Fixed, Overflow, Rounding, cast
from qapflow.ir.ops import Const

HEADROOM_BITS = 1


def round_const(const: Const, bits: int) -> Const:
    """Round constants to a signed type of `bits` bits that just holds the largest."""
    peak = kernels.peak(const.codes)
    if const.type.width <= bits or not peak:
        return const
    drop = peak.bit_length() - (bits - 1)
    kind = Fixed(True, bits, const.type.frac - max(drop, 0))
    codes = cast(const.codes, const.type.frac, kind, Rounding.RND_CONV, Overflow.SAT)
    return Const.exact(np.ldexp(codes.astype(np.float64), -kind.frac))


def round_to(const: Const, frac: int) -> Const:
    """Round constants to the grid 2**-frac."""
    kind = Fixed(True, const.type.width + 2 + max(frac - const.type.frac, 0), frac)
    codes = cast(const.codes, const.type.frac, kind, Rounding.RND_CONV, Overflow.SAT)
    return Const(codes, Fixed.holding(int(codes.min()), int(codes.max()), frac))


def settle_type(builder: NetBuilder, edge: str, bits: int) -> Fixed:
    """Choose the type of a float layer's result."""
    interval, kind = builder.intervals[edge], builder.edges[edge].type
    proved = max(abs(interval.low), abs(interval.high), 1)
    seen = kernels.peak(builder.codes[edge]) << HEADROOM_BITS if edge in builder.codes else proved
    peak = min(max(seen, 1), proved)
    signed = interval.low < 0
    frac = kind.frac - peak.bit_length() + bits - signed
    return Fixed(signed, bits, min(frac, kind.frac))


def mean_type(builder: NetBuilder, total: str, count: int, bits: int) -> Fixed:
    """Choose the type of a sum divided by `count`: `bits` bits, as fine as the range allows."""
    interval, frac = builder.intervals[total], builder.edges[total].type.frac
    low, high = interval.hull
    peak = max(-low, high, 1) // count + 1
    signed = low < 0
    return Fixed(signed, bits, frac - peak.bit_length() + bits - signed)
