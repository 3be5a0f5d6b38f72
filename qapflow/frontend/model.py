"""What a model file says, before anything is decided: layers, weights, connections.

A `ModelSpec` is flat: nested models are inlined, pruning wrappers are gone (their masks kept),
a layer called twice appears twice with the same weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from qapflow.ir.fixed import Fixed
from qapflow.ir.net import Net

Weights = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class LayerSpec:
    """One call of one Keras layer.

    `inbound` names earlier layers with the index of the output taken; `weights` are keyed by their
    short Keras name (`kernel`, `bias`, `gamma`, `depthwise_kernel` ...), dtype as stored;
    `masks` are the pruning masks of wrappers that were stripped, keyed like `weights`.
    """

    name: str
    class_name: str
    config: Mapping[str, Any]
    weights: Mapping[str, Weights]
    inbound: tuple[tuple[str, int], ...]
    masks: Mapping[str, Weights] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class ModelSpec:
    """A whole model in topological order; `inputs` and `outputs` name layers (output index)."""

    name: str
    layers: tuple[LayerSpec, ...]
    inputs: tuple[str, ...]
    outputs: tuple[tuple[str, int], ...]
    keras_version: str
    file_format: Literal["h5", "keras", "json+h5", "memory"]
    digest: str  # SHA-256 of the file(s)
    notes: tuple[str, ...] = ()  # e.g. "stripped PruneLowMagnitude from 4 layers"

    def layer(self, name: str) -> LayerSpec:
        """Return a layer by name."""
        return next(layer for layer in self.layers if layer.name == name)


Regime = Literal["exact", "chosen"]


@dataclass(frozen=True)
class LayerRecord:
    """How one Keras layer was taken over.

    `edge` is the net edge that carries the layer's output. Regime `exact`: the net computes what
    the layer computes, bit for bit. Regime `chosen`: the layer computes in floats, a type was
    chosen for it, and `reason` says which and why.
    """

    name: str
    class_name: str
    edge: str
    regime: Regime
    reason: str = ""
    weights: int = 0  # kernel weights (biases not counted)
    zeros_float: int = 0  # kernel weights that are 0.0 in the file
    zeros_quantized: int = 0  # kernel weights whose quantized value is 0
    zeros_mask: int | None = None  # zeros of the pruning mask, if a wrapper carried one
    inner: bool = False  # the edge may differ from the layer's floats: only its readers are equal


@dataclass(frozen=True)
class LoadOptions:
    """What a user may decide about reading a model.

    `input_types` by input name, or one for all under the key "". `calibration` are real-valued
    samples by input name; without it, samples are drawn uniformly over the input type's range.
    `float_bits` is the width of types chosen for float layers.
    """

    input_types: Mapping[str, Fixed] = field(default_factory=dict)
    calibration: Mapping[str, NDArray[np.floating[Any]]] = field(default_factory=dict)
    float_bits: int = 18
    strip_softmax: bool = False


@dataclass(frozen=True, eq=False)
class Loaded:
    """The result of the front end: the network and how each Keras layer got into it."""

    net: Net
    records: tuple[LayerRecord, ...]
    spec: ModelSpec
    notes: tuple[str, ...] = ()

    @property
    def exact(self) -> bool:
        """Tell whether every layer is in the exact regime."""
        return all(record.regime == "exact" for record in self.records)
