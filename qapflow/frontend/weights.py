"""Which stored array is which weight of which layer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from qapflow.frontend.keras_zip import folders, rank, snake_case
from qapflow.frontend.model import Weights

Arrays = dict[str, Weights]

# Order of variables in archives that number them; BatchNormalization depends on its settings.
VARIABLES: Mapping[str, tuple[str, ...]] = {
    "Embedding": ("embeddings",),
    "PReLU": ("alpha",),
    "LayerNormalization": ("gamma", "beta"),
    "SimpleRNNCell": ("kernel", "recurrent_kernel", "bias"),
    "GRUCell": ("kernel", "recurrent_kernel", "bias"),
    "LSTMCell": ("kernel", "recurrent_kernel", "bias"),
}

# Names of Keras 1.
OLD_NAMES = {
    "W": "kernel",
    "b": "bias",
    "running_mean": "moving_mean",
    "running_std": "moving_variance",
}


class WeightSource(Protocol):
    """Finds the weights of one layer of one container (the model, or a nested model)."""

    def find(self, layer: Mapping[str, Any], siblings: Sequence[Mapping[str, Any]]) -> Arrays:
        """Return arrays of a layer by short name; `siblings` are all layers of the container."""
        ...

    def enter(
        self, layer: Mapping[str, Any], siblings: Sequence[Mapping[str, Any]]
    ) -> WeightSource:
        """Return the source for the inside of a nested model."""
        ...


def layer_name(layer: Mapping[str, Any]) -> str:
    """Name of a serialized layer."""
    return str(layer.get("config", {}).get("name", layer.get("name", "")))


def short_name(path: str) -> str:
    """Turn `dense_1/kernel:0`, `lstm/lstm_cell/kernel` or Keras 1's `dense_1_W` into `kernel`."""
    last = path.rsplit("/", 1)[-1].split(":")[0]
    if "/" not in path:
        for old, new in OLD_NAMES.items():
            if last.endswith(f"_{old}"):
                return new
        for name in ("gamma", "beta", "kernel", "bias"):
            if last.endswith(f"_{name}"):
                return name
    side = re.search(r"(?:^|/)(forward|backward)_[^/]*/", path)
    return f"{side[1]}/{last}" if side else last


class NamedWeights:
    """Weights of an HDF5 file, listed by layer with path-like names."""

    def __init__(self, layers: Mapping[str, Sequence[tuple[str, Weights]]]) -> None:
        self.layers = layers

    def find(self, layer: Mapping[str, Any], siblings: Sequence[Mapping[str, Any]]) -> Arrays:
        """Return the arrays listed under the layer's name."""
        found: Arrays = {}
        for path, array in self.layers.get(layer_name(layer), ()):
            name = short_name(path)
            number = 1
            while name in found:  # two masks of one pruning wrapper, say
                name = f"{short_name(path)}_{number}"
                number += 1
            found[name] = array
        return found

    def enter(
        self, layer: Mapping[str, Any], siblings: Sequence[Mapping[str, Any]]
    ) -> WeightSource:
        """Sort the flat list of a nested model by the layer named in each path."""
        inner = [layer_name(item) for item in layer.get("config", {}).get("layers", ())]
        groups: dict[str, list[tuple[str, Weights]]] = {}
        for path, array in self.layers.get(layer_name(layer), ()):
            parts = path.split("/")[:-1]
            owner = next((part for part in parts if part in inner), None)
            if owner is None:  # the name was made unique by a suffix: dense_1 -> dense_1_1
                owner = next((n for p in parts for n in inner if re.fullmatch(f"{n}_\\d+", p)), "")
            groups.setdefault(owner, []).append((path, array))
        return NamedWeights(groups)


class NumberedWeights:
    """Weights of a `.keras` archive, in folders named after classes, numbered inside."""

    def __init__(self, weights: Arrays) -> None:
        self.groups = folders(weights, "layers/") or folders(
            weights, "_layer_checkpoint_dependencies/"
        )

    def find(self, layer: Mapping[str, Any], siblings: Sequence[Mapping[str, Any]]) -> Arrays:
        """Return the numbered arrays of the layer's folder under their Keras names."""
        return name_variables(layer, self._folder(layer, siblings))

    def enter(
        self, layer: Mapping[str, Any], siblings: Sequence[Mapping[str, Any]]
    ) -> WeightSource:
        """Look into the folder of a nested model."""
        return NumberedWeights(self._folder(layer, siblings))

    def _folder(self, layer: Mapping[str, Any], siblings: Sequence[Mapping[str, Any]]) -> Arrays:
        by_name = self.groups.get(layer_name(layer))
        stem = snake_case(plain_class(layer))
        ranked = sorted(
            (number, name)
            for name in self.groups
            if (number := rank(name, stem)) is not None and self.groups[name]
        )
        family = [item for item in siblings if snake_case(plain_class(item)) == stem]
        position = next(i for i, item in enumerate(family) if item is layer)
        if len(ranked) == len(family):
            return self.groups[ranked[position][1]]
        return by_name or {}


def plain_class(layer: Mapping[str, Any]) -> str:
    """Class name without the package it was registered under."""
    return str(layer.get("class_name", "")).rsplit(">", 1)[-1]


def name_variables(layer: Mapping[str, Any], folder: Arrays) -> Arrays:
    """Give numbered variables the names that their class uses."""
    named: Arrays = {}
    groups: dict[str, list[tuple[int, Weights]]] = {}
    for path, array in folder.items():
        head, _, number = path.rpartition("/")
        if number.isdigit():
            groups.setdefault(head.removesuffix("vars").strip("/"), []).append((int(number), array))
    for head, items in groups.items():
        names = variable_names(plain_class(layer), layer.get("config", {}), len(items))
        for (_, array), name in zip(sorted(items, key=lambda i: i[0]), names, strict=True):
            side = re.match(r"(forward|backward)_layer", head)
            if side:
                name = f"{side[1]}/{name}"
            named.setdefault(name if name not in named else f"{head}/{name}", array)
    return named


def variable_names(class_name: str, config: Mapping[str, Any], count: int) -> tuple[str, ...]:
    """Names of `count` variables in the order that the class creates them."""
    base = class_name.removeprefix("Q")
    if base in VARIABLES:
        names = VARIABLES[base]
    elif base == "BatchNormalization":
        affine = [n for n, key in (("gamma", "scale"), ("beta", "center")) if config.get(key, True)]
        names = (*affine, "moving_mean", "moving_variance")
    elif base.startswith("Separable"):
        names = ("depthwise_kernel", "pointwise_kernel", "bias")
    elif base.startswith("Depthwise"):
        names = ("depthwise_kernel", "bias")
    elif base in ("LSTM", "GRU", "SimpleRNN", "Bidirectional"):
        names = ("kernel", "recurrent_kernel", "bias")
    else:
        names = ("kernel", "bias")
    return (*names, *(f"variable_{i}" for i in range(len(names), count)))[:count]
