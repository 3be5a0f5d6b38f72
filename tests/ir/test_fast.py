"""The fast lane against the plain interpreter: the same codes, whatever the widths."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qapflow.ir import kernels, ops
from qapflow.ir.builder import NetBuilder
from qapflow.ir.check import check
from qapflow.ir.fast import compile_net
from qapflow.ir.fixed import Fixed, Overflow, Rounding
from qapflow.ir.interpret import interpret
from qapflow.ir.interval import bound_net
from qapflow.ir.semantics import evaluate
from qapflow.ir.text import read_net, write_net
from qapflow.passes import PASSES


def plainly(net, inputs):
    """Every edge by the definition of its operation alone."""
    codes = dict(inputs)
    for node in net.nodes:
        if node.inputs:
            edges = tuple(net.edge(name) for name in node.inputs)
            codes[node.name] = evaluate(
                node.op, node.out, edges, tuple(codes[name] for name in node.inputs)
            )
    return codes


kinds = st.builds(Fixed, st.booleans(), st.integers(2, 20), st.integers(-3, 20))
roundings = st.sampled_from(list(Rounding))
overflows = st.sampled_from(list(Overflow))


def const(rng, width, frac, shape):
    return ops.Const(
        rng.integers(-(2 ** (width - 1)), 2 ** (width - 1), shape), Fixed(True, width, frac)
    )


@st.composite
def nets(draw):
    """A small image network with every kind of operation."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = (draw(st.integers(3, 9)), draw(st.integers(3, 9)), draw(st.integers(1, 3)))
    builder = NetBuilder()
    edge = builder.add_input("x", shape, draw(kinds))
    width = draw(st.integers(2, 18))

    def quantize(name):
        op = ops.Quantize(draw(kinds), draw(roundings), draw(overflows), draw(st.integers(1, 3)))
        return builder.add(name, op, edge)

    for number in range(draw(st.integers(1, 5))):
        size = builder.edges[edge].shape
        kind = draw(st.integers(0, 11))
        if kind == 0 and min(size[:2]) >= 3:
            weight = const(rng, width, draw(st.integers(-2, 9)), (2, 3, size[2], 4))
            pads = ((draw(st.integers(0, 1)), 1), (1, draw(st.integers(0, 1))))
            steps = (draw(st.integers(1, 2)), draw(st.integers(1, 2)))
            holes = (draw(st.integers(1, 2)), 1)
            bias = const(rng, width, draw(st.integers(-2, 9)), 4)
            edge = builder.add(f"n{number}", ops.Conv(weight, bias, steps, pads, holes), edge)
        elif kind == 1 and min(size[:2]) >= 2:
            weight = const(rng, width, 3, (2, 2, 1, size[2] * 2))
            op = ops.Conv(weight, None, (1, 1), ((0, 1), (1, 0)), (1, 1), size[2])
            edge = builder.add(f"n{number}", op, edge)
        elif kind == 2:
            edge = builder.add(f"n{number}", ops.Dense(const(rng, width, 4, (size[2], 3))), edge)
        elif kind == 3 and min(size[:2]) >= 2:
            pads = ((0, draw(st.integers(0, 1))), (0, 0))
            op = ops.Pool(draw(st.sampled_from(["max", "sum"])), (2, 2), (1, 2), pads)
            edge = builder.add(f"n{number}", op, edge)
        elif kind == 4:
            scale, offset = const(rng, width, 2, size[2]), const(rng, width, 5, size[2])
            edge = builder.add(f"n{number}", ops.Affine(scale, offset), edge)
        elif kind == 5:
            bounds = ops.Const.exact(-1.5), ops.Const.exact(2.25)
            edge = builder.add(f"n{number}", ops.Clip(*bounds), edge)
        elif kind == 6:
            op = ops.Leaky(ops.Const.exact(0.375), ops.Const.exact(draw(st.sampled_from([0, 0.5]))))
            edge = builder.add(f"n{number}", op, edge)
        elif kind == 7:
            other = quantize(f"q{number}")
            way = draw(st.sampled_from(["add", "sub", "mul", "max", "min"]))
            edge = builder.add(f"n{number}", ops.Merge(way), edge, other)
        elif kind == 8:
            other = quantize(f"q{number}")
            edge = builder.add(f"n{number}", ops.Concat(2), edge, other)
        elif kind == 9:
            edge = builder.add(f"n{number}", ops.Transpose((1, 0, 2)), edge)
            edge = builder.add(f"p{number}", ops.Pad(((1, 0), (-1, 1), (0, 0))), edge)
        elif kind == 10:
            grid = const(rng, 8, builder.edges[edge].type.frac, 6)
            steps = ops.Const(np.sort(grid.codes), grid.type)
            edge = builder.add(f"n{number}", ops.Threshold(steps, const(rng, 5, 1, 7)), edge)
        else:
            edge = quantize(f"n{number}")
    top = builder.add("top", ops.Reduce(draw(st.sampled_from(["max", "sum"])), (0, 1)), edge)
    net = builder.finish((edge, top))
    low, high = net.inputs[0].out.type.lo, net.inputs[0].out.type.hi
    codes = rng.integers(low, high, (5, *shape), endpoint=True)
    codes[0], codes[1] = low, high
    return net, {"x": codes}


@settings(max_examples=150, deadline=None)
@given(nets())
def test_fast_lane_intervals_text_and_passes(case):
    net, inputs = case
    assert check(net) == []
    expected = plainly(net, inputs)
    made = interpret(net, inputs, keep="all")
    intervals = bound_net(net)
    for node in net.nodes:
        codes = expected[node.name]
        assert np.array_equal(made[node.name], codes), node.name
        assert (codes >= intervals[node.name].lo).all(), node.name
        assert (codes <= intervals[node.name].hi).all(), node.name
        assert codes.min() >= node.out.type.lo
        assert codes.max() <= node.out.type.hi
    assert write_net(read_net(write_net(net))) == write_net(net)
    assert read_net(write_net(net)).digest == net.digest
    for rewrite in PASSES:
        after = rewrite(net)
        assert check(after) == []
        again = interpret(after, inputs)
        for left, right in zip(net.outputs, after.outputs, strict=True):
            assert after.edge(right) == net.edge(left)
            assert np.array_equal(again[right], made[left]), rewrite.__name__


@pytest.mark.parametrize(
    ("width", "dtype"), [(6, np.float32), (20, np.float32), (30, np.float64), (60, None)]
)
def test_lane_follows_the_width(width, dtype):
    builder = NetBuilder()
    edge = builder.add_input("x", (4,), Fixed(True, width, 0))
    weight = ops.Const(np.array([[1], [-1], [1], [1]]), Fixed(True, 2, 0))
    net = builder.finish((builder.add("y", ops.Dense(weight), edge),))
    assert compile_net(net).instructions[0].dtype is dtype
    top = 2 ** (width - 1) - 1
    codes = {"x": np.array([[top, -top - 1, top, top], [-top - 1, top, -top - 1, 0]])}
    made = interpret(net, codes)["y"]
    assert [int(v) for v in made.ravel()] == [4 * top + 1, -3 * top - 2]


def test_padding_keeps_codes_of_any_width():
    codes = np.full((1, 2, 1), 2**62, object)
    padded = kernels.pad(codes, [(1, 1), (0, 0)])
    assert [type(code) for code in padded.ravel()] == [int] * 4
    got = kernels.convolve(codes, np.full((2, 1, 1), 2**40), (1,), [(1, 1)], (1,), 1)
    assert got.ravel().tolist() == [2**102, 2**103, 2**102]
