"""Structured pruning: whole neurons and channels, as zeros before and after them.

A unit is pruned by masking the weights that make it and those that read it. Its value is then
without effect, whatever its bias, and the saved layers become smaller by it, exactly.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.errors import UsageError
from qapflow.train.leaves import all_layers
from qapflow.train.libraries import load_keras
from qapflow.train.pruning.masks import Masks, attach_masks, read_masks, set_masks

Array = NDArray[Any]

# Layers whose output channel is a function of the same input channel alone.
BY_CHANNEL = (
    "Activation", "QActivation", "ReLU", "LeakyReLU", "BatchNormalization", "QBatchNormalization",
    "Dropout", "MaxPooling1D", "MaxPooling2D", "AveragePooling1D", "AveragePooling2D",
    "QAveragePooling2D", "GlobalAveragePooling1D", "GlobalAveragePooling2D",
    "QGlobalAveragePooling2D", "GlobalMaxPooling1D", "GlobalMaxPooling2D",
)  # fmt: skip
SAMPLES = 1024  # training samples that tell how much a unit does


@dataclass(frozen=True)
class Units:
    """The output channels of a layer, the layers that only pass them on, and all that read them.

    `values` is the tensor that the readers see, before it is flattened.
    """

    maker: Any
    passed: tuple[Any, ...]
    readers: tuple[Any, ...]
    values: Any

    @property
    def count(self) -> int:
        """How many units there are."""
        return int(vars(self.maker)["kernel"].shape[-1])


def find_units(model: Any) -> tuple[Units, ...]:
    """Return the units of every layer that is read by weighted layers alone.

    Not of one whose values the model gives out, nor of one that a layer reads which is called
    several times: its weights are those of other values, too.
    """
    given = {id(tensor) for tensor in model.outputs}
    made = (_follow(layer, given) for layer in all_layers(model) if _is_weighted(layer))
    return tuple(units for units in made if units is not None)


def prune_units(
    model: Any, share: float, optimizer: Any, samples: Array | None = None
) -> dict[str, int]:
    """Prune `share` of each layer's units; return how many by layer.

    The weakest: by the norm of their weights, or with `samples` [n, *input shape] by their mean
    magnitude over these (the static activation masks of Zhang et al., arXiv 2110.08271). One unit
    is always left.

    Raises:
        UsageError: the model has no units that can be pruned.
    """
    pruned = {}
    for units in find_units(model):
        scores = _by_weights(units) if samples is None else _by_values(model, units, samples)
        scores = np.where(_alive(units), scores, -1.0)
        number = min(round(share * units.count), units.count - 1)
        dead = np.argsort(scores, kind="stable")[:number]
        _mask(model, units, dead, optimizer)
        pruned[str(units.maker.name)] = int(number)
    if not pruned:
        raise UsageError(
            "no layer has neurons or channels that can be pruned",
            at="pruning.neurons, pruning.activations",
            hint="units must be read by dense or convolution layers alone, not by sums or outputs",
        )
    return pruned


def _is_weighted(layer: Any) -> bool:
    return vars(layer).get("kernel") is not None and "depthwise_kernel" not in vars(layer)


def _follow(maker: Any, given: Container[int]) -> Units | None:
    """Walk from a layer to its readers; None where something else sees its units.

    `given` are the ids of the tensors that the model gives out.
    """
    passed: list[Any] = []
    readers: list[Any] = []
    values = maker.output if len(maker.inbound_nodes) == 1 else None
    open_layers = [maker]
    while open_layers:
        layer = open_layers.pop()
        nodes = layer.outbound_nodes
        if not nodes or len(layer.inbound_nodes) != 1 or id(layer.output) in given:
            return None  # a layer that is called twice has values of two kinds
        for node in nodes:
            layer = node.layer
            if _is_weighted(layer):
                if len(layer.inbound_nodes) != 1:
                    return None
                readers.append(layer)
            elif type(layer).__name__ == "Flatten":
                open_layers.append(layer)
            elif _is_by_channel(layer):
                passed.append(layer)
                values = layer.output
                open_layers.append(layer)
            else:
                return None
    return Units(maker, tuple(passed), tuple(readers), values)


def _is_by_channel(layer: Any) -> bool:
    if len(layer.inbound_nodes) != 1 or "softmax" in str(getattr(layer, "activation", "")):
        return False
    return type(layer).__name__ in BY_CHANNEL or _is_depthwise(layer)


def _is_depthwise(layer: Any) -> bool:
    kernel = vars(layer).get("depthwise_kernel")
    return kernel is not None and "pointwise_kernel" not in vars(layer) and kernel.shape[-1] == 1


def _alive(units: Units) -> Array:
    """Tell which units are not pruned yet."""
    masks = vars(units.maker).get("_qapflow_masks", {})
    if "kernel" not in masks:
        return np.ones(units.count, bool)
    alive: Array = np.any(np.asarray(masks["kernel"].mask).reshape(-1, units.count), axis=0)
    return alive


def _by_weights(units: Units) -> Array:
    kernel = np.array(vars(units.maker)["kernel"])
    scores: Array = np.sqrt(np.sum(kernel.reshape(-1, units.count) ** 2, axis=0))
    return scores


def _by_values(model: Any, units: Units, samples: Array) -> Array:
    part = load_keras().keras.Model(model.inputs, units.values)
    values = np.abs(np.asarray(part(samples[:SAMPLES], training=False)))
    scores: Array = values.reshape(-1, units.count).mean(axis=0)
    return scores


def _mask(model: Any, units: Units, dead: Sequence[int] | Array, optimizer: Any) -> None:
    depthwise = [layer for layer in units.passed if _is_depthwise(layer)]
    layers = (units.maker, *depthwise, *units.readers)
    masks: Masks = attach_masks(model, [layer.name for layer in layers])
    changed = []
    for item, old in zip(masks, read_masks(masks), strict=True):
        mask = np.array(old)
        if item.layer is units.maker:
            mask[..., dead] = 0
        if item.layer in depthwise:
            mask[..., dead, :] = 0
        if item.layer in units.readers:  # rows of a flattened image: positions times channels
            mask.reshape(-1, units.count, mask.shape[-1])[:, dead, :] = 0
        changed.append(mask)
    set_masks(masks, changed, optimizer)
