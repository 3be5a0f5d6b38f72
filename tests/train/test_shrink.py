"""Saved layers lose their dead units, and the outputs stay what they are."""

import numpy as np
import pytest

from qapflow.train.architecture import build_model
from qapflow.train.pruning.shrink import shrink
from qapflow.train.pruning.units import find_units, prune_units
from qapflow.train.recipes.recipe import (
    ConvRecipe,
    DenseRecipe,
    FlattenRecipe,
    ModelRecipe,
    PoolRecipe,
    QuantizationRecipe,
    Recipe,
)
from qapflow.train.saving.finalizing import finalize

pytestmark = [pytest.mark.needs_keras, pytest.mark.filterwarnings("ignore")]

DENSE = (DenseRecipe(units=12), DenseRecipe(units=8))
IMAGE = (
    ConvRecipe(kind="conv2d", filters=6),
    PoolRecipe(kind="max_pool2d"),
    ConvRecipe(kind="depthwise_conv2d"),
    ConvRecipe(kind="conv2d", filters=6),
    ConvRecipe(kind="conv2d", filters=6, padding="same"),
    FlattenRecipe(kind="flatten"),
    DenseRecipe(units=8),
)


def zero(model, name, index):
    """Zero a part of a kernel."""
    kernel = model.get_layer(name).kernel
    values = kernel.numpy()
    values[index] = 0
    kernel.assign(values)


def check(tmp_path, model, shape):
    """Finalize and compare with the live model; return the result."""
    samples = np.random.default_rng(1).normal(size=(50, *shape)).astype(np.float32)
    made = finalize(model, tmp_path / "model.h5", samples)
    assert made.exact
    assert np.array_equal(made.model.predict(samples, verbose=0), np.asarray(model(samples)))
    return made


def test_constant_and_unread_neurons(libraries, randomise, tmp_path):
    model = randomise(build_model(Recipe(model=ModelRecipe(layers=DENSE)), (16,), 5))
    zero(model, "dense_1", np.s_[:, :5])  # made of nothing: constants go on
    zero(model, "dense_2", np.s_[8, :])  # read by nobody
    zero(model, "dense_2", np.s_[:, 2])
    made = check(tmp_path, model, (16,))
    assert made.removed == {"dense_1": 6, "dense_2": 1}
    assert made.model.get_layer("dense_2").kernel.shape == (6, 7)


def test_a_dead_layer_keeps_one_neuron(libraries, randomise, tmp_path):
    model = randomise(build_model(Recipe(model=ModelRecipe(layers=DENSE)), (16,), 5))
    zero(model, "dense_2", np.s_[:])
    assert check(tmp_path, model, (16,)).removed == {"dense_1": 11, "dense_2": 7}


def test_channels(libraries, randomise, tmp_path):
    model = randomise(build_model(Recipe(model=ModelRecipe(layers=IMAGE)), (16, 16, 2), 5))
    for name in ("conv2d_1", "conv2d_2", "conv2d_3", "dense_1"):
        zero(model, name, np.s_[..., 1:3])
    padded = model.get_layer("conv2d_2")
    padded.moving_mean.assign(np.zeros(6))
    padded.beta.assign([0, 0.5, -0.5, 0, 0, 0])
    made = check(tmp_path, model, (16, 16, 2))
    # A constant above zero stays where padding makes its share vary along the border.
    assert made.removed["conv2d_2"] == 1
    assert made.removed["conv2d_1"] == made.removed["conv2d_3"] == made.removed["dense_1"] == 2
    assert made.model.get_layer("depthwise_conv2d_1").depthwise_kernel.shape == (3, 3, 4, 1)


@pytest.mark.parametrize(("kind", "bits"), [("quantized_bits", 4), ("ternary", 2)])
def test_pruned_units_with_scales_of_kernels(libraries, randomise, tmp_path, kind, bits):
    settings = QuantizationRecipe(weight_quantizer=kind, alpha="auto_po2", weights=bits)
    recipe = Recipe(quantization=settings, model=ModelRecipe(layers=DENSE))
    model = randomise(build_model(recipe, (16,), 5))
    prune_units(model, 0.5, None)
    assert check(tmp_path, model, (16,)).removed == {"dense_1": 6, "dense_2": 4}


def test_what_others_see_stays(libraries, randomise):
    keras = libraries.keras
    samples = keras.Input((6,))
    first = keras.layers.Dense(4, name="first")(samples)
    second = keras.layers.Dense(4, name="second")(first)
    model = randomise(keras.Model(samples, [first, keras.layers.Add()([first, second])]))
    for name in ("first", "second"):
        zero(model, name, np.s_[:])
    made, removed = shrink(model)
    assert made is model
    assert removed == {}


def test_what_a_model_gives_out_or_a_shared_layer_reads_is_not_pruned(libraries):
    keras = libraries.keras
    layers = keras.layers
    samples = keras.Input((4,))
    names = ("given", "free", "one", "two")
    given, free, one, two = (layers.Dense(6, activation="relu", name=name) for name in names)
    shared = layers.Dense(3, name="shared")
    first = given(samples)
    outputs = [first, layers.Dense(2)(free(first)), shared(one(samples)), shared(two(samples))]
    model = keras.Model(samples, outputs)
    assert [units.maker.name for units in find_units(model)] == ["free"]
    assert prune_units(model, 0.5, None) == {"free": 3}
