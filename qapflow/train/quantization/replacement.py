"""What stands for one float layer, and the pieces it is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from qapflow.train.libraries import load_keras
from qapflow.train.quantization.quantizers import make_quantizer, relu, signed
from qapflow.train.recipes.recipe import FLOAT_BITS

INTEGER = 2


@dataclass(frozen=True)
class Replacement:
    """Layers to call one after another, the weights of the first, or why there are none."""

    layers: tuple[Any, ...] = ()
    weights: list[Any] = field(default_factory=list)
    problem: str = ""


def quantizer_behind(layer: Any, bits: int, integer: int, *, ends: bool) -> tuple[Any, ...]:
    """Return a quantizer to call behind a layer; none where the model gives out its values."""
    if ends or bits >= FLOAT_BITS:
        return ()
    text = signed(bits, min(integer, bits - 1))
    return (load_keras().qkeras.QActivation(text, name=f"{layer.name}_quantizer"),)


def make_quantizer_or_name(text: str) -> Any:
    """Return a quantizer for what is one, and Keras's own name for what is not."""
    return make_quantizer(text) if "(" in text else text


def activation_text(name: str | None, bits: int, *, ends: bool) -> str | None:
    """Return a quantizer's text or Keras's name of an activation; None if there is neither."""
    if name == "linear" or (ends and name in ("softmax", "sigmoid", "tanh")):
        return name
    if name == "softmax":
        return name
    if name == "relu":
        return relu(bits, min(INTEGER, bits))
    if name in ("tanh", "sigmoid"):
        # QKeras's straight lines: float32's real functions round otherwise on other machines.
        return name if bits >= FLOAT_BITS else f"quantized_{name}({bits})"
    return None


def activation_name(activation: Any) -> str:
    """Return Keras's name of an activation."""
    return str(getattr(activation, "__name__", type(activation).__name__))


def copy_layer(layer: Any) -> Any:
    """Return a layer of the same class and configuration."""
    return type(layer).from_config(layer.get_config())
