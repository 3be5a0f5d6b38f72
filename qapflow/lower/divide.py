"""Exact rounded division by a constant with one multiplication and one shift.

For 0 <= n <= N, floor(n / d) = (n * m) >> k whenever m = ceil(2**k / d) and (m * d - 2**k) * N <
2**k (Granlund and Montgomery 1994, Theorem 4.2, for the range that occurs instead of a full word).
"""

from __future__ import annotations

from dataclasses import dataclass

from qapflow.ir.fixed import Fixed
from qapflow.ir.ops import Quantize


@dataclass(frozen=True)
class Division:
    """Numbers of one division: q = ((n + bias * divisor) * multiplier >> shift) - bias.

    `n` is the code shifted left by `up`. `bias` is even, so it keeps the parity of the quotient.
    """

    up: int
    divisor: int
    bias: int
    multiplier: int
    shift: int
    dividend_bits: int
    product_bits: int
    quotient_bits: int


def division(kind: Fixed, op: Quantize) -> Division:
    """Return the numbers that divide every code of `kind` for a `Quantize` exactly."""
    move = op.type.frac - kind.frac
    up, divisor = max(move, 0), op.divisor << max(-move, 0)
    low, high = kind.lo << up, kind.hi << up
    bias = 2 * -(low // (2 * divisor)) if low < 0 else 0
    largest = high + bias * divisor
    shift = divisor.bit_length() - 1
    while True:
        multiplier = -(-(1 << shift) // divisor)
        if (multiplier * divisor - (1 << shift)) * largest < 1 << shift:
            break
        shift += 1
    product = (largest * multiplier).bit_length()
    dividend = max(largest, bias * divisor, 2 * divisor).bit_length()
    return Division(
        up=up,
        divisor=divisor,
        bias=bias,
        multiplier=multiplier,
        shift=shift,
        dividend_bits=max(dividend, kind.width + up) + 2,
        product_bits=max(product, shift + 1) + 1,
        quotient_bits=max((largest // divisor).bit_length(), bias.bit_length()) + 3,
    )
