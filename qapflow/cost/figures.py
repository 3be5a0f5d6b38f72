"""Costs as data: of one layer, of all, and the estimate on a board beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qapflow.report.figures import Figure
from qapflow.target import Target


@dataclass(frozen=True)
class Cost:
    """What multiplications cost for one sample; every figure is counted, none is estimated.

    `multiplications` counts zero weights, too; those `without_multiplier` have a weight of one or
    two signed digits, which is a shift or one addition. BOPs come in both conventions for the bits
    of the input; `ebops_accumulation` comes on top of `ebops` in HGQ2's form. Weights are those of
    kernels; `nonzeros` are integer codes that are not 0, after quantization. Memory is in bits:
    kernels dense and without their zeros (where the others stand not counted), biases with scales
    and offsets, and the activations between layers.
    """

    multiplications: int = 0
    nonzero_multiplications: int = 0
    without_multiplier: int = 0
    bops_input_32: float = 0.0
    bops_input_own: float = 0.0
    ebops: int = 0
    ebops_accumulation: float = 0.0
    csd_digits: int = 0
    weights: int = 0
    nonzeros: int = 0
    weight_memory_bits: int = 0
    nonzero_memory_bits: int = 0
    bias_memory_bits: int = 0
    activation_memory_bits: int = 0


@dataclass(frozen=True)
class LayerCost:
    """The cost of one node of the network that multiplies or adds.

    `kind` is "weights" (dense, convolution), "scale" (constants value by value), "product" (edges
    with each other) or "sum". `weight_bits` are those of the other factor, 0 without one.
    """

    name: str
    layer: str  # the Keras layer
    kind: str
    weight_bits: int
    activation_bits: int
    cost: Cost


@dataclass(frozen=True)
class NetCost:
    """The cost of a network: its layers in order, and the total.

    The total's activation memory counts a tensor once that several layers read, and the outputs.
    """

    layers: tuple[LayerCost, ...]
    total: Cost
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class BoardEstimate:
    """The estimate of a whole design and of its nodes on a board."""

    target: Target
    clock_ns: float
    backend: str
    io_type: str
    totals: Mapping[str, Figure]
    layers: Mapping[str, Mapping[str, Figure]]
    fits: bool
    headroom: str
    notes: tuple[str, ...] = ()
