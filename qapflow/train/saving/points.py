"""The end of a training stage: a proved model file, and one row with every metric and cost."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.cost.model import cost_of_model
from qapflow.lower.files import write_file
from qapflow.steps.settings import BuildSettings
from qapflow.train.checkpoint import Position
from qapflow.train.compiling import output_kind
from qapflow.train.leaves import all_layers
from qapflow.train.libraries import load_keras
from qapflow.train.loop import Job
from qapflow.train.pruning.masks import KERNELS, attached_masks, read_masks, sparsity
from qapflow.train.recipes.recipe import FLOAT_BITS, Recipe
from qapflow.train.samples.data import Data
from qapflow.train.saving.finalizing import Finalized, finalize
from qapflow.train.saving.metrics import (
    States,
    artificial_intelligence_quotient,
    join_states,
    measure,
    neural_efficiency,
    observe_states,
)
from qapflow.train.saving.proof import batch_size, values_of
from qapflow.train.stages import Stage

Array = NDArray[Any]
Row = dict[str, Any]

ROWS = "rows.jsonl"


@dataclass(frozen=True)
class Point:
    """One saved model: its row and its file."""

    row: Row
    path: Path


def save_point(
    job: Job, data: Data, stage: Stage, position: Position, folder: Path, board: str | None = None
) -> tuple[Point, Finalized]:
    """Finalize the model as `folder`/NN.h5, proved on the test samples, and measure it.

    Figures are those of the saved file: its Keras predictions, which are the integer network's,
    and its costs after quantization.

    Raises:
        CheckFailed: the file does not compute what Keras computes.
        ModelUnsupported: the front end cannot read the model.
    """
    path = folder / f"{stage.number:02}.h5"
    made = finalize(job.model, path, data.x_test, require_exact=promises_exact(job.recipe))
    found = cost_of_model(
        BuildSettings(path, board=board or BuildSettings.board), with_board=board is not None
    )
    row: Row = {
        "name": job.recipe.name,
        "seed": job.recipe.seed,
        "fold": job.number,
        "stage": stage.number,
        "epochs": position.epoch,
        "best_epoch": position.best_epoch,
        "val_loss": position.best_loss,
        **_held(job, made, data),
        **_shares(job),
        **{f"cost_{name}": value for name, value in asdict(found.cost.total).items()},
        **_estimate(found.board),
        "test_samples": made.samples,
        "mismatches": made.mismatches,
        "exact": made.exact,
        "removed_units": dict(made.removed),
        "model": path.name,
        "model_digest": found.model_digest,
    }
    return Point(row, path), made


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a run, none if it has none yet."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def write_row(path: Path, row: Row) -> None:
    """Add a row to a run's, in place of one of the same fold and stage; all at once."""
    key = (row["fold"], row["stage"])
    rows = [old for old in read_rows(path) if (old["fold"], old["stage"]) != key]
    rows = sorted([*rows, row], key=lambda item: (item["fold"], item["stage"]))
    text = "".join(json.dumps(item, sort_keys=True) + "\n" for item in rows)
    write_file(path, text.encode())


def choose(rows: Sequence[Row]) -> Row:
    """Return the cheapest row that lost no accuracy.

    Cheapest by BOPs (input at its own bits); no loss: validation accuracy of at least the best
    row's less its standard error sqrt(a (1 - a) / n). Test accuracy chooses nothing.
    """
    best = max(rows, key=lambda row: row["val_accuracy"])
    level = best["val_accuracy"] - standard_error(best["val_accuracy"], best["val_samples"])
    kept = [row for row in rows if row["val_accuracy"] >= level]
    return min(kept, key=lambda row: (row["cost_bops_input_own"], -row["val_accuracy"]))


def standard_error(accuracy: float, samples: int) -> float:
    """Return the standard error of a share of `samples` (binomial)."""
    return float(np.sqrt(accuracy * (1.0 - accuracy) / max(samples, 1)))


def _held(job: Job, made: Finalized, data: Data) -> Row:
    """Every metric on the test samples; on validation samples what chooses between models."""

    def outputs(x: Array) -> Array:
        return values_of(made.model, x)[0]

    kind = output_kind(job.model)
    held = measure(outputs(data.x_validation), data.y_validation, data.classes, kind)
    test = measure(outputs(data.x_test), data.y_test, data.classes, kind)
    efficiency = neural_efficiency(_observe(made.model, data.x_test), len(data.x_test))
    return {
        "val_accuracy": held.accuracy,
        "val_samples": held.samples,
        "accuracy": test.accuracy,
        "auc": test.auc,
        "background_efficiency": test.background_efficiency,
        "neural_efficiency": efficiency.network,
        "neural_efficiency_by_layer": dict(efficiency.by_layer),
        "aiq": artificial_intelligence_quotient(efficiency.network, test.accuracy),
    }


def _observe(model: Any, x: Array) -> dict[str, States]:
    """Return the states of weighted layers, after their normalization, before activations."""
    tensors = {}
    for layer in all_layers(model):
        if any(vars(layer).get(name) is not None for name in KERNELS):
            for number, node in enumerate(layer.inbound_nodes):
                end = f" (call {number + 1})" if number else ""
                tensors[f"{layer.name}{end}"] = _normalized(node.outputs)
    part = load_keras().keras.Model(model.inputs, list(tensors.values()))
    parts: dict[str, list[States]] = {name: [] for name in tensors}
    size = batch_size(part)
    for start in range(0, len(x), size):
        made = part(x[start : start + size], training=False)
        for name, values in zip(tensors, made if len(tensors) > 1 else [made], strict=True):
            parts[name].append(observe_states(np.asarray(values)))
    return {name: join_states(items) for name, items in parts.items()}


def _normalized(tensor: Any) -> Any:
    """Return what batch normalization makes of a tensor, if it reads it; else the tensor."""
    readers = tensor.node.layer.outbound_nodes
    made = [
        node.outputs
        for node in readers
        if "BatchNormalization" in type(node.layer).__name__
        and any(one is tensor for one in node.keras_inputs)
    ]
    return (made or [tensor])[0]


def _shares(job: Job) -> Row:
    masks = attached_masks(job.model)
    if not masks:
        return {}
    kept = sum(float(np.sum(mask)) for mask in read_masks(masks))
    total = sum(item.mask.shape.num_elements() for item in masks)
    return {"masked": 1.0 - kept / total, "sparsity": sparsity(masks)[""]}


def _estimate(board: Any) -> Row:
    if board is None:
        return {}
    figures = {f"estimate_{name}": figure.value for name, figure in board.totals.items()}
    return {"board": board.target.name, "fits": board.fits, **figures}


def promises_exact(recipe: Recipe) -> bool:
    """Tell whether a recipe's model has no float layer, so that a file which is not exact fails.

    Batch normalization as a layer of its own computes in float32; it can be exact, and the row of
    a saved model says whether it is.
    """
    quantization = recipe.quantization
    bits = [quantization.weights, quantization.biases, quantization.activations, quantization.input]
    for own in quantization.layers.values():
        bits += [own.weights, own.biases, own.activations]
    floats = any(number is not None and number >= FLOAT_BITS for number in bits)
    return not floats and recipe.model.batch_normalization != "separate"
