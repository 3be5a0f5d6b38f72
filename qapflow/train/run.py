"""A whole run by recipe: folds, saved models, rows, curves, and the one model that is chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qapflow.errors import UsageError
from qapflow.lower.files import write_file
from qapflow.steps.cache import BuildFolder
from qapflow.train.architecture import build_model
from qapflow.train.checkpoint import Checkpoint, read_checkpoint
from qapflow.train.compiling import compile_model
from qapflow.train.file_model import has_quantizers, prepare_file_model
from qapflow.train.libraries import load_keras, seed_everything
from qapflow.train.loop import Job, Listener, Samples, run_job
from qapflow.train.recipes.check import check_recipe
from qapflow.train.recipes.file import print_recipe
from qapflow.train.recipes.lock import check_lock, make_lock, write_lock
from qapflow.train.recipes.recipe import Recipe
from qapflow.train.samples.data import Data, fit_shape, load_data
from qapflow.train.saving.points import ROWS, Row, choose, read_rows, save_point, write_row
from qapflow.train.stages import plan_stages

RECIPE = "recipe.yaml"
LOCK = "lock.json"
STATE = "state.npz"
OWN_FILES = (ROWS, RECIPE, LOCK, "curves.png", "*/*.h5", "*/*.npz", "*/*.json")
HALF_WRITTEN = ("*/.*.part.h5",)  # of a training that was killed while it saved a model


@dataclass(frozen=True)
class TrainResult:
    """What a run made: every row, the one that was chosen, and where its model lies."""

    rows: tuple[Row, ...]
    chosen: Row
    model: Path
    folder: Path


def _silent(event: str, facts: Mapping[str, Any]) -> None:
    """Tell nobody."""


def train(
    recipe: Recipe,
    output: Path | str,
    *,
    board: str | None = None,
    fresh: bool = False,
    listen: Listener = _silent,
) -> TrainResult:
    """Train by a recipe and save the chosen model as `output` (.h5).

    Beside it, OUTPUT.train/ holds the state of the training, every saved model with its scaling,
    one row a model (rows.jsonl), the recipe, the lock file, and curves. The same call goes on
    where a killed one stopped, to the same weights; `fresh` starts again. `board` adds estimates.

    Raises:
        UsageError: recipe, data or output are wrong, or the folder holds another training.
        ToolMissing: the [train] extra is not installed.
        CheckFailed: a saved model does not compute what Keras computes.
    """
    target = check_output(Path(output))
    check_recipe(recipe)
    folder = target.with_suffix(".train")
    own = BuildFolder(folder)
    data = fit_shape(load_data(recipe.data, recipe.seed, 0), recipe.model)  # before any file
    with own.locked():
        if fresh:
            _clear(folder, OWN_FILES)
        _clear(folder, HALF_WRITTEN)
        _keep_recipe(folder, recipe, data)
        for fold in range(recipe.data.folds):
            _train_fold(recipe, fold, folder, board, listen)
        rows = tuple(read_rows(folder / ROWS))
        chosen = choose(rows)
        place = folder / f"fold_{chosen['fold']}"
        write_file(target, (place / chosen["model"]).read_bytes())
        for name in ("scaling.json", LOCK):
            source = place / name if (place / name).exists() else folder / name
            if source.exists():
                write_file(target.with_name(f"{target.stem}.{name}"), source.read_bytes())
        _draw(folder, rows, recipe)
    return TrainResult(rows, chosen, target, folder)


def _train_fold(
    recipe: Recipe, fold: int, folder: Path, board: str | None, listen: Listener
) -> None:
    stages = plan_stages(recipe)
    state = read_checkpoint(folder / f"fold_{fold}" / STATE) or Checkpoint()
    listen("fold", {"fold": fold, "folds": recipe.data.folds, "stages": len(stages)})
    if state.position.stage >= len(stages):
        return
    place = folder / f"fold_{fold}"
    place.mkdir(exist_ok=True)
    data = fit_shape(load_data(recipe.data, recipe.seed, fold), recipe.model)
    job = _make_job(recipe, data, fold, place)
    for stage, position in run_job(job, listen):
        point, made = save_point(job, data, stage, position, place, board)
        _keep_scaling(place, data, made)
        write_row(folder / ROWS, point.row)
        listen("point", point.row)


def _make_job(recipe: Recipe, data: Data, fold: int, place: Path) -> Job:
    load_keras().tf.get_logger().setLevel("ERROR")  # nothing of what it warns of is in our hands
    seed_everything(recipe.seed + fold)
    model, own = build_model(recipe, data.shape, len(data.classes)), False
    _check_model(model, data)
    if recipe.model.file is not None:
        own = has_quantizers(model)
        model = prepare_file_model(recipe, model, data.x_train)
    train, validation = (
        Samples(data.x_train, data.y_train),
        Samples(data.x_validation, data.y_validation),
    )
    job = Job(recipe, model, train, validation, place / STATE, fold, choose_formats=not own)
    compile_model(recipe, model, job.steps)
    return job


def _check_model(model: Any, data: Data) -> None:
    """Refuse data of another shape than the model's."""
    if tuple(model.input_shape[1:]) != tuple(data.shape):
        raise UsageError(
            f"samples have shape {data.shape}, the model takes {tuple(model.input_shape[1:])}",
            at="data.source, model.file",
            hint="give data.shape, or a model for these samples",
        )
    outputs = int(model.output_shape[-1])
    if outputs != (1 if len(data.classes) == 2 else len(data.classes)) and outputs != len(
        data.classes
    ):
        raise UsageError(
            f"the data has {len(data.classes)} classes, the model {outputs} outputs",
            at="model.file",
            hint="one output a class, or one for two classes",
        )


def check_output(output: Path) -> Path:
    """Refuse a model file that could not be written or read again."""
    if output.suffix != ".h5":
        raise UsageError(
            f"models are saved as .h5, not {output.suffix or 'without suffix'}",
            at=f"-o {output}",
            hint=f"-o {output.stem}.h5",
        )
    if not output.resolve().parent.is_dir():
        raise UsageError("the folder of the model file is not there", at=f"-o {output}")
    return output


def _keep_recipe(folder: Path, recipe: Recipe, data: Data) -> None:
    """Write recipe and lock; refuse to go on with another recipe, data or packages."""
    path, lock = folder / LOCK, make_lock(recipe, data.digest)
    if path.exists():
        check_lock(path, lock)
    write_file(folder / RECIPE, print_recipe(recipe).encode())
    write_lock(path, lock)


def _keep_scaling(place: Path, data: Data, made: Any) -> None:
    from qapflow.train.samples.scaling import input_meaning, write_scaling

    (node,) = made.loaded.net.inputs
    kind = node.out.type
    meanings = input_meaning(data.scaling, kind, data.x_train, data.features)
    write_scaling(place / "scaling.json", data.scaling, data.features, kind, meanings)


def _draw(folder: Path, rows: tuple[Row, ...], recipe: Recipe) -> None:
    from qapflow.train.curves import draw_curves

    states = (read_checkpoint(folder / f"fold_{n}" / STATE) for n in range(recipe.data.folds))
    histories = [state.position.history for state in states if state is not None]
    write_file(folder / "curves.png", draw_curves(histories, rows))


def _clear(folder: Path, patterns: tuple[str, ...]) -> None:
    """Remove what an earlier training wrote, nothing else."""
    for pattern in patterns:
        for path in folder.glob(pattern):
            path.unlink()
