"""What activations and recurrent states are on samples, with nothing quantized."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.train.leaves import all_layers, leaves_of
from qapflow.train.libraries import load_keras
from qapflow.train.quantization.switching import unquantized

Array = NDArray[Any]
Inputs = Array | Sequence[Array]  # of one input, or one for each
Wanted = Callable[[Any, str], bool]

BATCH = 256
STATE = "state_quantizer"


@dataclass(frozen=True, eq=False)
class _Place:
    """A quantizer of a leaf, and the tensors by which its values are found."""

    leaf: Any
    attribute: str
    tensors: tuple[Any, ...]
    recurrent: Any = None  # the layer whose states these inputs make


def observe(model: Any, samples: Inputs, wanted: Wanted) -> Iterator[tuple[Any, str, Array]]:
    """Yield each wanted activation of a layer (by attribute) with its values in float32.

    Of a layer that is called several times the values of all its calls; of the states of a
    recurrent layer those of all time steps, from the first samples.
    """
    places = list(_places(model, wanted))
    if not places:
        return
    with unquantized(model):
        values = iter(_values(model, samples, [one for place in places for one in place.tensors]))
        made = [
            np.concatenate([_found(place, next(values)) for _ in place.tensors]) for place in places
        ]
    for place, array in zip(places, made, strict=True):
        yield place.leaf, place.attribute, array


def first_samples(samples: Inputs, count: int) -> Inputs:
    """Return the first samples of each input."""
    return _slice(samples, 0, count)


def _places(model: Any, wanted: Wanted) -> Iterator[_Place]:
    used = {id(node) for nodes in model._nodes_by_depth.values() for node in nodes}
    for layer in all_layers(model):
        nodes = [node for node in layer.inbound_nodes if id(node) in used]
        if not nodes:
            continue
        first = load_keras().tf.nest.flatten
        outputs = tuple(first(node.outputs)[0] for node in nodes)
        for _, leaf in leaves_of(layer):
            for attribute in ("quantizer", "activation"):
                if wanted(leaf, attribute) and _gives_out(layer, leaf):
                    yield _Place(leaf, attribute, outputs)
        inputs = tuple(node.keras_inputs[0] for node in nodes if node.keras_inputs)
        directions = [getattr(layer, f"{way}_layer", None) for way in ("forward", "backward")]
        for one in [way for way in directions if way is not None] or [layer]:
            if hasattr(one, "cell") and wanted(one.cell, STATE):
                yield _Place(one.cell, STATE, inputs, one)


def _gives_out(layer: Any, leaf: Any) -> bool:
    """Tell whether what a layer gives out is what the activation of its leaf makes."""
    if hasattr(layer, "forward_layer"):
        return False
    return not hasattr(layer, "cell") or "SimpleRNN" in type(leaf).__name__


def _found(place: _Place, values: Array) -> Array:
    return (values if place.recurrent is None else _states(place.recurrent, values[:BATCH])).ravel()


def _values(model: Any, samples: Inputs, tensors: Sequence[Any]) -> list[Array]:
    part = load_keras().keras.Model(model.inputs, list(tensors))
    first = samples if isinstance(samples, np.ndarray) else samples[0]
    batches = [
        part(_slice(samples, start, start + BATCH), training=False)
        for start in range(0, len(first), BATCH)
    ]
    listed = [made if isinstance(made, list | tuple) else [made] for made in batches]
    return [
        np.concatenate([np.asarray(array) for array in group])
        for group in zip(*listed, strict=True)
    ]


def _states(layer: Any, values: Array) -> Array:
    """Return every state of a recurrent layer on inputs [n, steps, features]."""
    libraries = load_keras()
    cell = layer.cell
    state = cell.get_initial_state(batch_size=len(values), dtype="float32")
    found = []
    steps = range(values.shape[1])
    for step in reversed(steps) if layer.go_backwards else steps:
        _, state = cell(libraries.tf.constant(values[:, step]), state, training=False)
        found += [np.asarray(array).ravel() for array in libraries.tf.nest.flatten(state)]
    return np.concatenate(found)


def _slice(samples: Inputs, start: int, stop: int) -> Inputs:
    if isinstance(samples, np.ndarray):
        return samples[start:stop]
    return [array[start:stop] for array in samples]
