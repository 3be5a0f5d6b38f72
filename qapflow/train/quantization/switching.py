"""Quantization switched on and off while a model trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from qapflow.train.leaves import named_leaves
from qapflow.train.libraries import load_keras

WEIGHTS = (
    "kernel_quantizer", "depthwise_quantizer", "pointwise_quantizer", "bias_quantizer",
    # Without the quantizer itself, QKeras's GRU computes with the wrong kernel.
    "recurrent_quantizer_internal",
)  # fmt: skip
ACTIVATIONS = ("quantizer", "activation", "recurrent_activation", "state_quantizer")
OFF = "_qapflow_switched_off"  # in a layer's dictionary: attribute -> what stood there


def switch(model: Any, *, weights: bool | None = None, activations: bool | None = None) -> None:
    """Let the forward pass quantize weights (kernels and biases), activations, both or none.

    True switches on, False off, None leaves as it is. What is switched off computes in float32: a
    quantized ReLU is a ReLU, a quantized tanh or sigmoid the straight lines that it rounds, other
    quantizers pass values on. The quantizer of the model's input
    belongs to the activations. Compiled models trace their steps again.
    """
    _switch(model, weights, activations)
    retrace(model)


@contextmanager
def unquantized(model: Any) -> Iterator[None]:
    """Switch everything off for a while; what was compiled before stays, it is the same after."""
    layers = list(named_leaves(model).values())
    before = [set(vars(layer).get(OFF, {})) for layer in layers]
    _switch(model, weights=False, activations=False)
    try:
        yield
    finally:
        for layer, names in zip(layers, before, strict=True):
            for name in set(vars(layer).get(OFF, {})) - names:
                _set(layer, name, wanted=True)


def _switch(model: Any, weights: bool | None, activations: bool | None) -> None:
    for wanted, names in ((weights, WEIGHTS), (activations, ACTIVATIONS)):
        for layer in named_leaves(model).values():
            for name in names if wanted is not None else ():
                _set(layer, name, bool(wanted))


def is_switched_off(model: Any) -> bool:
    """Tell whether any quantization of the model is switched off."""
    return any(vars(layer).get(OFF) for layer in named_leaves(model).values())


@contextmanager
def quantizing(layer: Any) -> Iterator[None]:
    """Switch everything on in one layer for a while."""
    off = dict(vars(layer).get(OFF, {}))
    current = {name: getattr(layer, name) for name in off}
    _assign(layer, off)
    try:
        yield
    finally:
        _assign(layer, current)


def retrace(model: Any) -> None:
    """Make a compiled model trace its steps again: its layers compute something else now."""
    for name in ("train_function", "test_function", "predict_function", "train_tf_function"):
        if getattr(model, name, None) is not None:
            setattr(model, name, None)


def _set(layer: Any, name: str, wanted: bool) -> None:
    off: dict[str, Any] = vars(layer).setdefault(OFF, {})
    if wanted and name in off:
        _assign(layer, {name: off.pop(name)})
    elif not wanted and name not in off and _quantizes(getattr(layer, name, None), name):
        off[name] = getattr(layer, name)
        _assign(layer, {name: None if _leaves_out(name) else _plain(off[name])})


def _assign(layer: Any, values: dict[str, Any]) -> None:
    """Set attributes; a layer's own __setattr__ would wrap or track them."""
    vars(layer).update(values)


def _leaves_out(name: str) -> bool:
    """Tell whether a layer without this attribute computes in float."""
    return name.endswith("_quantizer")


def _quantizes(value: Any, name: str) -> bool:
    if _leaves_out(name):
        return value is not None
    return isinstance(value, load_keras().qkeras.quantizers.BaseQuantizer)


def _plain(quantizer: Any) -> Callable[[Any], Any]:
    """Return the function that an activation's quantizer stands for."""
    keras = load_keras().keras
    kind = type(quantizer).__name__
    slope = float(getattr(quantizer, "negative_slope", 0.0))
    if kind.startswith("quantized_relu"):
        if getattr(quantizer, "use_sigmoid", False):
            return lambda x: keras.activations.relu(2 * keras.activations.sigmoid(x) - 1)
        bound = getattr(quantizer, "relu_upper_bound", None)
        return lambda x: keras.activations.relu(x, alpha=slope, max_value=bound)
    if kind in ("quantized_tanh", "quantized_sigmoid"):
        name = kind.removeprefix("quantized_")
        if getattr(quantizer, f"use_real_{name}"):
            function: Callable[[Any], Any] = getattr(keras.activations, name)
            return function
        hard = load_keras().qkeras.quantizers.hard_sigmoid
        return hard if name == "sigmoid" else lambda x: 2 * hard(x) - 1
    linear: Callable[[Any], Any] = keras.activations.linear
    return linear
