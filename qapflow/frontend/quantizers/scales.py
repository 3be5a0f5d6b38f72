"""The scales that QKeras computes from the values it quantizes: 'auto' and 'auto_po2'."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from qapflow.frontend.quantizers.float32 import (
    EPSILON,
    F32,
    ULP,
    Emulated,
    Mask,
    Scaled,
    power,
    round_log2,
    round_through,
    single,
    straight,
)
from qapflow.frontend.quantizers.spec import Quantizer, UnsupportedQuantizer

Iterated = tuple[F32, F32, Mask]  # scale, integers, doubt of each channel
QUOTIENT = 4 * ULP  # relative error of one or two quotients that TensorFlow may compute otherwise


def reduced_axes(scale_axis: int | Sequence[int] | None, rank: int) -> tuple[int, ...]:
    """Axes a scale is shared over: all but `scale_axis`, by default all but the last."""
    if scale_axis is None:
        return tuple(range(rank - 1))
    kept = [scale_axis] if isinstance(scale_axis, int) else list(scale_axis)
    return tuple(i for i in range(rank) if i not in kept)


def nearest_power(scale: F32, relative: float = 4 * ULP) -> tuple[F32, Mask]:
    """2 ** round(log2(scale + epsilon)), in doubt within `relative` of a tie.

    The default covers graphs in which TensorFlow multiplies by a reciprocal instead of dividing.
    """
    exponent, doubt = round_log2(scale + EPSILON, relative)
    return power(exponent), doubt


def least_squares(
    alpha: str, x: F32, q: F32, scale_axis: int | None = None, relative: float = 0.0
) -> tuple[F32, Mask]:
    """mean(x q) / (mean(q q) + epsilon) a channel, the power of two next to it for 'auto_po2'.

    TensorFlow sums float32 in an order of its own; the doubt covers every order.
    """
    if x.ndim > 1:
        axes = reduced_axes(scale_axis, x.ndim)
        count = int(np.prod([x.shape[a] for a in axes]))
        products = (x * q).astype(np.float64)
        qx = np.mean(products, axis=axes, keepdims=True)
        squares = (q * q).astype(np.float64)
        qq = np.mean(squares, axis=axes, keepdims=True)
        # whole numbers below 2**24 sum exactly; anything else loses up to half an ULP a term
        whole = bool(np.all(np.rint(squares) == squares)) and float(qq.max()) * count < 2**24
        relative += count * ULP * (0.5 if whole else 1.0)
    else:
        qx, qq = (x * q).astype(np.float64), (q * q).astype(np.float64)
    scale = single(qx / (qq + float(EPSILON)))
    if alpha == "auto":
        return scale, np.asarray(scale != 0) if x.ndim > 1 else np.zeros(scale.shape, np.bool_)
    return nearest_power(scale, relative + 4 * ULP)


def fit_error(x: F32, scale_axis: int | Sequence[int] | None = None) -> float:
    """Bound how far `least_squares` may be off TensorFlow's, relative to it.

    The levels are 0 or 1 with the sign of `x`, so no term of the sum cancels another.
    """
    count = 1
    if x.ndim > 1:
        count = int(np.prod([x.shape[axis] for axis in reduced_axes(scale_axis, x.ndim)]))
    return count * ULP + QUOTIENT


def quantized_bits_auto(quantizer: Quantizer, x: F32, unsigned_bits: int) -> Emulated:
    """quantized_bits with alpha 'auto' or 'auto_po2' (always symmetric)."""
    m, m_i = np.float32(2.0**unsigned_bits), np.float32(2.0 ** quantizer["integer"])
    axes: tuple[int, ...] = (0,)
    if x.ndim > 1:
        axes = reduced_axes(quantizer["scale_axis"], x.ndim)
    x = x / m_i
    levels = (2 ** (quantizer["bits"] - 1) - 1) * 2
    with np.errstate(all="ignore"):
        peak = np.max(np.abs(x), axis=axes, keepdims=True)
        scale = peak * np.float32(2) / np.float32(levels)
        doubt = np.zeros(scale.shape, np.bool_)
        if quantizer["alpha"] == "auto_po2":
            scale, z, doubt = _iterate(x, scale, levels, quantizer["scale_axis"])
        else:
            z = _levels(x, scale, levels)
        scale = scale * m
        x = m_i * x
        result = scale * (m_i * z / m)
    if not np.isfinite(result).all():
        raise UnsupportedQuantizer(
            f"{quantizer.text} gives NaN or infinity for these values", "use more than one bit"
        )
    scaled = None
    if quantizer["alpha"] == "auto":
        with np.errstate(divide="ignore", invalid="ignore"):  # channels of zeros have no scale
            unsure = near_half(x / m_i / (scale / m), levels / 2)
        scaled = Scaled(scale * (m_i / m), z, x, QUOTIENT, unsure)
    return straight(x, result, doubt, scaled)


def near_half(quotient: F32, most: float, relative: float = QUOTIENT) -> Mask:
    """Tell where a quotient lies so near to n + 0.5 < `most` that another rounding is possible."""
    size = np.abs(quotient.astype(np.float64))
    with np.errstate(invalid="ignore"):
        gap = np.abs(size - np.floor(size) - 0.5)
    return np.asarray((gap <= relative * (size + 1)) & (size < most))


def _levels(x: F32, scale: F32, levels: int) -> F32:
    half = np.float32(levels / 2)
    v = np.floor(np.abs(x) / scale + np.float32(0.5))
    return single(np.sign(x) * np.where(v < half, v, half))


def _iterate(x: F32, scale: F32, levels: int, scale_axis: Any) -> Iterated:
    scale, doubt = nearest_power(scale)
    z = x
    for _ in range(5):
        z = _levels(x, scale, levels)
        scale, unsure = least_squares("auto_po2", x, z, scale_axis)
        doubt = doubt | unsure
    return scale, z, doubt


def binary_scale(quantizer: Quantizer, x: F32, signs: F32) -> tuple[F32, Mask]:
    """Scale of binary: from the data for 'auto*', else alpha itself, 1 if unset."""
    alpha = quantizer["alpha"]
    if isinstance(alpha, str):
        return least_squares(alpha, x, signs, quantizer.params.get("scale_axis"))
    return constant_scale(alpha)


def constant_scale(alpha: Any) -> tuple[F32, Mask]:
    """Return alpha in float32, 1 if it is unset."""
    scale = single(1.0 if alpha is None else alpha)
    return scale, np.zeros(scale.shape, np.bool_)


def ternary_auto(quantizer: Quantizer, x: F32) -> Emulated:
    """Ternary with alpha 'auto' or 'auto_po2': threshold and scale found in turns."""
    alpha = quantizer["alpha"]
    axes = None if x.ndim == 1 else tuple(range(x.ndim - 1))
    with np.errstate(all="ignore"):
        scale = np.float32(2) * np.max(np.abs(x), axis=axes, keepdims=True) / np.float32(3)
        doubt = np.zeros(scale.shape, np.bool_)
        if alpha == "auto_po2":
            scale, doubt = nearest_power(scale)
        q = x
        error, close = QUOTIENT, np.zeros(x.shape, np.bool_)
        for _ in range(int(quantizer["number_of_unrolls"])):
            v = scale * round_through(x / scale)
            close |= near_half(x / scale, 1.0, error)
            q = single((np.abs(v) >= scale / np.float32(2)) * np.sign(x))
            scale, unsure = least_squares(alpha, x, q)
            doubt, error = doubt | unsure, fit_error(x)
        return straight(x, scale * q, doubt, Scaled(scale, q, x, error, close))


def quantized_linear_auto(
    quantizer: Quantizer, x: F32, bounds: tuple[F32, F32], shift: np.float32
) -> tuple[F32, Mask]:
    """Quantization scale of quantized_linear with alpha 'auto' or 'auto_po2'."""
    axes = reduced_axes(quantizer["scale_axis"], x.ndim)
    span = bounds[1] - bounds[0]
    if quantizer["keep_negative"]:
        scale = np.max(np.abs(x), axis=axes, keepdims=True) * np.float32(2) / span
    else:
        scale = np.max(x, axis=axes, keepdims=True) / span
    scale = np.maximum(single(scale), EPSILON)
    if quantizer["alpha"] == "auto":
        return scale, np.zeros(scale.shape, np.bool_)
    scale, doubt = nearest_power(scale)
    for _ in range(1 if shift else 5):
        q = round_through(clip_to(x / scale, bounds) - shift) + shift
        fitted, unsure = least_squares("auto_po2", x, q, quantizer["scale_axis"])
        doubt = doubt | unsure
        if np.array_equal(fitted, scale):
            break
        scale = fitted
    return scale, doubt


def linear_levels(quantizer: Quantizer, x: F32, scale: F32, levels: F32) -> Scaled:
    """Say what quantized_linear multiplies; a constant scale divides alike on every machine."""
    relative = QUOTIENT if isinstance(quantizer["alpha"], str) else 0.0
    peak = 2.0 ** quantizer["bits"]
    with np.errstate(divide="ignore", invalid="ignore"):
        unsure = near_half(x / scale, peak, QUOTIENT)
    return Scaled(scale, levels, x, relative, unsure)


def clip_to(x: F32, bounds: tuple[F32, F32]) -> F32:
    """Clip to (low, high)."""
    return np.maximum(np.minimum(x, bounds[1]), bounds[0])
