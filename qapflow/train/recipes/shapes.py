"""Layer shapes of an architecture from its recipe alone, for its bit operations."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qapflow.cost.bops import LayerShape
from qapflow.errors import UsageError
from qapflow.train.recipes.layers import OUTPUT, layer_names
from qapflow.train.recipes.recipe import (
    ConvRecipe,
    DenseRecipe,
    LayerBits,
    PoolRecipe,
    QuantizationRecipe,
    Recipe,
)


@dataclass(frozen=True)
class Values:
    """Values between two layers: their shape, channels last, and bits."""

    shape: tuple[int, ...]
    bits: int


def layer_shapes(recipe: Recipe, input_shape: Sequence[int], classes: int) -> list[LayerShape]:
    """Return the dense layers and convolutions that a recipe without `model.file` builds, unpruned.

    `input_shape` is that of a sample. Bits are those of the recipe, layer by layer.

    Raises:
        UsageError: a kernel or pool is larger than what it reads.
    """
    return list(_walk(recipe, Values(tuple(input_shape), recipe.quantization.input), classes))


def _walk(recipe: Recipe, values: Values, classes: int) -> Iterator[LayerShape]:
    settings, first = recipe.quantization, True
    for layer, name in zip(recipe.model.layers, layer_names(recipe.model)[:-1], strict=True):
        bits = settings.bits_of(settings.layers.get(name, LayerBits()))[2]
        if isinstance(layer, DenseRecipe | ConvRecipe):
            made, shape = _apply(layer, name, values, settings, first=first)
            yield made
            values, first = Values(shape, bits), False
        elif isinstance(layer, PoolRecipe):
            averages = layer.kind.startswith("average")
            *places, channels = values.shape
            size = [_positions(n, layer.size, layer.size, "valid", name) for n in places]
            values = Values((*size, channels), bits if averages else values.bits)
        elif layer.kind == "flatten":
            values = Values((math.prod(values.shape),), values.bits)
        else:
            values = Values(values.shape[-1:], bits)
    last = DenseRecipe(units=1 if classes == 2 else classes)
    yield _apply(last, OUTPUT, values, settings, first=first)[0]


def _apply(
    layer: DenseRecipe | ConvRecipe,
    name: str,
    values: Values,
    settings: QuantizationRecipe,
    *,
    first: bool,
) -> tuple[LayerShape, tuple[int, ...]]:
    """Return a layer with weights, and the shape that it makes."""
    weights = settings.bits_of(settings.layers.get(name, LayerBits()))[0]
    if isinstance(layer, DenseRecipe):
        inputs, outputs = math.prod(values.shape), layer.units
        shape: tuple[int, ...] = (outputs,)
    else:
        *places, channels = values.shape
        size = [_positions(n, layer.kernel, layer.stride, layer.padding, name) for n in places]
        apart = layer.kind == "depthwise_conv2d"  # each output reads one channel
        inputs = layer.kernel ** len(places) * (1 if apart else channels)
        outputs = layer.filters * (channels if apart else 1)
        shape = (*size, outputs)
    found = LayerShape(
        inputs, outputs, math.prod(shape[:-1]), weight_bits=weights, activation_bits=values.bits,
        reads_input=first,
    )  # fmt: skip
    return found, shape


def _positions(size: int, kernel: int, stride: int, padding: str, name: str) -> int:
    """Return along how many places of `size` a kernel is applied."""
    if padding == "same":
        return -(-size // stride)
    if size < kernel:
        raise UsageError(
            f"{kernel} values at once of {size}",
            at=f"layer {name}",
            hint="make it smaller, or leave out pooling and strides before it",
        )
    return (size - kernel) // stride + 1
