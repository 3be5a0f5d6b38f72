"""The trainings that a recipe asks for, one after another, and when each changes what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qapflow.train.libraries import load_keras
from qapflow.train.recipes.recipe import Recipe
from qapflow.train.recipes.schedule import last_change, pruning_end, total_epochs

MOST_STEPS_AT_ONCE = 50  # one call of TensorFlow runs so many: small models wait for calls


@dataclass(frozen=True)
class Stage:
    """One training until its early stop; each ends in a saved model.

    `share` of the weights that are left is pruned before it, then `rewind` sets the others back.
    Only from epoch `settled` on nothing but weights changes: the best epoch is one of those.
    """

    number: int
    epochs: int
    settled: int = 0
    share: float = 0.0
    rewind: bool = False


def plan_stages(recipe: Recipe) -> tuple[Stage, ...]:
    """Return the trainings: one, or with iterative pruning one more for each fraction."""
    cut = recipe.pruning.from_epoch if recipe.pruning.neurons else 0
    first = Stage(0, total_epochs(recipe), max(last_change(recipe), cut))
    if recipe.pruning.method != "iterative":
        return (first,)
    epochs = recipe.training.recovery_epochs or recipe.training.epochs
    rewind = recipe.pruning.rewind != "none"
    later = (
        Stage(number, epochs, share=share, rewind=rewind)
        for number, share in enumerate(recipe.pruning.fractions, start=1)
    )
    return (first, *later)


def rewind_epoch(recipe: Recipe) -> int | None:
    """Return after how many epochs of the first training weights are kept for rewinding."""
    if recipe.pruning.method != "iterative" or recipe.pruning.rewind == "none":
        return None
    return 0 if recipe.pruning.rewind == "init" else int(recipe.pruning.rewind)


def pruning_schedule(recipe: Recipe, steps_per_epoch: int) -> Any:
    """Return the schedule of tfmot that a recipe describes, or None.

    PolynomialDecay reaches its sparsity only if the frequency divides its steps: the end is moved
    forward to the last step that does.
    """
    pruning = recipe.pruning
    if pruning.method not in ("constant", "polynomial"):
        return None
    schedules = load_keras().tfmot.sparsity.keras
    begin = pruning.from_epoch * steps_per_epoch
    if pruning.method == "constant":  # what is pruned stays so: one update is enough
        return schedules.ConstantSparsity(pruning.sparsity, begin, frequency=2**30)
    length = pruning_end(recipe) * steps_per_epoch - begin
    every = min(pruning.every_steps, length)
    end = begin + length // every * every
    return schedules.PolynomialDecay(0.0, pruning.sparsity, begin, end, frequency=every)


def steps_at_once(recipe: Recipe, steps_per_epoch: int) -> int:
    """Return how many steps one execution runs; masks change between executions, so a bit later."""
    most = min(MOST_STEPS_AT_ONCE, steps_per_epoch)
    if recipe.pruning.method == "polynomial":
        return max(min(most, recipe.pruning.every_steps // 2), 1)
    return most
