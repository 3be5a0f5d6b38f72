"""Lines fitted to a quantizer decide every code as exact arithmetic does."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qapflow.frontend.layers.fit_line import Lines, fit_lines, levels
from qapflow.frontend.quantizers import parse_quantizer

HULL = (-700, 900)
FRAC = 6


def decide(value, grid):
    """Round to nearest, ties to even, and saturate, in exact arithmetic."""
    return min(max(round(value * 2**grid.frac), grid.low), grid.high)


def fit(scale, offset, quantizer, variants=()):
    scale, offset = np.array(scale, np.float64), np.array(offset, np.float64)
    return fit_lines(Lines(scale, offset, variants), quantizer, HULL, FRAC)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(-3, 3, width=32), st.floats(-5, 5, width=32)), min_size=1, max_size=4
    ),
    st.sampled_from(
        [
            "quantized_bits(6,2,alpha=1)",
            "quantized_bits(4,0,1,alpha=1)",
            "quantized_bits(5,1,keep_negative=0,alpha=1)",
            "quantized_relu(6,2)",
            "quantized_relu(3,3)",
        ]
    ),
)
def test_every_code_falls_to_its_side_of_every_step(lines, text):
    quantizer = parse_quantizer(text)
    grid = levels(quantizer)
    made = fit(*zip(*lines, strict=True), quantizer)
    if made is None:  # float32 rounds onto ties, which go up and down in turn: no line does that
        assert any(hits_ties(line, grid) for line in lines)
        return
    factors = np.ldexp(made.scale.codes.astype(float), -made.scale.type.frac)
    shifts = np.ldexp(made.offset.codes.astype(float), -made.offset.type.frac)
    for line, fitted in zip(lines, zip(factors, shifts, strict=True), strict=True):
        pairs = zip(values(line), values(fitted), strict=True)
        assert all(
            decide(real, grid) == decide(ours, grid) for real, ours in pairs if not near(real, grid)
        )


def values(line):
    """Exact results of all codes."""
    scale, offset = (Fraction(float(number)) for number in line)
    return [scale * code / 2**FRAC + offset for code in range(HULL[0], HULL[1] + 1)]


def near(value, grid):
    """Tell whether float32 may round a result onto a tie."""
    halves = value * 2 ** (grid.frac + 1)
    return abs(halves % 2 - 1) < Fraction(1, 2**12)


def hits_ties(line, grid):
    return any(near(value, grid) for value in values(line))


def test_no_more_bits_than_the_quantizer_can_tell():
    quantizer = parse_quantizer("quantized_bits(4,2,alpha=1)")
    made = fit([1 / 3, -0.7123], [0.1, 1.01], quantizer)
    assert made.scale.type.width <= 13
    assert made.offset.type.width <= 10
    assert made.close == 0


def test_codes_that_float32_may_send_elsewhere_are_counted():
    quantizer = parse_quantizer("quantized_bits(6,2,alpha=1)")

    def shifted(channel, x):
        return x + np.float32(0.01)

    assert fit([1.0], [0.0], quantizer).close == 0
    assert fit([1.0], [0.0], quantizer, (shifted,)).close > 0


@pytest.mark.parametrize(
    "text",
    [
        "quantized_bits(6,2,alpha='auto')",
        "quantized_relu(6,2,use_sigmoid=1)",
        "quantized_relu(6,2,negative_slope=0.25)",
        "quantized_tanh(6)",
        "ternary(alpha=1)",
    ],
)
def test_other_quantizers_are_left_alone(text):
    assert levels(parse_quantizer(text)) is None


def test_inputs_wider_than_float32_are_left_alone():
    quantizer = parse_quantizer("quantized_relu(6,2)")
    lines = Lines(np.array([0.3]), np.array([0.1]), ())
    assert fit_lines(lines, quantizer, (0, 2**24), 20) is None
