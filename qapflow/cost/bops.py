"""Bit operations (BOPs) of layers from their shapes and bits alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from qapflow.errors import UsageError

FLOAT_INPUT_BITS = 32
"""Bits of an input that is not quantized: the convention of the published figures."""


@dataclass(frozen=True)
class LayerShape:
    """A dense layer or a convolution, as far as its bit operations depend on it.

    `inputs` are the weights of one output (a convolution: kernel positions times channels of a
    group), `outputs` the units or filters, `positions` how often the matrix is applied to a sample.
    `kept` is the share of weights that are not zero. `reads_input` marks layers with no layer
    before them.
    """

    inputs: int
    outputs: int
    positions: int = 1
    weight_bits: int = 32
    activation_bits: int = 32
    kept: float = 1.0
    reads_input: bool = False

    def __post_init__(self) -> None:
        for name in ("inputs", "outputs", "positions", "weight_bits", "activation_bits"):
            if getattr(self, name) < 1:
                raise UsageError(
                    f"a layer with {name} {getattr(self, name)} has no bit operations",
                    hint=f"give {name} of 1 or more",
                )
        if not 0.0 <= self.kept <= 1.0:
            raise UsageError(
                f"{self.kept:g} is no share of weights that are kept",
                hint="kept goes from 0 (all pruned) to 1 (dense)",
            )


def dense_shapes(
    sizes: Sequence[int], *, weight_bits: int = 32, activation_bits: int = 32, kept: float = 1.0
) -> tuple[LayerShape, ...]:
    """Return the layers of a fully connected network from its sizes, inputs first: 16, 64, ... 5.

    Raises:
        UsageError: fewer than two sizes, or one below 1.
    """
    if len(sizes) < 2:
        raise UsageError(
            f"{len(sizes)} sizes make no layer", hint="give inputs, then units of every layer"
        )
    return tuple(
        LayerShape(
            n,
            m,
            weight_bits=weight_bits,
            activation_bits=activation_bits,
            kept=kept,
            reads_input=place == 0,
        )
        for place, (n, m) in enumerate(pairwise(sizes))
    )


def layer_bops(layer: LayerShape) -> float:
    """Return the bit operations of one layer for one sample.

    positions * m n (kept b_a b_w + b_a + b_w + log2 n), n the weights of an output (Baskin et al.,
    arXiv:1804.10969; with pruning: Hawks et al., Front. AI 4:676564, 2021, and Fahim et al.,
    arXiv:2103.05579, eq. 1). The last three terms are the accumulator's width: pruning does not
    shorten them.
    """
    n, a, w = layer.inputs, layer.activation_bits, layer.weight_bits
    products = layer.outputs * n
    kept = products * layer.kept
    return layer.positions * (kept * a * w + products * (a + w + math.log2(n)))


def bops(layers: Sequence[LayerShape], input_bits: int | None = None) -> float:
    """Return the bit operations of a network for one sample; whole for power of two fan-ins.

    `input_bits` replaces the activation bits of the layers that read the input (of the first layer
    where none is marked): 32 is the published convention "input 32 bit", None takes every layer's
    own bits ("input b bit").

    Raises:
        UsageError: `input_bits` below 1.
    """
    return math.fsum(map(layer_bops, with_input_bits(layers, input_bits)))


def with_input_bits(layers: Sequence[LayerShape], input_bits: int | None) -> tuple[LayerShape, ...]:
    """Return the layers, those that read the input with other activation bits."""
    if input_bits is None:
        return tuple(layers)
    marked = any(layer.reads_input for layer in layers)
    return tuple(
        replace(layer, activation_bits=input_bits)
        if layer.reads_input or (not marked and place == 0)
        else layer
        for place, layer in enumerate(layers)
    )
