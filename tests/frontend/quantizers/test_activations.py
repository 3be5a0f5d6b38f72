"""Activations, every code, against formulas written here."""

from __future__ import annotations

import numpy as np
import pytest

from qapflow.frontend.quantizers import (
    UnsupportedQuantizer,
    add_activation,
    add_keras_activation,
    parse_quantizer,
)
from qapflow.frontend.quantizers.float32 import Emulated
from qapflow.frontend.quantizers.steps import find_steps
from qapflow.ir.builder import NetBuilder
from qapflow.ir.fixed import Fixed
from qapflow.ir.interpret import interpret
from qapflow.ir.ops import Threshold

TYPES = ["s10.6", "s12.2", "u9.5", "s8.12", "s14.0", "s16.10"]


def apply(text, kind, codes=None, keras=None):
    """Return inputs, outputs and the Activated record of an activation on every code."""
    kind = Fixed.parse(kind)
    codes = np.arange(kind.lo, kind.hi + 1) if codes is None else np.asarray(codes)
    builder = NetBuilder()
    edge = builder.add_input("x", (1,), kind)
    if keras is None:
        result = add_activation(builder, parse_quantizer(text), edge, "a", "layer")
    else:
        result = add_keras_activation(builder, text, keras, edge, "a", "layer")
    net = builder.finish((result.edge,))
    out = interpret(net, {"x": codes[:, None]})[result.edge][:, 0]
    return kind.decode(codes), net.edge(result.edge).type.decode(out), result


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("symmetric", [0, 1, 3])
def test_quantized_bits(kind, symmetric):
    x, got, result = apply(f"quantized_bits(6,2,{symmetric},alpha=1)", kind)
    assert np.array_equal(got, np.clip(np.rint(x * 8), -32 + symmetric, 31) / 8)
    assert result.exact


def test_quantized_linear_saturates_before_it_rounds():
    x, got, result = apply("quantized_linear(5,1)", "s10.6")
    assert np.array_equal(got, np.clip(np.rint(x * 8), -15, 15) / 8)
    assert result.exact


@pytest.mark.parametrize("kind", TYPES)
def test_quantized_bits_of_one_bit_and_without_sign(kind):
    x, got, _ = apply("quantized_bits(1,2,alpha=1)", kind)
    assert np.array_equal(got, np.where(x < 0, -1, 1))
    x, got, _ = apply("quantized_bits(4,1,keep_negative=0,alpha=1)", kind)
    assert np.array_equal(got, np.clip(np.rint(x * 8), 0, 15) / 8)


@pytest.mark.parametrize("kind", TYPES)
def test_quantized_relu_and_its_slope(kind):
    x, got, _ = apply("quantized_relu(6,2)", kind)
    assert np.array_equal(got, np.clip(np.rint(x * 16), 0, 63) / 16)
    x, got, _ = apply("quantized_relu(6,2,negative_slope=0.25)", kind)
    expected = np.where(x >= 0, np.rint(x * 8), np.rint(x * 2))
    assert np.array_equal(got, np.clip(expected, -8, 31) / 8)


@pytest.mark.parametrize("kind", TYPES)
def test_hard_tanh_and_sigmoid_quantizers(kind):
    x, got, result = apply("quantized_tanh(4)", kind)
    assert np.array_equal(got, np.clip(np.rint(x * 8), -8, 7) / 8)
    assert result.exact
    x, got, result = apply("quantized_sigmoid(4)", kind)
    assert np.array_equal(got, np.clip(np.rint((0.5 * x + 0.5) * 16), 0, 15) / 16)
    x, got, result = apply("quantized_tanh(6,use_real_tanh=1)", kind)
    assert np.array_equal(got, np.clip(np.rint(np.tanh(x) * 32), -32, 31) / 32)


@pytest.mark.parametrize("kind", TYPES)
def test_signs_and_thresholds(kind):
    x, got, _ = apply("binary(alpha=2.0)", kind)
    assert np.array_equal(got, np.where(x < 0, -2, 2))
    x, got, _ = apply("ternary(alpha=1,threshold=0.5)", kind)
    assert np.array_equal(got, np.sign(x) * (np.abs(x) >= 0.5))
    x, got, _ = apply("binary_tanh", kind)
    assert np.array_equal(got, np.where(x > 0, 1, -1))
    x, got, _ = apply("hard_tanh", kind)
    assert np.array_equal(got, np.clip(x, -1, 1))


def test_hswish_is_exact_though_it_falls_and_rises():
    x, got, result = apply("quantized_hswish(8,3,alpha=1)", "s12.8")
    exact = np.minimum(x * np.clip(x + 3, 0, 6) / 6, 7.9375)
    assert np.abs(got - exact).max() <= 2.0**-5 + 1e-6
    assert result.exact


def test_scales_of_channels_and_scales_that_are_no_power_of_two():
    builder = NetBuilder()
    edge = builder.add_input("x", (2,), Fixed(True, 8, 4))
    spec = parse_quantizer("quantized_bits(4,1,alpha=[0.5,2])")
    result = add_activation(builder, spec, edge)
    net = builder.finish((result.edge,))
    out = interpret(net, {"x": np.array([[16, 16]])})[result.edge]
    assert net.edge(result.edge).type.decode(out).tolist() == [[0.5, 2.0]]
    assert result.exact
    _, _, result = apply("quantized_bits(4,1,alpha=0.3)", "s8.4")
    assert not result.exact
    assert "alpha is no power of two" in result.reason


def test_inputs_beyond_float32_are_told():
    _, _, result = apply("quantized_bits(20,4,alpha=1)", "s34.28", [0])
    assert not result.exact
    assert "more bits than float32" in result.reason
    _, _, result = apply("quantized_bits(8,0,alpha=1)", "s30.20", [0])
    assert result.exact  # saturated long before float32 runs out
    _, _, result = apply("quantized_bits(20,0,alpha=1)", "s12.0", [0])
    assert "straight-through sum" in result.reason


@pytest.mark.parametrize("text", ["quantized_tanh(6,use_real_tanh=1)", "quantized_relu(6,1,1)"])
def test_wide_inputs_are_searched_not_enumerated(text):
    codes = np.random.default_rng(5).integers(-(2**25), 2**25, 4000)
    x, got, _ = apply(text, "s28.22", codes)
    narrow, expected, _ = apply(text, "s16.10")
    inside = np.abs(x) < 31
    nearest = np.searchsorted(narrow, x[inside])
    between = (expected[nearest - 1] <= got[inside]) & (got[inside] <= expected[nearest])
    assert between.all()


def test_steps_of_a_wide_function_are_found_exactly():
    steps = find_steps(lambda x: Emulated.sure(np.floor(x / 3)), -(2**23), 2**23, 20)
    assert steps.thresholds.tolist() == [-6 * 2**20, -3 * 2**20, 0, 3 * 2**20, 6 * 2**20]
    assert steps.values.tolist() == [-3, -2, -1, 0, 1, 2]


def test_ulaw_is_reported_as_no_grid():
    _, _, result = apply("quantized_ulaw(6,0)", "s10.6")
    assert not result.exact
    assert "gives logarithms, rounded to the grid 2**-17" in result.reason


def test_constant_and_linear_activations():
    x, got, result = apply("linear", "s8.4")
    assert result.edge == "x"
    assert np.array_equal(x, got)
    _, got, _ = apply("binary(alpha=1)", "u8.4")
    assert set(got.tolist()) == {1.0}


@pytest.mark.parametrize("kind", TYPES)
def test_relu_of_keras(kind):
    x, got, result = apply("relu", kind, keras={"max_value": 1.5, "threshold": 0.25})
    assert np.array_equal(got, np.where(x > 0.25, np.minimum(x, 1.5), 0))
    assert result.exact
    x, got, _ = apply("relu", kind, keras={"negative_slope": 0.5, "threshold": 1.0})
    assert np.array_equal(got, np.where(x > 1, x, 0.5 * (np.minimum(x, 1) - 1)))
    x, got, result = apply("leaky_relu", kind, keras={"alpha": 0.3})
    assert not result.exact
    assert np.abs(got - np.where(x > 0, x, 0.3 * x)).max() <= 2.0**-10 * np.abs(x).max()
    assert "the slope 0.3 is rounded" in result.reason


def test_slopes_of_channels():
    builder = NetBuilder()
    edge = builder.add_input("x", (2,), Fixed(True, 8, 4))
    result = add_keras_activation(builder, "relu", {"alpha": np.array([0.5, 0.25])}, edge)
    net = builder.finish((result.edge,))
    out = interpret(net, {"x": np.array([[-16, -16], [16, 16]])})[result.edge]
    assert net.edge(result.edge).type.decode(out).tolist() == [[-0.5, -0.25], [1, 1]]
    assert result.exact


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


SMOOTH = {
    "sigmoid": sigmoid,
    "tanh": np.tanh,
    "softsign": lambda x: x / (1 + np.abs(x)),
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "softplus": lambda x: np.logaddexp(0, x),
    "swish": lambda x: x * sigmoid(x),
    "mish": lambda x: x * np.tanh(np.logaddexp(0, x)),
    "gelu": lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "exponential": np.exp,
    "celu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "hard_silu": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "log_sigmoid": lambda x: -np.logaddexp(0, -x),
    "tanh_shrink": lambda x: x - np.tanh(x),
}


@pytest.mark.parametrize("kind", ["s8.4", "s14.10", "s16.11"])
@pytest.mark.parametrize("name", SMOOTH)
def test_smooth_functions_stay_within_the_stated_error(name, kind):
    x, got, result = apply(name, kind, keras={"approximate": True})
    error = np.abs(got - SMOOTH[name](x)).max()
    stated = float(result.reason.rsplit("at most ", 1)[1])
    assert error <= 1.05 * stated
    reach = 1.0 if name == "exponential" else 1 / 16
    assert stated <= 2e-2 * max(1.0, reach * np.abs(got).max())
    assert not result.exact


@pytest.mark.parametrize("kind", ["s8.4", "s10.1", "u9.0", "s16.11"])
def test_shrinking_is_exact(kind):
    x, got, result = apply("soft_shrink", kind, keras={})
    assert np.array_equal(got, np.sign(x) * np.maximum(np.abs(x) - 0.5, 0))
    assert result.exact
    x, got, result = apply("hard_shrink", kind, keras={})
    assert np.array_equal(got, np.where(np.abs(x) > 0.5, x, 0))
    assert result.exact


@pytest.mark.parametrize(("version", "slope"), [("2.15.0", 0.2), ("3.4.1", 1 / 6)])
def test_hard_sigmoid_of_keras_2_and_3(version, slope):
    builder = NetBuilder()
    edge = builder.add_input("x", (1,), Fixed(True, 12, 8))
    result = add_keras_activation(builder, "hard_sigmoid", {}, edge, keras_version=version)
    net = builder.finish((result.edge,))
    codes = np.arange(-2048, 2048)[:, None]
    got = net.edge(result.edge).type.decode(interpret(net, {"x": codes})[result.edge])
    assert np.abs(got - np.clip(slope * codes / 256 + 0.5, 0, 1)).max() < 2.0**-16
    assert "error at most" in result.reason


@pytest.mark.parametrize(
    ("text", "kind", "keras", "match"),
    [
        ("quantized_bits(4,0,alpha='auto')", "s8.4", None, "its scale from each batch"),
        ("quantized_tanh(4,use_real_tanh=1)", "s70.10", None, "of a 70-bit input"),
        ("quantized_tanh(18,use_real_tanh=1)", "s24.20", None, "too many different values|steps"),
        ("exponential", "s8.2", {}, "does not fit a fixed-point type"),
        ("relu", "s8.2", {"max_value": -1}, "max_value=-1 is negative"),
        ("wave", "s8.2", {}, "the activation 'wave' is not supported"),
    ],
)
def test_refusals_say_why(text, kind, keras, match):
    with pytest.raises(UnsupportedQuantizer, match=match):
        apply(text, kind, [0], keras)


def test_thresholds_stay_few_for_wide_inputs():
    builder = NetBuilder()
    edge = builder.add_input("x", (1,), Fixed(True, 30, 20))
    spec = parse_quantizer("quantized_sigmoid(6,use_real_sigmoid=1)")
    result = add_activation(builder, spec, edge)
    op = builder.finish((result.edge,)).nodes[-1].op
    assert isinstance(op, Threshold)
    assert op.thresholds.codes.size == 63
