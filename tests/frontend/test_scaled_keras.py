"""Kernels scaled by floats against real QKeras: few levels as weights, and a line behind them."""

import re

import numpy as np
import pytest

from qapflow.ir.fixed import Fixed
from qapflow.ir.ops import Affine, Conv, Dense

pytestmark = [pytest.mark.needs_keras, pytest.mark.filterwarnings("ignore")]

W = "quantized_bits(6,0,alpha=1)"
OFF_TIES = "quantized_bits(4,0,alpha=1)"  # biases on no half step of the activation
RELU = "quantized_relu(6,2)"
KERNELS = {
    "quantized_bits(6,0,alpha='auto')": 6,
    "quantized_bits(4,1,alpha='auto')": 4,
    "quantized_bits(5,0,alpha=0.29371)": 5,
    "binary(alpha='auto')": 2,
    "binary(alpha=0.7131764)": 2,
    "ternary(alpha='auto')": 2,
    "ternary(alpha=0.31357)": 2,
}
LAYERS = {
    "dense": ((8,), lambda q, k, **m: q.QDense(6, kernel_quantizer=k, **m)),
    "rows": ((4, 5), lambda q, k, **m: q.QDense(6, kernel_quantizer=k, **m)),
    "conv1d": ((7, 3), lambda q, k, **m: q.QConv1D(4, 3, kernel_quantizer=k, **m)),
    "conv": (
        (5, 5, 2),
        lambda q, k, **m: q.QConv2D(3, 3, padding="same", kernel_quantizer=k, **m),
    ),
    "depthwise": (
        (5, 5, 3),
        lambda q, k, **m: q.QDepthwiseConv2D(3, depthwise_quantizer=k, **m),
    ),
}


def products(loaded):
    """The first sum of products and the line behind it."""
    nodes = list(loaded.net.nodes)
    at = next(k for k, node in enumerate(nodes) if isinstance(node.op, Dense | Conv))
    return nodes[at], nodes[at + 1]


def built(keras, name, kernel, bias=OFF_TIES, act=RELU, own=False, **more):
    import qkeras

    shape, make = LAYERS[name]
    x = keras.Input(shape)
    own_act = {"activation": act} if own else {}
    h = make(qkeras, kernel, bias_quantizer=bias, **own_act, **more)(x)
    return x, (h if own or not act else qkeras.QActivation(act)(h))


@pytest.mark.parametrize("own", [False, True], ids=["layer behind", "own activation"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_dense_falls_to_the_side_of_keras(keras, compare, kernel, own):
    x, y = built(keras, "dense", kernel, own=own)
    loaded, (ours,), (theirs,) = compare(x, y, samples=500, weights_grid=2.0**-26)
    assert np.array_equal(ours, theirs)
    record = loaded.records[1]
    assert record.regime == "exact" or "may round across" in record.reason
    total, line = products(loaded)
    assert total.op.weight.type.width <= KERNELS[kernel]
    assert total.op.bias is None
    assert isinstance(line.op, Affine)
    assert line.op.scale.type.width <= 27


@pytest.mark.parametrize("kernel", ["quantized_bits(6,0,alpha='auto')", "ternary(alpha='auto')"])
@pytest.mark.parametrize("name", [name for name in LAYERS if name != "dense"])
def test_other_layers_fall_to_the_side_of_keras(keras, compare, name, kernel):
    x, y = built(keras, name, kernel)
    loaded, (ours,), (theirs,) = compare(x, y, samples=100, weights_grid=2.0**-26)
    assert np.abs(ours - theirs).max() <= 2.0**-4  # one step, where Keras rounds across
    assert (ours != theirs).mean() < 0.001
    assert "may round across" in loaded.records[1].reason or np.array_equal(ours, theirs)
    total, line = products(loaded)
    assert total.op.weight.type.width <= KERNELS[kernel]
    assert isinstance(line.op, Affine)


def test_without_a_quantizer_the_stated_error_holds(keras, compare):
    x, y = built(keras, "dense", "quantized_bits(6,0,alpha='auto')", bias=None, act=None)
    loaded, (ours,), (theirs,) = compare(
        x, y, samples=500, weights_grid=2.0**-26, float_bits=32, grid=Fixed(True, 8, 4)
    )
    reason = loaded.records[1].reason
    ours_off, theirs_off = map(float, re.findall(r"by (\S+) at most", reason))
    kind = loaded.net.edge(loaded.net.outputs[0]).type
    assert (
        np.abs(ours - theirs).max() <= 1.05 * (ours_off + theirs_off) + 2.0**-kind.frac
    )  # two digits are written
    assert ours_off < 2.0**-18 * np.abs(theirs).max()
    assert theirs_off < 1e-3
    assert products(loaded)[0].op.weight.type.width <= 6


def test_only_ties_of_cancelled_products_differ(keras, compare):
    x, y = built(keras, "dense", "binary(alpha='auto')", bias=W)
    loaded, (ours,), (theirs,) = compare(x, y, samples=3000, weights_grid=2.0**-26)
    assert np.abs(ours - theirs).max() <= 2.0**-4  # one step
    assert (ours != theirs).mean() < 0.01
    assert "may round across" in loaded.records[1].reason


def test_zeros_are_those_of_the_levels(keras, compare):
    x, y = built(keras, "dense", "ternary(alpha='auto')")
    loaded, _, _ = compare(x, y, weights_grid=2.0**-26)
    (total, _), record = products(loaded), loaded.records[1]
    assert record.weights == total.op.weight.codes.size
    assert record.zeros_quantized == int((total.op.weight.codes == 0).sum()) > 0
