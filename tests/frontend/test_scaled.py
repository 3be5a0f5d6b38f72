"""Kernels scaled by floats: which keep their levels as weights, without Keras."""

import numpy as np
import pytest

from qapflow.frontend.load import load
from qapflow.frontend.model import LoadOptions
from qapflow.ir.fixed import Fixed
from qapflow.ir.ops import Affine, Dense

AXIS = {"bits": 6, "integer": 0, "alpha": "auto", "scale_axis": 0}


def read(files, path, kernel, weights=None, bias=None, grid=None):
    """Return the nodes and records of a dense layer and a quantized ReLU."""
    layer = files.dense("one", 3, batch_input_shape=[None, 2], kernel_quantizer=kernel)
    layer["class_name"] = "QDense"
    layer["config"]["bias_quantizer"] = None
    act = {"class_name": "QActivation", "config": {"name": "a", "activation": "quantized_relu(4)"}}
    entry = {"class_name": "Sequential", "config": {"name": "m", "layers": [layer, act]}}
    if weights is None:
        weights = np.array([[0.3, -0.71, 0.0], [0.11, 0.2, 0.0]], np.float32)
    bias = np.array([0.1, -0.2, 0.3], np.float32) if bias is None else bias
    files.write_h5(path, entry, {"one": {"one/kernel:0": weights, "one/bias:0": bias}, "a": {}})
    loaded = load(path, LoadOptions(input_types={"": grid or Fixed(True, 8, 4)}))
    nodes = {type(node.op): node for node in loaded.net.nodes}
    return nodes, loaded.records[1]


def test_levels_are_the_weights_and_floats_follow(files, tmp_path):
    nodes, record = read(files, tmp_path / "m.h5", "ternary(alpha='auto')")
    assert nodes[Dense].op.weight.codes.tolist() == [[1, -1, 0], [1, 0, 0]]
    assert nodes[Dense].op.bias is None
    assert nodes[Affine].op.scale.codes.shape == (3,)
    assert (record.weights, record.zeros_float, record.zeros_quantized) == (6, 2, 3)


def test_channels_of_zeros_are_zeros(files, tmp_path):
    nodes, record = read(files, tmp_path / "m.h5", "binary(alpha='auto')")
    assert nodes[Dense].op.weight.codes.tolist() == [[1, -1, 0], [1, 1, 0]]
    assert record.zeros_quantized == 2


def test_scales_for_each_input_stay_in_the_weights(files, tmp_path):
    kernel = {"class_name": "quantized_bits", "config": AXIS}
    nodes, record = read(files, tmp_path / "m.h5", kernel)
    assert Affine not in nodes
    assert nodes[Dense].op.weight.type.width > 12
    assert "alpha='auto' scales the weights by floats" in record.reason


def test_sums_too_wide_for_a_line_stay_as_they_were(files, tmp_path):
    nodes, _ = read(files, tmp_path / "m.h5", "ternary(alpha='auto')", grid=Fixed(True, 40, 30))
    assert Affine not in nodes


@pytest.mark.parametrize("value", [0.75, 0.25])
def test_scales_on_a_grid_are_exact_in_the_weights(files, tmp_path, value):
    nodes, record = read(files, tmp_path / "m.h5", f"ternary(alpha={value})")
    assert Affine not in nodes
    assert record.regime == "exact"


def test_levels_next_to_a_tie_are_counted(files, tmp_path):
    weights = np.array([[9.3, 9.3, 9.3], [1.35, 1.2, 0.9]], np.float32)  # 31, 4.5, 4, 3 steps
    kernel = "quantized_bits(6,0,alpha='auto')"
    _, record = read(files, tmp_path / "m.h5", kernel, weights)
    assert "1 weights of quantized_bits(6,0,alpha='auto') hang on the last bit" in record.reason
