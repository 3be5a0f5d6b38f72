"""Bits that a model's quantizers declare for weights; integer codes may need fewer or more."""

from __future__ import annotations

from collections.abc import Mapping

from qapflow.frontend.model import LayerSpec, ModelSpec
from qapflow.frontend.quantizers import UnsupportedQuantizer, parse_quantizer

ROLES = ("kernel_quantizer", "depthwise_quantizer", "pointwise_quantizer", "recurrent_quantizer")
BITS = {"binary": 1, "stochastic_binary": 1, "ternary": 2, "stochastic_ternary": 2}


def declared_bits(spec: ModelSpec) -> Mapping[str, int]:
    """Return the bits of each layer's weights as its quantizer says them, the sign included.

    Layers without a quantizer, and those with several of different bits, are left out: the width
    of their codes is what there is.
    """
    found = {layer.name: _bits(layer) for layer in spec.layers}
    return {name: bits for name, bits in found.items() if bits}


def _bits(layer: LayerSpec) -> int:
    found = set()
    for role in ROLES:
        if not layer.config.get(role):
            continue
        try:
            quantizer = parse_quantizer(layer.config[role])
        except UnsupportedQuantizer:  # of a layer that does not use it
            return 0
        kind = quantizer.kind if quantizer else "linear"
        bits = BITS.get(kind) or (quantizer.params.get("bits") if quantizer else None)
        found.add(int(bits) if isinstance(bits, int | float) else 0)
    return found.pop() if len(found) == 1 else 0
