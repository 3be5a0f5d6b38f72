"""What `finalize` saves is what the firmware computes, and nothing else is saved."""

import numpy as np
import pytest

from qapflow.errors import CheckFailed, UsageError
from qapflow.frontend.load import load
from qapflow.frontend.model import LoadOptions
from qapflow.train.architecture import build_model
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
    ConvRecipe(kind="conv2d", filters=4, stride=2, padding="same"),
    PoolRecipe(kind="max_pool2d"),
    ConvRecipe(kind="depthwise_conv2d", filters=2),
    PoolRecipe(kind="average_pool2d"),
    FlattenRecipe(kind="flatten"),
    DenseRecipe(units=6),
)
ROW = (ConvRecipe(kind="conv1d", filters=3), FlattenRecipe(kind="global_average_pool"))


def check(libraries, randomise, tmp_path, recipe, shape=(10,), zeros=0.0):
    """Build, fill, finalize; return the result after comparing it with the live model."""
    libraries.keras.utils.set_random_seed(0)
    model = randomise(build_model(recipe, shape, 5), zeros=zeros)
    samples = np.random.default_rng(1).normal(0, 1.5, (64, *shape)).astype(np.float32)
    made = finalize(model, tmp_path / "model.h5", samples)
    assert made.exact
    assert (made.samples, made.values) == (64, 320)
    names = {layer.class_name for layer in load(made.path).spec.layers}
    assert not any(name.startswith("Folded") for name in names)
    # The input's quantizer gives the input type, so raw samples are predicted alike.
    assert np.array_equal(made.model.predict(samples, verbose=0), np.asarray(model(samples)))
    return made


@pytest.mark.parametrize(
    ("kind", "alpha", "bits", "batch_normalization"),
    [
        ("quantized_bits", "1", 6, "fold"),
        ("quantized_bits", "1", 5, "none"),
        ("quantized_bits", "auto_po2", 3, "fold"),
        ("quantized_po2", "1", 4, "fold"),
        ("binary", "1", 1, "fold"),
        ("binary", "auto_po2", 1, "none"),
        ("ternary", "auto_po2", 2, "fold"),
        ("ternary", "1", 2, "fold"),
    ],
)
def test_dense(libraries, randomise, tmp_path, kind, alpha, bits, batch_normalization):
    settings = QuantizationRecipe(weight_quantizer=kind, alpha=alpha, weights=bits)
    model = ModelRecipe(layers=DENSE, batch_normalization=batch_normalization)
    check(libraries, randomise, tmp_path, Recipe(quantization=settings, model=model))


@pytest.mark.parametrize(("layers", "shape"), [(IMAGE, (15, 16, 2)), (ROW, (9, 3))])
def test_convolutions(libraries, randomise, tmp_path, layers, shape):
    recipe = Recipe(model=ModelRecipe(layers=layers))
    check(libraries, randomise, tmp_path, recipe, shape, zeros=0.5)


def test_negative_integer_bits(libraries, randomise, tmp_path):
    """QKeras has none: the file holds larger levels and a factor, of the declared width."""
    settings = QuantizationRecipe(weights=4, weight_integer_bits=-2)
    recipe = Recipe(quantization=settings, model=ModelRecipe(layers=DENSE))
    made = check(libraries, randomise, tmp_path, recipe)
    quantizer = made.model.get_layer("dense_1").kernel_quantizer_internal
    assert (quantizer.bits, quantizer.integer, quantizer.alpha) == (4, 0, 0.25)


def test_floats_are_refused_by_layer_and_leave_no_file(libraries, tmp_path):
    settings = QuantizationRecipe(weights=32)
    recipe = Recipe(quantization=settings, model=ModelRecipe(layers=DENSE))
    model = build_model(recipe, (10,), 5)
    with pytest.raises(CheckFailed, match=r"(?s)float weights.*layer dense_1.*require_exact"):
        finalize(model, tmp_path / "model.h5")
    assert list(tmp_path.iterdir()) == []
    made = finalize(model, tmp_path / "model.h5", require_exact=False)
    assert not made.exact
    assert "dense_1" in made.reasons


@pytest.mark.parametrize(("output", "classes"), [("softmax", 5), ("sigmoid", 2)])
def test_probabilities_are_compared_at_what_they_come_from(
    libraries, randomise, tmp_path, output, classes
):
    recipe = Recipe(model=ModelRecipe(layers=DENSE, output=output))
    made = finalize(randomise(build_model(recipe, (10,), classes)), tmp_path / "model.h5")
    assert made.exact
    assert made.compared == ("output",)


def test_wrappers_of_tfmot_are_stripped_with_their_masks(libraries, randomise, tmp_path):
    keras, qkeras = libraries.keras, libraries.qkeras
    tfmot = libraries.tfmot.sparsity.keras
    options = {"kernel_quantizer": "quantized_bits(6,0,alpha=1)", "bias_quantizer": None}
    layers = [qkeras.QDense(5, name=name, use_bias=False, **options) for name in ("a", "b")]
    wrapped = tfmot.prune_low_magnitude(layers[0], tfmot.ConstantSparsity(0.5, 0))
    quantizer = qkeras.QActivation("quantized_bits(8,2,alpha=1)")
    model = keras.Sequential([keras.Input((10,)), quantizer, wrapped, layers[1]])
    kernel, mask, _ = wrapped.pruning_vars[0]
    values = np.random.default_rng(0).normal(size=kernel.shape)
    kernel.assign(values)
    mask.assign(values > 0)
    made = finalize(model, tmp_path / "model.h5")
    assert [type(layer).__name__ for layer in made.model.layers[1:]] == ["QDense", "QDense"]
    assert not made.model.get_layer("a").kernel.numpy()[values <= 0].any()


@pytest.mark.slow
def test_sums_that_float32_rounds_are_compared_in_float64(libraries, randomise, tmp_path):
    settings = QuantizationRecipe(weights=14, activations=14, input=14)
    recipe = Recipe(quantization=settings, model=ModelRecipe(layers=DENSE))
    samples = np.random.default_rng(1).normal(size=(64, 200)).astype(np.float32)
    model = randomise(build_model(recipe, (200,), 5))
    made = finalize(model, tmp_path / "model.h5", samples)
    assert made.exact
    assert "none from its float64" in made.note


def test_what_differs_is_refused_by_layer(libraries, randomise, tmp_path, monkeypatch):
    """A front end that read one weight otherwise would be caught."""
    from qapflow.train.saving import proof

    recipe = Recipe(model=ModelRecipe(layers=DENSE))
    path = tmp_path / "model.h5"
    finalize(randomise(build_model(recipe, (10,), 5)), path)
    other = proof.load(path)
    finalize(randomise(build_model(recipe, (10,), 5), seed=5), path)
    monkeypatch.setattr(proof, "load", lambda path, options: other)
    with pytest.raises(CheckFailed, match=r"(?s)outputs differ between Keras.*layer dense_1"):
        proof.prove(path, None, require_exact=True, options=LoadOptions())


def test_where_to(libraries, tmp_path):
    with pytest.raises(UsageError, match=r"saved as \.h5, not \.keras"):
        finalize(None, tmp_path / "model.keras")
    with pytest.raises(UsageError, match="folder of the model file is not there"):
        finalize(None, tmp_path / "none" / "model.h5")


def test_layers_that_do_not_fit(libraries):
    recipe = Recipe(model=ModelRecipe(layers=IMAGE))
    with pytest.raises(UsageError, match=r"(?s)do not fit together.*\(5, 5, 1\)"):
        build_model(recipe, (5, 5, 1), 5)
    settings = QuantizationRecipe(layers={"dense_9": {"weights": 4}})
    with pytest.raises(UsageError, match=r"(?s)no layer 'dense_9'.*dense_3, output"):
        build_model(Recipe(quantization=settings), (10,), 5)
