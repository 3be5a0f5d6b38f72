"""From a float Keras model to a QKeras one of the same layers, each with its bits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qapflow.errors import ModelUnsupported, Unsupported, UsageError
from qapflow.train.libraries import load_keras
from qapflow.train.quantization.calls import Call, Calls, Value, list_calls
from qapflow.train.quantization.integer_bits import choose_integer_bits
from qapflow.train.quantization.observing import Inputs
from qapflow.train.quantization.quantizers import signed
from qapflow.train.quantization.replace import (
    ACTIVATING,
    FOLDABLE,
    OPERATIONS,
    replace_layer,
)
from qapflow.train.quantization.replacement import Replacement
from qapflow.train.quantization.switching import switch
from qapflow.train.rebuilding import as_tf_keras
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
    samples: Inputs | None = None,
) -> Any:
    """Return a quantized copy of a float tf-keras model, with its weights; train it further.

    Dense layers, convolutions (depthwise, separable and transposed ones too) and recurrent layers
    become QKeras layers of the same names, ReLUs become quantized ReLUs of the same bound and
    slope, averages and sums are quantized behind. A batch normalization right behind a dense layer,
    a convolution or a depthwise one is folded into it and trained there (`fold`). Models in the
    model are inlined; a layer that is called twice is one quantized layer, called twice. The model
    itself is not changed. Compile the copy before training, end with `finalize`.

    Args:
        model: functional or sequential, of tf-keras or Keras 3.
        bits: of everything that has no number of its own; sign included, 32 is float.
        weights: bits of kernels.
        biases: bits of biases (default: as the kernels, but at least 6).
        activations: bits of activations.
        input_bits: bits of the model's inputs.
        layers: by layer name, its own "weights", "biases" and "activations"; layers of models in
            the model have their own names, with the model's name in front where two are the same.
        weight_quantizer: "quantized_bits", "quantized_po2", "binary" or "ternary".
        alpha: scale of the kernels: "1", or "auto_po2" for a power of two a channel.
        fold: fold batch normalization.
        samples: typical inputs [n, *shape] on which integer bits are chosen, a list of them if
            the model has several inputs.

    Raises:
        UsageError: bits out of range, or of a layer that is not there; a model without a graph of
            layers, such as a class with a `call` of its own.
        ModelUnsupported: lists every layer that has no quantized form.
    """
    given = {"weights": weights, "activations": activations, "input": input_bits}
    numbers = {name: bits if value is None else value for name, value in given.items()}
    own = {name: dict(values) for name, values in (layers or {}).items()}
    settings = _settings(
        numbers | {"biases": biases, "weight_quantizer": weight_quantizer, "alpha": alpha}, own
    )
    model = as_tf_keras(model)
    calls = list_calls(model)
    _check_layers(calls, settings, model.name)
    copy = _Rebuild(calls, settings, fold).run(model.name)
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


def _check_layers(calls: Calls, settings: QuantizationRecipe, name: str) -> None:
    for own in settings.layers:
        if own not in calls.names.values():
            raise UsageError(
                f"the model has no layer {own!r}",
                at="quantize: layers",
                hint=f"its layers are {', '.join(calls.names.values())}",
            )
    layers = {id(call.layer): call.layer for call in calls.calls}
    made = [
        (layer, replace_layer(layer, QuantizationRecipe(), LayerBits()))
        for layer in layers.values()
    ]
    problems = [
        Unsupported(calls.names[id(layer)], type(layer).__name__, replacement.problem)
        for layer, replacement in made
        if replacement.problem
    ]
    if problems:
        raise ModelUnsupported(problems, at=f"model {name}")


class _Rebuild:
    """Makes the calls of a model again, with quantized layers."""

    def __init__(self, calls: Calls, settings: QuantizationRecipe, fold: bool) -> None:
        self.calls, self.settings, self.fold = calls, settings, fold
        self.libraries = load_keras()
        self.tensors: dict[Value, Any] = {}
        self.made: dict[int, Replacement] = {}
        self.inputs = [self._input(value) for value in calls.inputs]

    def run(self, name: str) -> Any:
        """Return the quantized model."""
        for call in self.calls.calls:
            if call.values[0] not in self.tensors:
                self._call(call)
        outputs = [self.tensors[value] for value in self.calls.outputs]
        one = len(outputs) == 1
        model = self.libraries.keras.Model(
            self.inputs if len(self.inputs) > 1 else self.inputs[0],
            outputs[0] if one else outputs,
            name=name,
        )
        for made in self.made.values():
            if made.weights:
                made.layers[0].set_weights(made.weights)
        return model

    def _input(self, value: Value) -> Any:
        tensor = value.tensor
        name = tensor.node.layer.name
        made = self.libraries.keras.Input(tensor.shape[1:], name=name, dtype=tensor.dtype)
        self.tensors[value] = made
        readers = [type(call.layer).__name__ for call in self.calls.readers(value)]
        done = readers and all(kind == "QActivation" for kind in readers)
        if self.settings.input < FLOAT_BITS and not done:
            text = signed(self.settings.input, min(INPUT_INTEGER, self.settings.input - 1))
            quantizer = self.libraries.qkeras.QActivation(text, name=f"{name}_quantizer")
            self.tensors[value] = quantizer(made)
        return made

    def _call(self, call: Call) -> None:
        nest = self.libraries.tf.nest
        folded = self._normalization(call) if self.fold else None
        made = self._replacement(call, folded)
        arguments, options = nest.map_structure(
            lambda item: self.tensors[item] if isinstance(item, Value) else item,
            (call.arguments, dict(call.options)),
        )
        if isinstance(arguments[0], list | tuple) and len(arguments[0]) == 1:
            arguments = (arguments[0][0], *arguments[1:])
        if type(call.layer).__name__ in OPERATIONS and not isinstance(
            made.layers[0], type(call.layer)
        ):
            arguments, options = arguments[:1], {}  # an activation takes none of a function's
        tensor = made.layers[0](*arguments, **options)
        for piece in made.layers[1:]:
            tensor = piece(tensor)
        values = call.values if folded is None else folded.values
        self.tensors |= dict(zip(values, nest.flatten(tensor), strict=True))

    def _replacement(self, call: Call, folded: Call | None) -> Replacement:
        """Return the layers that stand for one, the same ones for each of its calls."""
        layer = call.layer
        if id(layer) not in self.made:
            name = self.calls.names[id(layer)]
            own = self.settings.layers.get(name, LayerBits())
            ends = all(self._ends(one) for one in self.calls.of(layer))
            normalization = None if folded is None else folded.layer
            made = replace_layer(layer, self.settings, own, normalization, ends=ends)
            for piece in made.layers:
                piece._name = name + piece.name.removeprefix(layer.name)
            self.made[id(layer)] = made
        return self.made[id(layer)]

    def _ends(self, call: Call) -> bool:
        """Tell whether the model gives out what a call makes, or only activations read it."""
        if call.values[0] in self.calls.outputs:
            return True
        readers = [type(one.layer).__name__ for one in self.calls.readers(call.values[0])]
        normalizes = type(call.layer).__name__ == "BatchNormalization"
        return normalizes and bool(readers) and all(kind in ACTIVATING for kind in readers)

    def _normalization(self, call: Call) -> Call | None:
        """Return the call of the batch normalization that alone reads a layer with weights.

        A layer that is called several times must have the same one behind each call.
        """
        layer = call.layer
        linear = getattr(layer, "activation", None) is self.libraries.keras.activations.linear
        if type(layer).__name__ not in FOLDABLE or not linear:
            return None
        calls = self.calls.of(layer)
        if any(one.values[0] in self.calls.outputs for one in calls):
            return None
        readers = [self.calls.readers(one.values[0]) for one in calls]
        first: Any = readers[0][0].layer if readers[0] else None
        alone = all(len(found) == 1 and found[0].layer is first for found in readers)
        if type(first).__name__ != "BatchNormalization" or not alone:
            return None
        if len(self.calls.of(first)) != len(calls):
            return None
        last = len(call.values[0].tensor.shape) - 1
        mine = readers[calls.index(call)][0]
        return mine if list(first.axis) == [last] else None
