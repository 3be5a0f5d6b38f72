"""The weights of one layer: short names, pruning masks, and checks against the configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.errors import UsageError
from qapflow.frontend.expected import check_shapes, expected_weights
from qapflow.frontend.fields import RESAVE
from qapflow.frontend.graph import Layer
from qapflow.frontend.keras1 import convert_keras1, rename_keras1

Array = NDArray[Any]
Named = Sequence[tuple[str, Array]]
PRUNING = re.compile(r"^(mask|threshold|pruning_step)(_\d+)?$")
BIDIRECTIONAL = ("Bidirectional", "QBidirectional")
PRUNABLE = ("kernel", "depthwise_kernel", "pointwise_kernel", "recurrent_kernel", "embeddings")


@dataclass(frozen=True, eq=False)
class LayerWeights:
    """Weights and masks by short name; `unmasked` counts weights a mask had still to zero."""

    weights: Mapping[str, Array] = field(default_factory=dict)
    masks: Mapping[str, Array] = field(default_factory=dict)
    unmasked: int = 0


def name_weights(layer: Layer, named: Named) -> LayerWeights:
    """Return the stored weights of a layer under their short Keras names.

    Raises UsageError when weights are missing, have a wrong shape, or are not finite.
    """
    at = f"layer {layer.name!r}"
    parts = [(re.sub(r":\d+$", "", name).split("/"), array) for name, array in named]
    masks = [array for path, array in parts if layer.pruned and PRUNING.match(path[-1])
             and path[-1].startswith("mask")]  # fmt: skip
    own = [(path, array) for path, array in parts if not (layer.pruned and PRUNING.match(path[-1]))]
    holder = holds_weights(layer)
    if holder.class_name in BIDIRECTIONAL:
        weights = _both_ways(holder, own, at)
    else:
        weights = _one_layer(holder, own, at)
    check_finite(weights, at)
    return apply_masks(weights, masks, at)


def holds_weights(layer: Layer) -> Layer:
    """Return the layer in wrappers for each time step; Bidirectional has weights of its own."""
    while layer.inner is not None and layer.class_name not in BIDIRECTIONAL:
        layer = layer.inner
    return layer


def _both_ways(layer: Layer, own: list[tuple[list[str], Array]], at: str) -> dict[str, Array]:
    """Return weights of a Bidirectional under `forward/` and `backward/`: halves, in order."""
    if len(own) % 2 or layer.inner is None:
        raise UsageError(
            f"it has {len(own)} weights, two directions need an even number", at, RESAVE
        )
    half = len(own) // 2
    result = {}
    for side, part in (("forward", own[:half]), ("backward", own[half:])):
        for name, array in _one_layer(layer.inner, part, at).items():
            result[f"{side}/{name}"] = array
    return result


def _one_layer(layer: Layer, own: list[tuple[list[str], Array]], at: str) -> dict[str, Array]:
    old = convert_keras1(layer.class_name, [("/".join(path), array) for path, array in own])
    own = [(name.split("/"), array) for name, array in old]
    arrays = [array for _, array in own]
    expected = expected_weights(layer.class_name, layer.config)
    names = rename_keras1(layer.class_name, short_names([path for path, _ in own]))
    if layer.class_name.removeprefix("Q").startswith("DepthwiseConv"):
        names = ["depthwise_kernel" if name == "kernel" else name for name in names]
    weights = dict(zip(names, arrays, strict=True))
    if expected is None:
        return weights
    missing = [name for name in expected.names if name not in weights and name != "iteration"]
    if missing and len(arrays) == len(expected.names):
        weights, missing = dict(zip(expected.names, arrays, strict=True)), []
    if missing:
        raise missing_weights(layer, at, missing, list(weights))
    shapes = {name: tuple(weights[name].shape) for name in expected.names if name in weights}
    problem = check_shapes(layer.class_name, layer.config, shapes)
    if problem:
        raise UsageError(problem, at, "use the weights that belong to this architecture")
    return weights


def missing_weights(layer: Layer, at: str, missing: list[str], found: list[str]) -> UsageError:
    """Return the error for weights that the file should hold and does not."""
    here = f" (found: {', '.join(found)})" if found else ""
    return UsageError(
        f"the weights {', '.join(missing)} of this {layer.class_name} are not in the file{here}",
        at,
        "save the model again as .h5 where it still works: the file cannot be repaired",
    )


def short_names(paths: Sequence[Sequence[str]]) -> list[str]:
    """Return the last part of each name, with as much of the path as makes them different."""
    for depth in range(1, max((len(path) for path in paths), default=1) + 1):
        names = ["/".join(path[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return ["/".join([*path, str(k)]) for k, path in enumerate(paths)]


def check_finite(weights: Mapping[str, Array], at: str) -> None:
    """Raise UsageError when a weight is NaN or infinite."""
    for name, array in weights.items():
        if array.dtype.kind != "f":
            continue
        bad = int(array.size - np.count_nonzero(np.isfinite(array)))
        if bad:
            raise UsageError(
                f"{bad} of {array.size} values are NaN or infinite",
                f"{at}, weight {name}",
                "train again from a checkpoint whose loss is finite",
            )


def apply_masks(weights: Mapping[str, Array], masks: Sequence[Array], at: str) -> LayerWeights:
    """Return weights times their masks, as the pruning wrapper computes them in every call."""
    result, kept, unmasked = dict(weights), {}, 0
    open_names = [name for name in PRUNABLE if name in weights]
    for mask in masks:
        check_finite({"mask": mask}, at)
        fits = [name for name in open_names if weights[name].shape == mask.shape]
        if not fits:
            raise UsageError(
                f"a pruning mask of shape {mask.shape} fits none of its weights", at, RESAVE
            )
        name = fits[0]
        open_names.remove(name)
        masked = (weights[name] * mask.astype(weights[name].dtype)).astype(weights[name].dtype)
        unmasked += int(np.count_nonzero(masked != weights[name]))
        masked.setflags(write=False)
        result[name], kept[name] = masked, mask
    return LayerWeights(result, kept, unmasked)
