"""Bayesian optimization: what a trial trains, its limit, and going on after a kill."""

import numpy as np
import pytest

from qapflow.errors import UsageError
from qapflow.train.recipes.recipe import (
    ConvRecipe,
    DataRecipe,
    DenseRecipe,
    ModelRecipe,
    PoolRecipe,
    Recipe,
    SearchRecipe,
    TrainingRecipe,
)
from qapflow.train.samples.data import load_data
from qapflow.train.search import _ask, _next, _open, recipe_bops, search, vary

RECIPE = Recipe(
    data=DataRecipe(standardize="range"),
    training=TrainingRecipe(epochs=1, batch_size=64),
    search=SearchRecipe(trials=2, units=((4, 8), (4, 8), (4, 8)), bits=(4, 6)),
)
DATA = load_data(RECIPE.data)
pytestmark = pytest.mark.needs_keras  # the [train] extra


def test_a_trial_is_a_recipe_with_other_sizes_and_bits():
    made = vary(RECIPE, {"units_1": 5, "units_2": 6, "units_3": 7, "bits": 4})
    assert [layer.units for layer in made.model.layers] == [5, 6, 7]
    assert (made.quantization.weights, made.quantization.activations) == (4, 4)
    assert made.search.trials == 0
    sizes = [64, 5, 6, 7, 10]
    bits = [RECIPE.quantization.input, 4, 4, 4]
    terms = zip(sizes[:-1], sizes[1:], bits, strict=True)
    expected = sum(n * m * (4 * a + 4 + a + np.log2(n)) for n, m, a in terms)
    assert recipe_bops(made, DATA) == pytest.approx(expected, rel=1e-12)


def test_filters_of_convolutions_are_searched_in_the_order_of_layers():
    layers = (
        ConvRecipe(kind="conv2d", filters=4),
        ConvRecipe(kind="depthwise_conv2d"),
        PoolRecipe(kind="max_pool2d"),
        DenseRecipe(units=8),
    )
    recipe = RECIPE.model_copy(
        update={
            "model": ModelRecipe(layers=layers),
            "search": SearchRecipe(trials=1, units=((2, 4), (4, 8))),
        }
    )
    made = vary(recipe, {"units_1": 3, "units_2": 5})
    assert made.model.layers[0].filters == 3
    assert made.model.layers[1:3] == layers[1:3]
    assert made.model.layers[3].units == 5


def test_suggestions_go_on_as_if_nothing_had_happened(tmp_path):
    whole, killed = _open(tmp_path / "whole"), _open(tmp_path / "killed")
    for loss in (0.5, 0.3, 0.4, 0.2, 0.6, 0.1, 0.7):
        whole.tell(_ask(whole, RECIPE).number, loss)
        killed.tell(_ask(killed, RECIPE).number, loss)
        killed = _open(tmp_path / "killed")
    assert [t.params for t in whole.get_trials()] == [t.params for t in killed.get_trials()]
    begun = _ask(killed, RECIPE)
    number, variant = _next(_open(tmp_path / "killed"), RECIPE, None, known=7)
    assert number == begun.number == 7  # a trial that was begun is trained, not asked for again
    assert variant == vary(RECIPE, begun.params)


def test_a_limit_that_nothing_meets_is_refused(tmp_path):
    limited = RECIPE.model_copy(
        update={"search": SearchRecipe(trials=1, units=((4, 8),) * 3, max_bops=10)}
    )
    with pytest.raises(UsageError, match="stays below 10 BOPs"):
        _next(_open(tmp_path / "journal"), limited, DATA, known=0)


def test_a_tight_limit_is_learned(tmp_path):
    """One network in about 500 is small enough: chance alone gives up before it finds some."""
    limit = recipe_bops(vary(RECIPE, {"units_1": 8, "units_2": 64, "units_3": 64, "bits": 4}), DATA)
    tight = RECIPE.model_copy(
        update={"search": SearchRecipe(trials=9, units=((2, 1024),) * 3, max_bops=int(limit))}
    )
    study = _open(tmp_path / "journal")
    for known in range(8):
        number, variant = _next(study, tight, DATA, known=known)
        assert recipe_bops(variant, DATA) <= limit
        study.tell(number, 1.0 - known / 10)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_best_trial_is_saved(tmp_path):
    heard = []
    result = search(RECIPE, tmp_path / "best.h5", listen=lambda event, facts: heard.append(event))
    assert heard.count("trial") == 2
    assert [row["trial"] for row in result.rows] == [0, 1]
    best = min(result.rows, key=lambda row: row["val_loss"])
    assert result.chosen["trial"] == best["trial"]
    saved = tmp_path / "best.search" / f"trial_{best['trial']:03}.h5"
    assert (tmp_path / "best.h5").read_bytes() == saved.read_bytes()
    again = search(RECIPE, tmp_path / "best.h5", listen=lambda event, facts: None)
    assert again.rows == result.rows
