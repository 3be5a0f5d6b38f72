"""Costs of real QKeras models against what TensorFlow counts on QKeras's own weights."""

import math

import numpy as np
import pytest

from qapflow.cost.model import cost_of_model
from qapflow.steps.settings import BuildSettings
from qapflow.train.libraries import load_keras

pytestmark = [pytest.mark.needs_keras, pytest.mark.filterwarnings("ignore")]

WEIGHT, INPUT = "quantized_bits(5,0,alpha=1)", "quantized_bits(7,2,alpha=1)"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Return a small pruned QKeras model, saved, with the kernels that QKeras computes by."""
    libraries = load_keras()
    tf, keras, qkeras = libraries.tf, libraries.keras, libraries.qkeras
    keras.utils.set_random_seed(3)
    options = {"kernel_quantizer": WEIGHT, "bias_quantizer": WEIGHT}
    layers = [
        keras.layers.Input((9, 8, 2)),
        qkeras.QActivation(INPUT, name="input_bits"),
        qkeras.QConv2D(6, (3, 2), strides=2, padding="same", name="conv", **options),
        qkeras.QActivation("quantized_relu(4,1)", name="relu"),
        keras.layers.Flatten(),
        qkeras.QDense(5, name="dense", **options),
    ]
    made = keras.Sequential(layers)
    rng = np.random.default_rng(5)
    kernels = {}
    for name in ("conv", "dense"):
        layer = made.get_layer(name)
        kernel = rng.normal(0.0, 0.3, layer.kernel.shape) * (rng.random(layer.kernel.shape) < 0.4)
        layer.set_weights([kernel, rng.normal(0.0, 0.3, layer.bias.shape)])
        kernels[name] = layer.kernel_quantizer_internal(layer.kernel).numpy()
    path = tmp_path_factory.mktemp("cost") / "model.h5"
    made.save(str(path), include_optimizer=False)
    return tf, path, kernels


@pytest.fixture(scope="module")
def costs(model):
    found = cost_of_model(BuildSettings(model=model[1]), with_board=False)
    return {layer.name: layer for layer in found.cost.layers}


def written_bits(kernel):
    """Return the length of each weight in binary, from its first to its last one."""
    codes = np.abs(kernel * 16).astype(int)
    return np.vectorize(lambda code: len(f"{code:b}".strip("0")))(codes)


@pytest.mark.parametrize("name", ["conv", "dense"])
def test_nonzeros_are_those_after_quantization(name, model, costs):
    kernel = model[2][name]
    cost = costs[name].cost
    assert (cost.weights, cost.nonzeros) == (kernel.size, np.count_nonzero(kernel))
    assert cost.nonzero_memory_bits == 5 * np.count_nonzero(kernel)


def test_ebops_are_a_convolution_of_bits(model, costs):
    """HGQ's own computation: the layer run on the bits of its input and of its kernel."""
    tf, _, kernels = model
    bits = tf.constant(written_bits(kernels["conv"]), tf.float32)
    run = tf.nn.convolution(tf.fill((1, 9, 8, 2), 7.0), bits, strides=2, padding="SAME")
    assert costs["conv"].cost.ebops == int(tf.reduce_sum(run))
    dense = int(written_bits(kernels["dense"]).sum())
    assert costs["dense"].cost.ebops == 4 * dense


def test_bops_use_the_declared_bits(model, costs):
    """Five bits as declared, 20 positions of 3 x 2 x 2 weights, both conventions."""
    kept = np.count_nonzero(model[2]["conv"])
    for bits, found in (
        (7, costs["conv"].cost.bops_input_own),
        (32, costs["conv"].cost.bops_input_32),
    ):
        by_hand = 20 * (kept * 5 * bits + 72 * (5 + bits + math.log2(12)))
        assert found == pytest.approx(by_hand, rel=1e-14)  # the order of float64 additions
    assert costs["dense"].cost.bops_input_own == costs["dense"].cost.bops_input_32
