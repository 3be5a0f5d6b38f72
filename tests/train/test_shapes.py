"""Bit operations of a recipe are those of the network that it builds."""

import numpy as np
import pytest

from qapflow.cost.bops import bops
from qapflow.errors import UsageError
from qapflow.train.recipes.recipe import Recipe
from qapflow.train.recipes.shapes import layer_shapes

CONV = {"kind": "conv2d", "filters": 3, "kernel": 3}
NETWORKS = {
    "dense": ((12,), [{"kind": "dense", "units": 5}]),
    "images": (
        (9, 8, 2),
        [
            CONV | {"stride": 2, "padding": "same"},
            {"kind": "average_pool2d"},
            {"kind": "depthwise_conv2d", "filters": 2, "kernel": 2},
            {"kind": "dense", "units": 4},
        ],
    ),
    "rows": (
        (11, 3),
        [
            {"kind": "conv1d", "filters": 4, "kernel": 2, "stride": 3},
            {"kind": "max_pool1d", "size": 2},
            {"kind": "conv1d", "filters": 2, "kernel": 2},
        ],
    ),
    "averaged": ((6, 6, 1), [CONV, {"kind": "global_average_pool"}]),
    "pixels": ((3, 3, 1), [{"kind": "flatten"}, {"kind": "dense", "units": 2}]),
}


def recipe_of(architecture, **quantization):
    settings = {"weights": 5, "activations": 7, "input": 9, **quantization}
    model = {"layers": architecture, "batch_normalization": "none"}
    return Recipe.model_validate({"model": model, "quantization": settings})


@pytest.mark.needs_keras
@pytest.mark.filterwarnings("ignore::UserWarning")  # .h5 is called old
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("classes", [2, 3])
def test_bops_are_those_of_the_model_that_is_built(name, classes, tmp_path):
    from qapflow.cost.model import cost_of_model
    from qapflow.steps.settings import BuildSettings
    from qapflow.train.architecture import build_model

    shape, layers = NETWORKS[name]
    recipe = recipe_of(layers, layers={"output": {"weights": 3}})
    model = build_model(recipe, shape, classes)
    model.set_weights([np.full(w.shape, 0.5, np.float32) for w in model.get_weights()])
    model.save(tmp_path / "model.h5")
    found = cost_of_model(BuildSettings(tmp_path / "model.h5"), with_board=False).cost.total
    shapes = layer_shapes(recipe, shape, classes)
    assert bops(shapes) == pytest.approx(found.bops_input_own, rel=1e-12)  # sums in other order
    assert bops(shapes, 32) == pytest.approx(found.bops_input_32, rel=1e-12)


def test_a_kernel_larger_than_what_it_reads_is_refused():
    recipe = recipe_of([CONV, {"kind": "max_pool2d", "size": 3}, CONV])
    with pytest.raises(UsageError, match=r"(?s)3 values at once of 1.*conv2d_2.*smaller"):
        layer_shapes(recipe, (5, 5, 1), 2)
