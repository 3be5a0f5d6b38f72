"""Bayesian optimization of widths and bits: the comparison that pruning has to stand.

As in Hawks et al., Front. AI 4:676564 (2021): layer sizes by the validation loss of their trained
networks, here by Optuna's tree-structured Parzen estimator instead of Ax.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qapflow.cost.bops import bops
from qapflow.errors import ToolMissing, UsageError
from qapflow.lower.files import write_file
from qapflow.train.loop import Listener
from qapflow.train.recipes.check import check_recipe
from qapflow.train.recipes.layers import searched
from qapflow.train.recipes.recipe import Recipe, SearchRecipe
from qapflow.train.recipes.shapes import layer_shapes
from qapflow.train.run import TrainResult, check_output, train
from qapflow.train.samples.data import Data, fit_shape, load_data
from qapflow.train.saving.points import Row

JOURNAL = "trials.journal"
STARTS = 5  # random trials before the estimator has something to go by
EXCESS = "bops_above_the_limit"
MOST_TOO_LARGE = 200  # suggestions above max_bops in a row before the search gives up


def search(
    recipe: Recipe,
    output: Path | str,
    *,
    board: str | None = None,
    fresh: bool = False,
    listen: Listener,
) -> TrainResult:
    """Train `search.trials` networks, each where the ones before suggest, and keep the best.

    The best has the lowest mean validation loss over the folds. No network is trained whose BOPs
    before pruning (input at its own bits) are above `search.max_bops`. The best is saved as
    `output`; OUTPUT.search/ holds every trial's training and the journal by which a
    killed search goes on.

    Raises:
        UsageError: recipe, data or output are wrong, or nothing stays below `max_bops`.
        ToolMissing: the [train] extra is not installed.
    """
    check_recipe(recipe)
    check_output(Path(output))
    target = Path(output)
    data = fit_shape(load_data(recipe.data, recipe.seed, 0), recipe.model)
    folder = target.with_suffix(".search")
    folder.mkdir(parents=True, exist_ok=True)
    if fresh:
        (folder / JOURNAL).unlink(missing_ok=True)
    study = _open(folder / JOURNAL)
    results: dict[int, TrainResult] = {}
    while len(results) < recipe.search.trials:
        number, variant = _next(study, recipe, data, known=len(results))
        listen("trial", {"trial": len(results), "trials": recipe.search.trials})
        place = folder / f"trial_{number:03}.h5"
        results[number] = train(variant, place, board=board, fresh=fresh, listen=listen)
        _tell(study, number, results[number])
    best = int(study.best_trial.number)
    for suffix in (".h5", ".scaling.json", ".lock.json"):
        source = results[best].model.with_suffix(suffix)
        if source.exists():
            write_file(target.with_suffix(suffix), source.read_bytes())
    rows = tuple(
        {**row, "trial": number, **_words(study, number)}
        for number, result in sorted(results.items())
        for row in result.rows
    )
    chosen = {**results[best].chosen, "trial": best, **_words(study, best)}
    return TrainResult(rows, chosen, target, folder)


def vary(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """Return the recipe of one trial: `units_1` ... for `searched` layers, `bits` for all."""
    units = iter([values[f"units_{n}"] for n in range(1, len(recipe.search.units) + 1)])
    layers = tuple(
        layer.model_copy(update={key: next(units)}) if key and recipe.search.units else layer
        for layer, key in searched(recipe.model)
    )
    bits = {"weights": values["bits"], "activations": values["bits"]} if "bits" in values else {}
    return recipe.model_copy(
        update={
            "model": recipe.model.model_copy(update={"layers": layers}),
            "quantization": recipe.quantization.model_copy(update=bits),
            "search": SearchRecipe(),
        }
    )


def recipe_bops(recipe: Recipe, data: Data) -> float:
    """Return the BOPs of a recipe's network before pruning, the input at its own bits."""
    return bops(layer_shapes(recipe, data.shape, len(data.classes)))


def _open(path: Path) -> Any:
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise ToolMissing("a search needs Optuna", hint="pip install 'qapflow[train]'") from error
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(path)))
    return optuna.create_study(study_name="search", storage=storage, load_if_exists=True)


def _next(study: Any, recipe: Recipe, data: Data, known: int) -> tuple[int, Recipe]:
    """Return the next trial: one that was trained or begun before, then new suggestions."""
    from optuna.trial import TrialState

    left_out = (TrialState.PRUNED, TrialState.FAIL)
    trained = [trial for trial in study.get_trials() if trial.state not in left_out]
    if known < len(trained):
        return trained[known].number, vary(recipe, trained[known].params)
    for _ in range(MOST_TOO_LARGE):
        trial = _ask(study, recipe)
        variant = vary(recipe, trial.params)
        most = recipe.search.max_bops
        excess = 0.0 if most is None else recipe_bops(variant, data) - most
        if excess <= 0:
            return trial.number, variant
        trial.set_user_attr(EXCESS, excess)
        study.tell(trial.number, state=TrialState.PRUNED)
    raise _too_large(recipe)


def _ask(study: Any, recipe: Recipe) -> Any:
    """Suggest a trial; its randomness depends on seed and number, so a killed search goes on."""
    from optuna.exceptions import ExperimentalWarning
    from optuna.samplers import TPESampler

    number = len(study.get_trials(deepcopy=False))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # `constraints_func` is one
        study.sampler = TPESampler(
            seed=recipe.seed + number, n_startup_trials=STARTS, constraints_func=_excess
        )
    trial = study.ask()
    for place, (low, high) in enumerate(recipe.search.units, start=1):
        trial.suggest_int(f"units_{place}", low, high)
    if recipe.search.bits:
        trial.suggest_categorical("bits", list(recipe.search.bits))
    return trial


def _excess(trial: Any) -> tuple[float]:
    """Return the BOPs above the limit: the estimator learns from them where nothing is allowed."""
    return (float(trial.user_attrs.get(EXCESS, 0.0)),)


def _tell(study: Any, number: int, result: TrainResult) -> None:
    from optuna.trial import TrialState

    if study.get_trials()[number].state != TrialState.RUNNING:
        return
    last = {row["fold"]: row for row in result.rows}.values()
    study.tell(number, sum(row["val_loss"] for row in last) / len(last))


def _words(study: Any, number: int) -> Row:
    return dict(study.get_trials()[number].params)


def _too_large(recipe: Recipe) -> UsageError:
    return UsageError(
        f"no network of {recipe.search.units} units stays below {recipe.search.max_bops:,} BOPs",
        at="search.max_bops",
        hint="allow more, or lower search.units and search.bits",
    )
