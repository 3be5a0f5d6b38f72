"""Who reads the output of a layer, and whether all of them quantize it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from qapflow.frontend.model import LayerSpec, ModelSpec
from qapflow.frontend.quantizers import Quantizer, UnsupportedQuantizer, parse_quantizer

# Layers that only move elements, or put zeros between them.
PASS_ON = frozenset(
    {
        "ActivityRegularization", "AlphaDropout", "Cropping1D", "Cropping2D", "Dropout", "Flatten",
        "GaussianDropout", "GaussianNoise", "Identity", "Permute", "RepeatVector", "Reshape",
        "SpatialDropout1D", "SpatialDropout2D", "UpSampling1D", "UpSampling2D", "ZeroPadding1D",
        "ZeroPadding2D",
    }
)  # fmt: skip
EXACT = frozenset({"MaxPooling1D", "MaxPooling2D", "GlobalMaxPooling1D", "GlobalMaxPooling2D"})
ROUNDING = ("quantized", "binary", "ternary", "stochastic")


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
        return self._follow(name, PASS_ON, set())

    def all_quantize(self, name: str) -> bool:
        """Tell whether every reader rounds to a grid of its own, ReLU and maxima between or not."""
        found = self._follow(name, PASS_ON | EXACT | {"ReLU"}, {"linear", "relu"})
        return all(quantizer is not None and is_rounding(quantizer) for quantizer in found)

    def _follow(
        self, name: str, classes: frozenset[str], activations: set[str]
    ) -> list[Quantizer | None]:
        found: list[Quantizer | None] = []
        pending, seen = [name], {name}
        while pending:
            name = pending.pop()
            if name in self.outputs or not self.readers[name]:
                return [None]
            for layer in map(_each_step, self.readers[name]):
                quantizer = None
                through = layer.class_name in classes and not _blends(layer)
                if layer.class_name in ("QActivation", "Activation"):
                    quantizer = _quantizer(layer)
                    through = quantizer is not None and quantizer.kind in activations
                if not through:
                    found.append(quantizer)
                elif layer.name not in seen:
                    seen.add(layer.name)
                    pending.append(layer.name)
        return found


def _blends(layer: LayerSpec) -> bool:
    """Tell whether a layer that moves elements elsewhere computes means of neighbours here."""
    return layer.config.get("interpolation") not in (None, "nearest")


def _each_step(layer: LayerSpec) -> LayerSpec:
    """Return the layer in a wrapper for each time step."""
    inner = layer.config.get("layer")
    if layer.class_name != "TimeDistributed" or not isinstance(inner, Mapping):
        return layer
    own = inner.get("config")
    config = own if isinstance(own, Mapping) else {}
    return replace(layer, class_name=str(inner.get("class_name")), config=config)


def is_rounding(quantizer: Quantizer) -> bool:
    """Tell whether a quantizer rounds to a grid of its own."""
    return quantizer.kind.startswith(ROUNDING)


def _quantizer(layer: LayerSpec) -> Quantizer | None:
    try:
        return parse_quantizer(layer.config.get("activation"))
    except UnsupportedQuantizer:
        return None  # its own handler reports it
