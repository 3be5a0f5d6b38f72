"""When the schedules of a recipe change something, and how long it trains."""

from __future__ import annotations

from collections.abc import Iterator

from qapflow.train.recipes.recipe import Recipe


def last_change(recipe: Recipe) -> int:
    """Return the epoch from which on nothing but weights changes: schedules have ended.

    Epochs count from 0. Iterative pruning has no epochs of its own: it trains between its steps.
    """
    return max([epoch for _, epoch in changes(recipe)], default=0)


def total_epochs(recipe: Recipe) -> int:
    """Return the most epochs one training takes (each iteration of iterative pruning)."""
    training = recipe.training
    if training.recovery_epochs is None:
        return training.epochs
    return last_change(recipe) + training.recovery_epochs


def pruning_end(recipe: Recipe) -> int:
    """Return the epoch at whose start scheduled pruning has reached its sparsity.

    Unless given: for "constant" where it begins; for "polynomial" after three quarters of the
    epochs, or of `epochs` when recovery epochs follow.
    """
    pruning = recipe.pruning
    if pruning.until_epoch is not None:
        return pruning.until_epoch
    if pruning.method == "polynomial":
        return max(pruning.from_epoch + 1, recipe.training.epochs * 3 // 4)
    return pruning.from_epoch


def changes(recipe: Recipe) -> Iterator[tuple[str, int]]:
    """Yield key and epoch of every switch and every end of a schedule."""
    quantization, pruning = recipe.quantization, recipe.pruning
    yield "quantization.weights_from_epoch", quantization.weights_from_epoch
    yield "quantization.activations_from_epoch", quantization.activations_from_epoch
    if pruning.method in ("constant", "polynomial"):
        yield "pruning.until_epoch", pruning_end(recipe)
    if pruning.neurons > 0:
        yield "pruning.from_epoch", pruning.from_epoch
    if pruning.activations > 0:
        yield "pruning.activations_from_epoch", pruning.activations_from_epoch
