"""What a case of the feature matrix is, and the small models that most of them share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

Q6 = "quantized_bits(6,0,alpha=1)"
RELU = "quantized_relu(6,2)"
BITS = "quantized_bits(6,2,alpha=1)"
FLOAT32 = ("float32", 0.0, "Keras's float32 may round across")


@dataclass(frozen=True)
class Case:
    """One feature in a small model.

    `build(k)` makes the model; `k` holds Keras (`k.keras`), its layers (`k.L`) and QKeras (`k.q`).
    `verdict` is what must come out: "exact", "float32", "bounded" or "refused". Exact: every layer
    is in the exact regime and no value differs from Keras. Float32: no value differs, but a layer
    says that for some input codes Keras's own float32 may differ from the exact result; where that
    happens on the samples, `bound` holds how far, and `when` which codes they are. Bounded:
    some layer computes in floats, `bound` holds the largest distance from Keras, and `why` says
    where it comes from. Refused: loading fails with a text that contains `why`.
    """

    name: str
    build: Callable[[SimpleNamespace], Any]
    verdict: str = "exact"
    bound: float = 0.0
    why: str = ""
    grid: tuple[bool, int, int] = (True, 8, 4)  # type of the inputs: signed, width, fraction
    when: str = ""


@dataclass
class Cases:
    """A list that grows by one line a case."""

    found: list[Case] = field(default_factory=list)

    def add(self, name: str, build: Callable[[SimpleNamespace], Any], *rest: Any) -> None:
        """Add a case; `rest` are verdict, bound, why and grid."""
        self.found.append(Case(name, build, *rest))


def dense(k, units, kernel=Q6, bias=Q6, **more):
    """Return a QDense layer."""
    return k.q.QDense(units, kernel_quantizer=kernel, bias_quantizer=bias, **more)


def conv(k, filters=3, size=3, kernel=Q6, bias=Q6, **more):
    """Return a QConv2D layer."""
    return k.q.QConv2D(filters, size, kernel_quantizer=kernel, bias_quantizer=bias, **more)


def act(k, quantizer=RELU):
    """Return a QActivation layer."""
    return k.q.QActivation(quantizer)


def kernel(quantizer, bias=Q6, **more):
    """Two dense layers, the first with this kernel quantizer."""

    def build(k):
        x = k.keras.Input((8,))
        h = act(k)(dense(k, 12, quantizer, bias, **more)(x))
        return k.keras.Model(x, dense(k, 5)(h))

    return build


def between(layer):
    """A dense layer, what `layer(k)` returns (an activation or so), and another dense layer."""

    def build(k):
        x = k.keras.Input((8,))
        return k.keras.Model(x, dense(k, 5)(layer(k)(dense(k, 12)(x))))

    return build


def activation(quantizer):
    """A QActivation between two dense layers."""
    return between(lambda k: act(k, quantizer))


def image(*layers, shape=(6, 6, 2)):
    """Layers made by functions of k, then a quantized ReLU and a dense layer on the flat rest."""

    def build(k):
        x = h = k.keras.Input(shape)
        for layer in layers:
            h = layer(k)(h)
        h = act(k)(h)
        if len(h.shape) > 2:
            h = k.L.Flatten()(h)
        return k.keras.Model(x, dense(k, 5)(h))

    return build


def first_conv(**settings):
    """An image model whose first convolution has these settings."""
    return image(lambda k: conv(k, **settings))


def behind_conv(*layers):
    """An image model with a quantized convolution before these layers."""
    return image(conv, act, *layers)
