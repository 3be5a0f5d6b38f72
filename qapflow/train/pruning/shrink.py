"""Layers without their dead units: neurons and channels that nothing reads, or that never change.

A unit is dead when every weight that reads it is zero, or when every weight that makes it is: then
it has one value whatever the input, and its share of the next sums goes into their biases, if
these can hold it exactly; else the unit stays. The smaller model computes the same outputs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.train.libraries import load_keras
from qapflow.train.pruning.bias import Bias, hold_exactly
from qapflow.train.pruning.units import Units, find_units
from qapflow.train.saving.export import clone_with

Array = NDArray[Any]

MAKERS = ("Dense", "QDense", "Conv1D", "QConv1D", "Conv2D", "QConv2D")
COUNT = {"Dense": "units", "Conv1D": "filters", "Conv2D": "filters"}


@dataclass(frozen=True, eq=False)
class Cut:
    """What changes in a model: by layer, new weights by short name, new configuration."""

    weights: Mapping[str, Mapping[str, Array]]
    configs: Mapping[str, Mapping[str, Any]]
    maker: str
    removed: int


def shrink(model: Any) -> tuple[Any, dict[str, int]]:
    """Return a model without dead units, and how many went from which layer.

    `model` is one that `export_model` made: functional or sequential. Only units that layers with
    kernels alone read, possibly through activations, poolings and the like, are looked at; a
    layer keeps at least one.
    """
    removed: Counter[str] = Counter()
    while (cut := _find_cut(model)) is not None:
        model = _apply(model, cut)
        removed[cut.maker] += cut.removed
    return model, dict(removed)


def _find_cut(model: Any) -> Cut | None:
    for units in find_units(model):
        if _is_shrinkable(units):
            cut = _cut(model, units)
            if cut is not None:
                return cut
    return None


def _is_shrinkable(units: Units) -> bool:
    return (
        units.count > 1
        and bool(units.readers)
        and "softmax" not in str(getattr(units.maker, "activation", ""))
        and all(
            type(layer).__name__ in MAKERS
            and len(layer.inbound_nodes) == 1
            and getattr(layer, "groups", 1) == 1
            for layer in (units.maker, *units.readers)
        )
    )


def _cut(model: Any, units: Units) -> Cut | None:
    unread = np.ones(units.count, bool)
    for reader in units.readers:
        rows = quantized(reader, "kernel").reshape(-1, units.count, reader.kernel.shape[-1])
        unread &= ~rows.any(axis=(0, 2))
    made = quantized(units.maker, "kernel").reshape(-1, units.count)
    still = ~made.any(axis=0) & ~unread
    biases: dict[str, Bias] = {}
    if still.any():
        still, biases = _fold_constants(model, units, still)
    dead = unread | still
    if dead.all():  # one stays, and what it does with it
        dead[np.argmax(unread) if unread.any() else 0] = False
        if not unread.any():
            only = np.zeros_like(dead)
            only[0] = True
            still, biases = _fold_constants(model, units, still & ~only)
            dead = still
    if not dead.any():
        return None
    return _without(units, ~dead, biases)


def _fold_constants(model: Any, units: Units, still: Array) -> tuple[Array, dict[str, Bias]]:
    """Return which constant units can go, and the biases of their readers then."""
    part = load_keras().keras.Model(model.inputs, units.values)
    nothing = [np.zeros((1, *tensor.shape[1:]), np.float32) for tensor in model.inputs]
    values = np.asarray(part(nothing, training=False), np.float64)
    values = values.reshape(-1, units.count)  # positions by channels
    keep = still.copy()
    for unit in np.flatnonzero(still):
        if values[:, unit].any():
            keep[unit] = all(_is_uniform(reader, values[:, unit]) for reader in units.readers)
    while keep.any():
        shares = {reader.name: _share(reader, values, keep) for reader in units.readers}
        biases = {
            reader.name: hold_exactly(reader, shares[reader.name])
            for reader in units.readers
            if shares[reader.name].any()
        }
        held = {name: bias for name, bias in biases.items() if bias is not None}
        if len(held) == len(biases):
            return keep, held
        loud = keep & values.any(axis=0)
        keep[np.flatnonzero(loud)[-1]] = False
    return keep, {}


def _is_uniform(reader: Any, values: Array) -> bool:
    """Tell whether every output position of a reader takes the same from a constant channel."""
    if "Conv" not in type(reader).__name__:
        return True
    return bool(reader.padding == "valid" and (values == values[0]).all())


def _share(reader: Any, values: Array, units: Array) -> Array:
    """Return what constant units add to each output of a reader, exact in double precision."""
    kernel = quantized(reader, "kernel").astype(np.float64)
    rows = kernel.reshape(-1, len(units), kernel.shape[-1])
    constant = values if len(values) == len(rows) else values[:1]
    total: Array = np.einsum(
        "puo,pu->o",
        rows[:, units],
        np.broadcast_to(constant[:, units], (len(rows), int(units.sum()))),
    )
    return total


def quantized(layer: Any, name: str) -> Array:
    """Return a weight as the layer computes with it."""
    weight = vars(layer)[name]
    quantizer = getattr(layer, name.replace("_kernel", "") + "_quantizer_internal", None)
    return np.asarray(quantizer(weight) if callable(quantizer) else weight)


def _without(units: Units, alive: Array, biases: Mapping[str, Bias]) -> Cut | None:
    """Slice all layers; None when a quantizer gives what is left other values than before."""
    weights: dict[str, dict[str, Array]] = {}
    configs: dict[str, dict[str, Any]] = {}
    for layer, slices in _slices(units, alive):
        weights[layer.name] = {name: cut(np.asarray(vars(layer)[name])) for name, cut in slices}
        for name, cut in slices:
            quantizer = getattr(layer, name.replace("_kernel", "") + "_quantizer_internal", None)
            if callable(quantizer):
                left = np.asarray(quantizer(weights[layer.name][name]))
                if not np.array_equal(left, cut(quantized(layer, name))):
                    return None
    kind = type(units.maker).__name__.removeprefix("Q")
    configs[units.maker.name] = {COUNT[kind]: int(alive.sum())}
    for name, bias in biases.items():
        weights[name]["bias"] = bias.values
        configs[name] = {"bias_quantizer": bias.quantizer}
    return Cut(weights, configs, units.maker.name, int((~alive).sum()))


def _slices(units: Units, alive: Array) -> Iterator[tuple[Any, list[tuple[str, Any]]]]:
    """Yield each layer with the functions that cut its weights."""

    def last(array: Array) -> Array:
        return array[..., alive]

    def rows(array: Array) -> Array:
        cut = array.reshape(-1, units.count, array.shape[-1])[:, alive]
        return cut.reshape(-1, array.shape[-1]) if array.ndim == 2 else array[..., alive, :]

    def flat(array: Array) -> Array:
        return array.reshape(-1, units.count)[:, alive].ravel()

    yield units.maker, [(name, last) for name in ("kernel", "bias") if _has(units.maker, name)]
    for layer in units.passed:
        names = [("depthwise_kernel", lambda array: array[..., alive, :]), ("bias", last)]
        names += [(name, flat) for name in ("gamma", "beta", "moving_mean", "moving_variance")]
        yield layer, [(name, cut) for name, cut in names if _has(layer, name)]
    for reader in units.readers:
        yield reader, [("kernel", rows)]


def _has(layer: Any, name: str) -> bool:
    return vars(layer).get(name) is not None


def _apply(model: Any, cut: Cut) -> Any:
    """Build the smaller model."""

    def clone(layer: Any) -> Any:
        config = {**layer.get_config(), **cut.configs.get(layer.name, {})}
        return type(layer).from_config(config)

    made = clone_with(model, clone)
    for old in model.layers:
        changed = cut.weights.get(old.name, {})
        values = [
            changed.get(str(weight.name).rsplit("/", 1)[-1].split(":")[0], np.asarray(weight))
            for weight in old.weights
        ]
        made.get_layer(old.name).set_weights(values)
    return made
