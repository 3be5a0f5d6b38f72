import math

import pytest

from qapflow.cost import LayerShape, bops, dense_shapes
from qapflow.errors import UsageError

JETS = (16, 64, 32, 32, 5)


def jets(bits, kept=1.0):
    return dense_shapes(JETS, weight_bits=bits, activation_bits=bits, kept=kept)


def test_the_published_network():
    """16-64-32-32-5 in 32 bit, dense: layer by layer and in all."""
    assert bops(jets(32)) == 4_652_832
    parts = [bops([layer]) for layer in jets(32)]
    assert parts == [1_118_208, 2_240_512, 1_119_232, 174_880]


# From the formula, computed once by hand for the six columns; kept shares are exact in no float.
@pytest.mark.parametrize(
    ("bits", "kept", "input_32", "own"),
    [
        (32, 0.3, 1_602_131, 1_602_131),
        (32, 0.1, 730_502, 730_502),
        (12, 1.0, 1_003_552, 737_312),
        (12, 0.2, 316_653, 247_021),
        (8, 1.0, 583_968, 362_784),
        (8, 0.2, 208_774, 144_877),
        (6, 1.0, 412_960, 226_592),
        (6, 0.2, 162_592, 104_019),
        (6, 0.1, 131_296, 88_698),
        (4, 1.0, 267_808, 124_448),
        (4, 0.2, 121_581, 69_971),
    ],
)
def test_both_conventions(bits, kept, input_32, own):
    assert round(bops(jets(bits, kept), input_bits=32)) == input_32
    assert round(bops(jets(bits, kept))) == own


@pytest.mark.parametrize(
    ("bits", "sizes", "input_32", "own"),
    [
        (4, (44, 32, 32), 194_087, 95_527),
        (6, (54, 32, 32), 357_816, 200_568),
        (12, (64, 32, 19), 920_268, 654_028),
    ],
)
def test_sizes_that_are_no_powers_of_two(bits, sizes, input_32, own):
    layers = dense_shapes((16, *sizes, 5), weight_bits=bits, activation_bits=bits)
    assert (round(bops(layers, 32)), round(bops(layers))) == (input_32, own)


def test_a_convolution_is_a_matrix_at_every_position():
    layer = LayerShape(9 * 4, 8, positions=25, weight_bits=6, activation_bits=8, kept=0.5)
    by_hand = 25 * 9 * 4 * 8 * (0.5 * 6 * 8 + 6 + 8 + math.log2(4 * 9))
    assert bops([layer]) == pytest.approx(by_hand, rel=1e-14)  # the order of float64 additions


def test_pruning_leaves_the_accumulator():
    empty = LayerShape(64, 32, weight_bits=6, activation_bits=6, kept=0.0)
    assert bops([empty]) == 64 * 32 * (6 + 6 + 6)


def test_only_layers_at_the_input_take_its_bits():
    first = LayerShape(4, 2, weight_bits=4, activation_bits=4, reads_input=True)
    later = LayerShape(2, 2, weight_bits=4, activation_bits=4)
    both = bops([later, first], 32)  # marked, not first
    assert both == bops([later]) + 8 * (4 * 32 + 4 + 32 + 2)
    assert bops([later, later], 32) == 4 * (4 * 32 + 4 + 32 + 1) + bops([later])


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"inputs": 0}, "a layer with inputs 0 has no bit operations"),
        ({"weight_bits": 0}, "give weight_bits of 1 or more"),
        ({"kept": 1.5}, "1.5 is no share of weights that are kept"),
        ({"kept": math.nan}, "no share of weights"),
    ],
)
def test_impossible_shapes(changes, text):
    with pytest.raises(UsageError) as error:
        LayerShape(**({"inputs": 4, "outputs": 4} | changes))
    assert text in str(error.value)


def test_one_size_is_no_network():
    with pytest.raises(UsageError, match="1 sizes make no layer"):
        dense_shapes((16,))
    with pytest.raises(UsageError, match="activation_bits 0"):
        bops(jets(6), input_bits=0)
