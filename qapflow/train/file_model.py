"""A training that starts from a model file: quantized by the recipe if it is not yet."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.train.leaves import named_leaves
from qapflow.train.libraries import load_keras
from qapflow.train.pruning.masks import KERNELS
from qapflow.train.quantization.integer_bits import read_quantizers
from qapflow.train.quantization.quantizing import quantize
from qapflow.train.recipes.recipe import FLOAT_BITS, Recipe

SAMPLES = 1024


def has_quantizers(model: Any) -> bool:
    """Tell whether a model is quantized already; then its own quantizers stay."""
    own = (getattr(layer, "quantizers", None) or [] for layer in named_leaves(model).values())
    return bool(read_quantizers(model)) or any(item for items in own for item in items)


def prepare_file_model(recipe: Recipe, model: Any, samples: NDArray[np.float32]) -> Any:
    """Return a model as the recipe wants to train it: float models quantized, L1 on kernels.

    Raises:
        ModelUnsupported: lists every layer that has no quantized form.
    """
    settings = recipe.quantization
    wanted = min(settings.weights, settings.activations, settings.input)
    if not has_quantizers(model) and wanted < FLOAT_BITS:
        model = quantize(
            model,
            weights=settings.weights,
            biases=settings.biases,
            activations=settings.activations,
            input_bits=settings.input,
            layers={
                name: bits.model_dump(exclude_none=True) for name, bits in settings.layers.items()
            },
            weight_quantizer=settings.weight_quantizer,
            alpha=settings.alpha,
            fold=recipe.model.batch_normalization == "fold",
            samples=samples[:SAMPLES],
        )
    if recipe.training.l1:
        _add_l1(model, recipe.training.l1)
    return model


def _add_l1(model: Any, factor: float) -> None:
    tf = load_keras().tf
    for layer in named_leaves(model).values():
        for name in KERNELS:
            kernel = vars(layer).get(name)
            if kernel is not None:
                layer.add_loss(lambda kernel=kernel: factor * tf.reduce_sum(tf.abs(kernel)))
