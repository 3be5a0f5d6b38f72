"""Turn a float32 function of a fixed-point input into one exact `Table` or `Threshold`.

A narrow input is enumerated, so any function is exact. A wide one is searched by bisection, which
needs the function to be monotone between the given breaks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qapflow.frontend.quantizers.float32 import F32, Emulated, single
from qapflow.frontend.quantizers.site import Activated, Site
from qapflow.frontend.quantizers.spec import UnsupportedQuantizer
from qapflow.ir.fixed import INT64_BITS, Fixed
from qapflow.ir.ops import Clip, Const, Op, Table, Threshold

ENUMERATED = 1 << 20  # inputs with at most this many codes are evaluated one by one
SMALL_TABLE = 1 << 12  # a table this short is cheaper than comparing with many thresholds
FEW_STEPS = 16
MANY_STEPS = 1 << 10
LARGEST = 1 << 16  # entries of the longest table or threshold list
FLOAT32_CODES = 1 << 24  # float32 holds every integer up to here

Codes64 = NDArray[np.int64]
Function = Callable[[F32], Emulated]


@dataclass(frozen=True)
class Steps:
    """A step function: `values[k]` between thresholds k - 1 and k; `doubt` as in `Emulated`."""

    lo: int
    hi: int
    thresholds: Codes64
    values: F32
    doubt: int


def find_steps(
    function: Function, lo: int, hi: int, frac: int, breaks: Sequence[float] = ()
) -> Steps:
    """Find every code between `lo` and `hi` where the value of `function` changes.

    `breaks` are the places where a wide function stops being monotone.

    Raises:
        UnsupportedQuantizer: the input is wider than 62 bits, or there are too many steps.
    """
    if max(abs(lo), abs(hi)).bit_length() > INT64_BITS:
        raise UnsupportedQuantizer(
            f"an activation of a {max(abs(lo), abs(hi)).bit_length()}-bit input is not supported",
            "quantize the layer's input or weights more coarsely",
        )

    def at(codes: Codes64) -> Emulated:
        return function(single(np.ldexp(codes.astype(np.float64), -frac)))

    if hi - lo < ENUMERATED:
        return _enumerate(at, lo, hi)
    return _bisect(at, lo, hi, [int(np.floor(np.ldexp(b, frac))) for b in breaks])


def _enumerate(at: Callable[[Codes64], Emulated], lo: int, hi: int) -> Steps:
    codes = np.arange(lo, hi + 1, dtype=np.int64)
    result = at(codes)
    changes = np.flatnonzero(result.values[1:] != result.values[:-1]) + 1
    values = np.concatenate([result.values[:1], result.values[changes]])
    return Steps(lo, hi, codes[changes], values, int(np.count_nonzero(result.doubt)))


def _bisect(at: Callable[[Codes64], Emulated], lo: int, hi: int, breaks: Sequence[int]) -> Steps:
    points = sorted({lo, hi, 0, *breaks, *(b + 1 for b in breaks)})
    ends = np.array([p for p in points if lo <= p <= hi], np.int64)
    left, right = ends[:-1], ends[1:]
    while left.size and (right - left).max() > 1:
        wide = (right - left > 1) & (at(left).values != at(right).values)
        narrow = right - left <= 1
        middle = left[wide] + (right[wide] - left[wide]) // 2
        left = np.concatenate([left[narrow], left[wide], middle])
        right = np.concatenate([right[narrow], middle, right[wide]])
        if left.size > 4 * LARGEST:
            raise UnsupportedQuantizer(
                "the activation takes too many different values for a list of thresholds",
                "use fewer bits for the activation",
            )
    before, after = at(left), at(right)
    real = before.values != after.values
    order = np.argsort(right[real])
    thresholds, values = right[real][order], after.values[real][order]
    first = at(np.array([lo], np.int64)).values
    doubt = int(np.count_nonzero(before.doubt | after.doubt))
    return Steps(lo, hi, thresholds, np.concatenate([first, values]), doubt)


def step_op(steps: Steps, frac: int, function: Function) -> Op:
    """Choose the operation: a short table, a list of thresholds, or a long table."""
    count, span = len(steps.thresholds), steps.hi - steps.lo + 1
    if not count:
        constant = Const.exact(float(steps.values[0]))
        return Clip(constant, constant)
    small = span <= SMALL_TABLE and count > FEW_STEPS
    if small or (count > MANY_STEPS and span <= LARGEST):
        codes = np.arange(steps.lo, steps.hi + 1, dtype=np.int64)
        table = np.asarray(function(single(np.ldexp(codes.astype(np.float64), -frac))).values)
        return Table(steps.lo, Const.exact(table))
    if count > LARGEST:
        raise UnsupportedQuantizer(
            f"the activation has {count} steps, more than {LARGEST}",
            "use fewer bits for the activation",
        )
    bounds = steps.thresholds
    kind = Fixed.holding(int(bounds.min()), int(bounds.max()), frac)
    return Threshold(Const(bounds, kind), Const.exact(steps.values))


def add_steps(
    site: Site, function: Function, breaks: Sequence[float] = (), through: bool = False
) -> Activated:
    """Add the step function of `function`, exact wherever every machine agrees on it.

    `through` says that the function ends in QKeras's straight-through sum with its input.
    """
    lo, hi = site.hull()
    frac = site.type.frac
    steps = find_steps(function, lo, hi, frac, breaks)
    reason = _why_inexact(steps)
    if breaks and hi - lo >= ENUMERATED:
        reason = "the input has more codes than can be tried one by one"
    if through and not reason and hi - lo >= ENUMERATED and _loses_bits(steps, frac):
        reason = "inputs are so large that QKeras's straight-through sum loses the output's bits"
    return site.add(step_op(steps, frac, function)).done(not reason, reason)


def _why_inexact(steps: Steps) -> str:
    if steps.doubt:
        return (
            f"{steps.doubt} input codes hang on the last bit of float32; "
            "the result of Keras there depends on the machine"
        )
    if len(steps.thresholds) and int(np.abs(steps.thresholds).max()) > FLOAT32_CODES:
        return "the input has more bits than float32, in which Keras computes"
    return ""


def _loses_bits(steps: Steps, frac: int) -> bool:
    """Tell whether x + (-x + q) may differ from q: where float32's step at x exceeds q's bits."""
    first = np.concatenate([[steps.lo], steps.thresholds])
    last = np.concatenate([steps.thresholds - 1, [steps.hi]])
    peak = np.ldexp(np.maximum(np.abs(first), np.abs(last)).astype(np.float64), -frac)
    mantissa, exponent = np.frexp(steps.values.astype(np.float64))
    whole = np.ldexp(mantissa, 24).astype(np.int64)
    bit = np.ldexp((whole & -whole).astype(np.float64), exponent - 24)
    return bool(np.any((whole != 0) & (peak >= FLOAT32_CODES * bit)))
