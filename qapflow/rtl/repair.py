"""What alkaid 0.8.2 gets wrong about constants, put right before anything is traced.

It finds the lowest bit of a constant in single precision, so that one of more than 24 bits loses
its low bits, it keeps what is added in 32 bits, so that one of more than 31 wraps, and it wraps
unsigned constants to one bit too many; all without a word. Here the lowest bit is found in doubles,
what does not fit raises `TooWide`, and constants are wrapped exactly.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from qapflow.rtl.rounding import wrap

CONSTANT_BITS = 31


class TooWide(Exception):
    """A constant that the tracer cannot hold; the walk names the layer and goes on."""


def odd_part(value: float) -> tuple[int, int]:
    """Return (n, s) with value = n * 2**s and n odd, or (0, 0)."""
    top, bottom = float(value).as_integer_ratio()
    if not top:
        return 0, 0
    zeros = (top & -top).bit_length() - 1
    return top >> zeros, zeros - (bottom.bit_length() - 1)


@cache
def repair_tracer() -> None:
    """Replace the three functions in alkaid, once in a process."""
    from alkaid.trace import FVariable, fixed_variable, fixed_variable_array, tracer

    add = FVariable._const_add
    for module in (fixed_variable, fixed_variable_array, tracer):
        module.get_lsb_loc = _lowest_bit

    def add_checked(x: Any, value: float | None) -> Any:
        bits = odd_part((value or 0.0) / x._factor)[0].bit_length()
        if bits > CONSTANT_BITS:
            raise TooWide(f"an added constant of more than {CONSTANT_BITS} bits")
        return add(x, value)

    FVariable._const_add = add_checked
    quantize = FVariable.quantize

    def quantize_constants(
        x: Any, k: int, i: int, f: int, overflow_mode: str = "WRAP", round_mode: str = "TRN"
    ) -> Any:
        if x.low != x.high or k + i + f <= 0 or (overflow_mode, round_mode) != ("WRAP", "TRN"):
            return quantize(x, k, i, f, overflow_mode, round_mode)
        return FVariable.from_const(float(wrap(np.float64(x.low), (k, i, f))), hwconf=x.hwconf)

    FVariable.quantize = quantize_constants


def _lowest_bit(value: float) -> int:
    """Return the place of the lowest bit of a value that is not zero."""
    return odd_part(value)[1] if value else 127  # as alkaid's own
