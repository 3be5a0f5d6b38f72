"""Every rule of a network is noticed when it is broken."""

from dataclasses import replace

import numpy as np
import pytest

from qapflow.errors import CheckFailed, UsageError
from qapflow.ir import ops
from qapflow.ir.builder import NetBuilder
from qapflow.ir.check import check, require_sound
from qapflow.ir.fixed import Fixed
from qapflow.ir.interpret import interpret
from qapflow.ir.interval import Interval, overflows
from qapflow.ir.net import Edge, Net, Node
from qapflow.ir.ops import Const
from qapflow.ir.text import read_net, write_net

S8 = Fixed(True, 8, 4)


def net():
    builder = NetBuilder()
    edge = builder.add_input("x", (4,), S8)
    weight = Const(np.arange(12).reshape(4, 3) - 5, Fixed(True, 4, 2))
    edge = builder.add("d", ops.Dense(weight), edge)
    edge = builder.add("q", ops.Quantize(S8), edge)
    return builder.finish((edge,))


def change(name, **fields):
    good = net()
    nodes = tuple(replace(n, **fields) if n.name == name else n for n in good.nodes)
    return Net(nodes, good.outputs)


def lookup(first, size):
    op = ops.Table(first, Const(np.zeros(size, np.int64), Fixed(False, 1, 0)))
    return Net((*net().nodes, Node("t", op, ("q",), Edge((3,), Fixed(False, 1, 0)))), ("t",))


def steps(thresholds, values):
    op = ops.Threshold(Const(np.array(thresholds), S8), Const(np.array(values), S8))
    return Net((*net().nodes, Node("t", op, ("q",), Edge((3,), S8))), ("t",))


def clip(lower, upper):
    op = ops.Clip(Const.exact(lower), Const.exact(upper))
    return Net((*net().nodes, Node("c", op, ("q",), Edge((3,), S8))), ("c",))


BROKEN = {
    "name twice": (Net((*net().nodes, net().nodes[0]), ("q",)), "x: the name is used twice"),
    "unknown input": (change("d", inputs=("nobody",)), "d: reads 'nobody', which no earlier node"),
    "order": (Net(net().nodes[::-1], ("q",)), "q: reads 'd', which no earlier node drives"),
    "arity": (change("q", inputs=("x", "d")), "q: Quantize has 2 inputs"),
    "no such output": (Net(net().nodes, ("y",)), "output 'y' is driven by no node"),
    "no output": (Net(net().nodes, ()), "the network has no output"),
    "narrow": (
        change("d", out=Edge((3,), Fixed(True, 8, 6))),
        "d: type s8.6 does not hold the proved s",
    ),
    "grid": (change("d", out=Edge((3,), Fixed(True, 20, 5))), "d: type s20.5 should have 6"),
    "shape": (change("q", out=Edge((5,), S8)), "q: shape (5,) should be (3,)"),
    "fit": (change("x", out=Edge((7,), S8)), "d: dense weights (4, 3) do not fit input (7,)"),
    "divisor": (change("q", op=ops.Quantize(S8, divisor=0)), "q: divisor 0 is not positive"),
    "table": (lookup(-128, 200), "t: codes -128 to 127 reach a table of -128 to 71"),
    "thresholds": (steps([3, 1], [0, 1, 2]), "t: the thresholds do not ascend"),
    "values": (steps([1, 3], [0, 1]), "t: there must be one value more than thresholds"),
    "bounds": (clip(2.0, -1.0), "c: the lower bound is above the upper"),
}


def test_a_sound_network_has_no_messages():
    assert check(net()) == []
    require_sound(net())


@pytest.mark.parametrize("case", BROKEN)
def test_broken_rule(case):
    broken, text = BROKEN[case]
    assert any(text in message for message in check(broken)), check(broken)


def test_require_sound_names_all():
    with pytest.raises(CheckFailed, match="the network breaks its own rules: x: the name is used"):
        require_sound(BROKEN["name twice"][0])


@pytest.mark.parametrize(
    ("op", "shapes", "text"),
    [
        (ops.Merge("add"), ((3,), (4,)), r"cannot add shapes \(3,\) and \(4,\)"),
        (ops.Concat(1), ((3, 1), (4, 2)), "cannot join"),
        (ops.Reshape((5,)), ((4,),), r"cannot reshape \(4,\) to \(5,\)"),
        (ops.Transpose((0, 0)), ((2, 3),), "is no permutation of the axes"),
        (ops.Pad(((0, 0),)), ((2, 3),), "1 amounts of padding for input"),
        (ops.Pad(((-2, 0), (0, 0))), ((2, 3),), "leaves nothing of"),
        (ops.Upsample((2, 2)), ((4, 1),), "2 upsampling factors for input"),
        (ops.Reduce("max", (3,)), ((4, 1),), "cannot reduce axes"),
        (ops.Pool("max", (5,), (1,), ((0, 0),)), ((4, 1),), "is larger than input"),
        (ops.Pool("max", (2, 2), (1, 1), ((0, 0),) * 2), ((4, 1),), "does not fit input"),
        (ops.Pool("max", (2,), (0,), ((0, 0),)), ((4, 1),), "cannot move by"),
    ],
)
def test_shapes_that_do_not_fit(op, shapes, text):
    builder = NetBuilder()
    names = [builder.add_input("x", shape, S8) for shape in shapes]
    with pytest.raises(UsageError, match=text):
        builder.add("y", op, *names)


def test_inputs_of_the_interpreter_are_checked():
    good = net()
    with pytest.raises(UsageError, match="no codes for input 'x'"):
        interpret(good, {})
    with pytest.raises(UsageError, match=r"has shape \(5,\), not \(4,\)"):
        interpret(good, {"x": np.zeros((2, 5), np.int64)})
    with pytest.raises(UsageError, match=r"has codes outside s8\.4"):
        interpret(good, {"x": np.full((2, 4), 200)})


def test_text_that_is_no_network():
    with pytest.raises(UsageError, match="this is no network file"):
        read_net('"something else"\n')
    with pytest.raises(UsageError, match="the network file is damaged"):
        read_net(write_net(net())[:-40])


def test_types_are_written_as_hls4ml_writes_them():
    assert Fixed.parse("ap_ufixed<8,2,AP_RND,AP_SAT>") == Fixed(False, 8, 6)
    assert Fixed.parse("ap_int<4>") == Fixed(True, 4, 0)
    assert Fixed.parse("u6.-2") == Fixed(False, 6, -2)
    with pytest.raises(UsageError, match="'float' is not a fixed-point type"):
        Fixed.parse("float")
    with pytest.raises(UsageError, match="needs at least 1 bit, not 0"):
        Fixed(True, 0, 0)
    with pytest.raises(UsageError, match="NaN"):
        S8.encode(np.array([np.nan]))


def test_encode_rounds_ties_to_even_and_counts_saturation():
    codes, saturated = Fixed(True, 4, 1).encode(np.array([0.25, 0.75, -0.25, 9.0, -9.0]))
    assert codes.tolist() == [0, 2, 0, 7, -8]
    assert saturated == 2
    wide, saturated = Fixed(True, 70, 60).encode(np.array([2.0**-60, 600.0]))
    assert [int(c) for c in wide] == [1, 2**69 - 1]
    assert saturated == 1


def test_printed_network(golden):
    assert str(net()) == golden


def test_narrow_integers_do_not_overflow_and_floats_are_no_codes():
    codes = np.array([[127, 127, 127, 127]])
    wide = interpret(net(), {"x": codes}, keep="all")["d"]
    assert np.array_equal(interpret(net(), {"x": codes.astype(np.int8)}, keep="all")["d"], wide)
    with pytest.raises(UsageError, match="holds float64, not integer codes"):
        interpret(net(), {"x": codes.astype(float)})


def test_threshold_ranges_are_compared_on_one_grid():
    builder = NetBuilder()
    edge = builder.add_input("x", (2,), Fixed(True, 4, 0))  # -8 to 7
    steps = Const(np.array([-96, 0, 96]), Fixed(True, 8, 4))  # -6, 0, 6
    values = Const(np.array([-2, -1, 0, 1]), Fixed(True, 2, 0))
    edge = builder.add("t", ops.Threshold(steps, values), edge)
    assert (builder.intervals[edge].low, builder.intervals[edge].high) == (-2, 1)


def test_overflow_far_below_is_seen():
    wide = Interval(np.array([-(1 << 300)], object), np.array([0], object))
    assert overflows(ops.Quantize(S8), Edge((1,), Fixed(True, 400, 4)), wide)
