"""Rounded division of a symbolic value by a constant: one multiplication, as in the HLS kernel."""

from __future__ import annotations

from qapflow.ir.fixed import Fixed, Rounding
from qapflow.ir.ops import Quantize
from qapflow.lower.divide import division
from qapflow.rtl.repair import TooWide
from qapflow.rtl.rounding import floor_to
from qapflow.rtl.symbols import Symbol, add_constant, scale_by

PRODUCT_BITS = 50


def divide_symbol(x: Symbol, kind: Fixed, op: Quantize) -> Symbol:
    """Return x / divisor rounded to the grid of `op.type`; `kind` is the type of x.

    Raises:
        TooWide: the product by which it is computed has more than 50 bits.
    """
    by = division(kind, op)
    if by.product_bits > PRODUCT_BITS:
        raise TooWide(f"a division by {op.divisor} with a product of {by.product_bits} bits")
    if x.low == x.high == 0:
        return x
    code = add_constant(x * 2.0 ** (kind.frac + by.up), float(by.bias * by.divisor))
    quotient = floor_to(scale_by(code, by.multiplier * 2.0**-by.shift), 0)
    twice = (code - scale_by(quotient, float(by.divisor))) * 2.0
    negative = x.is_negative()
    odd = quotient.quantize(0, 1, 0)
    more = twice > float(by.divisor)
    tie = twice >= float(by.divisor)
    match op.rounding:
        case Rounding.TRN:
            up = None
        case Rounding.TRN_ZERO:
            up = negative & (twice > 0.0)
        case Rounding.RND:
            up = tie
        case Rounding.RND_MIN_INF:
            up = more
        case Rounding.RND_CONV:
            up = more | (tie & odd)
        case Rounding.RND_ZERO:
            up = more | (tie & negative)
        case Rounding.RND_INF:
            up = tie & (more | ~negative)
    rounded = quotient if up is None else quotient + up
    return add_constant(rounded, -float(by.bias)) * 2.0**-op.type.frac
