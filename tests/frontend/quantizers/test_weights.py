"""Weights: values worked out by hand from the definition of each quantizer."""

from __future__ import annotations

import numpy as np
import pytest

from qapflow.frontend.quantizers import UnsupportedQuantizer, parse_quantizer, quantize_weights

RNG = np.random.default_rng(11)


def values(text, weights, role="kernel"):
    """Return the quantized values and the whole record."""
    result = quantize_weights(parse_quantizer(text), np.asarray(weights, np.float32), role)
    return result.const.type.decode(result.const.codes), result


@pytest.mark.parametrize("bits", [2, 4, 6, 8])
@pytest.mark.parametrize("integer", [0, 1, 3])
@pytest.mark.parametrize("symmetric", [0, 1])
def test_quantized_bits_rounds_ties_to_even_and_saturates(bits, integer, symmetric):
    step = 2.0 ** (integer - bits + 1)
    weights = np.concatenate([RNG.normal(0, 2**integer, 500), step * np.arange(-40, 40) / 2])
    low, high = symmetric - 2 ** (bits - 1), 2 ** (bits - 1) - 1
    expected = step * np.clip(np.rint(weights.astype(np.float32) / step), low, high)
    got, result = values(f"quantized_bits({bits},{integer},{symmetric},alpha=1)", weights)
    assert np.array_equal(got, expected)
    assert result.exact
    assert result.const.type.width <= bits


def test_quantized_linear_is_symmetric_unless_told():
    weights = np.arange(-40, 41) / 16
    got, _ = values("quantized_linear(4,1,alpha=1)", weights)
    assert np.array_equal(got, np.clip(np.rint(weights * 4), -7, 7) / 4)
    got, _ = values("quantized_linear(4,1,symmetric=0,alpha=2.0)", weights)
    assert np.array_equal(got, np.clip(np.rint(weights * 2), -8, 7) / 2)
    got, _ = values("quantized_linear(1,1,alpha=1)", [-0.2, 0.0, 3.0])
    assert got.tolist() == [-1, 1, 1]  # half of 2 ** (integer + 1) on both sides
    got, result = values("quantized_linear(4,0)", RNG.normal(0, 1, (30, 4)))
    assert result.exact
    step = np.array([np.abs(c[c != 0]).min() for c in got.T])
    assert np.all(np.log2(step) % 1 == 0)


def test_one_bit_is_a_sign_and_zero_is_positive():
    got, _ = values("quantized_bits(1,3,alpha=1)", [-2.0, -1e-9, 0.0, 0.1])
    assert got.tolist() == [-1, -1, 1, 1]
    got, _ = values("binary(alpha=0.5)", [-3.0, 0.0, 3.0])
    assert got.tolist() == [-0.5, 0.5, 0.5]
    got, _ = values("binary(use_01=True,alpha=1)", [-3.0, 0.0, 3.0])
    assert got.tolist() == [0, 1, 1]


def test_without_sign_negative_weights_become_zero():
    got, _ = values("quantized_bits(4,0,keep_negative=False,alpha=1)", [-0.5, 0.5, 0.97, 2])
    assert got.tolist() == [0, 0.5, 15 / 16, 15 / 16]


def test_ternary_thresholds():
    got, _ = values("ternary(alpha=1)", [-0.4, -0.32, 0.0, 0.32, 0.34])
    assert got.tolist() == [-1, 0, 0, 0, 1]
    got, _ = values("ternary(alpha=2,threshold=0.5)", [-0.5, 0.49, 0.5])
    assert got.tolist() == [-2, 0, 2]


def test_kernels_without_alpha_get_a_power_of_two_per_output_channel():
    weights = np.stack([RNG.uniform(-1, 1, 64), RNG.uniform(-0.1, 0.1, 64)], 1)
    got, result = values("quantized_bits(4,0)", weights)
    assert result.exact
    assert result.quantizer["alpha"] == "auto_po2"
    assert np.abs(got - weights).max(0)[1] < 0.02  # a scale of its own
    for channel in got.T:
        step = np.abs(channel[channel != 0]).min()
        assert np.log2(step) % 1 == 0
        assert np.abs(channel / step).max() <= 7
    got, result = values("quantized_bits(4,0)", weights, "bias")
    assert result.quantizer["alpha"] is None
    assert np.array_equal(got, np.clip(np.rint(weights.astype(np.float32) * 8), -8, 7) / 8)


def test_float_scales_are_told():
    weights = RNG.normal(0, 1, (20, 3))
    for text in ("quantized_bits(4,0,alpha='auto')", "binary(alpha='auto')", "ternary('auto')"):
        _, result = values(text, weights)
        assert not result.exact
        assert "no powers of two" in result.reason
    _, result = values("quantized_bits(4,0,alpha=0.3)", weights)
    assert not result.exact
    assert "alpha=0.3 is no power of two" in result.reason
    _, result = values("quantized_bits(4,0,alpha=0.75)", weights)
    assert result.exact


def test_powers_of_two():
    got, result = values("quantized_po2(4)", [0.3, -0.7, 1.0, 100.0, 2.8, 2.9])
    assert got.tolist() == [0.25, -0.5, 1, 8, 2, 4]
    assert result.exact
    got, _ = values("quantized_po2(4,1)", [3.0, 0.0])
    assert got.tolist() == [1, 2.0**-8]
    _, result = values("quantized_po2(4,log2_rounding='floor')", [4.0])
    assert not result.exact
    assert "hang on the last bit of float32" in result.reason


def test_float_weights_are_told_unless_they_lie_on_a_narrow_grid():
    _, result = values(None, [0.3, 0.1])
    assert (result.exact, result.reason) == (False, "float weights")
    _, result = values("linear", [0.0, 0.5, -3.0])
    assert result.exact
    assert str(result.const.type) == "s4.1"


def test_most_automatic_scales_are_decided_exactly():
    exact = 0
    for _ in range(50):
        _, result = values("quantized_bits(6,0)", RNG.normal(0, 0.3, (64, 16)))
        exact += result.exact
    assert exact >= 45


def test_refusals_say_why():
    with pytest.raises(UnsupportedQuantizer, match="the kernel weights contain NaN or infinity"):
        values("binary", [np.nan])
    with pytest.raises(UnsupportedQuantizer, match="softmax is no quantizer of QKeras"):
        values("softmax", [1.0])
    with pytest.raises(UnsupportedQuantizer, match="gives NaN or infinity"):
        values("quantized_bits(1,0,alpha='auto')", [[1.0], [2.0]])
    with pytest.raises(UnsupportedQuantizer, match="excludes a threshold"):
        values("ternary(threshold=0.5)", [[1.0]])
