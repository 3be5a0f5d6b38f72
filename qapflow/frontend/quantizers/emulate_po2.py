"""quantized_po2 and quantized_relu_po2: the power of two next to a value."""

from __future__ import annotations

import numpy as np

from qapflow.frontend.quantizers.float32 import (
    EPSILON,
    F32,
    Emulated,
    Mask,
    clip,
    floor_log2,
    power,
    round_log2,
    sign_or_one,
    single,
    straight,
)
from qapflow.frontend.quantizers.spec import Quantizer

Exponents = tuple[int, int]


def quantized_po2(quantizer: Quantizer, x: F32) -> Emulated:
    """Sign times a power of two; zero becomes the smallest power."""
    effective = quantizer["bits"] - 1 - _sign_of_exponent(quantizer)
    magnitude, doubt = _powers(quantizer, np.abs(x), _exponents(quantizer, effective))
    return straight(x, sign_or_one(x) * magnitude, doubt)


def quantized_relu_po2(quantizer: Quantizer, x: F32) -> Emulated:
    """Powers of two for positive values, the smallest one (or the slope's branch) below."""
    slope = np.float32(quantizer["negative_slope"])
    exponents = _exponents(quantizer, quantizer["bits"] - _sign_of_exponent(quantizer))
    zero = np.float32(0)
    start = single(np.where(x > 0, x, x * slope))
    if quantizer["max_value"] is not None:
        peak = np.float32(quantizer["max_value"])
        start = single(np.where(x <= peak, start, peak))
    positive, doubt = _powers(quantizer, np.maximum(x, zero), exponents)
    negative, unsure = _powers(quantizer, np.maximum(-x, zero) * slope, exponents)
    upper = (x >= 0) | (slope == 0)
    result = single(np.where(upper, positive, -negative))
    return straight(start, result, np.where(upper, doubt, unsure))


def _sign_of_exponent(quantizer: Quantizer) -> int:
    """One bit of the exponent is its sign unless max_value <= 1 rules positive ones out."""
    peak = quantizer["max_value"]
    return int(peak is None or peak > 1)


def _exponents(quantizer: Quantizer, bits: int) -> Exponents:
    low, high = -(2**bits), 2**bits - 1
    if quantizer["quadratic_approximation"]:
        high = 2 * (high // 2)
    return int(low), int(high)


def _powers(quantizer: Quantizer, magnitude: F32, exponents: Exponents) -> tuple[F32, Mask]:
    """2 ** clipped round(log2(magnitude)), as _clip_power_of_two of QKeras."""
    tiny = magnitude < EPSILON
    kept = single(np.where(tiny, EPSILON, magnitude))
    if quantizer["max_value"] is not None:
        peak = np.float32(quantizer["max_value"])
        kept = single(np.where(kept >= peak, peak, kept))
    factor = np.float32(1)
    if quantizer["quadratic_approximation"]:
        factor, kept = np.float32(2), np.sqrt(kept)
    floors = quantizer["log2_rounding"] == "floor"
    exponent, doubt = floor_log2(kept) if floors else round_log2(kept)
    low, high = exponents
    clipped = np.where(tiny, np.float32(low), factor * clip(exponent, low, high))
    doubt = doubt & ~tiny & (exponent >= low - 1) & (exponent <= high + 1)
    return power(single(clipped)), doubt
