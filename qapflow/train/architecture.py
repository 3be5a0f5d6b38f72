"""From a recipe to a Keras model whose every value is quantized."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from qapflow.errors import UsageError
from qapflow.train.libraries import load_keras
from qapflow.train.quantization.quantizers import (
    bias_quantizer,
    make_quantizer,
    relu,
    signed,
    weight_quantizer,
)
from qapflow.train.rebuilding import read_model_file
from qapflow.train.recipes.recipe import (
    FLOAT_BITS,
    ConvRecipe,
    DenseRecipe,
    LayerBits,
    PoolRecipe,
    Recipe,
)

OUTPUT = "output"
INPUT_INTEGER = 2  # standardized features: four deviations either way
ACTIVATION_INTEGER = 2
POOLS = {
    "max_pool1d": "MaxPooling1D",
    "max_pool2d": "MaxPooling2D",
    "average_pool1d": "AveragePooling1D",
    "average_pool2d": "AveragePooling2D",
}
PLAIN = {
    "dense": "QDense",
    "conv1d": "QConv1D",
    "conv2d": "QConv2D",
    "depthwise_conv2d": "QDepthwiseConv2D",
}
FOLDED = {
    "dense": "FoldedDense",
    "conv1d": "FoldedConv1D",
    "conv2d": "FoldedConv2D",
    "depthwise_conv2d": "FoldedDepthwiseConv2D",
}


def build_model(recipe: Recipe, input_shape: Sequence[int], classes: int) -> Any:
    """Return the recipe's Keras model for samples of `input_shape` (without the batch).

    Layers are named after their kind and number: dense_1, conv2d_1 ..., the last one "output".
    Integer bits that the recipe leaves open have a first value; `choose_integer_bits` sets them.

    Raises:
        UsageError: layers that do not fit the shape, or bits of a layer that is not there.
    """
    if recipe.model.file is not None:
        return read_model_file(recipe.model.file)
    keras = load_keras().keras
    try:
        return _Builder(recipe).build(keras.Input(tuple(input_shape), name="input"), classes)
    except ValueError as error:
        words = " ".join(str(error).split())[:300]
        raise UsageError(
            f"the layers do not fit together: {words}",
            at="model.layers",
            hint=f"samples have shape {tuple(input_shape)}",
        ) from error


class _Builder:
    """Builds one model layer by layer, counting names."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.settings = recipe.quantization
        self.numbers: Counter[str] = Counter()
        self.names: list[str] = []
        libraries = load_keras()
        self.keras, self.qkeras = libraries.keras, libraries.qkeras
        self.layers = libraries.keras.layers

    def build(self, samples: Any, classes: int) -> Any:
        tensor = samples
        if self.settings.input < FLOAT_BITS:
            integer = min(INPUT_INTEGER, self.settings.input - 1)
            text = signed(self.settings.input, integer)
            tensor = self.qkeras.QActivation(text, name="input_quantizer")(tensor)
        for layer in self.recipe.model.layers:
            if isinstance(layer, DenseRecipe | ConvRecipe):
                tensor = self._hidden(layer, tensor)
            elif isinstance(layer, PoolRecipe):
                tensor = self._pool(layer, tensor)
            else:
                tensor = self._flatten(layer.kind, tensor)
        if len(tensor.shape) > 2:
            tensor = self._flatten("flatten", tensor)
        output = self._kernel_layer(
            DenseRecipe(units=1 if classes == 2 else classes), OUTPUT, False
        )
        tensor = output(tensor)
        if self.recipe.model.output != "logits":
            kind = self.recipe.model.output
            tensor = self.layers.Activation(kind, name=kind)(tensor)
        self._check_names()
        return self.keras.Model(samples, tensor, name=self._model_name())

    def _model_name(self) -> str:
        return "".join(c if c.isalnum() else "_" for c in self.recipe.name) or "model"

    def _name(self, kind: str) -> str:
        self.numbers[kind] += 1
        self.names.append(f"{kind}_{self.numbers[kind]}")
        return self.names[-1]

    def _bits(self, name: str) -> tuple[int, int | None, int]:
        """Return bits of weights, biases and activations of a layer."""
        return self.settings.bits_of(self.settings.layers.get(name, LayerBits()))

    def _kernel_layer(self, layer: DenseRecipe | ConvRecipe, name: str, normalized: bool) -> Any:
        from qapflow.train.quantization import keras_classes

        fold = normalized and self.recipe.model.batch_normalization == "fold"
        kind = layer.kind
        maker = getattr(keras_classes, FOLDED[kind]) if fold else getattr(self.qkeras, PLAIN[kind])
        weights, biases, _ = self._bits(name)
        text = weight_quantizer(self.settings, weights, self.settings.weight_integer_bits)
        role = "depthwise" if kind == "depthwise_conv2d" else "kernel"
        options = {
            "name": name,
            f"{role}_quantizer": make_quantizer(text),
            "bias_quantizer": make_quantizer(bias_quantizer(self.settings, weights, biases)),
            f"{role}_initializer": "he_normal",
        }
        if self.recipe.training.l1:
            options[f"{role}_regularizer"] = self.keras.regularizers.L1(self.recipe.training.l1)
        if isinstance(layer, DenseRecipe):
            return maker(layer.units, **options)
        options |= {"strides": layer.stride, "padding": layer.padding}
        if kind == "depthwise_conv2d":
            return maker(layer.kernel, depth_multiplier=layer.filters, **options)
        return maker(layer.filters, layer.kernel, **options)

    def _hidden(self, layer: DenseRecipe | ConvRecipe, tensor: Any) -> Any:
        if isinstance(layer, DenseRecipe) and len(tensor.shape) > 2:
            tensor = self._flatten("flatten", tensor)
        name = self._name(layer.kind)
        tensor = self._kernel_layer(layer, name, True)(tensor)
        if self.recipe.model.batch_normalization == "separate":
            tensor = self.layers.BatchNormalization(name=f"{name}_normalized")(tensor)
        return self._relu(name, tensor)

    def _relu(self, name: str, tensor: Any) -> Any:
        bits = self._bits(name)[2]
        given = self.settings.activation_integer_bits
        integer = min(ACTIVATION_INTEGER, bits) if given is None else given
        if bits >= FLOAT_BITS:
            return self.layers.Activation("relu", name=f"{name}_relu")(tensor)
        return self.qkeras.QActivation(relu(bits, integer), name=f"{name}_relu")(tensor)

    def _pool(self, layer: PoolRecipe, tensor: Any) -> Any:
        name = self._name(layer.kind)
        tensor = getattr(self.layers, POOLS[layer.kind])(layer.size, name=name)(tensor)
        return self._relu(name, tensor) if layer.kind.startswith("average") else tensor

    def _flatten(self, kind: str, tensor: Any) -> Any:
        """Flatten, or average over all positions; averages are quantized like activations."""
        name = self._name(kind)
        if kind == "flatten":
            return self.layers.Flatten(name=name)(tensor)
        rank = len(tensor.shape) - 2
        pool = getattr(self.layers, f"GlobalAveragePooling{rank}D")
        return self._relu(name, pool(name=name)(tensor))

    def _check_names(self) -> None:
        known = (*self.names, OUTPUT)
        for name in self.settings.layers:
            if name not in known:
                raise UsageError(
                    f"the model has no layer {name!r}",
                    at="quantization.layers",
                    hint=f"its layers are {', '.join(known)}",
                )
