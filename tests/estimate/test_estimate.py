import math
from itertools import pairwise

import numpy as np
import pytest

from qapflow.boards import load_target
from qapflow.estimate import estimate, total
from qapflow.estimate.kernel import describe, levels
from qapflow.estimate.resources import bram18_of, dsp_per_product, resource_cost
from qapflow.ir.digits import count_digits, signed_digits
from qapflow.ir.fixed import Fixed, Overflow, Rounding
from qapflow.ir.net import Edge, Net, Node
from qapflow.ir.ops import Const, Conv, Dense, Input, Merge, Pool, Quantize, Reshape, Table
from qapflow.plan import Choice, Plan
from qapflow.report.figures import FIGURES, Source

WIDE = Fixed(True, 16, 10)
BYTE = Fixed(True, 8, 7)


def plan_of(strategy="latency", reuse=1, io_type="io_parallel", clock_ns=5.0):
    choices = {"fc": Choice(strategy, reuse), "conv": Choice(strategy, reuse)}
    return Plan("vitis", io_type, clock_ns, 12.5, choices)


def dense_net(weight, in_type=WIDE, out_type=WIDE):
    weight = np.asarray(weight)
    return Net(
        (
            Node("x", Input(), (), Edge((weight.shape[0],), in_type)),
            Node("fc", Dense(Const(weight, BYTE)), ("x",), Edge((weight.shape[1],), out_type)),
        ),
        ("fc",),
    )


def conv_net(shape=(6, 6, 2), filters=3):
    weight = Const(np.ones((3, 3, shape[-1], filters), np.int64), BYTE)
    op = Conv(weight, None, (1, 1), ((0, 0), (0, 0)), (1, 1))
    out = (shape[0] - 2, shape[1] - 2, filters)
    nodes = (
        Node("x", Input(), (), Edge(shape, WIDE)),
        Node("conv", op, ("x",), Edge(out, WIDE)),
        Node(
            "pool",
            Pool("max", (2, 2), (2, 2), ((0, 0), (0, 0))),
            ("conv",),
            Edge((2, 2, filters), WIDE),
        ),
        Node("flat", Reshape((4 * filters,)), ("pool",), Edge((4 * filters,), WIDE)),
    )
    return Net(nodes, ("flat",))


@pytest.fixture
def board():
    return load_target("xcvu9p")


@pytest.mark.parametrize(
    ("code", "digits"),
    [(0, 0), (1, 1), (-4, 1), (3, 2), (5, 2), (7, 2), (11, 3), (-11, 3), (0b10101, 3), (255, 2)],
)
def test_canonical_signed_digits(code, digits):
    assert count_digits(np.array([code]))[0] == digits


def test_signed_digits_of_every_code_are_minimal():
    # a code needs one digit more than the better of its neighbours of half the size
    best = {0: 0}
    for code in range(1, 1 << 10):
        half = code >> 1
        best[code] = best[half] if code % 2 == 0 else 1 + min(best[half], best.get(half + 1, 99))
    codes = np.arange(1 << 9)
    assert count_digits(codes).tolist() == [best[c] for c in codes]


def test_digits_of_wide_codes():
    assert count_digits(np.array([1 << 70, (1 << 70) - 1], object)).tolist() == [1, 2]


def test_signed_digits_are_the_number_and_never_adjacent():
    for code in [*range(-300, 300), 12345677, -(1 << 40) + 1]:
        digits = signed_digits(code)
        assert sum(sign << place for place, sign in digits) == code
        assert len(digits) == count_digits(np.array([code]))[0]
        places = [place for place, _ in digits]
        assert all(b - a > 1 for a, b in pairwise(places))


def test_distinct_constants_are_counted_input_by_input():
    op = Dense(Const(np.array([[11, 11, 3, 0], [11, 13, -11, 1]]), BYTE))
    kernel = describe(op, 16, 20)
    assert kernel.dsp_constants == 1 + 3
    assert kernel.one_adder_constants == 1
    assert kernel.nonzeros == 7
    assert kernel.max_terms == 2


def test_groups_share_no_constants():
    weight = Const(np.full((1, 1, 4), 11), BYTE)
    together = Conv(weight, None, (1,), ((0, 0),), (1,))
    apart = Conv(weight, None, (1,), ((0, 0),), (1,), groups=4)
    assert describe(together, 16, 20).dsp_constants == 1
    assert describe(apart, 16, 20).dsp_constants == 4


@pytest.mark.parametrize(("terms", "depth"), [(0, 0), (1, 0), (2, 1), (3, 2), (64, 6), (65, 7)])
def test_levels_of_an_adder_tree(terms, depth):
    assert levels(terms) == depth


@pytest.mark.parametrize(
    ("width", "depth", "blocks"),
    [
        (16, 64, 0),
        (36, 512, 1),
        (37, 512, 2),
        (18, 1024, 1),
        (16, 1024, 1),
        (1, 16384, 1),
        (1, 32768, 2),
    ],
)
def test_block_memories(width, depth, blocks):
    assert bram18_of(width, depth) == blocks


@pytest.mark.parametrize(
    ("a", "b", "dsp"), [(4, 16, 0), (8, 16, 1), (8, 8, 0), (18, 27, 1), (20, 20, 2), (32, 32, 4)]
)
def test_dsp_of_a_product(a, b, dsp):
    assert dsp_per_product(a, b) == dsp


def test_zero_weights_cost_nothing_in_the_latency_strategy(board):
    weight = np.full((16, 8), 11)
    pruned = weight.copy()
    pruned[:, ::2] = 0
    full = estimate(dense_net(weight), plan_of(), board)["fc"]
    half = estimate(dense_net(pruned), plan_of(), board)["fc"]
    assert half["lut"].value < 0.6 * full["lut"].value
    assert full["dsp"].value == 16  # one constant an input


def test_zero_weights_cost_the_same_in_the_resource_strategy(board):
    weight = np.full((16, 8), 11)
    pruned = weight.copy()
    pruned[:, ::2] = 0
    plan = plan_of("resource", 8)
    assert estimate(dense_net(weight), plan, board) == estimate(dense_net(pruned), plan, board)


def test_resource_strategy_shares_multipliers(board):
    row = estimate(dense_net(np.full((64, 32), 11)), plan_of("resource", 128), board)["fc"]
    assert row["dsp"].value == 64 * 32 / 128
    assert row["ii_cycles"].value == 128
    assert row["latency_cycles"].value == 129


def test_narrow_weights_use_no_dsp():
    kernel = describe(Dense(Const(np.ones((64, 32), np.int64), Fixed(True, 4, 3))), 16, 16)
    assert resource_cost(kernel, 128).dsp == 0


def test_narrow_inputs_may_use_dsps_all_the_same(board):
    figure = estimate(dense_net([[11, 13]], in_type=Fixed(True, 8, 4)), plan_of(), board)["fc"][
        "dsp"
    ]
    assert (figure.value, figure.high) == (0, 2)


def test_every_figure_is_an_estimate_inside_its_interval(board):
    for io_type in ("io_parallel", "io_stream"):
        plan = plan_of(io_type=io_type)
        for net in (dense_net(np.full((4, 4), 11)), conv_net()):
            figures = estimate(net, plan, board)
            rows = [*figures.values(), dict(total(net, plan, figures))]
            for row in rows:
                assert set(row) == set(FIGURES)
                for figure in row.values():
                    assert figure.source is Source.ESTIMATE
                    assert figure.low <= figure.value <= figure.high
                    assert math.isfinite(figure.high)


def test_cases_without_reports_say_so(board):
    figures = estimate(conv_net(), plan_of(), board)
    assert "uncalibrated for vitis on virtex-ultrascale+" in figures["conv"]["lut"].note
    assert estimate(dense_net([[11]]), plan_of(), board)["fc"]["lut"].note == ""


def test_inputs_and_reshapes_are_no_hardware(board):
    assert set(estimate(conv_net(), plan_of(), board)) == {"conv", "pool"}


def test_convolution_takes_one_position_after_another(board):
    assert estimate(conv_net(), plan_of(), board)["conv"]["ii_cycles"].value == 16
    slow = estimate(conv_net(), plan_of("resource", 6), board)
    assert slow["conv"]["ii_cycles"].value == 16 * 6


def test_streamed_modules_overlap(board):
    net, plan = conv_net(), plan_of(io_type="io_stream")
    figures = estimate(net, plan, board)
    totals = dict(total(net, plan, figures))
    slowest = max(row["ii_cycles"].value for row in figures.values())
    assert totals["ii_cycles"].value == slowest
    assert slowest < totals["latency_cycles"].value < 2 * slowest


def test_branches_count_by_their_longest_path(board):
    ops = [("q1", "x"), ("q2", "q1"), ("q3", "x")]
    quantize = Quantize(BYTE, Rounding.RND, Overflow.SAT, divisor=3)
    nodes = [Node("x", Input(), (), Edge((4,), WIDE))]
    nodes += [Node(name, quantize, (source,), Edge((4,), BYTE)) for name, source in ops]
    nodes.append(Node("sum", Merge("add"), ("q2", "q3"), Edge((4,), WIDE)))
    net, plan = Net(tuple(nodes), ("sum",)), plan_of()
    totals = dict(total(net, plan, estimate(net, plan, board)))
    assert totals["latency_cycles"].value == round(2 * (2 + 0.87) + 0.87)


def test_big_tables_are_memories(board):
    small = Table(0, Const(np.arange(16), BYTE))
    large = Table(0, Const(np.arange(1024) % 64, BYTE))
    nodes = (
        Node("x", Input(), (), Edge((8,), WIDE)),
        Node("small", small, ("x",), Edge((8,), BYTE)),
        Node("large", large, ("small",), Edge((8,), BYTE)),
    )
    figures = estimate(Net(nodes, ("large",)), plan_of(), board)
    assert figures["small"]["bram18"].value == 0
    assert figures["large"]["bram18"].value == 4  # two elements a dual-port memory


def test_rounding_and_saturation_cost_and_wires_do_not(board):
    nodes = (
        Node("x", Input(), (), Edge((8,), WIDE)),
        Node(
            "cut",
            Quantize(Fixed(True, 8, 2), Rounding.TRN, Overflow.WRAP),
            ("x",),
            Edge((8,), BYTE),
        ),
        Node("round", Quantize(Fixed(False, 8, 4)), ("x",), Edge((8,), BYTE)),
    )
    figures = estimate(Net(nodes, ("cut", "round")), plan_of(), board)
    assert figures["cut"]["lut"].value == 0
    assert figures["round"]["lut"].value == pytest.approx(37 * 8, rel=0.05)


def test_clocks_without_reports_say_so(board):
    net = dense_net(np.full((64, 4), 11))
    figure = estimate(net, plan_of(clock_ns=2.8), board)["fc"]["latency_cycles"]
    assert figure.note.endswith("latency at 2.8 ns")
    assert figure.high >= 3 * figure.value
    assert estimate(net, plan_of(), board)["fc"]["latency_cycles"].note == ""


def test_faster_clocks_take_more_cycles(board):
    net = dense_net(np.full((64, 4), 11))
    cycles = [
        estimate(net, plan_of(clock_ns=clock), board)["fc"]["latency_cycles"].value
        for clock in (10.0, 5.0, 2.5, 1.5)
    ]
    assert cycles == sorted(cycles)
    assert cycles[0] < cycles[-1]
