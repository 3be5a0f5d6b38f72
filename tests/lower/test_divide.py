"""Division by a constant through one multiplication."""

import numpy as np
import pytest

from qapflow.ir.fixed import Fixed, Overflow, Rounding, cast
from qapflow.ir.ops import Quantize
from qapflow.lower.divide import division

KINDS = [Fixed(True, 8, 3), Fixed(False, 7, 0), Fixed(True, 1, 0), Fixed(True, 6, -3)]


def quotients(kind, op):
    """Return floor quotients and rests of every code, as the kernel computes them."""
    by = division(kind, op)
    codes = [c << by.up for c in range(kind.lo, kind.hi + 1)]
    moved = [c + by.bias * by.divisor for c in codes]
    assert min(moved) >= 0
    assert max(moved).bit_length() < by.dividend_bits
    products = [n * by.multiplier for n in moved]
    assert max(products).bit_length() <= by.product_bits
    found = [p >> by.shift for p in products]
    assert max(found).bit_length() < by.quotient_bits - 1
    return [q - by.bias for q in found], codes, by


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("divisor", [2, 3, 7, 9, 10, 49, 127, 255, 1000, 65535])
def test_every_code_is_divided_exactly(kind, divisor):
    for frac in (-2, 0, 5):
        op = Quantize(Fixed(True, 40, frac), Rounding.TRN, Overflow.WRAP, divisor)
        found, codes, by = quotients(kind, op)
        assert found == [c // by.divisor for c in codes]
        plain = np.arange(kind.lo, kind.hi + 1)
        assert found == cast(plain, kind.frac, op.type, Rounding.TRN, divisor=divisor).tolist()


def test_bias_keeps_parity():
    by = division(Fixed(True, 8, 0), Quantize(Fixed(True, 8, 0), divisor=3))
    assert by.bias % 2 == 0
    assert by.bias * 3 >= 128


def test_wide_codes_at_their_ends():
    kind = Fixed(True, 60, 0)
    by = division(kind, Quantize(Fixed(True, 60, 0), divisor=1000003))
    for code in (kind.lo, kind.lo + 1, -1, 0, 1, kind.hi - 1, kind.hi):
        moved = code + by.bias * by.divisor
        assert (moved * by.multiplier >> by.shift) - by.bias == code // by.divisor
