"""Canonical signed digits of constants: what a multiplication by them costs in additions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qapflow.ir.fixed import Codes


def count_digits(codes: Codes) -> NDArray[np.int64]:
    """Count the non-zero digits of each integer in canonical signed-digit form.

    The count is popcount(c xor 3c): the non-adjacent form has a digit where c and 3c differ
    (Reitwiesner, "Binary Arithmetic", 1960).
    """
    values, places = np.unique(np.abs(codes), return_inverse=True)
    counts = np.array([(int(v) ^ (3 * int(v))).bit_count() for v in values], np.int64)
    return counts[places].reshape(np.shape(codes))


def signed_digits(n: int) -> list[tuple[int, int]]:
    """Return the (place, sign) of these digits, the lowest first: n = sum of sign * 2**place."""
    digits, place = [], 0
    while n:
        if n & 1:
            sign = 2 - (n & 3)
            digits.append((place, sign))
            n -= sign
        n >>= 1
        place += 1
    return digits
