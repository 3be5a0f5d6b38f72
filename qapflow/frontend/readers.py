"""Who reads the output of a layer, and whether all of them quantize it."""

from __future__ import annotations

from qapflow.frontend.model import LayerSpec, ModelSpec
from qapflow.frontend.quantizers import Quantizer, UnsupportedQuantizer, parse_quantizer

PASS_ON = ("Flatten", "Reshape", "Dropout", "Permute", "ZeroPadding1D", "ZeroPadding2D")


class Readers:
    """Looks forward in a model."""

    def __init__(self, spec: ModelSpec) -> None:
        self.outputs = {name for name, _ in spec.outputs}
        self.readers: dict[str, list[LayerSpec]] = {layer.name: [] for layer in spec.layers}
        for layer in spec.layers:
            for name, _ in layer.inbound:
                if name in self.readers:
                    self.readers[name].append(layer)

    def quantizers(self, name: str) -> list[Quantizer | None]:
        """Quantizer of each reader, through layers that only move elements; None if it has none."""
        if name in self.outputs or not self.readers[name]:
            return [None]
        found: list[Quantizer | None] = []
        for layer in self.readers[name]:
            if layer.class_name in PASS_ON:
                found += self.quantizers(layer.name)
            elif layer.class_name in ("QActivation", "Activation"):
                found.append(_quantizer(layer))
            else:
                found.append(None)
        return found

    def all_quantize(self, name: str) -> bool:
        """Tell whether every reader rounds to a grid of its own."""
        return all(
            quantizer is not None and quantizer.kind.startswith(("quantized", "binary", "ternary"))
            for quantizer in self.quantizers(name)
        )


def _quantizer(layer: LayerSpec) -> Quantizer | None:
    try:
        return parse_quantizer(layer.config.get("activation"))
    except UnsupportedQuantizer:
        return None  # its own handler reports it
