"""One training by recipe: its epochs, what each leaves behind, and where to go on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.train.checkpoint import (
    Arrays,
    Checkpoint,
    Position,
    read_checkpoint,
    write_checkpoint,
)
from qapflow.train.leaves import named_leaves
from qapflow.train.libraries import load_keras, random_states
from qapflow.train.pruning.magnitude import prune_share
from qapflow.train.pruning.masks import (
    attach_masks,
    attached_masks,
    read_masks,
    set_masks,
    sparsity,
)
from qapflow.train.pruning.units import prune_units
from qapflow.train.quantization.integer_bits import (
    choose_integer_bits,
    read_quantizers,
    write_quantizers,
)
from qapflow.train.recipes.recipe import Recipe
from qapflow.train.stages import (
    Stage,
    plan_stages,
    pruning_schedule,
    rewind_epoch,
)

Array = NDArray[Any]
Listener = Callable[[str, Mapping[str, Any]], None]

VALIDATION_BATCH = 4096


@dataclass(frozen=True)
class Samples:
    """Samples [n, *shape] float32 and class numbers [n] int64."""

    x: Array
    y: Array


@dataclass(frozen=True)
class Job:
    """A training: recipe, compiled model, samples, and the file of its state.

    `number` tells trainings of one run apart (folds): the order of samples depends on it.
    `choose_formats` is False for a model that came with quantizers of its own.
    """

    recipe: Recipe
    model: Any
    train: Samples
    validation: Samples
    state: Path
    number: int = 0
    choose_formats: bool = True

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        return math.ceil(len(self.train.x) / self.recipe.training.batch_size)


def run_job(job: Job, listen: Listener) -> Iterator[tuple[Stage, Position]]:
    """Train stage by stage, from where the job's state left off.

    Yields after each stage, with the model at the stage's best epoch. The state is written after
    every epoch, so that a killed training goes on to the same weights.

    Raises:
        UsageError: the state cannot be read, or a layer cannot be pruned.
    """
    stages = plan_stages(job.recipe)
    prepare_masks(job)
    state = read_checkpoint(job.state) or Checkpoint()
    if state.arrays:
        restore(job, state)
        listen("resumed", {"stage": state.position.stage, "epoch": state.position.epoch})
    for stage in stages[state.position.stage :]:
        if not state.position.epoch:
            state = _begin(job, stage, state)
        state = _train(job, stage, state, listen)
        if state.arrays.get("best"):
            job.model.set_weights(state.arrays["best"])
            _mask_again(job)
        yield stage, state.position
        history = state.position.history
        following = Position(stage.number + 1, history=history, pruning_steps=-1)
        arrays = {**_arrays_of(job), "rewind": state.arrays.get("rewind", [])}
        state = _checkpoint(job, following, arrays)
        write_checkpoint(job.state, state)


def prepare_masks(job: Job) -> None:
    """Attach masks where the recipe prunes weights, so that one trace serves all epochs."""
    if job.recipe.pruning.method != "none":
        attach_masks(job.model, job.recipe.pruning.layers)


def restore(job: Job, state: Checkpoint) -> None:
    """Put quantizers, weights, masks and moments back."""
    write_quantizers(job.model, state.quantizers)
    job.model.set_weights(state.arrays["weights"])
    layers = dict.fromkeys(name.partition(".")[0] for name in state.masked)
    if layers:
        attach_masks(job.model, tuple(layers))
    kept = dict(zip(state.masked, state.arrays.get("masks", []), strict=True))
    masks = attached_masks(job.model)
    own = read_masks(masks)
    set_masks(masks, [kept.get(item.name, mask) for item, mask in zip(masks, own, strict=True)])
    saved = state.arrays["optimizer"]
    for variable, value in zip(job.model.optimizer.variables, saved, strict=True):
        variable.assign(value)
    drawn = state.arrays.get("random", [])
    for variable, value in zip(random_states(named_leaves(job.model).values()), drawn, strict=True):
        variable.assign(value)


def _begin(job: Job, stage: Stage, state: Checkpoint) -> Checkpoint:
    """Prune and rewind before a stage; moments of the stage before do not carry over."""
    for variable in job.model.optimizer.variables:
        variable.assign(np.zeros(variable.shape, variable.dtype.as_numpy_dtype))
    # Ranges are known after the first stage, also for weights that start small again.
    if stage.number == 1 or (stage.number and job.recipe.quantization.formats == "every_stage"):
        _choose_formats(job, weights=True, activations=True)
    if stage.share:
        masks = attach_masks(job.model, job.recipe.pruning.layers)
        weights = [np.array(item.variable) for item in masks]
        pruned = prune_share(weights, read_masks(masks), stage.share)
        if stage.rewind and state.arrays.get("rewind"):
            job.model.set_weights(state.arrays["rewind"])
        set_masks(masks, pruned)
        _mask_again(job)
    return replace(state, position=replace(state.position, stage=stage.number))


def _mask_again(job: Job) -> None:
    """Zero what earlier weights brought back; forward passes had it masked all along."""
    masks = attached_masks(job.model)
    set_masks(masks, read_masks(masks), job.model.optimizer)


def _train(job: Job, stage: Stage, state: Checkpoint, listen: Listener) -> Checkpoint:
    callback = _callback(job, stage)
    callback.set_model(job.model)
    callback.steps = state.position.pruning_steps
    patience = job.recipe.training.early_stopping
    while state.position.epoch < stage.epochs and not state.position.stopped:
        epoch = state.position.epoch
        callback.switch_for(epoch)  # units and formats are chosen on what this epoch computes
        if stage.number == 0:
            _change(job, epoch)
            if epoch == rewind_epoch(job.recipe):
                state = replace(
                    state, arrays={**state.arrays, "rewind": _copies(job.model.get_weights())}
                )
        row = {"stage": stage.number, "epoch": epoch, **_run_epoch(job, stage, epoch, callback)}
        state = _after_epoch(job, stage, state, row, callback.steps, patience)
        write_checkpoint(job.state, state)
        listen("epoch", {**row, "epochs": stage.epochs, "best_epoch": state.position.best_epoch})
    if rewind_epoch(job.recipe) is not None and not state.arrays.get("rewind"):
        state = replace(state, arrays={**state.arrays, "rewind": state.arrays["best"]})
    return state


def _after_epoch(
    job: Job, stage: Stage, state: Checkpoint, row: dict[str, Any], steps: int, patience: int | None
) -> Checkpoint:
    """Return the state with one more epoch; only settled epochs can be the best."""
    old = state.position
    arrays = {**state.arrays, **_arrays_of(job)}
    settled = old.epoch >= stage.settled
    better = settled and (old.best_loss is None or row["val_loss"] < old.best_loss)
    waited = 0 if better or not settled else old.waited + 1
    if better or (not settled and old.epoch + 1 == stage.epochs):
        arrays["best"] = arrays["weights"]
    position = replace(
        old,
        epoch=old.epoch + 1,
        best_loss=row["val_loss"] if better else old.best_loss,
        best_epoch=old.epoch if better else old.best_epoch,
        waited=waited,
        stopped=patience is not None and waited >= patience,
        pruning_steps=steps,
        history=(*old.history, row),
    )
    return _checkpoint(job, position, arrays)


def _run_epoch(job: Job, stage: Stage, epoch: int, callback: Any) -> dict[str, float]:
    """Train one epoch in an order that seed, stage and epoch alone decide."""
    tf, recipe = load_keras().tf, job.recipe
    order = np.random.default_rng([recipe.seed, job.number, stage.number, epoch])
    indices = order.permutation(len(job.train.x))
    x, y = tf.constant(job.train.x), tf.constant(job.train.y)
    dataset = (
        tf.data.Dataset.from_tensor_slices(indices)
        .batch(recipe.training.batch_size)
        .map(lambda rows: (tf.gather(x, rows), tf.gather(y, rows)))
    )
    fitted = job.model.fit(
        dataset, epochs=epoch + 1, initial_epoch=epoch, verbose=0, callbacks=[callback]
    )
    held = job.model.evaluate(
        job.validation.x,
        job.validation.y,
        batch_size=VALIDATION_BATCH,
        verbose=0,
        return_dict=True,
    )
    row = {name: float(values[-1]) for name, values in fitted.history.items()}
    row |= {f"val_{name}": float(value) for name, value in held.items()}
    if masks := attached_masks(job.model):
        row["sparsity"] = sparsity(masks)[""]
    return row


def _callback(job: Job, stage: Stage) -> Any:
    from qapflow.train.callbacks import QuantizationAwarePruning

    pruning, quantization = job.recipe.pruning, job.recipe.quantization
    if stage.number:
        return QuantizationAwarePruning()
    return QuantizationAwarePruning(
        pruning_schedule(job.recipe, job.steps),
        layers=pruning.layers,
        scope=pruning.scope,
        block=pruning.block,
        m_by_n=pruning.m_by_n,
        weights_from_epoch=quantization.weights_from_epoch,
        activations_from_epoch=quantization.activations_from_epoch,
    )


def _change(job: Job, epoch: int) -> None:
    """Prune units and choose formats where the recipe has it at the start of an epoch."""
    pruning, quantization = job.recipe.pruning, job.recipe.quantization
    if pruning.neurons and epoch == pruning.from_epoch:
        prune_units(job.model, pruning.neurons, job.model.optimizer)
    if pruning.activations and epoch == pruning.activations_from_epoch:
        prune_units(job.model, pruning.activations, job.model.optimizer, job.train.x)
    _choose_formats(
        job,
        weights=epoch == quantization.weights_from_epoch,
        activations=epoch == quantization.activations_from_epoch,
    )


def _choose_formats(job: Job, *, weights: bool, activations: bool) -> None:
    """Choose the integer bits that the recipe leaves open, by least squared error."""
    quantization = job.recipe.quantization
    weights &= quantization.weight_integer_bits is None
    activations &= quantization.activation_integer_bits is None
    if job.choose_formats and (weights or activations):
        choose_integer_bits(job.model, job.train.x, weights=weights, activations=activations)


def _checkpoint(job: Job, position: Position, arrays: Arrays) -> Checkpoint:
    return Checkpoint(position, arrays, _masked(job), read_quantizers(job.model))


def _arrays_of(job: Job) -> dict[str, list[Array]]:
    masks = attached_masks(job.model)
    return {
        "weights": _copies(job.model.get_weights()),
        "optimizer": [np.array(variable) for variable in job.model.optimizer.variables],
        "masks": [np.array(mask) for mask in read_masks(masks)],
        "random": [np.array(state) for state in random_states(named_leaves(job.model).values())],
    }


def _copies(weights: list[Array]) -> list[Array]:
    """Copy arrays: those of Keras can be views of variables that go on changing."""
    return [np.array(weight) for weight in weights]


def _masked(job: Job) -> tuple[str, ...]:
    return tuple(item.name for item in attached_masks(job.model))
