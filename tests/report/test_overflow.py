import numpy as np

from qapflow.ir.builder import NetBuilder
from qapflow.ir.fixed import Fixed, Overflow
from qapflow.ir.interval import bound_net
from qapflow.ir.net import Edge, Net, Node
from qapflow.ir.ops import Const, Dense, Input, Quantize, Reduce
from qapflow.report.overflow import overflow_of, state_overflow

BYTE = Fixed(True, 8, 4)


def quantized(mode):
    builder = NetBuilder()
    edge = builder.add_input("x", (2,), BYTE)
    edge = builder.add("fc", Dense(Const(np.array([[3], [5]]), Fixed(True, 4, 2))), edge)
    edge = builder.add("q", Quantize(Fixed(True, 6, 2), overflow=mode), edge)
    return builder.finish((edge,))


def test_saturating_and_wrapping_quantizers_are_named():
    for mode, word in ((Overflow.SAT, "saturates"), (Overflow.WRAP, "wraps")):
        net = quantized(mode)
        assert overflow_of(net, net.by_name["q"], bound_net(net)) == word
        text = state_overflow(net, bound_net(net))
        assert f"1 quantizer {word} on some inputs, as the model says: q." in text
        assert text.startswith("no accumulator can overflow: each of 1 holds every partial sum")


def test_margin_is_that_of_the_range():
    text = state_overflow(quantized(Overflow.SAT), bound_net(quantized(Overflow.SAT)))
    # 8 bits times 3 and 5: -128 * 8 to 127 * 8 codes
    assert "fc reaches -1024 to 1016 of -1024 to 1023 (s11.6), 0.0 % to spare" in text


def test_a_type_too_narrow_is_said():
    nodes = (
        Node("x", Input(), (), Edge((4,), BYTE)),
        Node("sum", Reduce("sum", (0,), True), ("x",), Edge((1,), BYTE)),
    )
    net = Net(nodes, ("sum",))
    text = state_overflow(net, bound_net(net))
    assert text == "1 of 1 accumulators can overflow: sum. No quantizer can overflow either."


def test_nothing_to_overflow():
    net = Net((Node("x", Input(), (), Edge((4,), BYTE)),), ("x",))
    assert "the network sums nothing" in state_overflow(net, bound_net(net))
