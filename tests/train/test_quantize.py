"""Float models become quantized ones; quantization switches; binary points fit what they hold."""

import numpy as np
import pytest

from qapflow.errors import ModelUnsupported, UsageError
from qapflow.train.architecture import build_model
from qapflow.train.quantization.integer_bits import (
    choose_integer_bits,
    least_error_integer,
    read_quantizers,
    write_quantizers,
)
from qapflow.train.quantization.quantizing import quantize, switch
from qapflow.train.recipes.recipe import DenseRecipe, ModelRecipe, QuantizationRecipe, Recipe
from qapflow.train.saving.finalizing import finalize

keras_tests = [pytest.mark.needs_keras, pytest.mark.filterwarnings("ignore")]


def needs_keras(function):
    for mark in keras_tests:
        function = mark(function)
    return function


@pytest.mark.parametrize(
    ("values", "bits", "integer"),
    [
        ([0.5, -1.0, 0.25], 4, 0),  # all on the grid of range 1
        ([0.125, -0.25], 3, -2),
        ([3.0, 1.0], 8, 2),
        ([0.0], 8, None),
    ],
)
def test_least_error(values, bits, integer):
    assert least_error_integer(np.array(values), bits) == integer


def test_least_error_saturates_an_outlier():
    values = np.append(np.linspace(-1, 0.9, 1000), 3.0)
    assert least_error_integer(values, 4) == 0
    assert least_error_integer(values, 12) == 2
    assert least_error_integer(-values, 4, keep_negative=False) == 0


def image_model(keras):
    layers = keras.layers
    samples = keras.Input((9, 9, 2))
    x = layers.Conv2D(4, 3, name="conv")(samples)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU()(x)
    y = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    x = layers.Add()([x, y])
    x = layers.AveragePooling2D()(x)
    x = layers.Flatten()(x)
    return keras.Model(samples, layers.Dense(5, name="out")(layers.Dropout(0.2)(x)))


@needs_keras
def test_quantize_keeps_what_a_model_computes(libraries, randomise, tmp_path):
    model = randomise(image_model(libraries.keras))
    samples = np.random.default_rng(0).normal(size=(64, 9, 9, 2)).astype(np.float32)
    made = quantize(model, 10, layers={"out": {"weights": 7}}, samples=samples)
    kinds = [type(layer).__name__ for layer in made.layers]
    assert kinds.count("FoldedConv2D") == 1
    assert "BatchNormalization" not in kinds
    assert made.get_layer("out").kernel_quantizer_internal.bits == 7
    before, after = model(samples).numpy().ravel(), made(samples).numpy().ravel()
    assert np.corrcoef(before, after)[0, 1] > 0.999  # ten bits: not the same, but close
    assert finalize(made, tmp_path / "m.h5", samples).exact


@needs_keras
def test_separable_and_transposed_convolutions_and_bent_rectifiers(libraries, randomise, tmp_path):
    layers = libraries.keras.layers
    samples = x = libraries.keras.Input((8, 8, 2))
    x = layers.SeparableConv2D(3, 3, name="separable")(x)
    x = layers.BatchNormalization()(x)
    x = layers.LeakyReLU(0.25)(x)
    x = layers.Conv2DTranspose(2, 2, strides=2, name="up")(x)
    x = layers.ReLU(6.0)(x)
    x = layers.Reshape((24, 12))(x)
    x = layers.SeparableConv1D(3, 3, name="row")(x)
    x = layers.ReLU(negative_slope=0.5)(x)
    model = randomise(libraries.keras.Model(samples, layers.Dense(4)(layers.Flatten()(x))))
    values = np.random.default_rng(0).normal(size=(32, 8, 8, 2)).astype(np.float32)
    made = quantize(model, 12, layers={"separable": {"weights": 9}}, samples=values)
    kinds = [type(layer).__name__ for layer in made.layers]
    assert {"QSeparableConv2D", "QConv2DTranspose", "QSeparableConv1D"} <= set(kinds)
    assert "BatchNormalization" in kinds  # folds into no separable convolution
    assert made.get_layer("separable").depthwise_quantizer_internal.bits == 9
    assert made.get_layer("separable").pointwise_quantizer_internal.bits == 9
    before, after = model(values).numpy().ravel(), made(values).numpy().ravel()
    assert np.corrcoef(before, after)[0, 1] > 0.99  # twelve bits: not the same, but close
    switch(made, weights=False, activations=False)
    assert np.allclose(made(values).numpy().ravel(), before, rtol=1e-4, atol=1e-3)  # float32
    switch(made, weights=True, activations=True)
    done = finalize(made, tmp_path / "m.h5", values, require_exact=False)
    floats = [name for name in done.reasons if "normalization" not in name]
    assert floats == []


@needs_keras
def test_everything_unsupported_is_listed(libraries):
    keras = libraries.keras
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(3, activation="elu", name="a"),
            layers.LayerNormalization(name="b"),
            layers.LeakyReLU(0.3, name="c"),
        ]
    )
    text = r"(?s)3 things.*a \(Dense\).*'elu'.*b.*c.*the slope 0.3 is no power of two"
    with pytest.raises(ModelUnsupported, match=text):
        quantize(model)
    with pytest.raises(UsageError, match=r"(?s)no layer 'z'.*a, b, c"):
        quantize(model, layers={"z": {"weights": 3}})
    with pytest.raises(UsageError, match=r"(?s)not 40.*quantize: weights"):
        quantize(model, 40)


@needs_keras
def test_switching(libraries, randomise):
    settings = QuantizationRecipe(weights=3, activations=3, input=32)
    recipe = Recipe(quantization=settings, model=ModelRecipe(layers=(DenseRecipe(units=8),)))
    model = randomise(build_model(recipe, (6,), 4))
    samples = np.random.default_rng(0).normal(size=(32, 6)).astype(np.float32)
    quantized = model(samples).numpy()
    switch(model, weights=False, activations=False)
    kernel, bias = (value.numpy() for value in model.get_layer("dense_1").folded())
    hidden = np.maximum(samples @ kernel + bias, 0)
    out, out_bias = model.get_layer("output").get_weights()
    assert np.allclose(model(samples), hidden @ out + out_bias, atol=1e-4)  # float32 sums
    switch(model, weights=True)
    assert not np.array_equal(model(samples), quantized)
    switch(model, activations=True)
    assert np.array_equal(model(samples), quantized)


@needs_keras
def test_integer_bits_of_a_model_can_be_kept(libraries, randomise):
    recipe = Recipe(model=ModelRecipe(layers=(DenseRecipe(units=8),)))
    model, other = (randomise(build_model(recipe, (6,), 4)) for _ in range(2))
    samples = np.random.default_rng(0).normal(0, 10, (64, 6)).astype(np.float32)
    texts = choose_integer_bits(model, samples)
    assert texts["input_quantizer"]["quantizer"] == "quantized_bits(8,6,alpha=1)"
    assert read_quantizers(other) != texts
    other.set_weights(model.get_weights())
    write_quantizers(other, texts)
    assert read_quantizers(other) == texts
    assert np.array_equal(model(samples), other(samples))
    with pytest.raises(UsageError, match="no layer 'dense_7'"):
        write_quantizers(other, {"dense_7": {}})
