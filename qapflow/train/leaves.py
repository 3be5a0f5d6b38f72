"""The layers of a model that compute with weights and quantizers of their own."""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Any


def named_leaves(model: Any) -> dict[str, Any]:
    """Return the layers with weights or quantizers, each once, by the names they keep in copies.

    Looks into models in the model and into wrappers. For a recurrent layer it is the cell, under
    the name of the layer: Keras numbers cells anew in every copy.
    """
    found: dict[str, Any] = {}
    seen = set()
    for layer in all_layers(model):
        for name, leaf in leaves_of(layer):
            if id(leaf) not in seen:
                seen.add(id(leaf))
                found[_free(name, found)] = leaf
    return found


def _free(name: str, taken: Container[str]) -> str:
    """Return a name that is not taken by a layer of another model in the model."""
    return _free(f"{name}_", taken) if name in taken else name


def leaves_of(layer: Any) -> Iterator[tuple[str, Any]]:
    """Yield the leaves of one layer with their names; two for one that runs in both directions."""
    if hasattr(layer, "forward_layer"):
        yield from leaves_of(layer.forward_layer)
        yield from leaves_of(layer.backward_layer)
    elif hasattr(layer, "cell"):
        yield str(layer.name), layer.cell
    elif hasattr(layer, "layers"):
        yield from ((name, leaf) for inner in layer.layers for name, leaf in leaves_of(inner))
    elif hasattr(layer, "layer"):
        yield from leaves_of(layer.layer)
    else:
        yield str(layer.name), layer


def all_layers(model: Any) -> Iterator[Any]:
    """Yield the layers of a model and of the models within it, each once; wrappers as they are."""
    seen = set()
    for layer in model.layers:
        inner = all_layers(layer) if hasattr(layer, "layers") else (layer,)
        for item in inner:
            if id(item) not in seen:
                seen.add(id(item))
                yield item
