"""Look inside a Keras model: what its layers give, from given inputs if asked, and its constants.

Runs inside the Keras process; the model comes as an argument, so nothing is imported here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.verify.keras_double import weight_quantizers

Array = NDArray[Any]
MakeTensor = Callable[[Array, Any], Any]  # array, dtype


def layer_outputs(
    model: Any,
    arrays: Sequence[Array],
    wanted: Sequence[str],
    batch: int,
    *,
    feed: Mapping[str, Array] | None = None,
    make_tensor: MakeTensor | None = None,
) -> dict[str, Array]:
    """Run the model eagerly and return what the wanted layers, nested ones too, give in each call.

    No name wanted means all layers; a repeated call is numbered `name#2`. A softmax that a wanted
    layer applies itself is left out. `feed` holds values [n, *shape] by the same names: a layer
    named there is recorded as computed, then hands on the given values, so that the layers behind
    it start from those.
    """
    watch = _Watch(feed or {}, make_tensor)
    for layer in model._flatten_layers(include_self=False):
        if layer.name in wanted and _applies_softmax(layer):
            layer.activation = None
        if not wanted or layer.name in wanted:
            layer.call = watch.wrap(layer.name, layer.call)
    parts: list[dict[str, Array]] = []
    for start in range(0, len(arrays[0]), batch):
        watch.start, watch.found = start, {}
        some = [array[start : start + batch] for array in arrays]
        model(some[0] if len(some) == 1 else some, training=False)
        parts.append(watch.found)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


class _Watch:
    """Records what layers give, and replaces it by what they are told to hand on."""

    def __init__(self, feed: Mapping[str, Array], make_tensor: MakeTensor | None) -> None:
        self.feed = feed
        self.make_tensor = make_tensor
        self.start = 0
        self.found: dict[str, Array] = {}

    def wrap(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return `call`, watched."""

        @functools.wraps(call)
        def watched(*args: object, **kwargs: object) -> object:
            made = call(*args, **kwargs)
            if isinstance(made, list | tuple):
                return type(made)(self._take(name, item) for item in made)
            return self._take(name, made)

        return watched

    def _take(self, name: str, item: Any) -> Any:
        if not hasattr(item, "numpy"):
            return item
        number = 1 + sum(key.split("#")[0] == name for key in self.found)
        key = name if number == 1 else f"{name}#{number}"
        value = np.asarray(item.numpy())
        self.found[key] = value
        if key not in self.feed or self.make_tensor is None:
            return item
        given = self.feed[key][self.start : self.start + len(value)]
        return self.make_tensor(given.reshape(value.shape), item.dtype)


def layer_constants(model: Any) -> dict[str, list[Array]]:
    """Return the weights of each layer as it uses them: through its quantizers, in their order.

    Layers that fold other weights into their own, and wrappers, are left out.
    """
    used = {
        id(weight): np.asarray(quantizer(weight))
        for _, _, _, quantizer, weight in weight_quantizers(model)
    }
    return {
        layer.name: [used.get(id(weight), np.asarray(weight)) for weight in layer.weights]
        for layer in model._flatten_layers(include_self=False)
        if layer.weights
        and not hasattr(layer, "get_folded_weights")
        and not hasattr(layer, "layer")
    }


def _applies_softmax(layer: Any) -> bool:
    own = getattr(layer, "activation", None)
    plain = type(layer).__name__ not in ("Activation", "QActivation", "Softmax")
    return plain and getattr(own, "__name__", "") == "softmax"
