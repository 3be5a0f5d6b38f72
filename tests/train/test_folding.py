"""Folded layers: batch normalization while they learn, a plain quantized layer afterwards."""

import numpy as np
import pytest

from qapflow.train.quantization.folding import freeze_statistics
from qapflow.train.saving.export import export_model

pytestmark = [pytest.mark.needs_keras, pytest.mark.filterwarnings("ignore")]

CASES = {
    "FoldedDense": ((10,), {"units": 6}),
    "FoldedConv1D": ((9, 3), {"filters": 4, "kernel_size": 3, "strides": 2, "padding": "same"}),
    "FoldedConv2D": ((8, 8, 2), {"filters": 4, "kernel_size": 3, "dilation_rate": 2}),
    "FoldedDepthwiseConv2D": ((8, 8, 3), {"kernel_size": 3, "depth_multiplier": 2}),
}


def folded_model(libraries, kind, **quantizers):
    from qapflow.train.quantization import keras_classes

    shape, options = CASES[kind]
    layer = getattr(keras_classes, kind)(name="folded", **options, **quantizers)
    samples = libraries.keras.Input(shape)
    return libraries.keras.Model(samples, layer(samples)), layer, shape


@pytest.mark.parametrize("kind", CASES)
def test_without_quantizers_it_is_batch_normalization(libraries, randomise, kind):
    """The same outputs, gradients of the kernel and running statistics as two Keras layers."""
    tf, keras = libraries.tf, libraries.keras
    model, layer, shape = folded_model(libraries, kind)
    randomise(model)
    options = {**CASES[kind][1], "use_bias": False}
    plain = getattr(keras.layers, kind.removeprefix("Folded"))(**options)
    normalization = keras.layers.BatchNormalization(momentum=0.1)
    inputs = keras.Input(shape)
    pair = keras.Model(inputs, normalization(plain(inputs)))
    plain.set_weights(layer.get_weights()[:1])
    normalization.set_weights(layer.get_weights()[1:5])
    samples = np.random.default_rng(0).normal(size=(64, *shape)).astype(np.float32)
    gradients = []
    for each, kernel in ((model, layer.weights[0]), (pair, plain.weights[0])):
        with tf.GradientTape() as tape:
            outputs = each(samples, training=True)
            loss = tf.reduce_sum(outputs**3)
        gradients.append((outputs.numpy(), tape.gradient(loss, kernel).numpy()))
    # Different orders of float32 operations: nothing is exact here, and need not be.
    for mine, theirs in zip(*gradients, strict=True):
        assert np.allclose(mine, theirs, rtol=2e-3, atol=2e-3 * np.abs(theirs).max())
    if kind == "FoldedDense":  # fused kernels of images take the unbiased variance
        for mine, theirs in zip(
            layer.get_weights()[3:5], normalization.get_weights()[2:], strict=True
        ):
            assert np.allclose(mine, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", CASES)
def test_exported_and_frozen_layers_are_equal(libraries, randomise, kind):
    role = "depthwise" if "Depthwise" in kind else "kernel"
    quantizers = {
        f"{role}_quantizer": "quantized_bits(5,0,alpha=1)",
        "bias_quantizer": "quantized_bits(7,2,alpha=1)",
        "activation": "quantized_relu(5,1)",
    }
    model, _, shape = folded_model(libraries, kind, **quantizers)
    randomise(model)
    rng = np.random.default_rng(0)
    samples = (rng.integers(-64, 64, (32, *shape)) / 32).astype(
        np.float32
    )  # so that sums are exact
    expected = model(samples).numpy()
    assert np.array_equal(export_model(model).predict(samples, verbose=0), expected)
    assert np.unique(expected).size > 5
    assert freeze_statistics(model) == ["folded"]
    before = [np.array(weight) for weight in model.get_weights()]
    assert np.array_equal(model(samples, training=True), expected)
    for old, new in zip(before, model.get_weights(), strict=True):
        assert np.array_equal(old, new)
    freeze_statistics(model, frozen=False)
    assert not np.array_equal(model(samples, training=True), expected)


def test_folded_layers_can_be_copied(libraries, randomise):
    from qapflow.train.saving.export import clone_with

    model, layer, _ = folded_model(libraries, "FoldedDense", kernel_quantizer="quantized_bits(5,0)")
    copy = clone_with(model, lambda old: type(old).from_config(old.get_config()))
    assert copy.get_layer("folded").get_config() == layer.get_config()
