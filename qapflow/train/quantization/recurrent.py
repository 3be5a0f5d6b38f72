"""The quantized forms of recurrent layers, in one direction of time or both."""

from __future__ import annotations

import warnings
from typing import Any

from qapflow.train.libraries import load_keras
from qapflow.train.quantization.quantizers import (
    bias_quantizer,
    make_quantizer,
    signed,
    weight_quantizer,
)
from qapflow.train.quantization.replacement import (
    INTEGER,
    Replacement,
    activation_name,
    activation_text,
    make_quantizer_or_name,
    quantizer_behind,
)
from qapflow.train.recipes.recipe import FLOAT_BITS, LayerBits, QuantizationRecipe

RECURRENT = {"SimpleRNN": "QSimpleRNN", "LSTM": "QLSTM", "GRU": "QGRU"}
STATE_INTEGER = {"SimpleRNN": 0, "GRU": 0, "LSTM": INTEGER}  # of cell states above one, too
GATES = ("activation", "recurrent_activation")
REFUSED_OPTIONS = {
    "stateful": "stateful=True: states that last from one sample to the next",
    "return_state": "return_state=True: states as further outputs",
    "time_major": "time_major=True: the batch is not the first axis",
}


def replace_recurrent(
    layer: Any, settings: QuantizationRecipe, own: LayerBits, *, ends: bool
) -> Replacement:
    """Return a recurrent layer of QKeras; where its output is no quantizer's, one stands behind."""
    for option, reason in REFUSED_OPTIONS.items():
        if getattr(layer, option, False):
            return Replacement(problem=reason)
    kind = type(layer).__name__
    bits = settings.bits_of(own)[2]
    gates: dict[str, str] = {}
    for gate in GATES[: 1 if kind == "SimpleRNN" else 2]:
        name = activation_name(getattr(layer, gate))
        text = activation_text(name, bits, ends=False)
        if text is None or text == "softmax":
            return Replacement(problem=f"the activation {name!r} has no quantized form")
        gates[gate] = text
    config = layer.get_config() | _quantizers(kind, settings, own)
    config.pop("rng_type", None)  # of layers read from files; QKeras's take none
    config |= {gate: make_quantizer_or_name(text) for gate, text in gates.items()}
    # QKeras clips to the range of its quantizers.
    config |= {"kernel_constraint": None, "recurrent_constraint": None}
    made = getattr(load_keras().qkeras, RECURRENT[kind])(**config)
    on_grid = kind == "SimpleRNN" and gates["activation"] != "linear"
    behind = () if on_grid else quantizer_behind(layer, bits, STATE_INTEGER[kind], ends=ends)
    return Replacement((made, *behind), layer.get_weights())


def _quantizers(kind: str, settings: QuantizationRecipe, own: LayerBits) -> dict[str, Any]:
    weights, biases, bits = settings.bits_of(own)
    kernel = weight_quantizer(settings, weights, settings.weight_integer_bits)
    recurrent, state = kernel, None
    if kind == "GRU" and kernel is None:
        recurrent = signed(FLOAT_BITS, 1)  # without one QKeras's GRU takes the wrong kernel
    if kind != "SimpleRNN" and bits < FLOAT_BITS:
        state = signed(bits, min(STATE_INTEGER[kind], bits - 1))
    return {
        "kernel_quantizer": make_quantizer(kernel),
        "recurrent_quantizer": make_quantizer(recurrent),
        "bias_quantizer": make_quantizer(bias_quantizer(settings, weights, biases)),
        "state_quantizer": make_quantizer(state),
    }


def replace_bidirectional(
    layer: Any, settings: QuantizationRecipe, own: LayerBits, *, ends: bool
) -> Replacement:
    """Return both directions, quantized alike, and a quantizer behind what they are merged to."""
    if layer.merge_mode is None:
        return Replacement(problem="merge_mode None gives two outputs")
    ways: list[tuple[Any, ...]] = []
    for way in ("forward", "backward"):
        inner = getattr(layer, f"{way}_layer")
        if type(inner).__name__ not in RECURRENT:
            return Replacement(problem=f"{type(inner).__name__} has no quantized form here")
        made = replace_recurrent(inner, settings, own, ends=ends)
        if made.problem:
            return made
        made.layers[0]._name = str(inner.name).removeprefix(f"{way}_")  # Keras puts it in front
        ways.append(made.layers)
    wrap = load_keras().keras.layers.Bidirectional
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # Keras about QKeras's way to serialize
        wrapper = wrap(ways[0][0], layer.merge_mode, backward_layer=ways[1][0], name=layer.name)
    bits = settings.bits_of(own)[2]
    on_grid = len(ways[0]) == 1 and layer.merge_mode == "concat"
    behind = () if on_grid else quantizer_behind(layer, bits, INTEGER, ends=ends)
    return Replacement((wrapper, *behind), layer.get_weights())
