"""Which recipes promise that every saved model is exact."""

import pytest

from qapflow.train.recipes.recipe import Recipe
from qapflow.train.saving.points import promises_exact


@pytest.mark.parametrize(
    ("settings", "promised"),
    [
        ({}, True),
        ({"quantization": {"weights": 32}}, False),
        ({"quantization": {"biases": 32}}, False),
        ({"quantization": {"layers": {"dense_1": {"activations": 32}}}}, False),
        ({"quantization": {"layers": {"dense_1": {"activations": 4}}}}, True),
        ({"model": {"batch_normalization": "separate"}}, False),
    ],
)
def test_promises(settings, promised):
    assert promises_exact(Recipe.model_validate(settings)) is promised
