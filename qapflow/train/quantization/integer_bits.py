"""Where the binary point of each quantizer stands: least squared error on what it quantizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.errors import UsageError
from qapflow.train.leaves import named_leaves
from qapflow.train.quantization.observing import STATE, Inputs, first_samples, observe
from qapflow.train.quantization.quantizers import make_quantizer, relu, signed
from qapflow.train.quantization.switching import ACTIVATIONS, OFF, retrace

Array = NDArray[Any]
QuantizerTexts = dict[str, dict[str, str]]

SAMPLES = 1024
TRIED = 6  # integer bits below those that hold the largest value
KERNELS = {
    "kernel_quantizer": "kernel",
    "depthwise_quantizer": "depthwise_kernel",
    "pointwise_quantizer": "pointwise_kernel",
    "recurrent_quantizer": "recurrent_kernel",
    "bias_quantizer": "bias",
}
HELD = (*KERNELS, STATE)  # quantizers whose object is another attribute, with _internal behind


def least_error_integer(values: Array, bits: int, *, keep_negative: bool = True) -> int | None:
    """Return the integer bits (sign not counted) of least squared error; None for all zeros.

    Of equal errors the smaller range. Values are rounded half to even and saturate.
    """
    flat = np.ravel(np.asarray(values, np.float64))
    flat = flat if keep_negative else np.maximum(flat, 0)
    peak = float(np.abs(flat).max()) if flat.size else 0.0
    if not peak:
        return None
    top = int(np.ceil(np.log2(peak))) + 1
    magnitude = bits - keep_negative
    errors = {}
    for integer in range(top - TRIED, top + 1):
        step = 2.0 ** (integer - magnitude)
        low = -(2**magnitude) if keep_negative else 0
        codes = np.clip(np.round(flat / step), low, 2**magnitude - 1)
        errors[integer] = float(np.sum((codes * step - flat) ** 2))
    return min(errors, key=lambda integer: (errors[integer], integer))


def choose_integer_bits(
    model: Any, samples: Inputs | None, *, weights: bool = True, activations: bool = True
) -> QuantizerTexts:
    """Set the integer bits of a model's quantizers to those of least squared error.

    Weights and biases (as folded, if the layer folds) by their values, activations and recurrent
    states by what they are on `samples` [n, *shape] (a list of them for several inputs) with all
    quantization off. Quantizers with scales of their own (auto_po2, binary, ternary, po2) stay, and
    so do those of all-zero values. Statistics of batch normalization that were never updated are
    set by one pass over the samples first.

    Returns:
        What `write_quantizers` takes to do the same to a copy of the model.
    """
    before = read_quantizers(model)
    if samples is not None:
        first = first_samples(samples, SAMPLES)
        _settle(model, first)
        for layer, attribute, values in observe(model, first, _is_wanted) if activations else ():
            _choose(layer, attribute, values)
    for layer in named_leaves(model).values() if weights else ():
        for attribute in KERNELS:
            held = _weight_values(layer, attribute)
            if held is not None:
                _choose(layer, attribute, held)
    chosen = read_quantizers(model)
    if chosen != before:
        retrace(model)
    return chosen


def read_quantizers(model: Any) -> QuantizerTexts:
    """Return the text of every fixed-point quantizer, by layer and attribute."""
    found: QuantizerTexts = {}
    for name, layer in named_leaves(model).items():
        for attribute in (*KERNELS, *ACTIVATIONS):
            quantizer = _quantizer(layer, attribute)
            if type(quantizer).__name__ in ("quantized_bits", "FixedPoint"):
                if getattr(quantizer, "alpha", None) == 1 and quantizer.keep_negative:
                    text = signed(int(quantizer.bits), int(quantizer.integer))
                    found.setdefault(name, {})[attribute] = text
            elif type(quantizer).__name__ == "quantized_relu" and _is_simple_relu(quantizer):
                text = relu(int(quantizer.bits), int(quantizer.integer))
                found.setdefault(name, {})[attribute] = text
    return found


def write_quantizers(model: Any, texts: Mapping[str, Mapping[str, str]]) -> None:
    """Give layers the quantizers that `read_quantizers` returned.

    Raises UsageError when the model has no such layer.
    """
    layers = named_leaves(model)
    for name, attributes in texts.items():
        if name not in layers:
            raise UsageError(f"the model has no layer {name!r} to quantize")
        for attribute, text in attributes.items():
            _set(layers[name], attribute, text)
    retrace(model)


def _settle(model: Any, samples: Inputs) -> None:
    """Give folded normalizations that have seen nothing the statistics of the samples."""
    fresh = [
        layer
        for layer in named_leaves(model).values()
        if hasattr(layer, "updates_made") and not float(layer.updates_made)
    ]
    if fresh:
        kept = {layer.name: layer.momentum for layer in fresh}
        for layer in fresh:
            layer.momentum = 0.0
        model(samples, training=True)
        for layer in fresh:
            layer.momentum = kept[layer.name]


def _is_wanted(layer: Any, attribute: str) -> bool:
    return _is_choosable(_quantizer(layer, attribute))


def _weight_values(layer: Any, attribute: str) -> Array | None:
    if not _is_choosable(_quantizer(layer, attribute)):
        return None
    if hasattr(layer, "folded"):
        kernel, bias = layer.folded()
        return np.asarray(bias if attribute == "bias_quantizer" else kernel)
    weight = vars(layer).get(KERNELS[attribute])
    return None if weight is None else np.asarray(weight)


def _quantizer(layer: Any, attribute: str) -> Any:
    """Return the quantizer object that stands for an attribute, also while switched off."""
    if attribute in HELD:
        attribute = f"{attribute}_internal"
    return vars(layer).get(OFF, {}).get(attribute, getattr(layer, attribute, None))


def _is_choosable(quantizer: Any) -> bool:
    kind = type(quantizer).__name__
    if kind in ("quantized_bits", "FixedPoint"):
        fixed = quantizer.alpha == 1 and quantizer.keep_negative and not quantizer.symmetric
        return bool(fixed and quantizer.bits > 1)
    return kind == "quantized_relu" and _is_simple_relu(quantizer)


def _is_simple_relu(quantizer: Any) -> bool:
    return not (
        quantizer.use_sigmoid or quantizer.negative_slope or quantizer.relu_upper_bound is not None
    )


def _choose(layer: Any, attribute: str, values: Array) -> None:
    quantizer = _quantizer(layer, attribute)
    unsigned = type(quantizer).__name__ == "quantized_relu"
    bits = int(quantizer.bits)
    integer = least_error_integer(values, bits, keep_negative=not unsigned)
    if integer is None:
        return
    if attribute in ACTIVATIONS or attribute == "bias_quantizer":
        # QKeras activates with no negative ones, and biases start too small to say much.
        integer = max(integer, 0)
    _set(layer, attribute, relu(bits, integer) if unsigned else signed(bits, integer))


def _set(layer: Any, attribute: str, text: str) -> None:
    quantizer = make_quantizer(text)
    if attribute in HELD:
        _put(layer, f"{attribute}_internal", quantizer)
        constraint: Any = getattr(layer, attribute.replace("quantizer", "constraint"), None)
        if type(constraint).__name__ == "Clip":
            constraint.max_value = max(1.0, float(quantizer.max()))
            constraint.min_value = -constraint.max_value
        return
    if attribute == "quantizer":  # of a QActivation, which is saved by its text
        layer.activation = text
    _put(layer, attribute, quantizer)


def _put(layer: Any, attribute: str, quantizer: Any) -> None:
    """Set an attribute, or what will be set when it is switched on again."""
    off = vars(layer).get(OFF, {})
    (off if attribute in off else vars(layer))[attribute] = quantizer
