"""Compiled HLS = interpreter for layers that become several operations."""

import numpy as np
import pytest

from qapflow.frontend.load import load
from qapflow.frontend.model import LayerSpec, LoadOptions, ModelSpec
from qapflow.ir.fixed import Fixed

pytestmark = [pytest.mark.needs_gxx, pytest.mark.needs_hls4ml]

BOTH = pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])
GRID = Fixed(True, 6, 3)


def net_of(shape, class_name, weights=None, **config):
    """Return the network of one layer, with random weights of the given shapes."""
    rng = np.random.default_rng(0)
    arrays = {
        key: rng.integers(-4, 5, value) / 4 if isinstance(value, tuple) else np.asarray(value)
        for key, value in (weights or {}).items()
    }
    box = LayerSpec("x", "InputLayer", {"batch_input_shape": [None, *shape]}, {}, ())
    layer = LayerSpec("y", class_name, {"name": "y", **config}, arrays, (("x", 0),))
    spec = ModelSpec("m", (box, layer), ("x",), (("y", 0),), "2.11.0", "memory", "")
    return load(spec, LoadOptions(input_types={"": GRID})).net


def mixed_grids():
    rng = np.random.default_rng(2)
    widths = {"keep_negative": (0, 2), "bits": (0, 7), "integers": (-1, 4)}
    arrays = {key: rng.integers(*ends, (1, 9)) for key, ends in widths.items()}
    return net_of((9,), "FixedPointQuantizer", arrays, RND="RND", SAT="WRAP")


def others_of_a_graph():
    matrix = np.zeros((1, 6, 3))
    for index, sender in enumerate((1, 2, 0, 2, 0, 1)):
        matrix[0, index, sender] = 1
    weights = {"adjacency_matrix": matrix}
    return net_of((3, 2), "NodeEdgeProjection", weights, receiving=False, node_to_edge=True)


def sums_of_a_graph():
    matrix = np.zeros((1, 3, 6))
    for index, sender in enumerate((1, 2, 0, 2, 0, 1)):
        matrix[0, sender, index] = 1
    weights = {"adjacency_matrix": matrix}
    return net_of((6, 2), "NodeEdgeProjection", weights, receiving=False, node_to_edge=False)


KERNEL = {"kernel": (3, 3, 4, 2), "bias": (4,)}
CASES = {
    "transposed": lambda: net_of(
        (4, 3, 2), "Conv2DTranspose", KERNEL, strides=[2, 2], padding="same"
    ),
    "transposed, one axis": lambda: net_of(
        (5, 2), "Conv1DTranspose", {"kernel": (4, 3, 2), "bias": (3,)}, strides=3
    ),
    "transposed, dilated": lambda: net_of((4, 3, 2), "Conv2DTranspose", KERNEL, dilation_rate=2),
    "bilinear": lambda: net_of((3, 4, 2), "UpSampling2D", size=[2, 2], interpolation="bilinear"),
    "bilinear by thirds": lambda: net_of(
        (2, 3, 2), "UpSampling2D", size=[3, 1], interpolation="bilinear"
    ),
    "smaller": lambda: net_of((4, 6, 2), "Resizing", height=2, width=2),
    "mixed grids": mixed_grids,
    "others of a graph": others_of_a_graph,
    "sums of a graph": sums_of_a_graph,
    "ternary": lambda: net_of((5,), "TernaryDense", {"kernel": (5, 4)}, use_bias=False),
    "ternary steps": lambda: net_of((5,), "Activation", activation="ternary_tanh"),
}


@BOTH
@pytest.mark.parametrize("case", CASES)
def test_compiled_layer_computes_what_its_network_means(simulate, plan, case, io_type):
    net = CASES[case]()
    wrong, seen = simulate(net, plan(io_type))
    assert wrong == []
    assert seen >= len(net.nodes) - len(net.inputs)
