"""Fixed-point types and the one place where rounding and overflow are defined.

The names and meanings of the modes are those of `ap_fixed` (AMD UG1399, "Arbitrary Precision
Fixed-Point Data Types"); a compiled test compares them with the open `ap_types` headers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.errors import UsageError

Codes = NDArray[Any]  # int64, or Python integers (dtype object) where 63 bits do not hold them

INT64_BITS = 62  # widest magnitude kept in int64, one bit spare for rounding increments


class Rounding(StrEnum):
    """What happens to bits below the last one kept (quantization modes of `ap_fixed`)."""

    TRN = "TRN"  # towards minus infinity
    TRN_ZERO = "TRN_ZERO"  # towards zero
    RND = "RND"  # nearest, ties towards plus infinity
    RND_ZERO = "RND_ZERO"  # nearest, ties towards zero
    RND_INF = "RND_INF"  # nearest, ties away from zero
    RND_MIN_INF = "RND_MIN_INF"  # nearest, ties towards minus infinity
    RND_CONV = "RND_CONV"  # nearest, ties to even


class Overflow(StrEnum):
    """What happens to values outside the range (overflow modes of `ap_fixed`)."""

    WRAP = "WRAP"
    SAT = "SAT"
    SAT_ZERO = "SAT_ZERO"
    SAT_SYM = "SAT_SYM"


@dataclass(frozen=True)
class Fixed:
    """A fixed-point grid: value = code * 2**-frac, code an integer of `width` bits.

    `frac` may be negative or larger than `width`. Prints as `s8.4` or `u6.3` (width, then frac).
    """

    signed: bool
    width: int
    frac: int

    def __post_init__(self) -> None:
        if self.width < 1:
            raise UsageError(f"a fixed-point type needs at least 1 bit, not {self.width}")

    def __str__(self) -> str:
        return f"{'s' if self.signed else 'u'}{self.width}.{self.frac}"

    @classmethod
    def parse(cls, text: str) -> Fixed:
        """Read `s8.4`, `u6.-2`, or hls4ml's `fixed<16,6>`, `ap_ufixed<8,2,...>`, `ap_int<4>`.

        Raises:
            UsageError: the text has neither form.
        """
        text = text.strip()
        if match := re.fullmatch(r"([su])(\d+)\.(-?\d+)", text):
            return cls(match[1] == "s", int(match[2]), int(match[3]))
        if match := re.fullmatch(r"(?:ap_)?(u?)fixed<\s*(\d+)\s*,\s*(-?\d+)\s*(?:,.*)?>", text):
            return cls(not match[1], int(match[2]), int(match[2]) - int(match[3]))
        if match := re.fullmatch(r"(?:ap_)?(u?)int<\s*(\d+)\s*>", text):
            return cls(not match[1], int(match[2]), 0)
        raise UsageError(f"{text!r} is not a fixed-point type", hint="write fixed<16,6> or s16.10")

    @classmethod
    def holding(cls, low: int, high: int, frac: int) -> Fixed:
        """Return the narrowest type on the grid `2**-frac` that holds codes `low` to `high`."""
        low, high = int(low), int(high)
        if low >= 0:
            return cls(False, max(1, high.bit_length()), frac)
        return cls(True, 1 + max((-low - 1).bit_length(), max(high, 0).bit_length()), frac)

    @property
    def lo(self) -> int:
        """Smallest code."""
        return -(1 << (self.width - 1)) if self.signed else 0

    @property
    def hi(self) -> int:
        """Largest code."""
        return (1 << (self.width - self.signed)) - 1

    @property
    def integer(self) -> int:
        """Bits left of the binary point, the sign included: the `I` of `ap_fixed<W,I>`."""
        return self.width - self.frac

    @property
    def lsb(self) -> Fraction:
        """Value of one code step."""
        return Fraction(2) ** -self.frac

    def contains(self, other: Fixed) -> bool:
        """Tell whether every value of `other` is a value of this type."""
        if other.frac > self.frac:
            return False
        shift = self.frac - other.frac
        return self.lo <= other.lo << shift and other.hi << shift <= self.hi

    def encode(self, values: NDArray[np.floating[Any]]) -> tuple[Codes, int]:
        """Round real values (ties to even) and saturate them onto this grid.

        Returns the codes and how many values were out of range. NaN raises `UsageError`.
        """
        values = np.asarray(values, np.float64)
        if np.isnan(values).any():
            raise UsageError("the values contain NaN", hint="clean the inputs first")
        if self.width > INT64_BITS - 9:
            exact = [_round_fraction(Fraction(v), self) for v in values.ravel().tolist()]
            clipped = [min(max(c, self.lo), self.hi) for c in exact]
            out = np.array(clipped, object).reshape(values.shape)
            return shrink(out), sum(a != b for a, b in zip(exact, clipped, strict=True))
        with np.errstate(over="ignore"):
            scaled = np.rint(np.ldexp(values, self.frac))
        clipped_values = np.clip(scaled, float(self.lo), float(self.hi))
        saturated = int(np.count_nonzero(scaled != clipped_values))
        return clipped_values.astype(np.int64), saturated

    def decode(self, codes: Codes) -> NDArray[np.float64]:
        """Return the values of codes; exact while codes stay below 2**53."""
        return np.ldexp(np.asarray(codes).astype(np.float64), -self.frac)


def _round_fraction(value: Fraction, kind: Fixed) -> int:
    return round(value * Fraction(2) ** kind.frac)


def widen(codes: Codes) -> Codes:
    """Return codes as Python integers, for arithmetic of any width."""
    return np.asarray(codes).astype(object)


def shrink(codes: Codes) -> Codes:
    """Return codes as int64 if they fit, else unchanged."""
    if codes.dtype != object:
        return codes
    if codes.size and max(int(abs(c)) for c in codes.ravel()).bit_length() > INT64_BITS:
        return codes
    return codes.astype(np.int64)


def round_ratio(codes: Codes, divisor: int, mode: Rounding) -> Codes:
    """Divide integers by a positive integer, rounding as `mode` says. Exact at any width."""
    if divisor == 1:
        return codes
    floor = codes // divisor
    rest = codes - floor * divisor
    if mode is Rounding.TRN:
        return floor
    if mode is Rounding.TRN_ZERO:
        return np.asarray(floor + ((codes < 0) & (rest != 0)))
    up = 2 * rest > divisor
    tie = 2 * rest == divisor
    if mode is Rounding.RND:
        up = up | tie
    elif mode is Rounding.RND_ZERO:
        up = up | (tie & (codes < 0))
    elif mode is Rounding.RND_INF:
        up = up | (tie & (codes >= 0))
    elif mode is Rounding.RND_CONV:
        up = up | (tie & (floor % 2 == 1))
    return np.asarray(floor + up)


def overflow(codes: Codes, kind: Fixed, mode: Overflow) -> Codes:
    """Bring integers into the range of `kind` as `mode` says."""
    if mode is Overflow.WRAP:
        return np.asarray((codes - kind.lo) % (1 << kind.width) + kind.lo)
    if mode is Overflow.SAT_ZERO:
        return np.where((codes < kind.lo) | (codes > kind.hi), 0, codes)
    lowest = kind.lo + 1 if mode is Overflow.SAT_SYM and kind.signed else kind.lo
    return np.clip(codes, lowest, kind.hi)


def cast(
    codes: Codes,
    frac: int,
    kind: Fixed,
    rounding: Rounding = Rounding.TRN,
    overflow_mode: Overflow = Overflow.WRAP,
    divisor: int = 1,
) -> Codes:
    """Move codes on the grid `2**-frac`, divided by `divisor`, to `kind`. Exact at any width."""
    shift = kind.frac - frac
    codes = np.asarray(codes)
    peak = max((abs(int(codes.min())), abs(int(codes.max())))) if codes.size else 0
    needed = max(peak.bit_length() + max(shift, 0), divisor.bit_length() + max(-shift, 0)) + 1
    if max(needed, kind.width) > INT64_BITS:
        codes = widen(codes)
    if shift >= 0:
        moved = round_ratio(codes * (1 << shift), divisor, rounding)
    else:
        moved = round_ratio(codes, divisor << -shift, rounding)
    return shrink(overflow(moved, kind, overflow_mode))
