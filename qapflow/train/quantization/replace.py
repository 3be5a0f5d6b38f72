"""The quantized form of each kind of Keras layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from qapflow.train.libraries import load_keras
from qapflow.train.quantization.quantizers import (
    bias_quantizer,
    make_quantizer,
    relu,
    weight_quantizer,
)
from qapflow.train.quantization.recurrent import RECURRENT, replace_bidirectional, replace_recurrent
from qapflow.train.quantization.replacement import (
    INTEGER,
    Replacement,
    activation_name,
    activation_text,
    copy_layer,
    make_quantizer_or_name,
    quantizer_behind,
)
from qapflow.train.recipes.recipe import FLOAT_BITS, LayerBits, QuantizationRecipe

WEIGHTED = {
    "Dense": "QDense",
    "Conv1D": "QConv1D",
    "Conv2D": "QConv2D",
    "DepthwiseConv2D": "QDepthwiseConv2D",
    "SeparableConv1D": "QSeparableConv1D",
    "SeparableConv2D": "QSeparableConv2D",
    "Conv2DTranspose": "QConv2DTranspose",
}
FOLDABLE = ("Dense", "Conv1D", "Conv2D", "DepthwiseConv2D")
ROLES = {  # of the weights that are no biases; "kernel" of those not named here
    "DepthwiseConv2D": ("depthwise",),
    "SeparableConv1D": ("depthwise", "pointwise"),
    "SeparableConv2D": ("depthwise", "pointwise"),
}
KEPT = (
    "Flatten", "Reshape", "Permute", "RepeatVector", "MaxPooling1D",
    "MaxPooling2D", "GlobalMaxPooling1D", "GlobalMaxPooling2D", "Dropout", "SpatialDropout1D",
    "SpatialDropout2D", "GaussianDropout", "GaussianNoise", "ActivityRegularization",
    "Concatenate", "Maximum", "Minimum", "ZeroPadding1D", "ZeroPadding2D", "Cropping1D",
    "Cropping2D", "UpSampling1D", "UpSampling2D", "Softmax",
)  # fmt: skip
OPERATIONS = ("TFOpLambda", "SlicingOpLambda")  # of TensorFlow, between layers
MOVING_OPERATIONS = (
    "__operators__.getitem", "concat", "stack", "reshape", "transpose", "expand_dims", "squeeze",
    "pad", "reverse", "math.maximum", "math.minimum", "clip_by_value", "math.negative",
)  # fmt: skip
ARITHMETIC_OPERATIONS = (
    "__operators__.add", "__operators__.sub", "__operators__.mul", "math.add", "math.subtract",
    "math.multiply", "math.square", "math.reduce_mean", "math.reduce_sum", "linalg.matmul",
)  # fmt: skip
QUANTIZED_BEHIND = (
    "Add", "Subtract", "Multiply", "Average", "AveragePooling1D", "AveragePooling2D",
    "GlobalAveragePooling1D", "GlobalAveragePooling2D", "BatchNormalization",
)  # fmt: skip
ACTIVATING = ("ReLU", "LeakyReLU", "Activation", "QActivation")


def replace_layer(
    layer: Any,
    settings: QuantizationRecipe,
    own: LayerBits,
    normalization: Any = None,
    *,
    ends: bool = False,
) -> Replacement:
    """Return what stands for one float layer.

    `ends` tells that nothing has to be quantized behind it: the model gives out its values, or an
    activation alone reads them. `normalization` is a batch normalization to fold into it.
    """
    kind = type(layer).__name__
    bits = settings.bits_of(own)[2]
    if kind in WEIGHTED:
        return _weighted(layer, settings, own, normalization, bits, ends=ends)
    if kind in KEPT or kind.startswith(("Q", "Folded")):
        return Replacement((copy_layer(layer),), layer.get_weights())
    qkeras = load_keras().qkeras
    if kind in QUANTIZED_BEHIND:
        behind = quantizer_behind(layer, bits, INTEGER, ends=ends)
        return Replacement((copy_layer(layer), *behind), layer.get_weights())
    if kind in ("ReLU", "LeakyReLU"):
        return _rectifier(layer, bits)
    if kind in OPERATIONS:
        return _operation(layer, bits, ends=ends)
    if kind in RECURRENT:
        return replace_recurrent(layer, settings, own, ends=ends)
    if kind == "Bidirectional":
        return replace_bidirectional(layer, settings, own, ends=ends)
    if kind == "TimeDistributed":
        return _distributed(layer, settings, own, ends=ends)
    if kind != "Activation":
        return Replacement(problem="it has no quantized form here")
    name = activation_name(layer.activation)
    text_or_none = activation_text(name, bits, ends=ends)
    if text_or_none is None:
        return Replacement(problem=f"the activation {name!r} has no quantized form")
    if text_or_none in ("linear", "softmax", "sigmoid", "tanh", "relu"):
        keras_layer = load_keras().keras.layers.Activation(text_or_none, name=layer.name)
        return Replacement((keras_layer,))
    return Replacement((qkeras.QActivation(text_or_none, name=layer.name),))


def _operation(layer: Any, bits: int, *, ends: bool) -> Replacement:
    """Return an operation between layers, quantized like the layer of the same meaning."""
    symbol = str(layer.get_config()["function"])
    if symbol in MOVING_OPERATIONS:
        return Replacement((copy_layer(layer),))
    if symbol in ARITHMETIC_OPERATIONS:
        behind = quantizer_behind(layer, bits, INTEGER, ends=ends)
        return Replacement((copy_layer(layer), *behind))
    name = symbol.rpartition(".")[2]
    text = activation_text(name, bits, ends=ends) if name in ("relu", "tanh", "sigmoid") else None
    if text is None:
        return Replacement(problem=f"the operation {symbol} has no quantized form")
    libraries = load_keras()
    kind = libraries.qkeras.QActivation if "(" in text else libraries.keras.layers.Activation
    return Replacement((kind(text, name=layer.name),))


def _rectifier(layer: Any, bits: int) -> Replacement:
    """Return a quantized ReLU with the slope below zero and the bound of the float one."""
    slope = float(layer.alpha if type(layer).__name__ == "LeakyReLU" else layer.negative_slope)
    bound = getattr(layer, "max_value", None)
    if getattr(layer, "threshold", 0.0):
        return Replacement(problem="a ReLU with a threshold has no quantized form")
    if slope and (slope < 0 or np.frexp(slope)[0] != 0.5 or slope > 1):
        what = f"the slope {slope:g} is no power of two, and QKeras knows no other"
        return Replacement(problem=f"{what}; train it with 0.125 or 0.25")
    if bits >= FLOAT_BITS:
        return Replacement((copy_layer(layer),))
    text = relu(bits, min(INTEGER, bits))
    if bound is not None or slope:
        integer = INTEGER if bound is None else max(int(np.ceil(np.log2(float(bound)))), 0)
        extras = f",negative_slope={slope!r}" if slope else ""
        extras += "" if bound is None else f",relu_upper_bound={float(bound)!r}"
        text = f"quantized_relu({bits},{min(integer, bits)}{extras})"
    return Replacement((load_keras().qkeras.QActivation(text, name=layer.name),))


def _weighted(
    layer: Any,
    settings: QuantizationRecipe,
    own: LayerBits,
    normalization: Any,
    bits: int,
    *,
    ends: bool,
) -> Replacement:
    from qapflow.train.quantization import keras_classes

    name = activation_name(layer.activation)
    activation = activation_text(name, bits, ends=ends)
    if activation is None:
        return Replacement(problem=f"the activation {name!r} has no quantized form")
    if getattr(layer, "groups", 1) != 1:
        return Replacement(problem="convolutions in groups have no quantized form")
    kind = type(layer).__name__
    plain, roles = WEIGHTED[kind], ROLES.get(kind, ("kernel",))
    weights, biases, _ = settings.bits_of(own)
    quantizer = weight_quantizer(settings, weights, settings.weight_integer_bits)
    config = {
        key: value
        for key, value in layer.get_config().items()
        if key != "groups" and not (key.endswith("_constraint") and key != "bias_constraint")
    } | {
        "activation": None if activation == "linear" else make_quantizer_or_name(activation),
        **{f"{role}_quantizer": make_quantizer(quantizer) for role in roles},
        "bias_quantizer": make_quantizer(bias_quantizer(settings, weights, biases)),
    }
    if "kernel" not in roles:
        config = {
            k: v for k, v in config.items() if not k.startswith("kernel_") or k == "kernel_size"
        }
    if normalization is None:
        made = getattr(load_keras().qkeras, plain)(**config)
        return Replacement((made,), layer.get_weights())
    config |= {"momentum": normalization.momentum, "epsilon": normalization.epsilon}
    made = getattr(keras_classes, plain.replace("Q", "Folded", 1))(**config)
    return Replacement((made,), _folded_weights(layer, normalization))


def _distributed(
    layer: Any, settings: QuantizationRecipe, own: LayerBits, *, ends: bool
) -> Replacement:
    """Return a layer in its wrapper; quantizers behind it work on each value and need none."""
    inner = layer.layer
    if hasattr(inner, "layers"):
        return Replacement(problem="a whole model in it: wrap its layers one by one")
    made = replace_layer(inner, settings, own, ends=ends)
    if made.problem:
        return made
    first, *rest = made.layers
    if type(first).__name__ == "QActivation":
        first._name = layer.name
        return Replacement((first,))
    for piece in rest:
        piece._name = piece.name.replace(inner.name, layer.name, 1)
    wrapper = load_keras().keras.layers.TimeDistributed(first, name=layer.name)
    return Replacement((wrapper, *rest), made.weights)


def _folded_weights(layer: Any, normalization: Any) -> list[Any]:
    """Return the weights of the folded layer: the bias only moves the mean."""
    kernel, *rest = layer.get_weights()
    mean = np.asarray(normalization.moving_mean)
    variance = np.asarray(normalization.moving_variance)
    gamma = np.ones_like(mean) if normalization.gamma is None else np.asarray(normalization.gamma)
    beta = np.zeros_like(mean) if normalization.beta is None else np.asarray(normalization.beta)
    shifted = mean - rest[0] if rest else mean
    updates = np.float32(1e3)  # the statistics are learned: no fast start
    return [kernel, gamma, beta, shifted, variance, updates, np.float32(0)]
