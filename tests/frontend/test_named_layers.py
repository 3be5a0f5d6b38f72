"""Layers of HGQ and of other packages, against their arithmetic written down in numpy."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qapflow.errors import ModelUnsupported
from qapflow.frontend.load import load
from qapflow.frontend.model import LayerSpec, LoadOptions, ModelSpec
from qapflow.ir.fixed import Fixed
from qapflow.ir.interpret import interpret

GRID = Fixed(True, 8, 4)


def layer(name, class_name, weights=None, **config):
    arrays = {key: np.asarray(value, np.float32) for key, value in (weights or {}).items()}
    return LayerSpec(name, class_name, {"name": name, **config}, arrays, ())


def chain(shape, *layers):
    """Return a model of layers one behind the other."""
    linked = [LayerSpec("x", "InputLayer", {"batch_input_shape": [None, *shape]}, {}, ())]
    for item in layers:
        config, before = item.config, linked[-1].name
        linked.append(LayerSpec(item.name, item.class_name, config, item.weights, ((before, 0),)))
    return ModelSpec("m", tuple(linked), ("x",), ((linked[-1].name, 0),), "2.11.0", "memory", "")


def refused(spec):
    """Return {layer: (reason, hint)} of a refused model."""
    with pytest.raises(ModelUnsupported) as caught:
        load(spec)
    return {item.layer: (item.reason, item.hint) for item in caught.value.items}


ROUND = {
    "TRN": np.floor,
    "RND": lambda x: np.floor(x + 0.5),
    "RND_CONV": np.rint,
    "TRN_ZERO": np.trunc,
}


def gfixed(x, signed, bits, integers, rounding, overflow):
    """What HGQ's `gfixed_quantizer` computes."""
    scale = 2.0 ** (bits - integers)
    whole = ROUND[rounding](x * scale)
    high = 2.0 ** (bits - signed) - 1
    low = -(high + 1) * signed
    if overflow == "WRAP":
        whole = np.mod(whole - low, high - low + 1) + low
    else:
        whole = np.clip(whole, low, high)
    return whole / scale * (bits != 0)


def proxy(bits, integers, signed, **config):
    weights = {"keep_negative": signed, "bits": bits, "integers": integers}
    return layer("q", "FixedPointQuantizer", weights=weights, shape=list(np.shape(bits)), **config)


def values_of(spec, count=300, grid=GRID):
    loaded = load(spec, LoadOptions(input_types={"": grid}))
    (node,) = loaded.net.inputs
    codes = np.random.default_rng(1).integers(grid.lo, grid.hi + 1, (count, *node.out.shape))
    codes[0], codes[1] = grid.lo, grid.hi
    (out,) = loaded.net.outputs
    made = interpret(loaded.net, {node.name: codes})[out]
    return loaded, grid.decode(codes), loaded.net.edge(out).type.decode(made)


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(), rounding=st.sampled_from(list(ROUND)), overflow=st.sampled_from(["WRAP", "SAT"])
)
def test_each_element_of_a_proxy_has_its_own_type(data, rounding, overflow):
    n = data.draw(st.integers(1, 6))
    bits = np.array(data.draw(st.lists(st.integers(0, 9), min_size=n, max_size=n)))
    integers = np.array(data.draw(st.lists(st.integers(-2, 6), min_size=n, max_size=n)))
    signed = np.array(data.draw(st.lists(st.integers(0, 1), min_size=n, max_size=n)))
    spec = chain((n,), proxy(bits[None], integers[None], signed[None], RND=rounding, SAT=overflow))
    loaded, x, y = values_of(spec)
    assert loaded.exact
    kept = (bits > 0) * integers, (bits > 0) * signed
    assert np.array_equal(y, gfixed(x, kept[1], bits, kept[0], rounding, overflow))


@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (1, 4), (1, 3, 4), (1, 1, 4)])
def test_widths_of_a_proxy_are_broadcast(shape):
    rng = np.random.default_rng(0)
    bits, integers = rng.integers(1, 7, shape), rng.integers(0, 4, shape)
    signed = rng.integers(0, 2, shape)
    inner = (3, 4) if len(shape) == 3 else (4,)
    _, x, y = values_of(chain(inner, proxy(bits, integers, signed, RND="RND", SAT="WRAP")))
    assert np.array_equal(y, gfixed(x, signed, bits, integers, "RND", "WRAP"))


def test_wide_input_of_a_proxy_is_told():
    loaded, _, _ = values_of(chain((2,), proxy(4, 2, 1)), grid=Fixed(True, 30, 20))
    assert not loaded.exact
    assert "more bits than float32" in loaded.records[-1].reason


def test_proxies_that_cannot_be_built():
    each = proxy(np.array([[3, 4]]), np.array([[1, 1]]), np.array([[1, 1]]), SAT="SAT_SYM")
    assert "several bit widths" in refused(chain((2,), each))["q"][0]
    assert "SAT='WRAP_SYM'" in refused(chain((2,), proxy(4, 2, 1, SAT="WRAP_SYM")))["q"][0]
    reason, hint = refused(chain((2,), proxy(-128, -128, -128)))["q"]
    assert "bit widths are not set" in reason
    assert "to_proxy_model" in hint


STANDARD = {"rnd_strategy": "standard_round"}


def test_training_layers_of_hgq():
    rng = np.random.default_rng(3)
    kernel, bias = rng.normal(0, 1, (4, 3)).astype("f4"), rng.normal(0, 1, 3).astype("f4")
    weights = {
        "kernel": kernel,
        "bias": bias,
        "kernel_bw": rng.uniform(-1, 5, (4, 3)),
        "activation_bw": rng.uniform(-1, 3, (1, 3)),
    }
    dense = layer("d", "HDense", weights=weights, kq_conf=STANDARD, paq_conf=STANDARD,
                  activation="relu")  # fmt: skip
    first = layer("h", "HQuantize", weights={"activation_bw": [[0.2, 3.4, 1, -1]]},
                  paq_conf=STANDARD)  # fmt: skip
    loaded, x, y = values_of(chain((4,), first, dense))
    assert loaded.exact

    def near(x, bits):
        scale = 2.0 ** np.rint(bits)
        return np.floor(x * scale + 0.5) / scale

    x = near(x, np.array([0.2, 3.4, 1, -1]))
    out = weights["activation_bw"].astype("f4")[0]
    expected = x @ near(kernel, weights["kernel_bw"].astype("f4")) + near(bias, out)
    assert np.array_equal(y, np.maximum(near(expected, out), 0))


def test_stochastic_rounding_of_hgq_is_refused():
    random = layer("h", "HQuantize", weights={"activation_bw": [[1.0]]}, paq_conf={})
    assert "rnd_strategy=None" in refused(chain((1,), random))["h"][0]


@pytest.mark.parametrize("class_name", ["BinaryDense", "TernaryDense"])
def test_binary_and_ternary_dense(class_name):
    rng = np.random.default_rng(0)
    kernel = rng.uniform(-1, 1, (6, 5)).astype("f4")
    kernel[0] = 0, 0.5, -0.5, 1e-9, 1
    named = layer("d", class_name, weights={"kernel": kernel}, H=1.0, use_bias=False)
    loaded, x, y = values_of(chain((6,), named))
    ternary = np.where(kernel > 0.5, 1, np.where(kernel <= -0.5, -1, 0))
    binary = np.where(kernel > 1e-7, 1, -1)  # float32 loses 1e-9 next to 1
    assert np.array_equal(y, x @ (binary if class_name == "BinaryDense" else ternary))
    assert loaded.exact
    assert any("taken as" in note for note in loaded.notes)


@pytest.mark.parametrize("name", ["relu1", "ternary_tanh"])
def test_activations_of_binary_networks(name):
    loaded, x, y = values_of(chain((4,), layer("a", "Activation", activation=name)))
    steps = np.where(x > 0.5, 1, np.where(x <= -0.5, -1, 0))
    assert np.array_equal(y, np.clip(x, 0, 1) if name == "relu1" else steps)
    assert loaded.exact


def adjacency(nodes, receiving, to_edges):
    matrix = np.zeros((nodes * (nodes - 1), nodes))
    for index, pair in enumerate(permutations(range(nodes), 2)):
        matrix[index, pair[not receiving]] = 1
    return (matrix if to_edges else matrix.T)[None]


@pytest.mark.parametrize("receiving", [True, False])
@pytest.mark.parametrize("to_edges", [True, False])
@pytest.mark.parametrize("nodes", [2, 3, 5])
def test_projections_between_nodes_and_edges_of_a_graph(nodes, receiving, to_edges):
    matrix = adjacency(nodes, receiving, to_edges)
    projection = layer("p", "NodeEdgeProjection", weights={"adjacency_matrix": matrix},
                       receiving=receiving, node_to_edge=to_edges)  # fmt: skip
    loaded, x, y = values_of(chain((matrix.shape[-1], 3), projection))
    assert loaded.exact
    assert np.array_equal(y, matrix @ x)


def test_a_projection_of_another_graph_is_refused():
    weights = {"adjacency_matrix": adjacency(3, False, True)}
    projection = layer("p", "NodeEdgeProjection", weights=weights, receiving=True)
    assert "not that of a full graph" in refused(chain((3, 2), projection))["p"][0]


def test_refused_layers_do_not_make_those_behind_them_misfits():
    weights = {name: np.ones(7) for name in ("gamma", "beta", "moving_mean", "moving_variance")}
    spec = chain((5,), layer("g", "GarNet"), layer("b", "BatchNormalization", weights=weights))
    assert list(refused(spec)) == ["g"]


ONES = {"gamma": np.ones(4), "beta": np.ones(4)}
SETTINGS = [
    ("Embedding", {"embeddings": np.ones((4, 2))}, {"mask_zero": True}, "mask_zero"),
    ("Embedding", {"embeddings": np.ones((1 << 16, 2))}, {}, "does not fit on a chip"),
    ("Dot", {}, {"axes": 1, "normalize": True}, "normalize=True"),
    ("LayerNormalization", ONES, {"epsilon": 0.0}, "divide by zero"),
    ("LayerNormalization", ONES, {"rms_scaling": True}, "rms_scaling=True"),
    ("GroupNormalization", ONES, {"axis": 1}, "does not group the last axis"),
    ("GroupNormalization", ONES, {"groups": 3}, "do not make 3 groups"),
    ("Normalization", {"mean": 0.0, "variance": -1.0}, {"axis": None}, "variance is negative"),
    ("QAdaptiveActivation", {}, {"activation": "quantized_tanh"}, "activation='quantized_tanh'"),
    ("EinsumDense", {"kernel": np.ones((3, 4))}, {"equation": "ab"}, "is not understood"),
]


@pytest.mark.parametrize(("class_name", "weights", "config", "text"), SETTINGS, ids=str)
def test_settings_that_are_refused(class_name, weights, config, text):
    found = refused(chain((3, 4), layer("a", class_name, weights=weights, **config)))
    assert text in found["a"][0]
    assert found["a"][1] or "setting" in text or "=" in found["a"][0]
