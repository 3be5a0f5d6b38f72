"""Biases that take up constants: on the quantizer they have, or the narrowest that holds them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.train.quantization.quantizers import make_quantizer, signed

Array = NDArray[Any]

WIDEST_BITS = 20


@dataclass(frozen=True, eq=False)
class Bias:
    """Values [outputs] and the quantizer that leaves them as they are."""

    values: Array
    quantizer: Any


def hold_exactly(layer: Any, share: Array) -> Bias | None:
    """Return the layer's bias with `share` [outputs] added; None if no fixed point holds it.

    Only biases of plain fixed point (`quantized_bits`, alpha 1) are touched.
    """
    quantizer: Any = getattr(layer, "bias_quantizer_internal", None)
    if not layer.use_bias or type(quantizer).__name__ != "quantized_bits":
        return None
    if quantizer.alpha != 1 or not quantizer.keep_negative or quantizer.symmetric:
        return None
    exact = np.asarray(quantizer(layer.bias), np.float64) + share
    values = exact.astype(np.float32)
    if not np.array_equal(values, exact):
        return None
    for candidate in (quantizer, _narrowest(exact)):
        if candidate is not None and np.array_equal(np.asarray(candidate(values)), values):
            return Bias(values, candidate)
    return None


def _narrowest(values: Array) -> Any:
    """Return the narrowest quantizer to signed fixed point that holds the values, if any does."""
    frac = next((f for f in range(WIDEST_BITS) if not np.any(values * 2.0**f % 1)), None)
    if frac is None:
        return None
    top = float(np.abs(values).max())
    integer = max(int(np.floor(np.log2(top))) + 1 if top else 0, 0)
    bits = integer + frac + 1
    return make_quantizer(signed(bits, integer)) if 1 < bits <= WIDEST_BITS else None
