"""EBOPs against HGQ's own way: the same operation run on bits instead of values."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qapflow.cost.ebops import accumulation_ebops, ebops
from qapflow.cost.widths import constant_bits, edge_bits, enclosed_bits
from qapflow.ir.builder import NetBuilder
from qapflow.ir.fixed import Fixed
from qapflow.ir.ops import (
    Affine,
    Dense,
    MatMul,
    Merge,
    Pool,
    Quantize,
    Reduce,
    Reshape,
    Threshold,
)
from qapflow.ir.semantics import product
from tests.cost.nets import INPUT, RELU, const, convolution, grow


@given(st.lists(st.integers(-(2**70), 2**70), min_size=1))
def test_bits_that_the_ones_enclose(values):
    """001xx1000 counts 4 bits (Sun et al., arXiv:2405.00645): what bin() shows, zeros stripped."""
    written = [len(bin(abs(v))[2:].strip("0")) for v in values]
    assert enclosed_bits(np.array(values, object)).tolist() == written


def test_the_published_example():
    assert enclosed_bits(np.array([0b0_0101_1000, -0b0_0111_1000, 0b0_0100_1000, 0])).tolist() == [
        4, 4, 4, 0,
    ]  # fmt: skip


def node_of(net, name="a"):
    return net, net.by_name[name]


def test_dense_by_hand():
    """Widths 1 1 2 0 / 3 0 1 3 for an input of 8 bits; zeros are free."""
    net = grow(Dense(const([[1, -2, 3, 0], [5, 0, 64, -7]])), shape=(2,))
    assert ebops(*node_of(net)) == 8 * (1 + 1 + 2 + 3 + 1 + 3)


@pytest.mark.parametrize("strides", [1, 2, 3])
@pytest.mark.parametrize("padding", [(0, 0), (1, 1), (0, 2)])
@pytest.mark.parametrize(("dilation", "groups"), [(1, 1), (2, 1), (1, 2)])
@pytest.mark.parametrize("rank", [1, 2])
def test_convolutions_are_run_on_bits(rank, strides, padding, dilation, groups):
    weight = np.random.default_rng(7).integers(-9, 10, (*(3, 2)[:rank], 4 // groups, 6))
    shape = (*(9, 8)[:rank], 4)
    net = convolution(
        weight, shape, strides=strides, padding=padding, dilation=dilation, groups=groups
    )
    bits = np.full((1, *shape), INPUT.width)
    run = product(net.by_name["a"].op, bits, enclosed_bits(weight))  # padding has no bits
    assert ebops(*node_of(net)) == int(run.sum())


def test_a_dense_layer_on_rows_counts_every_row():
    weight = const([[3, 5], [7, 1]])
    flat, rows = (grow(Dense(weight), shape=shape) for shape in ((2,), (5, 2)))
    assert ebops(*node_of(rows)) == 5 * ebops(*node_of(flat))


def test_scales_count_unless_they_are_shifts():
    net = grow(Affine(const([3, 4, 1, 7])), shape=(6, 4))
    assert ebops(*node_of(net)) == 6 * 8 * (2 + 3)


def products_of_edges(op, left, right):
    builder = NetBuilder()
    edges = [
        builder.add_input("x", left, Fixed(True, 8, 4)),
        builder.add_input("y", right, Fixed(False, 5, 4)),
    ]
    return builder.finish((builder.add("a", op, *edges),))


def test_products_of_edges():
    merged = products_of_edges(Merge("mul"), (3, 4), (1, 4))
    assert ebops(*node_of(merged)) == 12 * 8 * 5
    matrices = products_of_edges(MatMul(), (3, 4), (4, 2))
    assert ebops(*node_of(matrices)) == 3 * 2 * 4 * 8 * 5
    added = products_of_edges(Merge("add"), (3, 4), (3, 4))
    assert ebops(*node_of(added)) == 0


def test_two_values_are_one_bit():
    """+1 and -1 take two bits as codes; what multiplies by them looks at one."""
    sign = Threshold(const([0], INPUT), const([-1, 1], Fixed(True, 2, 0)))
    steps = Threshold(const([0, 8], INPUT), const([-1, 0, 1], Fixed(True, 2, 0)))
    moved = (sign, Pool("max", (2,), (2,), ((0, 0),)), Reshape((4,)), Dense(const([[1], [1]] * 2)))
    net = grow(*moved, shape=(4, 2))
    assert [edge_bits(net, name) for name in "xabc"] == [8, 1, 1, 1]
    assert ebops(*node_of(net, "d")) == 4
    assert edge_bits(grow(steps), "a") == 2


@pytest.mark.parametrize(
    ("codes", "bits"), [([1, -1], 1), ([4, 4], 1), ([0, 4], 8), ([0, 0], 8), ([-1, 0, 1], 8)]
)
def test_constants_of_two_levels_are_one_bit(codes, bits):
    assert constant_bits(np.array(codes), 8) == bits


def test_what_hgq2_adds_for_additions():
    biased = grow(Dense(const([[1, 1, 1]] * 2), const([3, 0, -8])), shape=(7, 2))
    assert accumulation_ebops(*node_of(biased)) == 7 * (2 + 1)
    moved = grow(Affine(const([1, 1]), const([5, 1])), shape=(7, 2))
    assert accumulation_ebops(*node_of(moved)) == 7 * (3 + 1)
    assert accumulation_ebops(*node_of(grow(Dense(const([[1]])), shape=(1,)))) == 0
    cases = {"add": 0.65 * 12 * 8, "sub": 12 * 8, "max": 12 * 8, "min": 12 * 8, "mul": 0}
    for kind, expected in cases.items():
        net = products_of_edges(Merge(kind), (3, 4), (3, 4))
        assert math.isclose(accumulation_ebops(*node_of(net)), expected, rel_tol=1e-12)  # 0.65
    summed = grow(Reduce("sum", (0,)), shape=(6, 4))
    assert math.isclose(accumulation_ebops(*node_of(summed)), 0.65 * (24 - 4) * 8, rel_tol=1e-12)
    assert accumulation_ebops(*node_of(grow(Reduce("max", (0,)), shape=(6, 4)))) == 0
    assert accumulation_ebops(*node_of(grow(Quantize(RELU)))) == 0
