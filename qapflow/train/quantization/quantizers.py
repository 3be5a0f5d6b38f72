"""Quantizers of a recipe as QKeras's own text, and objects from that text."""

from __future__ import annotations

from typing import Any

from qapflow.frontend.quantizers.parse import parse_quantizer
from qapflow.train.libraries import load_keras
from qapflow.train.recipes.recipe import FLOAT_BITS, QuantizationRecipe

LEAST_BIAS_BITS = 6


def weight_quantizer(
    settings: QuantizationRecipe, bits: int, integer: int | None = None
) -> str | None:
    """Return the quantizer of kernels; None is float."""
    alpha = "1" if settings.alpha == "1" else f"'{settings.alpha}'"
    if bits >= FLOAT_BITS:
        return None
    if settings.weight_quantizer in ("binary", "ternary"):
        return f"{settings.weight_quantizer}(alpha={alpha})"
    if settings.weight_quantizer == "quantized_po2":
        limit = "" if integer is None else f",max_value={2.0**integer}"
        return f"quantized_po2({bits}{limit})"
    return f"quantized_bits({bits},{integer or 0},alpha={alpha})"


def bias_quantizer(settings: QuantizationRecipe, weights: int, bits: int | None) -> str | None:
    """Return the quantizer of biases: as wide as the weights, but of no fewer than 6 bits."""
    if weights >= FLOAT_BITS and bits is None:
        return None
    chosen = max(weights, LEAST_BIAS_BITS) if bits is None else bits
    return None if chosen >= FLOAT_BITS else signed(chosen, 1 if chosen > 1 else 0)


def signed(bits: int, integer: int) -> str:
    """Return a quantizer to signed fixed point; `integer` without the sign."""
    return f"quantized_bits({bits},{integer},alpha=1)"


def relu(bits: int, integer: int) -> str:
    """Return a ReLU onto unsigned fixed point."""
    return "relu" if bits >= FLOAT_BITS else f"quantized_relu({bits},{integer})"


def make_quantizer(text: str | None) -> Any:
    """Return the quantizer that QKeras makes of a text, or ours where QKeras has none."""
    if text is None:
        return None
    parsed = parse_quantizer(text)
    if parsed is not None and parsed.kind == "quantized_bits" and parsed["integer"] < 0:
        from qapflow.train.quantization.keras_classes import FixedPoint

        return FixedPoint(int(parsed["bits"]), int(parsed["integer"]), alpha=1.0)
    return load_keras().qkeras.quantizers.get_quantizer(text)
