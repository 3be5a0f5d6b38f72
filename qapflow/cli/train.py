"""The verb `train`: from options to a recipe, and from its result to words."""

from __future__ import annotations

import argparse
import statistics
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qapflow.cli.progress import TrainProgress
from qapflow.errors import ToolMissing, UsageError

if TYPE_CHECKING:
    from qapflow.train.recipes.recipe import Recipe
    from qapflow.train.run import TrainResult

EXTRA = ("tensorflow", "tf_keras", "qkeras", "tensorflow_model_optimization", "sklearn", "pydantic")

BEST_TRIAL = "the lowest validation loss of all trials"
CHEAPEST = "the cheapest whose validation accuracy is within one standard error of the best"


@dataclass(frozen=True)
class Summary:
    """What is said about a run: words, and the same as JSON-able facts."""

    text: str
    facts: dict[str, Any]


def chosen_recipe(options: argparse.Namespace) -> tuple[Recipe, str]:
    """Return the recipe that options name, with their changes, and all its settings as text.

    Raises:
        UsageError: none or two are named, or it is wrong.
        ToolMissing: the [train] extra is not installed.
    """
    _need_extra()
    from qapflow.train.recipes.check import check_recipe
    from qapflow.train.recipes.file import print_recipe, read_recipe, with_data

    if (options.recipe is None) == (options.preset is None):
        raise UsageError(
            "name one recipe" if options.recipe is None else "a recipe and a preset are two",
            at="qapflow train",
            hint="qapflow train recipe.yaml, or --preset NAME; --preset list shows the names",
        )
    recipe = read_recipe(options.recipe or options.preset)
    recipe = with_data(recipe, options.data, options.target)
    if str(options.recipe).endswith(".json"):
        _check_repeatable(options.recipe, recipe)
    if options.seed is not None:
        recipe = type(recipe).model_validate({**recipe.model_dump(), "seed": options.seed})
    check_recipe(recipe)
    return recipe, print_recipe(recipe)


def _check_repeatable(path: Path, recipe: Recipe) -> None:
    """Refuse to train by a lock file with other data or packages than those it names."""
    from qapflow.train.recipes.lock import check_lock, make_lock, read_lock
    from qapflow.train.samples.data import load_data

    expected = read_lock(path)
    digest = load_data(recipe.data, recipe.seed, 0).digest
    lock = make_lock(recipe, digest, expected.fold)
    check_lock(path, replace(lock, recipe=expected.recipe))  # options may change settings


def list_recipes() -> str:
    """Return the names of all presets, a line each."""
    _need_extra()
    from qapflow.train.recipes.file import list_presets

    presets = list_presets()
    width = max(map(len, presets))
    return "".join(f"{name:<{width}}  {text}\n" for name, text in sorted(presets.items()))


def train_by(recipe: Recipe, options: argparse.Namespace) -> Summary:
    """Train and say what came of it."""
    from qapflow.train.run import train
    from qapflow.train.search import search

    work = search if recipe.search.trials else train
    output = options.output or Path(f"{recipe.name}.h5")
    with TrainProgress(quiet=options.quiet or options.json) as progress:
        result = work(
            recipe, output, board=options.board, fresh=options.fresh, listen=progress.event
        )
    return Summary(_text(result), _facts(result))


def _facts(result: TrainResult) -> dict[str, Any]:
    return {
        "format": "qapflow train 1",
        "model": str(result.model),
        "folder": str(result.folder),
        "chosen": result.chosen,
        "rows": list(result.rows),
    }


def _text(result: TrainResult) -> str:
    """Return a table of all saved models, the chosen one marked, and where everything lies."""
    head = (
        f"{'fold':>4} {'model':<8}{'zeros':>8}{'accuracy':>10}{'BOPs':>14}{'EBOPs':>12}{'CSD':>9}"
    )
    lines = [head]
    for row in result.rows:
        zeros = f"{row['sparsity']:.1%}" if "sparsity" in row else "-"
        mark = "  <- chosen" if row == result.chosen else ""
        if "trial" in row:
            mark = f"  trial {row['trial']}{mark}"
        lines.append(
            f"{row['fold']:>4} {row['model']:<8}{zeros:>8}{row['accuracy']:>10.4f}"
            f"{row['cost_bops_input_own']:>14,.0f}{row['cost_ebops']:>12,}"
            f"{row['cost_csd_digits']:>9,}{mark}"
        )
    from qapflow.train.samples.scaling import meaning_summary

    chosen = result.chosen
    scaling = result.model.with_name(f"{result.model.stem}.scaling.json")
    inputs = [meaning_summary(scaling)] if scaling.is_file() else []
    exact = "bit-exact" if chosen["exact"] else f"{chosen['mismatches']} values differ"
    lines += [
        *_means(result),
        "accuracy on the test samples; BOPs with the input at its own bits",
        f"chosen: {BEST_TRIAL if 'trial' in chosen else CHEAPEST}",
        f"integer network = Keras: {exact} on {chosen['test_samples']} test samples",
        *filter(None, inputs),
        f"written to {result.model}; rows, states and curves in {result.folder}/",
    ]
    return "\n".join(lines)


def _means(result: TrainResult) -> list[str]:
    """Return mean and spread (sample deviation) over the folds, a line for each stage."""
    lines = []
    for stage in sorted({row["stage"] for row in result.rows}):
        own = [row for row in result.rows if row["stage"] == stage]
        if len(own) < 2 or "trial" in own[0]:
            continue
        accuracy = [row["accuracy"] for row in own]
        cost = statistics.fmean(row["cost_bops_input_own"] for row in own)
        lines.append(
            f"{len(own)} folds, {own[0]['model']}: accuracy {statistics.fmean(accuracy):.4f} "
            f"+- {statistics.stdev(accuracy):.4f}, {cost:,.0f} BOPs"
        )
    return lines


def _need_extra() -> None:
    import importlib.util

    missing = [name for name in EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        raise ToolMissing(
            f"training needs the Python package {missing[0]}", hint="pip install 'qapflow[train]'"
        )
