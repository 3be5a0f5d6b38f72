"""What cannot overflow is proved, what does is shown by a sample, the rest is said to be open."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qapflow.ir.builder import NetBuilder
from qapflow.ir.fixed import Fixed, Overflow, Rounding
from qapflow.ir.interpret import interpret
from qapflow.ir.net import Edge, Net, Node
from qapflow.ir.ops import (
    Clip,
    Const,
    Conv,
    Dense,
    Input,
    MatMul,
    Merge,
    Pool,
    Quantize,
    Reduce,
    Scan,
)
from qapflow.verify.losses import count_losses, every_edge, exceed, quantizers
from qapflow.verify.overflow import LOOPS, prove_overflow
from qapflow.verify.vectors import make_vectors

BYTE = Fixed(True, 8, 4)
WEIGHT = Fixed(True, 4, 3)
ZEROS = 3


def const(values, kind=WEIGHT):
    return Const(np.asarray(values), kind)


def zeros(net):
    """Samples that reach nothing: all the rest is up to the search."""
    return {node.name: np.zeros((ZEROS, *node.out.shape), np.int64) for node in net.inputs}


def dense(kind, mode=Overflow.WRAP, weight=(3, -5, 7), shape=None):
    builder = NetBuilder()
    edge = builder.add_input("x", shape or (len(weight),), BYTE)
    edge = builder.add("fc", Dense(const([[w] for w in weight])), edge)
    return builder.finish((builder.add("q", Quantize(kind, overflow=mode), edge),))


def by_end(proof, node="q"):
    return {item.end: item for item in proof.losses if item.node == node}


def check_witnesses(net, proof, codes):
    """Every witness does what is said, by the interpreter alone."""
    places = quantizers(net)
    for item in proof.losses:
        if item.verdict == "not excluded":
            assert item.row is None
            continue
        op, source, frac = places[item.node]
        row = {name: array[item.row : item.row + 1] for name, array in codes.items()}
        before = every_edge(net, row)[source][0][item.index]
        sign = 1 if item.end == "above" else -1
        assert exceed(op, np.array([before]), frac)[0] == sign
        assert item.before == int(before) / op.divisor * 2.0**-frac
        after = every_edge(net, row)[item.node][0][item.index]
        assert item.after == int(after) * 2.0**-op.type.frac != item.before


# The sum of 8 bits times 3, -5 and 7 reaches codes -128 * 10 - 127 * 5 to 127 * 10 + 128 * 5.
HIGH, LOW = 127 * 10 + 128 * 5, -128 * 10 - 127 * 5


@pytest.mark.parametrize(("spare", "ends"), [(0, []), (1, ["above", "below"])])
def test_the_corner_of_a_first_layer_is_exact(spare, ends):
    # s12.7 holds -2048 to 2047; with 11 bits one end is met only by the right corner
    kind = Fixed(True, 12 - spare, 7)
    net = dense(kind)
    proof, codes = prove_overflow(net, zeros(net))
    assert [item.end for item in proof.losses] == ends
    assert all(item.verdict == "does" for item in proof.losses)
    check_witnesses(net, proof, codes)


def test_one_sample_of_all_inputs_reaches_the_end():
    # a type whose end is one below the largest sum: exactly one corner leaves it
    kind = Fixed(True, 12, 7)
    builder = NetBuilder()
    edge = builder.add_input("x", (3,), BYTE)
    shifted = Dense(const([[3], [-5], [7]]), const([2047 - HIGH + 1], Fixed(True, 13, 7)))
    edge = builder.add("fc", shifted, edge)
    net = builder.finish((builder.add("q", Quantize(kind, overflow=Overflow.WRAP), edge),))
    proof, codes = prove_overflow(net, zeros(net))
    above = by_end(proof)["above"]
    assert (above.kind, above.verdict, above.before, above.after) == ("wraps", "does", 16.0, -16.0)
    assert codes["x"][above.row].tolist() == [127, -128, 127]


@pytest.mark.parametrize(
    ("kind", "mode", "expected"),
    [
        (Fixed(True, 8, 7), Overflow.WRAP, {"above": "wraps", "below": "wraps"}),
        (Fixed(True, 8, 7), Overflow.SAT_SYM, {"above": "clips", "below": "clips"}),
        (Fixed(False, 8, 7), Overflow.SAT, {"above": "clips", "below": "rectifies"}),
        (Fixed(False, 8, 7), Overflow.SAT_ZERO, {"above": "clips", "below": "rectifies"}),
        (Fixed(False, 8, 7), Overflow.WRAP, {"above": "wraps", "below": "wraps"}),
    ],
)
def test_what_happens_at_each_end_has_its_word(kind, mode, expected):
    net = dense(kind, mode)
    proof, codes = prove_overflow(net, zeros(net))
    assert {end: item.kind for end, item in by_end(proof).items()} == expected
    check_witnesses(net, proof, codes)


def test_symmetric_saturation_loses_its_lowest_code():
    builder = NetBuilder()
    edge = builder.add_input("x", (1,), BYTE)
    quantize = Quantize(BYTE, overflow=Overflow.SAT_SYM)
    net = builder.finish((builder.add("q", quantize, edge),))
    proof, codes = prove_overflow(net, zeros(net))
    assert [(item.end, item.before, item.after) for item in proof.losses] == [
        ("below", -8.0, -7.9375)
    ]
    assert codes["x"].tolist() == [[-128]]


def test_rounding_up_over_the_end_counts():
    builder = NetBuilder()
    edge = builder.add_input("x", (1,), Fixed(False, 4, 2))
    quantize = Quantize(Fixed(False, 2, 0), Rounding.RND, Overflow.WRAP)
    net = builder.finish((builder.add("q", quantize, edge),))
    proof, codes = prove_overflow(net, zeros(net))
    (item,) = proof.losses
    assert (item.before, item.after, codes["x"].tolist()) == (3.75, 0.0, [[15]])


def test_what_depends_on_one_input_twice_is_not_excluded():
    """x - x is 0, but the interval cannot tell."""
    builder = NetBuilder()
    edge = builder.add_input("x", (2,), BYTE)
    edge = builder.add("same", Merge("sub"), edge, edge)
    edge = builder.add("q", Quantize(Fixed(True, 8, 4), overflow=Overflow.WRAP), edge)
    net = builder.finish((edge,))
    proof, codes = prove_overflow(net, make_vectors(net, 100).codes)
    assert {item.verdict for item in proof.losses} == {"not excluded"}
    assert codes == {}


def test_vectors_of_the_build_are_witnesses_too():
    net = dense(Fixed(True, 8, 7))
    sample = {"x": np.array([[0, 0, 0], [100, -100, 100]])}
    proof, codes = prove_overflow(net, sample, work=0)
    above, below = by_end(proof)["above"], by_end(proof)["below"]
    assert (above.verdict, above.share, below.verdict) == ("does", 50.0, "not excluded")
    assert codes["x"].tolist() == [[100, -100, 100]]


def deep(mode=Overflow.WRAP, prefix=""):
    """Two convolutions, a rectifier and a maximum between: corners of signs do not reach."""
    rng = np.random.default_rng(5)
    builder = NetBuilder()
    edge = builder.add_input("x", (8, 8, 2), BYTE)
    pads = ((1, 1), (1, 1))
    first = const(rng.integers(-8, 8, (3, 3, 2, 4)))
    edge = builder.add(f"{prefix}c1", Conv(first, None, (1, 1), pads, (1, 1)), edge)
    edge = builder.add(f"{prefix}relu", Clip(Const.exact(np.array(0.0)), None), edge)
    edge = builder.add(f"{prefix}q1", Quantize(Fixed(False, 12, 5)), edge)
    edge = builder.add(f"{prefix}pool", Pool("max", (2, 2), (2, 2), ((0, 0), (0, 0))), edge)
    second = const(rng.integers(-8, 8, (3, 3, 4, 3)))
    edge = builder.add(f"{prefix}c2", Conv(second, None, (1, 1), ((0, 0), (0, 0)), (1, 1)), edge)
    edge = builder.add(f"{prefix}q2", Quantize(Fixed(True, 17, 8), overflow=mode), edge)
    return builder.finish((edge,))


def test_deep_layers_are_climbed():
    net = deep()
    vectors = zeros(net)
    proof, codes = prove_overflow(net, vectors)
    assert {item.verdict for item in by_end(proof, "q2").values()} == {"does"}
    check_witnesses(net, proof, codes)
    uniform = np.random.default_rng(0).integers(-128, 128, (2000, 8, 8, 2))
    counted = count_losses(net, {"x": uniform})["q2"]
    assert (counted.above, counted.below) == (0, 0), "too easy: chance finds it as well"


def test_names_of_nested_models_are_no_loops():
    net = deep(prefix="inner/")
    proof, codes = prove_overflow(net, zeros(net))
    assert {item.verdict for item in by_end(proof, "inner/q2").values()} == {"does"}
    check_witnesses(net, proof, codes)


def test_the_search_is_deterministic_and_bounded():
    net = deep()
    first, codes = prove_overflow(net, zeros(net))
    again, others = prove_overflow(net, zeros(net))
    assert first == again
    assert np.array_equal(codes["x"], others["x"])
    poor, _ = prove_overflow(net, zeros(net), work=10_000)
    assert {item.verdict for item in by_end(poor, "q2").values()} == {"not excluded"}


def test_margins_are_those_of_the_sums():
    net = dense(Fixed(True, 12, 7))
    proof, _ = prove_overflow(net, zeros(net))
    (margin,) = proof.margins
    assert (margin.node, margin.type, margin.low, margin.high) == ("fc", "s12.7", LOW, HIGH)
    assert margin.bits == pytest.approx(np.log2(2048 / 1915))  # the lower end is the nearer
    assert margin.percent == pytest.approx(100 * (2048 - 1915) / 2048)


def test_products_of_two_edges_have_a_margin():
    builder = NetBuilder()
    x, y = (builder.add_input(name, (3, 3), Fixed(True, 4, 0)) for name in "xy")
    net = builder.finish((builder.add("mm", MatMul(), x, y),))
    (margin,) = prove_overflow(net, {})[0].margins
    assert (margin.node, margin.low, margin.high) == ("mm", 3 * -8 * 7, 3 * -8 * -8)
    assert margin.percent > 0


def test_an_accumulator_that_is_too_narrow_has_no_margin():
    nodes = (
        Node("x", Input(), (), Edge((4,), BYTE)),
        Node("sum", Reduce("sum", (0,), True), ("x",), Edge((1,), BYTE)),
    )
    proof, _ = prove_overflow(Net(nodes, ("sum",)), {})
    assert proof.margins[0].bits == -2.0
    assert proof.margins[0].percent < 0


def loop(mode):
    """state' = cast(state + x): a sum that grows over the steps."""
    builder = NetBuilder()
    state = builder.add_input("state", (2,), BYTE)
    x = builder.add_input("x", (2,), Fixed(True, 5, 4))
    total = builder.add("total", Merge("add"), state, x)
    after = builder.add("after", Quantize(BYTE, overflow=mode), total)
    body = builder.finish((after, after))
    outer = NetBuilder()
    edge = outer.add_input("x", (12, 2), Fixed(True, 5, 4))
    edge = outer.add("loop", Scan(body, (const(np.zeros(2), BYTE),), "last"), edge)
    return outer.finish((edge,))


def test_bodies_of_loops_are_analysed():
    net = loop(Overflow.WRAP)
    proof, codes = prove_overflow(net, zeros(net))
    assert proof.premises[-1] == LOOPS
    assert [item.node for item in proof.margins] == ["loop/total"]
    ends = by_end(proof, "loop/after")
    assert {item.verdict for item in ends.values()} == {"does"}
    check_witnesses(net, proof, codes)
    assert ends["above"].index == (8, 0), "128 / 15 steps"


def test_steps_of_loops_are_those_of_the_interpreter():
    net = loop(Overflow.SAT)
    codes = make_vectors(net, 50).codes
    edges = every_edge(net, codes)
    assert np.array_equal(edges["loop/after"][:, -1], interpret(net, codes)["loop"])


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(-8, 7), min_size=1, max_size=5),
    st.integers(3, 12),
    st.sampled_from(sorted(Overflow)),
    st.sampled_from(sorted(Rounding)),
    st.integers(0, 7),
    st.booleans(),
)
def test_a_first_layer_is_always_decided(weight, width, mode, rounding, frac, signed):
    """Inputs are independent: what the interval does not exclude has a witness, and it is found."""
    builder = NetBuilder()
    edge = builder.add_input("x", (len(weight),), Fixed(True, 3, 2))
    edge = builder.add("fc", Dense(const([[w] for w in weight])), edge)
    quantize = Quantize(Fixed(signed, width, frac), rounding, mode)
    net = builder.finish((builder.add("q", quantize, edge),))
    proof, codes = prove_overflow(net, zeros(net))
    assert all(item.verdict == "does" for item in proof.losses)
    check_witnesses(net, proof, codes)
    grid = np.meshgrid(*[np.arange(-4, 4)] * len(weight))
    every = {"x": np.stack([axis.ravel() for axis in grid], axis=1)}
    counted = count_losses(net, every)["q"]
    assert set(by_end(proof)) == {
        end for end, n in (("above", counted.above), ("below", counted.below)) if n
    }
