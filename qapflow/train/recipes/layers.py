"""Names of the layers that an architecture gets, as recipes refer to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from qapflow.train.recipes.recipe import ConvRecipe, DenseRecipe, LayerRecipe, ModelRecipe

OUTPUT = "output"


def layer_names(model: ModelRecipe) -> tuple[str, ...]:
    """Return the names of all layers: kind and number (dense_1, dense_2 ...), at last "output"."""
    return (*(name for name, _ in _named(model)), OUTPUT)


def kernel_names(model: ModelRecipe) -> tuple[str, ...]:
    """Return the names of the layers that have weights to prune."""
    return (*(name for name, has_kernel in _named(model) if has_kernel), OUTPUT)


def searched(model: ModelRecipe) -> Iterator[tuple[LayerRecipe, str]]:
    """Yield every layer with the key of the width that a search varies, "" where there is none.

    A depthwise convolution is as wide as what it reads.
    """
    for layer in model.layers:
        if isinstance(layer, DenseRecipe):
            yield layer, "units"
        elif isinstance(layer, ConvRecipe) and layer.kind != "depthwise_conv2d":
            yield layer, "filters"
        else:
            yield layer, ""


def _named(model: ModelRecipe) -> Iterator[tuple[str, bool]]:
    numbers: Counter[str] = Counter()
    for layer in model.layers:
        numbers[layer.kind] += 1
        yield f"{layer.kind}_{numbers[layer.kind]}", isinstance(layer, DenseRecipe | ConvRecipe)
