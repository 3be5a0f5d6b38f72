"""Weights in the tree of a .keras file, where variables have numbers instead of names."""

from __future__ import annotations

import re
from collections.abc import Iterator

import h5py

from qapflow.errors import UsageError
from qapflow.frontend.expected import FUSED, RECURRENT, Expected, expected_weights
from qapflow.frontend.fields import RESAVE
from qapflow.frontend.graph import Layer, Model
from qapflow.frontend.hdf5 import Hdf5Reader
from qapflow.frontend.stored import (
    BIDIRECTIONAL,
    Array,
    LayerWeights,
    missing_weights,
    name_weights,
)

CONTAINERS = ("layers", "_layer_checkpoint_dependencies", "_self_tracked_trackables")
Pairs = list[tuple[str, Array]]


def snake_case(name: str) -> str:
    """Return a class name as Keras writes it in paths."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def assign_tree(model: Model, reader: Hdf5Reader) -> dict[tuple[str, ...], LayerWeights]:
    """Return the weights of every layer by its path."""
    return dict(_assign(model, reader, reader.file, ()))


def _assign(
    model: Model, reader: Hdf5Reader, owner: h5py.Group | None, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], LayerWeights]]:
    groups = _match(model, reader, owner)
    for layer in model.layers:
        group = groups.get(layer.name)
        here = (*path, layer.name)
        if layer.model is not None:
            if layer.class_name == "TimeDistributed":
                group = _sub(reader, group, "layer")
            yield from _assign(layer.model, reader, group, here)
        elif layer.class_name == "InputLayer":
            yield here, LayerWeights()
        else:
            yield here, _layer(layer, reader, group)


def _group_class(layer: Layer) -> str:
    """Return the class name in a layer's path."""
    if layer.model is not None and layer.class_name == "Model":
        return layer.model.kind
    if layer.pruned:
        return "prune_low_magnitude"
    return snake_case(layer.class_name.rpartition(">")[2])


def _match(model: Model, reader: Hdf5Reader, owner: h5py.Group | None) -> dict[str, h5py.Group]:
    """Return the group of each layer of a model.

    Groups are called after the class, numbered in the order of the layers; Keras 2.12 and 2.13
    left gaps in the numbers. Keras 3 adds the layer's name, which then decides.
    """
    found: dict[str, list[tuple[int, h5py.Group]]] = {}
    named: dict[str, h5py.Group] = {}
    for container in CONTAINERS:
        group = reader.group(owner, container) if owner is not None else None
        for member in reader.members(group) if group is not None else ():
            child = reader.group(group, member)
            if child is None:
                continue
            match = re.match(r"^(.*?)(?:_(\d+))?$", member)
            stem, number = (match[1], int(match[2] or 0)) if match else (member, 0)
            found.setdefault(stem, []).append((number, child))
            variables = reader.group(child, "vars")
            label = reader.text(variables, "name") if variables is not None else None
            if label:
                named[label] = child
    if named and all(x.name in named for x in model.layers if x.class_name != "InputLayer"):
        return named
    return _by_number(model, found)


def _by_number(
    model: Model, found: dict[str, list[tuple[int, h5py.Group]]]
) -> dict[str, h5py.Group]:
    by_class: dict[str, list[Layer]] = {}
    for layer in model.layers:
        by_class.setdefault(_group_class(layer), []).append(layer)
    result: dict[str, h5py.Group] = {}
    for stem, layers in by_class.items():
        groups = [group for _, group in sorted(found.get(stem, ()), key=lambda item: item[0])]
        if len(groups) == len(layers):
            result.update({x.name: group for x, group in zip(layers, groups, strict=True)})
    return result


def _layer(layer: Layer, reader: Hdf5Reader, group: h5py.Group | None) -> LayerWeights:
    pairs: Pairs = []
    if layer.pruned:
        pairs += _pruning(layer, reader, group)
        group = _sub(reader, group, "layer")
    return name_weights(layer, pairs + _wrapped(layer, reader, group, layer.name))


def _wrapped(layer: Layer, reader: Hdf5Reader, group: h5py.Group | None, name: str) -> Pairs:
    """Return the weights of a layer with its wrappers."""
    inner = layer.inner
    if inner is None:
        return _own(layer, reader, group, name)
    if layer.class_name not in BIDIRECTIONAL:
        return _wrapped(inner, reader, _sub(reader, group, "layer"), name)
    sides = (_sub(reader, group, side) for side in ("forward_layer", "backward_layer"))
    return [pair for side in sides for pair in _own(inner, reader, side, name)]


def _sub(reader: Hdf5Reader, group: h5py.Group | None, name: str) -> h5py.Group | None:
    return None if group is None else reader.group(group, name)


def _variables(reader: Hdf5Reader, group: h5py.Group | None) -> list[Array]:
    """Return the numbered variables of a group, in order."""
    variables = _sub(reader, group, "vars")
    if variables is None:
        return []
    names = reader.members(variables)
    if sorted(names) != sorted(map(str, range(len(names)))):
        raise UsageError(
            "variables are not numbered from 0", f"{reader.at}, {variables.name}", RESAVE
        )
    found = [reader.child(variables, str(k)) for k in range(len(names))]
    return [reader.array(item) for item in found if isinstance(item, h5py.Dataset)]


def _pruning(layer: Layer, reader: Hdf5Reader, group: h5py.Group | None) -> Pairs:
    """Return the masks of a pruning wrapper.

    It holds the pruned weights once more, then mask and threshold of each, then a step counter.
    """
    found = _variables(reader, group)
    thresholds = sum(array.ndim == 0 for array in found[:-1])
    large = [array for array in found if array.ndim > 0]
    if not found or len(large) not in (thresholds, 2 * thresholds):
        raise missing_weights(layer, f"layer {layer.name!r}", ["mask", "pruning_step"], [])
    return [(f"mask_{k}", mask) for k, mask in enumerate(large[len(large) - thresholds :])]


def _own(layer: Layer, reader: Hdf5Reader, group: h5py.Group | None, name: str) -> Pairs:
    """Return the weights of a layer without its wrapper."""
    expected = expected_weights(layer.class_name, layer.config)
    plain = layer.class_name.removeprefix("Q")
    if expected is None or plain == "RNN":
        return list(_any(reader, group, ""))
    if plain in RECURRENT:
        return _take(layer, name, expected.names, _variables(reader, _sub(reader, group, "cell")))
    if layer.class_name not in FUSED:
        return _take(layer, name, expected.names, _variables(reader, group))
    norm = Expected(expected.trainable[-2:], expected.fixed[1:])
    split = [x for x in expected.trainable if x in ("gamma", "beta")]
    own = [x for x in expected.trainable if x not in split] + ["iteration"]
    norms = _variables(reader, _sub(reader, group, "batchnorm"))
    return _take(layer, name, own, _variables(reader, group)) + _take(
        layer, name, [*split, *norm.fixed], norms
    )


def _take(layer: Layer, name: str, names: object, found: list[Array]) -> Pairs:
    wanted = [str(item) for item in names] if isinstance(names, list | tuple) else []
    if len(found) < len(wanted):
        raise missing_weights(layer, f"layer {name!r}", wanted[len(found) :], wanted[: len(found)])
    if len(found) > len(wanted):
        raise UsageError(
            f"the file holds {len(found)} weights of this {layer.class_name}, which has "
            f"{len(wanted)}",
            f"layer {name!r}",
            RESAVE,
        )
    return list(zip(wanted, found, strict=True))


def _any(reader: Hdf5Reader, group: h5py.Group | None, prefix: str) -> Iterator[tuple[str, Array]]:
    """Yield all variables of a layer of unknown class with their paths."""
    if group is None:
        return
    for number, array in enumerate(_variables(reader, group)):
        yield f"{prefix}{number}", array
    for member in reader.members(group):
        child = reader.group(group, member)
        if member != "vars" and child is not None:
            yield from _any(reader, child, f"{prefix}{member}/")
