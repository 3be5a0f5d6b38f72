"""From a float Keras model to a QKeras one of the same layers, each with its bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.errors import ModelUnsupported, Unsupported, UsageError
from qapflow.train.libraries import load_keras
from qapflow.train.quantization.integer_bits import choose_integer_bits
from qapflow.train.quantization.quantizers import signed
from qapflow.train.quantization.replace import FOLDABLE, KEPT, Replacement, replace_layer
from qapflow.train.quantization.switching import switch
from qapflow.train.recipes.recipe import FLOAT_BITS, LayerBits, QuantizationRecipe

__all__ = ["choose_integer_bits", "quantize", "switch"]

INPUT_INTEGER = 2


def quantize(
    model: Any,
    bits: int = 8,
    *,
    weights: int | None = None,
    biases: int | None = None,
    activations: int | None = None,
    input_bits: int | None = None,
    layers: Mapping[str, Mapping[str, int]] | None = None,
    weight_quantizer: str = "quantized_bits",
    alpha: str = "1",
    fold: bool = True,
    samples: NDArray[np.floating[Any]] | None = None,
) -> Any:
    """Return a quantized copy of a float tf-keras model, with its weights; train it further.

    Dense layers and convolutions (depthwise, separable and transposed ones too) become QKeras
    layers of the same names, ReLUs become quantized ReLUs of the same bound and slope, averages and
    sums are quantized behind. A batch normalization right behind a dense layer, a convolution or a
    depthwise one is folded into it and trained there (`fold`). The model itself is not changed.
    Compile the copy before training, end with `finalize`.

    Args:
        model: functional or sequential, every layer called once.
        bits: of everything that has no number of its own; sign included, 32 is float.
        weights: bits of kernels.
        biases: bits of biases (default: as the kernels, but at least 6).
        activations: bits of activations.
        input_bits: bits of the model's inputs.
        layers: by layer name, its own "weights", "biases" and "activations".
        weight_quantizer: "quantized_bits", "quantized_po2", "binary" or "ternary".
        alpha: scale of the kernels: "1", or "auto_po2" for a power of two a channel.
        fold: fold batch normalization.
        samples: typical inputs [n, *shape] on which integer bits are chosen.

    Raises:
        UsageError: bits out of range, or of a layer that is not there.
        ModelUnsupported: lists every layer that has no quantized form.
    """
    given = {"weights": weights, "activations": activations, "input": input_bits}
    numbers = {name: bits if value is None else value for name, value in given.items()}
    own = {name: dict(values) for name, values in (layers or {}).items()}
    settings = _settings(
        numbers | {"biases": biases, "weight_quantizer": weight_quantizer, "alpha": alpha}, own
    )
    _check_layers(model, settings)
    copy = _Rebuild(model, settings, fold).run()
    choose_integer_bits(copy, samples)
    return copy


def _settings(values: Mapping[str, Any], layers: Mapping[str, Any]) -> QuantizationRecipe:
    from pydantic import ValidationError

    try:
        return QuantizationRecipe.model_validate({**values, "layers": layers})
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(str(part) for part in first["loc"])
        raise UsageError(
            f"{first['msg']}, not {first['input']!r}", at=f"quantize: {at}", hint="bits are 1 to 32"
        ) from error


def _check_layers(model: Any, settings: QuantizationRecipe) -> None:
    names = [layer.name for layer in model.layers]
    for name in settings.layers:
        if name not in names:
            raise UsageError(
                f"the model has no layer {name!r}",
                at="quantize: layers",
                hint=f"its layers are {', '.join(names)}",
            )
    problems = [problem for layer in model.layers for problem in _problems(layer)]
    if problems:
        raise ModelUnsupported(problems, at=f"model {model.name}")


def _problems(layer: Any) -> Sequence[Unsupported]:
    kind = type(layer).__name__
    if kind == "InputLayer":
        return ()
    if hasattr(layer, "layers"):
        return (Unsupported(layer.name, kind, "models in models", "put its layers in this one"),)
    if len(layer.inbound_nodes) != 1:
        return (Unsupported(layer.name, kind, "it is called more than once", "call a copy of it"),)
    if kind in KEPT or kind.startswith(("Q", "Folded")):
        return ()
    reason = replace_layer(layer, QuantizationRecipe(), LayerBits()).problem
    return (Unsupported(layer.name, kind, reason),) if reason else ()


class _Rebuild:
    """Walks a model in topological order and builds the quantized one beside it."""

    def __init__(self, model: Any, settings: QuantizationRecipe, fold: bool) -> None:
        self.model, self.settings, self.fold = model, settings, fold
        self.tensors: dict[int, Any] = {}
        self.weights: list[tuple[Any, list[Any]]] = []
        self.libraries = load_keras()
        self.inputs = [self._input(tensor) for tensor in model.inputs]

    def run(self) -> Any:
        """Return the quantized model."""
        for layer in self.model.layers:
            if type(layer).__name__ != "InputLayer" and id(layer.output) not in self.tensors:
                self._layer(layer)
        outputs = [self.tensors[id(tensor)] for tensor in self.model.outputs]
        one = len(outputs) == 1
        made = self.libraries.keras.Model(
            self.inputs if len(self.inputs) > 1 else self.inputs[0],
            outputs[0] if one else outputs,
            name=self.model.name,
        )
        for layer, values in self.weights:
            layer.set_weights(values)
        return made

    def _input(self, tensor: Any) -> Any:
        name = tensor.node.layer.name
        made = self.libraries.keras.Input(tensor.shape[1:], name=name, dtype=tensor.dtype)
        self.tensors[id(tensor)] = made
        readers = [node.layer for node in tensor.node.layer.outbound_nodes]
        done = readers and all(type(reader).__name__ == "QActivation" for reader in readers)
        if self.settings.input < FLOAT_BITS and not done:
            text = signed(self.settings.input, min(INPUT_INTEGER, self.settings.input - 1))
            quantizer = self.libraries.qkeras.QActivation(text, name=f"{name}_quantizer")
            self.tensors[id(tensor)] = quantizer(made)
        return made

    def _layer(self, layer: Any) -> None:
        own = self.settings.layers.get(layer.name, LayerBits())
        normalization = self._normalization(layer) if self.fold else None
        ends = any(layer.output is tensor for tensor in self.model.outputs)
        made: Replacement = replace_layer(layer, self.settings, own, normalization, ends=ends)
        nest = self.libraries.tf.nest
        tensor = nest.map_structure(
            lambda old: self.tensors[id(old)], layer.inbound_nodes[0].input_tensors
        )
        if isinstance(tensor, list | tuple) and len(tensor) == 1:
            tensor = tensor[0]
        for piece in made.layers:
            tensor = piece(tensor)
        if made.weights:
            self.weights.append((made.layers[0], made.weights))
        last = layer if normalization is None else normalization
        self.tensors[id(last.output)] = tensor

    def _normalization(self, layer: Any) -> Any:
        """Return the batch normalization that alone reads a layer with weights, if one does."""
        nodes = layer.outbound_nodes
        linear = getattr(layer, "activation", None) is self.libraries.keras.activations.linear
        if type(layer).__name__ not in FOLDABLE or not linear or len(nodes) != 1:
            return None
        reader = nodes[0].layer
        if type(reader).__name__ != "BatchNormalization" or len(reader.inbound_nodes) != 1:
            return None
        last = len(layer.output.shape) - 1
        return reader if list(reader.axis) == [last] else None
