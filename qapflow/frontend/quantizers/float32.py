"""Float32 arithmetic as TensorFlow does it for QKeras, on numpy arrays.

Additions, products, quotients, clips and ties-to-even rounding are the same in both. Logarithms
and exponentials differ in the last bits from one processor to the next; their results are only
ever rounded further, so `doubt` marks elements that lie too close to a rounding tie to be sure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
Mask = NDArray[np.bool_]

EPSILON = np.float32(1e-7)  # keras.backend.epsilon()
ULP = 2.0**-23  # spacing of float32 relative to the value
FUNCTION_ULPS = 7  # error allowed to TensorFlow's tanh and sigmoid, in steps; 5.8 was seen
LOG_ULPS = 4  # error allowed to log(x) / log(2), of which log(x) has 2.4


@dataclass(frozen=True, eq=False)
class Scaled:
    """What was multiplied: factors, which broadcast, and few levels on a grid of powers of two.

    `relative` bounds how far the factors of another machine may be off these; `doubt` marks levels
    that another machine may choose differently. `start` began the straight-through sum.
    """

    factor: F32
    levels: F32
    start: F32
    relative: float
    doubt: Mask


@dataclass(frozen=True)
class Emulated:
    """float32 results and where they are in doubt; `scaled` says what they are products of."""

    values: F32
    doubt: Mask
    scaled: Scaled | None = None

    @classmethod
    def sure(cls, values: NDArray[Any]) -> Emulated:
        """Results that every machine agrees on."""
        values = np.asarray(values, np.float32)
        return cls(values, np.zeros(values.shape, np.bool_))


def single(value: Any) -> F32:
    """Return a float32 array."""
    return np.asarray(value, np.float32)


def through(x: F32, result: F32) -> F32:
    """Return x + stop_gradient(-x + result), the straight-through estimator of QKeras."""
    with np.errstate(all="ignore"):
        return np.asarray(x + (-x + result), np.float32)


def straight(
    start: F32, result: F32, doubt: Mask | None = None, scaled: Scaled | None = None
) -> Emulated:
    """Pass `result` through the straight-through sum with `start`.

    Where the sum does not give it back, graphs and single operations of TensorFlow differ.
    """
    values = through(start, result)
    lost = values != result
    return Emulated(values, np.asarray(lost if doubt is None else lost | doubt), scaled)


def scaled_by(factor: F32, levels: F32, start: F32) -> Scaled:
    """Describe the product of levels with a factor that is the same on every machine."""
    return Scaled(factor, levels, start, 0.0, np.zeros(levels.shape, np.bool_))


def round_through(x: F32) -> F32:
    """Ties to even, through the same sum."""
    return through(x, np.rint(x))


def clip(x: F32, low: Any, high: Any) -> F32:
    """max(min(x, high), low) in float32: keras.backend.clip, in which the lower bound wins."""
    return np.maximum(np.minimum(x, single(high)), single(low))


def sign_or_one(x: F32) -> F32:
    """-1 below zero, else +1 (QKeras counts zero as positive)."""
    return np.where(x < 0, np.float32(-1), np.float32(1))


def hard_sigmoid(x: F32) -> F32:
    """clip(0.5 x + 0.5, 0, 1): QKeras's own, and its default inner sigmoid."""
    return clip(np.float32(0.5) * x + np.float32(0.5), 0, 1)


def smooth_sigmoid(x: F32) -> F32:
    """clip(0.1875 x + 0.5, 0, 1)."""
    return clip(np.float32(0.1875) * x + np.float32(0.5), 0, 1)


def round_doubtful(value: NDArray[np.float64], error: NDArray[np.float64]) -> tuple[F32, Mask]:
    """Round to even; doubtful where a tie lies within `error`."""
    low, high = np.rint(value - error), np.rint(value + error)
    return single(np.rint(value)), np.asarray(low != high)


def log2_error(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bound on the error of float32 log(x) / log(2)."""
    return np.asarray(np.abs(np.log2(x)) * LOG_ULPS * ULP + 2.0**-126, np.float64)


def round_log2(x: F32, relative: float = 0.0) -> tuple[F32, Mask]:
    """round(log(x) / log(2)) for x > 0 known to `relative`; also where that is in doubt."""
    wide = x.astype(np.float64)
    with np.errstate(all="ignore"):
        return round_doubtful(np.log2(wide), log2_error(wide) + 1.5 * relative)


def floor_log2(x: F32) -> tuple[F32, Mask]:
    """floor(log(x) / log(2)) for x > 0; powers of two other than 1 are always in doubt."""
    wide = x.astype(np.float64)
    value, error = np.log2(wide), log2_error(wide)
    exponent = np.floor(value)
    doubt = (np.floor(value - error) != np.floor(value + error)) & (wide != 1)
    return single(exponent), np.asarray(doubt)


def power(exponent: F32) -> F32:
    """2 ** exponent for whole exponents, exactly; TensorFlow flushes subnormal numbers to zero."""
    whole = exponent.astype(np.float64).astype(np.int64)
    with np.errstate(all="ignore"):
        return single(np.where(whole < -126, 0.0, np.ldexp(1.0, whole)))
