import math

import numpy as np
import pytest

from qapflow.boards import load_target
from qapflow.estimate import estimate
from qapflow.estimate.elements import STREAM_FILL, compare_lut
from qapflow.estimate.interval import SMOOTH
from qapflow.estimate.module import SEVEN, ULTRASCALE
from qapflow.estimate.plain import fifo_cost
from qapflow.ir.fixed import Fixed, Overflow, Rounding
from qapflow.ir.net import Edge, Net, Node
from qapflow.ir.ops import Clip, Const, Conv, Dense, Input, Pad, Quantize, Table
from qapflow.plan import Choice, Plan

WIDE, POSITIVE = Fixed(True, 16, 10), Fixed(False, 15, 10)
BYTE = Fixed(False, 8, 8)
WEIGHT = Fixed(True, 8, 7)


def relu_net(shape=(32,), *after):
    nodes = [
        Node("x", Input(), (), Edge(shape, WIDE)),
        Node("relu", Clip(Const.exact(0.0), None), ("x",), Edge(shape, POSITIVE)),
        *after,
    ]
    return Net(tuple(nodes), (nodes[-1].name,))


def row(net, name="relu", backend="vivado", io_type="io_parallel", board="xcvu9p", clock_ns=5.0):
    plan = Plan(backend, io_type, clock_ns, 12.5, {})
    return estimate(net, plan, load_target(board)).layers[name]


@pytest.mark.parametrize(
    ("width", "tool", "family", "lut"),
    [
        (16, "vivado", ULTRASCALE, 13),
        (32, "vivado", SEVEN, 18),
        (16, "vitis", ULTRASCALE, 23),
        (12, "vitis", SEVEN, 12),
    ],
)
def test_comparisons_cost_what_reports_say(width, tool, family, lut):
    assert compare_lut(width, tool, family) == pytest.approx(lut, rel=0.05)


@pytest.mark.parametrize(("backend", "lut"), [("vivado", 28), ("vitis", 38)])
def test_relu_compares_and_chooses(backend, lut):
    found = row(relu_net(), backend=backend)
    assert found["lut"].value == pytest.approx(32 * lut, rel=0.02)
    assert found["lut"].low <= 32 * 15 <= found["lut"].high  # qapflow's kernel: the sign alone
    assert "uncalibrated" not in found["lut"].note
    assert found["latency_cycles"].value == found["ff"].value == 0


def test_a_cast_rounds_and_saturates():
    cut = Quantize(BYTE, Rounding.RND_CONV, Overflow.SAT)
    net = relu_net((32,), Node("cut", cut, ("relu",), Edge((32,), BYTE)))
    figures = row(net, "cut")["lut"]
    assert figures.value == pytest.approx(32 * 62, rel=0.1)
    assert figures.note == ""


def test_only_rounding_costs_less_and_says_so():
    cut = Quantize(BYTE, Rounding.RND_CONV, Overflow.WRAP)
    net = relu_net((32,), Node("cut", cut, ("relu",), Edge((32,), BYTE)))
    figure = row(net, "cut")["lut"]
    assert figure.value < 32 * 40
    assert "no report of rounding without saturation" in figure.note


def test_a_cast_with_one_source_of_reports_stays_a_judgement():
    cut = Quantize(BYTE, Rounding.RND_CONV, Overflow.SAT)
    net = relu_net((32,), Node("cut", cut, ("relu",), Edge((32,), BYTE)))
    note = row(net, "cut", backend="vitis")["lut"].note
    assert note.startswith("uncalibrated for vitis on UltraScale+")


def test_streams_take_a_cycle_a_position():
    found = row(relu_net((6, 5, 16)), io_type="io_stream", board="pynq-z2")
    assert found["ii_cycles"].value == found["latency_cycles"].value == 30 + STREAM_FILL
    assert "uncalibrated for vivado on 7-series: fifo" in found["lut"].note


def test_constant_and_unread_elements_cost_nothing():
    before, after = np.full((4, 32), 3), np.full((32, 2), 3)
    before[:, :8] = 0
    after[24:] = 0
    nodes = (
        Node("x", Input(), (), Edge((4,), WIDE)),
        Node("fc", Dense(Const(before, WEIGHT)), ("x",), Edge((32,), WIDE)),
        Node("relu", Clip(Const.exact(0.0), None), ("fc",), Edge((32,), POSITIVE)),
        Node("out", Dense(Const(after, WEIGHT)), ("relu",), Edge((2,), WIDE)),
    )
    live = row(Net(nodes, ("out",)))["lut"].value
    assert live == row(relu_net((16,)))["lut"].value


def test_other_clips_stay_a_judgement():
    six = Clip(Const.exact(0.0), Const.exact(6.0))
    net = Net(
        (
            Node("x", Input(), (), Edge((4,), WIDE)),
            Node("relu", six, ("x",), Edge((4,), POSITIVE)),
        ),
        ("relu",),
    )
    assert row(net)["lut"].note.startswith("uncalibrated")


def test_streamed_padding_counts_channels_and_positions():
    pad = Pad(((1, 1), (1, 1), (0, 0)))
    nodes = (
        Node("x", Input(), (), Edge((16, 16, 8), WIDE)),
        Node("relu", pad, ("x",), Edge((18, 18, 8), WIDE)),
    )
    net = Net(nodes, ("relu",))
    found = row(net, io_type="io_stream", board="pynq-z2")
    assert found["latency_cycles"].value == 18 * 18 + STREAM_FILL
    fifo = fifo_cost(Edge((18, 18, 8), WIDE))
    assert found["lut"].value - fifo.lut == pytest.approx(469, rel=0.03)  # as one report says
    assert found["ff"].value - fifo.ff == pytest.approx(32, abs=2)
    assert row(net)["lut"].value == 0


@pytest.mark.parametrize(("elements", "blocks"), [(1, 1), (20, 10), (64, 32)])
def test_two_elements_share_a_table(elements, blocks):
    table = Table(-512, Const(np.arange(1024), Fixed(True, 18, 10)))
    nodes = (
        Node("x", Input(), (), Edge((elements,), Fixed(True, 10, 4))),
        Node("relu", table, ("x",), Edge((elements,), Fixed(True, 18, 10))),
    )
    found = row(Net(nodes, ("relu",)))
    assert (found["bram18"].value, found["latency_cycles"].value) == (blocks, 1)
    assert found["bram18"].note == ""
    assert found["lut"].note.startswith("uncalibrated")


def test_streamed_convolutions_have_dsps_of_their_lanes():
    weight = Const(np.arange(1, 2561).reshape(5, 16, 32) % 4001 - 2000, Fixed(True, 16, 10))
    conv = Conv(weight, None, (2,), ((0, 0),), (1,))
    nodes = (
        Node("x", Input(), (), Edge((49, 16), WIDE)),
        Node("relu", conv, ("x",), Edge((23, 32), WIDE)),
    )
    plan = Plan("vivado", "io_stream", 5.0, 12.5, {"relu": Choice("resource", 40)})
    found = estimate(Net(nodes, ("relu",)), plan, load_target("pynq-z2")).layers["relu"]
    assert found["dsp"].low == found["dsp"].value == found["dsp"].high == 64
    assert "uncalibrated" not in found["dsp"].note
    assert found["lut"].low <= found["lut"].value / 10
    assert found["lut"].high >= found["lut"].value * 3
    assert "uncalibrated" in found["lut"].note


def test_a_stand_in_is_no_wider_than_a_judgement():
    own = row(relu_net(), backend="vitis")["lut"]
    other = row(relu_net(), backend="vitis", board="pynq-z2")["lut"]
    assert other.high <= math.ceil(3 * (other.value + SMOOTH["lut"]))
    assert "no report of 7-series with this kernel" in other.note
    assert "no report" not in own.note
