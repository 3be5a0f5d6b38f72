"""Activations against real QKeras and Keras: every code of the input type."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from qapflow.frontend.quantizers import (
    UnsupportedQuantizer,
    add_activation,
    add_keras_activation,
    parse_quantizer,
)
from qapflow.ir.builder import NetBuilder
from qapflow.ir.fixed import Fixed
from qapflow.ir.interpret import interpret
from qapflow.ir.ops import Quantize, Threshold

pytestmark = pytest.mark.needs_keras

TYPES = ("s10.6", "s16.10", "s12.2", "u9.5", "s8.12", "s14.0", "s18.14")


@pytest.fixture(scope="module")
def qkeras():
    import os
    import sys

    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tf_keras

    sys.modules["keras"] = tf_keras
    return pytest.importorskip("qkeras.quantizers")


def run(kind, add):
    """Return all input values, the network's output values and the Activated record."""
    codes = np.arange(kind.lo, kind.hi + 1)[:, None]
    builder = NetBuilder()
    edge = builder.add_input("x", (1,), kind)
    result = add(builder, edge)
    net = builder.finish((result.edge,))
    out = interpret(net, {"x": codes})[result.edge]
    return kind.decode(codes).astype(np.float32), net.edge(result.edge).type.decode(out), result


def grid(kind, **choices):
    for values in itertools.product(*choices.values()):
        yield {"class_name": kind, "config": dict(zip(choices, values, strict=True))}


SPECS = [
    *grid(
        "quantized_bits",
        bits=(1, 2, 6, 12),
        integer=(0, 2, 5),
        symmetric=(0, 1),
        keep_negative=(True, False),
        alpha=(1, 0.5),
    ),
    *grid("quantized_bits", bits=(4, 8), integer=(0, 7), alpha=(None, 0.75, 3)),
    *grid(
        "quantized_relu",
        bits=(1, 4, 8),
        integer=(0, 2, 4),
        negative_slope=(0.0, 0.25, 2.0),
        use_sigmoid=(0, 1),
    ),
    *grid(
        "quantized_relu",
        bits=(6,),
        integer=(2,),
        relu_upper_bound=(1.5, 0.75, 9.0),
        is_quantized_clip=(True, False),
    ),
    *grid("quantized_tanh", bits=(1, 2, 6, 8), symmetric=(0, 1), use_real_tanh=(False, True)),
    *grid("quantized_sigmoid", bits=(1, 6, 8), symmetric=(0, 1), use_real_sigmoid=(False, True)),
    *grid("quantized_sigmoid", bits=(2, 8), symmetric=(4,)),
    *grid("binary", use_01=(False, True), alpha=(None, 1, 2.0)),
    *grid("ternary", alpha=(None, 1, 0.5), threshold=(None, 0.5, 0.7, 0.0)),
    *grid("stochastic_ternary", alpha=(None, 1)),
    *grid("stochastic_binary", alpha=(None, 1)),
    *grid("quantized_po2", bits=(3, 4, 5), max_value=(None, 1, 4)),
    *grid("quantized_po2", bits=(4,), quadratic_approximation=(True,)),
    *grid("quantized_relu_po2", bits=(3, 4), max_value=(None, 2), negative_slope=(0, 0.25)),
    *grid("quantized_hswish", bits=(4, 8), integer=(0, 3), symmetric=(0, 1)),
    *grid("quantized_hswish", bits=(8,), integer=(1,), relu_shift=(2,), relu_upper_bound=(5,)),
]


@pytest.mark.parametrize("type_text", TYPES)
@pytest.mark.parametrize("kind", sorted({s["class_name"] for s in SPECS}))
def test_quantizers_equal_qkeras(qkeras, kind, type_text):
    inexact = []
    specs = [s for s in SPECS if s["class_name"] == kind]
    for spec in specs:
        quantizer = parse_quantizer(spec)
        x, got, result = run(
            Fixed.parse(type_text), lambda b, e, q=quantizer: add_activation(b, q, e)
        )
        expected = np.asarray(getattr(qkeras, kind)(**spec["config"])(x))
        if result.exact:
            bad = np.flatnonzero(got.ravel() != expected.ravel())[:3]
            assert not bad.size, (spec, x.ravel()[bad], got.ravel()[bad], expected.ravel()[bad])
        else:
            inexact.append((spec["config"], result.reason))
            wrong = np.abs(got - expected)[got != expected]
            assert wrong.size < 20 or wrong.max() <= float(np.spacing(np.abs(x).max())), spec
    many = 0.7 if type_text == "s18.14" else 0.25  # wide inputs come closer to the ties
    assert len(inexact) <= many * len(specs), inexact


@pytest.mark.parametrize("type_text", TYPES)
@pytest.mark.parametrize(
    "name",
    ["hard_sigmoid", "smooth_sigmoid", "binary_sigmoid", "hard_tanh", "smooth_tanh", "binary_tanh"],
)
def test_functions_equal_qkeras(qkeras, name, type_text):
    x, got, result = run(
        Fixed.parse(type_text), lambda b, e: add_activation(b, parse_quantizer(name), e)
    )
    assert result.exact
    assert np.array_equal(got, np.asarray(getattr(qkeras, name)(x)))


RELU = [
    {},
    {"max_value": 6.0},
    {"max_value": 1.5},
    {"negative_slope": 0.25},
    {"negative_slope": 0.125, "max_value": 2.0},
    {"threshold": 0.5},
    {"threshold": 0.3},
    {"threshold": -0.75},
    {"threshold": -0.75, "max_value": 1.0},
    {"threshold": 1.0, "max_value": 4.0, "negative_slope": 0.5},
    {"threshold": -1.0, "negative_slope": 0.5},
]


@pytest.mark.parametrize("type_text", TYPES)
@pytest.mark.parametrize("params", RELU, ids=str)
def test_relu_equals_keras(qkeras, params, type_text):
    import tf_keras

    x, got, result = run(
        Fixed.parse(type_text), lambda b, e: add_keras_activation(b, "relu", params, e)
    )
    slope = params.get("negative_slope", 0.0)
    rest = {k: v for k, v in params.items() if k != "negative_slope"}
    expected = np.asarray(tf_keras.backend.relu(tf_keras.backend.constant(x), alpha=slope, **rest))
    assert np.array_equal(got, expected)
    assert result.exact, result.reason


SMOOTH = {
    "sigmoid": 1e-3,
    "tanh": 1.2e-3,
    "softsign": 2e-2,
    "hard_sigmoid": 1e-3,
    "elu": 3e-3,
    "selu": 6e-3,
    "softplus": 3e-3,
    "swish": 3e-2,
    "gelu": 3e-2,
    "mish": 3e-2,
}


@pytest.mark.parametrize("type_text", TYPES)
@pytest.mark.parametrize("name", SMOOTH)
def test_smooth_functions_stay_within_the_stated_error(qkeras, name, type_text):
    import tf_keras

    x, got, result = run(Fixed.parse(type_text), lambda b, e: add_keras_activation(b, name, {}, e))
    expected = np.asarray(tf_keras.activations.get(name)(tf_keras.backend.constant(x)), np.float64)
    stated = float(result.reason.rsplit("at most ", 1)[1])
    assert np.abs(got - expected).max() <= 1.06 * stated + 1e-6
    scale = max(1.0, float(np.abs(x).max()) / 8)
    assert stated <= SMOOTH[name] * scale, result.reason


def activate(builder, spec, edge):
    """Return what became of the activation, None if it has too many steps for thresholds."""
    try:
        return add_activation(builder, parse_quantizer(spec), edge)
    except UnsupportedQuantizer as error:
        if "use fewer bits" not in str(error):
            raise
        return None


def corners(kind, result, net):
    """Codes at random, of all magnitudes, and around every threshold of the network."""
    rng = np.random.default_rng(1)
    parts = [rng.integers(kind.lo, kind.hi, 3000, endpoint=True), np.arange(-70, 70)]
    parts += [rng.integers(kind.lo >> s, (kind.hi >> s) + 1, 500) for s in range(1, kind.width - 2)]
    for node in net.nodes:
        if isinstance(node.op, Threshold) and node.inputs == ("x",):
            at = node.op.thresholds.codes.ravel()
            parts += [at - 1, at, at + 1]
        if isinstance(node.op, Quantize):
            half = kind.frac - node.op.type.frac - 1
            if half >= 0:
                ties = (2 * np.arange(node.op.type.lo, node.op.type.hi + 1) + 1) << half
                parts += [ties - 1, ties, ties + 1]
    return np.clip(np.concatenate(parts), kind.lo, kind.hi)[:, None]


@pytest.mark.parametrize("type_text", ["s24.18", "s26.15", "s30.22", "s30.12", "s40.30", "u22.3"])
@pytest.mark.parametrize("kind", sorted({s["class_name"] for s in SPECS}))
def test_quantizers_equal_qkeras_on_wide_inputs(qkeras, kind, type_text):
    wide = Fixed.parse(type_text)
    for spec in (s for s in SPECS if s["class_name"] == kind):
        builder = NetBuilder()
        edge = builder.add_input("x", (1,), wide)
        result = activate(builder, spec, edge)
        if result is None:
            continue
        net = builder.finish((result.edge,))
        codes = corners(wide, result, net)
        out = interpret(net, {"x": codes})[result.edge]
        got = net.edge(result.edge).type.decode(out).ravel()
        x = wide.decode(codes).astype(np.float32)
        expected = np.asarray(getattr(qkeras, kind)(**spec["config"])(x)).ravel()
        bad = np.flatnonzero(got != expected)[:3]
        assert not (result.exact and bad.size), (spec, codes[bad], got[bad], expected[bad])
