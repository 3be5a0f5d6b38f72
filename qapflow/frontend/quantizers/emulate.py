"""What each QKeras quantizer computes, in float32 and in QKeras's order of operations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from qapflow.frontend.quantizers import scales
from qapflow.frontend.quantizers.emulate_functions import FUNCTIONS
from qapflow.frontend.quantizers.emulate_po2 import quantized_po2, quantized_relu_po2
from qapflow.frontend.quantizers.float32 import (
    F32,
    Emulated,
    clip,
    hard_sigmoid,
    round_through,
    scaled_by,
    sign_or_one,
    single,
    straight,
)
from qapflow.frontend.quantizers.spec import Quantizer, UnsupportedQuantizer


def emulate(quantizer: Quantizer, x: Any) -> Emulated:
    """Apply a quantizer to values of any shape, as QKeras 0.9.0 does at inference.

    Raises:
        UnsupportedQuantizer: the kind has no elementwise definition (softmax, Keras functions).
    """
    kernel = KERNELS.get(quantizer.kind)
    if kernel is None:
        raise UnsupportedQuantizer(f"{quantizer.kind} is no quantizer of QKeras")
    return kernel(quantizer, single(x))


def quantized_bits(quantizer: Quantizer, x: F32) -> Emulated:
    """Round to fixed point with `bits` bits; one bit with sign is a binary."""
    unsigned_bits = quantizer["bits"] - int(quantizer["keep_negative"])
    if isinstance(quantizer["alpha"], str):
        return scales.quantized_bits_auto(quantizer, x, unsigned_bits)
    m, m_i = np.float32(2.0**unsigned_bits), np.float32(2.0 ** quantizer["integer"])
    if unsigned_bits > 0:
        low = int(quantizer["keep_negative"]) * (-m + np.float32(quantizer["symmetric"]))
        result = m_i * clip(round_through(x * m / m_i), low, m - np.float32(1)) / m
    else:
        result = sign_or_one(x)
    scale, _ = scales.constant_scale(quantizer["alpha"])
    return straight(x, scale * result, scaled=scaled_by(scale, result, x))


def quantized_linear(quantizer: Quantizer, x: F32) -> Emulated:
    """Clip, then round, on a scale: the later form of quantized_bits."""
    keep = int(quantizer["keep_negative"])
    bits = quantizer["bits"]
    is_sign = bits == 1 and bool(keep)
    peak = np.float32(2.0 ** (bits - keep))
    bounds = (single(keep * (-peak + np.float32(quantizer["symmetric"]))), single(peak - 1))
    shift = np.float32(0.5) if is_sign else np.float32(0)
    if is_sign:
        bounds = (single(-0.5), single(0.5))
    alpha = quantizer["alpha"]
    if isinstance(alpha, str):
        scale, doubt = scales.quantized_linear_auto(quantizer, x, bounds, shift)
    else:
        scale, doubt = scales.constant_scale(alpha)
        scale = scale * np.float32(2.0 ** (quantizer["integer"] - bits + keep))
    levels = round_through(scales.clip_to(x / scale, bounds) - shift) + shift
    result = levels * scale
    return straight(x, result, doubt, scales.linear_levels(quantizer, x, scale, levels))


def binary(quantizer: Quantizer, x: F32) -> Emulated:
    """-1 below zero, else +1 (or 0 and 1), times the scale."""
    signs = sign_or_one(x)
    if quantizer.params.get("use_01"):
        signs = (signs + np.float32(1)) / np.float32(2)
    scale, doubt = scales.binary_scale(quantizer, x, signs)
    start = np.tanh(x) if quantizer["alpha"] is None else x
    scaled = scaled_by(scale, signs, start)
    if isinstance(quantizer["alpha"], str):
        scaled = replace(scaled, relative=scales.fit_error(x, quantizer.params.get("scale_axis")))
    return straight(start, scale * signs, doubt, scaled)


def ternary(quantizer: Quantizer, x: F32) -> Emulated:
    """-1, 0 or +1 by a threshold, times the scale."""
    alpha, threshold = quantizer["alpha"], quantizer["threshold"]
    if isinstance(alpha, str):
        return scales.ternary_auto(quantizer, x)
    bound = np.float32(0.33 if threshold is None else threshold)
    levels = single(np.abs(x) >= bound) * np.sign(x)
    scale, _ = scales.constant_scale(alpha)
    start = np.tanh(x) if alpha is None else x
    return straight(start, scale * levels, scaled=scaled_by(scale, levels, start))


def quantized_relu(quantizer: Quantizer, x: F32) -> Emulated:
    """ReLU on an unsigned grid; with a slope, one bit less and a negative branch."""
    slope = np.float32(quantizer["negative_slope"])
    bits = quantizer["bits"] - int(slope != 0)
    m, m_i = np.float32(2.0**bits), np.float32(2.0 ** quantizer["integer"])
    start = _relu_start(quantizer, x, m_i, np.float32(2.0 ** (quantizer["integer"] - bits)))
    two, one = np.float32(2), np.float32(1)
    if quantizer["use_sigmoid"]:
        p = hard_sigmoid(x / m_i) * m
        result = m_i * clip(two * (round_through(p) / m) - one, 0, one - one / m)
    else:
        p = x * m / m_i
        result = m_i * clip(round_through(p) / m, 0, one - one / m)
    if slope > 0:
        factor = one / (slope * m)
        branch = round_through(p * slope) * factor
        if quantizer["use_sigmoid"]:
            branch = two * branch - one
        result = result + m_i * slope * clip(branch, -1, 0)
    bound = quantizer["relu_upper_bound"]
    if bound and not quantizer["is_quantized_clip"]:
        result = np.where(result <= np.float32(bound), result, np.float32(bound))
    return straight(start, single(result))


def _relu_start(quantizer: Quantizer, x: F32, m_i: np.float32, m_f: np.float32) -> F32:
    """Return the unquantized value the straight-through sum starts from."""
    relu = np.where(x > 0, x, x * np.float32(quantizer["negative_slope"]))
    if quantizer["is_quantized_clip"]:
        return single(np.where(x <= m_i - m_f, relu, m_i - m_f))
    if quantizer["relu_upper_bound"] is not None:
        bound = np.float32(quantizer["relu_upper_bound"])
        return single(np.where(x <= bound, relu, bound))
    return single(relu)


def quantized_hswish(quantizer: Quantizer, x: F32) -> Emulated:
    """Quantize x * min(relu(x + shift), bound) / bound as quantized_bits does."""
    bound = np.float32(quantizer["relu_upper_bound"])
    shifted = x + np.float32(quantizer["relu_shift"])
    gate = np.where(shifted <= bound, np.maximum(shifted, np.float32(0)), bound)
    return quantized_bits(quantizer, single(x * gate / bound))


KERNELS: Mapping[str, Callable[[Quantizer, F32], Emulated]] = {
    "quantized_bits": quantized_bits,
    "quantized_linear": quantized_linear,
    "binary": binary,
    "stochastic_binary": binary,
    "ternary": ternary,
    "stochastic_ternary": ternary,
    "quantized_relu": quantized_relu,
    "quantized_hswish": quantized_hswish,
    "quantized_po2": quantized_po2,
    "quantized_relu_po2": quantized_relu_po2,
    **FUNCTIONS,
}
