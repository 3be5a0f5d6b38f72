"""Weights against real QKeras: every float32 bit, over kinds, parameters and shapes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from qapflow.frontend.quantizers import parse_quantizer, quantize_weights

pytestmark = pytest.mark.needs_keras


@pytest.fixture(scope="module")
def qkeras():
    import os
    import sys

    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tf_keras

    sys.modules["keras"] = tf_keras
    return pytest.importorskip("qkeras.quantizers")


def arrays():
    rng = np.random.default_rng(7)
    ties = (np.arange(-96, 96).reshape(12, 16) / 64).astype(np.float32)
    sparse = rng.normal(0, 0.4, (3, 3, 5, 6)) * (rng.random((3, 3, 5, 6)) < 0.3)
    sparse[..., 2] = 0
    return {
        "normal": rng.normal(0, 0.5, (16, 8)).astype(np.float32),
        "small": rng.normal(0, 1e-3, (40, 5)).astype(np.float32),
        "wild": (rng.normal(0, 1, (9, 7)) * 10.0 ** rng.integers(-6, 5, (9, 7))).astype(np.float32),
        "ties": ties,
        "conv": sparse.astype(np.float32),
        "depthwise": rng.uniform(-2, 2, (3, 3, 4, 1)).astype(np.float32),
        "vector": np.array([0, -0.0, 0.5, -0.5, 1, -1, 0.26, 3.7, -1e-9], np.float32),
        "zeros": np.zeros((4, 3), np.float32),
    }


def grid(kind, **choices):
    for values in itertools.product(*choices.values()):
        yield {"class_name": kind, "config": dict(zip(choices, values, strict=True))}


SPECS = [
    *grid(
        "quantized_bits",
        bits=(1, 2, 6, 16),
        integer=(0, 3),
        symmetric=(0, 1),
        keep_negative=(True, False),
        alpha=(1, None, 0.5, 0.3),
    ),
    *grid("quantized_bits", bits=(2, 3, 4, 8, 12), integer=(0, 2), alpha=("auto", "auto_po2")),
    *grid("quantized_bits", bits=(4,), alpha=("auto", "auto_po2"), scale_axis=(0, 1)),
    *grid("quantized_bits", bits=(1,), alpha=("auto_po2",)),
    *grid("binary", use_01=(False, True), alpha=(None, 1, 2.0, 0.3, "auto_po2")),
    *grid("ternary", alpha=(1, 0.25, 0.3), threshold=(None, 0.1, 0.5, 0.0)),
    *grid("ternary", alpha=(None,)),
    *grid("ternary", alpha=("auto_po2",), number_of_unrolls=(5, 1)),
    *grid("stochastic_ternary", alpha=("auto_po2", 1)),
    *grid("stochastic_binary", alpha=("auto_po2", None)),
    *grid(
        "quantized_po2",
        bits=(2, 4, 6, 8),
        max_value=(None, 0.5, 1, 2, 3),
        quadratic_approximation=(False, True),
    ),
    *grid("quantized_relu_po2", bits=(3, 4, 6), max_value=(None, 1, 4), negative_slope=(0, 0.25)),
    *grid(
        "quantized_relu",
        bits=(2, 4, 8),
        integer=(0, 2),
        negative_slope=(0.0, 0.25),
        use_sigmoid=(0, 1),
    ),
    *grid("quantized_relu", bits=(4,), relu_upper_bound=(0.7, 0.5), is_quantized_clip=(False,)),
    *grid("quantized_tanh", bits=(2, 4, 8), symmetric=(False, True)),
    *grid("quantized_sigmoid", bits=(2, 4, 8), symmetric=(False, True, 4)),
]


def call(qkeras, spec, values, trained):
    quantizer = getattr(qkeras, spec["class_name"])(**spec["config"])
    if trained and hasattr(quantizer, "_set_trainable_parameter"):
        quantizer._set_trainable_parameter()
    return np.asarray(quantizer(values))


def mismatches(qkeras, spec, role):
    """Yield the arrays where qapflow says exact and differs from QKeras."""
    for name, values in arrays().items():
        axis = spec["config"].get("scale_axis")
        if axis is not None and values.ndim <= axis:
            continue
        expected = call(qkeras, spec, values, role == "kernel")
        if not np.isfinite(expected).all():
            continue
        ours = quantize_weights(parse_quantizer(spec), values, role)
        got = ours.const.type.decode(ours.const.codes)
        if ours.exact and not np.array_equal(got, expected):
            where = np.flatnonzero(got.ravel() != expected.ravel())
            yield (
                name,
                values.ravel()[where[:3]],
                got.ravel()[where[:3]],
                expected.ravel()[where[:3]],
            )


@pytest.mark.parametrize("role", ["kernel", "bias"])
@pytest.mark.parametrize("kind", sorted({s["class_name"] for s in SPECS}))
def test_weights_equal_qkeras(qkeras, kind, role):
    bad = [
        (str(spec["config"]), *found)
        for spec in SPECS
        if spec["class_name"] == kind
        for found in mismatches(qkeras, spec, role)
    ]
    assert not bad, bad[:5]


@pytest.mark.parametrize("name", ["normal", "ties", "conv"])
def test_graphs_give_the_same_as_single_operations(qkeras, name):
    """Compiled graphs may reorder float32 arithmetic; what we call exact must not care."""
    import tensorflow as tf

    values = arrays()[name]
    specs = [s for s in SPECS if "auto_po2" in str(s)] + SPECS[::17]
    exact = 0
    for spec in specs:
        quantizer = getattr(qkeras, spec["class_name"])(**spec["config"])
        if hasattr(quantizer, "_set_trainable_parameter"):
            quantizer._set_trainable_parameter()
        expected = tf.function(quantizer)(tf.constant(values)).numpy()
        ours = quantize_weights(parse_quantizer(spec), values)
        exact += ours.exact
        if ours.exact:
            assert np.array_equal(ours.const.type.decode(ours.const.codes), expected), spec
    assert exact > 0.8 * len(specs)
