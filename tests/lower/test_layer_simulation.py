"""Compiled HLS = interpreter for layers that become several operations."""

import numpy as np
import pytest

from qapflow.frontend.calls import Tensor
from qapflow.frontend.load import load
from qapflow.frontend.model import LayerSpec, LoadOptions, ModelSpec
from qapflow.ir.fixed import Fixed

pytestmark = [pytest.mark.needs_gxx, pytest.mark.needs_hls4ml]

BOTH = pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])
GRID = Fixed(True, 6, 3)


def box(name, shape):
    return LayerSpec(name, "InputLayer", {"batch_input_shape": [None, *shape]}, {}, ())


class Layers:
    """A model of layers side by side, each with inputs and random weights of its own."""

    def __init__(self):
        self.rng = np.random.default_rng(0)
        self.inputs, self.layers = [], []

    def add(self, shapes, class_name, weights=None, **config):
        """Add a layer; weights are arrays, or shapes to draw them for."""
        number = len(self.layers)
        shapes = shapes if isinstance(shapes, list) else [shapes]
        boxes = [box(f"x{number}_{k}", shape) for k, shape in enumerate(shapes)]
        arrays = {
            key: self.rng.integers(-4, 5, value) / 4 if isinstance(value, tuple) else value
            for key, value in (weights or {}).items()
        }
        name = f"y{number}_{class_name}"
        if class_name == "TFOpLambda":
            config["_operands"] = {"0": Tensor(0), **config.pop("operands")}
        inbound = tuple((one.name, 0) for one in boxes)
        self.layers.append(LayerSpec(name, class_name, {"name": name, **config}, arrays, inbound))
        self.inputs += boxes

    def net(self):
        spec = ModelSpec(
            "m", (*self.inputs, *self.layers), tuple(one.name for one in self.inputs),
            tuple((one.name, 0) for one in self.layers), "2.11.0", "memory", "",
        )  # fmt: skip
        return load(spec, LoadOptions(input_types={"": GRID})).net


def graph(to_edges):
    """Senders of the edges of a full graph of three nodes."""
    matrix = np.zeros((6, 3))
    for index, sender in enumerate((1, 2, 0, 2, 0, 1)):
        matrix[index, sender] = 1
    return {"adjacency_matrix": (matrix if to_edges else matrix.T)[None]}


def moved_and_weighted(add):
    kernel = {"kernel": (3, 3, 4, 2), "bias": (4,)}
    add((4, 3, 2), "Conv2DTranspose", kernel, strides=[2, 2], padding="same")
    add((5, 2), "Conv1DTranspose", {"kernel": (4, 3, 2), "bias": (3,)}, strides=3)
    add((4, 3, 2), "Conv2DTranspose", kernel, dilation_rate=2)
    add((3, 4, 2), "UpSampling2D", size=[2, 2], interpolation="bilinear")
    add((2, 3, 2), "UpSampling2D", size=[3, 1], interpolation="bilinear")
    add((4, 6, 2), "Resizing", height=2, width=2)
    add((3, 2), "NodeEdgeProjection", graph(True), receiving=False, node_to_edge=True)
    add((6, 2), "NodeEdgeProjection", graph(False), receiving=False, node_to_edge=False)
    add((5,), "TernaryDense", {"kernel": (5, 4)}, use_bias=False)


def own_grids(add):
    rng = np.random.default_rng(2)
    widths = {"keep_negative": (0, 2), "bits": (0, 7), "integers": (-1, 4)}
    arrays = {key: rng.integers(*ends, (1, 9)) for key, ends in widths.items()}
    add((9,), "FixedPointQuantizer", arrays, RND="RND", SAT="WRAP")
    ranges = {"ema_min": np.array([-1.0, -9, 0]), "ema_max": np.array([0.5, 3, 40])}
    add((2, 3), "QAdaptiveActivation", ranges, activation="quantized_bits", total_bits=5)
    add((5,), "Activation", activation="ternary_tanh")


def looked_up_and_multiplied(add):
    add((3,), "Embedding", {"embeddings": (5, 2)})
    add((2, 3), "Embedding", {"embeddings": (4, 3)})
    add([(3, 4), (2, 4)], "Dot", axes=2)
    add([(5,), (5,)], "Dot", axes=1)
    add((2, 3, 2), "PReLU", {"alpha": (1, 3, 1)})
    constants = {"mean": np.array([[0.5], [1.0], [2.0]]), "variance": np.array([4.0, 1, 0.25])}
    add((3, 2), "Normalization", {key: value.ravel() for key, value in constants.items()}, axis=1)
    moments = {"gamma": (3,), "beta": (3,), "moving_mean": (3,), "moving_variance": np.ones(3)}
    add((3, 2, 2), "BatchNormalization", moments, axis=1)


def normalized(add):
    both = {"gamma": (4,), "beta": (4,)}
    add((4,), "LayerNormalization", both)
    add((3, 4), "LayerNormalization", {"gamma": (3,), "beta": (3,)}, axis=[1])
    add((2, 3, 4), "GroupNormalization", both, groups=2)
    add((2, 3), "UnitNormalization")


def operations(add):
    def call(shape, function, **operands):
        add(shape, "TFOpLambda", function=function, operands=operands)

    whole, odd = {"step": None}, {"start": 1, "step": 2}
    call((4, 3, 2), "__operators__.getitem", slice_spec=[whole, odd, {"step": -1}, 1])
    call((2, 3), "math.square")
    call((2, 3), "math.abs")
    call((2, 3), "math.multiply", y=[0.5, -3.0, 1.0])
    call((2, 3, 2), "math.reduce_min", axis=2)
    call((3, 2), "math.subtract", y=0.25)
    call((2, 3), "linalg.matmul", b=Tensor(0), transpose_b=True)
    call((3, 2), "pad", paddings=[[0, 0], [1, 0], [0, 2]])


def attended(add):
    roles = ("query", "key", "value")
    weights = {f"{role}/kernel": (3, 2, 2) for role in roles}
    weights |= {f"{role}/bias": (2, 2) for role in roles}
    weights |= {"attention_output/kernel": (2, 2, 3), "attention_output/bias": (3,)}
    called = {"0": Tensor(0), "value": Tensor(1), "use_causal_mask": True}
    add([(3, 3), (3, 3)], "MultiHeadAttention", weights, key_dim=2, _operands=called)
    called = {"0": [Tensor(0), Tensor(1)]}
    add([(2, 3), (4, 3)], "Attention", score_mode="dot", _operands=called)
    add((2, 3), "EinsumDense", {"kernel": (3, 2, 2)}, equation="abc,cde->abde")


@BOTH
@pytest.mark.parametrize(
    "fill",
    [moved_and_weighted, own_grids, looked_up_and_multiplied, normalized, operations, attended],
)
def test_compiled_layers_compute_what_their_networks_mean(simulate, plan, fill, io_type):
    layers = Layers()
    fill(layers.add)
    net = layers.net()
    wrong, seen = simulate(net, plan(io_type))
    assert wrong == []
    assert seen >= len(net.nodes) - len(net.inputs)
