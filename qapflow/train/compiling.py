"""Optimizer, loss and accuracy of a model that a recipe trains."""

from __future__ import annotations

from typing import Any

from qapflow.train.libraries import load_keras
from qapflow.train.recipes.recipe import Recipe
from qapflow.train.saving.metrics import Output
from qapflow.train.stages import steps_at_once


def compile_model(recipe: Recipe, model: Any, steps_per_epoch: int) -> None:
    """Give a model optimizer, loss and accuracy."""
    keras = load_keras().keras
    kinds = {"adam": "Adam", "sgd": "SGD", "rmsprop": "RMSprop"}
    options = {"momentum": 0.9} if recipe.training.optimizer == "sgd" else {}
    make = getattr(keras.optimizers, kinds[recipe.training.optimizer])
    logits = output_kind(model) == "logits"
    if model.output_shape[-1] == 1:
        loss: Any = keras.losses.BinaryCrossentropy(from_logits=logits)
        accuracy: Any = keras.metrics.BinaryAccuracy("accuracy", threshold=0.0 if logits else 0.5)
    else:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=logits)
        accuracy = keras.metrics.SparseCategoricalAccuracy("accuracy")
    model.compile(
        make(recipe.training.learning_rate, **options),
        loss,
        metrics=[accuracy],
        steps_per_execution=steps_at_once(recipe, steps_per_epoch),
    )
    model.optimizer.build(model.trainable_variables)


def output_kind(model: Any) -> Output:
    """Return what a model gives out: probabilities of a softmax or sigmoid, or logits.

    By its last layer, whether a recipe added it or it comes from a file.
    """
    layer = model.outputs[0].node.layer
    if hasattr(layer, "layers"):
        return output_kind(layer)
    if type(layer).__name__ == "Softmax":
        return "softmax"
    name = getattr(getattr(layer, "activation", None), "__name__", "")
    if hasattr(layer, "cell") or name not in ("softmax", "sigmoid"):
        return "logits"
    return "softmax" if name == "softmax" else "sigmoid"
