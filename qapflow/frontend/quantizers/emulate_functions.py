"""Quantizers of bounded functions (sigmoid, tanh, u-law) and the plain functions of QKeras."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from qapflow.frontend.quantizers.float32 import (
    F32,
    FUNCTION_ULPS,
    Emulated,
    Mask,
    clip,
    hard_sigmoid,
    round_doubtful,
    round_through,
    single,
    smooth_sigmoid,
)
from qapflow.frontend.quantizers.spec import Quantizer

ONE, TWO = np.float32(1), np.float32(2)


def quantized_tanh(quantizer: Quantizer, x: F32) -> Emulated:
    """Round tanh(x), or its hard form 2 hard_sigmoid(x) - 1, to `bits` bits with sign."""
    m = np.float32(2.0 ** (quantizer["bits"] - 1))
    low = np.float32(-1) + np.float32(quantizer["symmetric"]) / m
    if quantizer["use_real_tanh"]:
        levels, doubt = _rounded(np.tanh(x.astype(np.float64)), float(m))
    else:
        levels = round_through((TWO * hard_sigmoid(x) - ONE) * m)
        doubt = np.zeros(x.shape, np.bool_)
    return Emulated(clip(levels / m, low, ONE - ONE / m), doubt)


def quantized_sigmoid(quantizer: Quantizer, x: F32) -> Emulated:
    """Round sigmoid(x), or hard_sigmoid(x), to `bits` bits without sign."""
    m = np.float32(2.0 ** quantizer["bits"])
    low = np.float32(quantizer["symmetric"]) / m
    if quantizer["use_real_sigmoid"]:
        levels, doubt = _rounded(real_sigmoid(x.astype(np.float64)), float(m))
    else:
        levels, doubt = round_through(hard_sigmoid(x) * m), np.zeros(x.shape, np.bool_)
    return Emulated(clip(levels / m, low, ONE - ONE / m), doubt)


def quantized_ulaw(quantizer: Quantizer, x: F32) -> Emulated:
    """Round hard_sigmoid, then expand logarithmically; the result is not on a grid."""
    m, m_i = np.float32(2.0 ** (quantizer["bits"] - 1)), np.float32(2.0 ** quantizer["integer"])
    u = np.float32(quantizer["u"])
    rounded = TWO * (round_through(hard_sigmoid(x / m_i) * m) / m) - ONE
    law = np.sign(rounded) * np.log(ONE + u * np.abs(rounded)) / np.log(ONE + u)
    low = np.float32(-1) + np.float32(quantizer["symmetric"]) / m
    result = clip(law, low, ONE - ONE / m)
    free = (result > low) & (result < ONE - ONE / m) & (rounded != 0)
    return Emulated(m_i * result, np.asarray(free))


def real_sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / (1 + exp(-x)) without overflow."""
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1 / (1 + small), small / (1 + small)), np.float64)


def _rounded(value: NDArray[np.float64], m: float) -> tuple[F32, Mask]:
    """round(value * m), doubtful where float32 functions may fall on either side of a tie."""
    step = np.spacing(np.abs(value).astype(np.float32)).astype(np.float64)
    return round_doubtful(value * m, m * FUNCTION_ULPS * step)


def _function(kernel: Callable[[F32], F32]) -> Callable[[Quantizer, F32], Emulated]:
    return lambda quantizer, x: Emulated.sure(single(kernel(x)))


FUNCTIONS: Mapping[str, Callable[[Quantizer, F32], Emulated]] = {
    "quantized_tanh": quantized_tanh,
    "quantized_sigmoid": quantized_sigmoid,
    "quantized_ulaw": quantized_ulaw,
    "hard_sigmoid": _function(hard_sigmoid),
    "smooth_sigmoid": _function(smooth_sigmoid),
    "binary_sigmoid": _function(lambda x: round_through(hard_sigmoid(x))),
    "hard_tanh": _function(lambda x: TWO * hard_sigmoid(x) - ONE),
    "smooth_tanh": _function(lambda x: TWO * smooth_sigmoid(x) - ONE),
    "binary_tanh": _function(lambda x: TWO * round_through(hard_sigmoid(x)) - ONE),
}
