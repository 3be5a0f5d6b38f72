import math
from itertools import pairwise

import numpy as np
import pytest

from qapflow.boards import load_target
from qapflow.estimate import POST_SYNTH, estimate
from qapflow.estimate.kernel import describe, levels
from qapflow.estimate.module import SEVEN, ULTRASCALE
from qapflow.estimate.resources import (
    bram18_of,
    dsp_of_product,
    resource_cycles,
    resource_dsp,
)
from qapflow.ir.digits import count_digits, signed_digits
from qapflow.ir.fixed import Fixed, Overflow, Rounding
from qapflow.ir.net import Edge, Net, Node
from qapflow.ir.ops import Const, Conv, Dense, Input, Merge, Pool, Quantize, Reshape, Table
from qapflow.plan import Choice, Plan
from qapflow.report.figures import FIGURES, Source

WIDE = Fixed(True, 16, 10)
BYTE = Fixed(True, 8, 7)


def plan_of(strategy="latency", reuse=1, io_type="io_parallel", clock_ns=5.0, backend="vivado"):
    choices = {"fc": Choice(strategy, reuse), "conv": Choice(strategy, reuse)}
    return Plan(backend, io_type, clock_ns, 12.5, choices)


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
    op = Dense(Const(np.array([[22, 22, 3, 0], [22, 26, -11, 1]]), BYTE))
    kernel = describe(op, WIDE, Fixed(True, 20, 10))
    assert kernel.dsp_constants == 1 + 3
    assert kernel.lut_adders == 1
    assert kernel.nonzeros == 7
    assert kernel.max_terms == 2


@pytest.mark.parametrize(
    ("code", "in_bits", "dsp"),
    [(11, 16, 0), (13, 16, 0), (-11, 16, 1), (22, 16, 1), (7, 16, 0), (171, 12, 0), (299, 12, 1)],
)
def test_constants_wide_enough_become_dsps(code, in_bits, dsp):
    op = Dense(Const(np.array([[code]]), Fixed(True, 10, 9)))
    assert describe(op, Fixed(True, in_bits, 4), WIDE).dsp_constants == dsp


def test_groups_share_no_constants():
    weight = Const(np.full((1, 1, 4), 22), BYTE)
    together = Conv(weight, None, (1,), ((0, 0),), (1,))
    apart = Conv(weight, None, (1,), ((0, 0),), (1,), groups=4)
    assert describe(together, WIDE, WIDE).dsp_constants == 1
    assert describe(apart, WIDE, WIDE).dsp_constants == 4


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
    ("a", "b", "family", "dsp"),
    [
        (4, 16, ULTRASCALE, 0),
        (5, 16, ULTRASCALE, 1),
        (8, 16, ULTRASCALE, 1),
        (8, 8, ULTRASCALE, 0),
        (18, 27, ULTRASCALE, 1),
        (18, 27, SEVEN, 2),
        (20, 20, ULTRASCALE, 2),
        (32, 32, SEVEN, 4),
    ],
)
def test_dsp_of_a_product(a, b, family, dsp):
    assert dsp_of_product(a, b, family) == dsp


def test_zero_weights_cost_nothing_in_the_latency_strategy(board):
    weight = np.full((16, 8), 22)
    pruned = weight.copy()
    pruned[:, ::2] = 0
    full = estimate(dense_net(weight), plan_of(), board).layers["fc"]
    half = estimate(dense_net(pruned), plan_of(), board).layers["fc"]
    assert half["lut"].value < 0.6 * full["lut"].value
    assert full["dsp"].value == 16  # one constant an input


def test_zero_weights_cost_the_same_in_the_resource_strategy(board):
    weight = np.full((16, 8), 11)
    pruned = weight.copy()
    pruned[:, ::2] = 0
    plan = plan_of("resource", 8)
    assert (
        estimate(dense_net(weight), plan, board).layers
        == estimate(dense_net(pruned), plan, board).layers
    )


def test_resource_strategy_shares_multipliers(board):
    row = estimate(dense_net(np.full((64, 32), 11)), plan_of("resource", 128), board).layers["fc"]
    assert row["dsp"].value == 64 * 32 / 128
    assert row["ii_cycles"].value == 128
    assert row["latency_cycles"].value == 129


def test_narrow_weights_use_no_dsp():
    kernel = describe(Dense(Const(np.ones((64, 32), np.int64), Fixed(True, 4, 3))), WIDE, WIDE, 128)
    assert resource_dsp(kernel, 128, ULTRASCALE) == 0
    assert resource_cycles(kernel, 128) == 128
    assert resource_cycles(kernel, 256) == 257


def test_the_last_lane_needs_only_the_bits_of_its_weights():
    codes = np.full((64, 32), 31)
    codes[:, -4:] = 7  # the last lane, as the weights are packed transposed
    kernel = describe(Dense(Const(codes, Fixed(True, 6, 5))), WIDE, WIDE, 256)
    assert kernel.top_lane_bits == 4
    assert resource_dsp(kernel, 256, ULTRASCALE) == 64 * 32 // 256 - 1


@pytest.mark.parametrize(("width", "blocks"), [(62, 7), (94, 9), (126, 11), (445, 38), (446, 39)])
def test_memories_of_many_rows_are_split(width, blocks):
    assert bram18_of(width, 1280) == blocks


def test_every_figure_is_an_estimate_inside_its_interval(board):
    for io_type in ("io_parallel", "io_stream"):
        plan = plan_of(io_type=io_type)
        for net in (dense_net(np.full((4, 4), 11)), conv_net()):
            found = estimate(net, plan, board)
            rows = [*found.layers.values(), dict(found.totals)]
            for row in rows:
                assert set(row) == set(FIGURES)
                for figure in row.values():
                    assert figure.source is Source.ESTIMATE
                    assert figure.low <= figure.value <= figure.high
                    assert math.isfinite(figure.high)


def test_cases_without_reports_say_so(board):
    figures = estimate(conv_net(), plan_of(), board).layers
    assert "uncalibrated for vivado on UltraScale+" in figures["conv"]["lut"].note
    full = np.full((32, 64), 11)
    assert estimate(dense_net(full), plan_of(), board).layers["fc"]["lut"].note == ""


@pytest.mark.parametrize(
    ("strategy", "backend", "said"),
    [
        ("resource", "vitis", "no report covers strategy resource with Vitis HLS"),
        ("distributed_arithmetic", "vivado", "strategy distributed arithmetic with Vivado HLS"),
    ],
)
def test_a_strategy_without_reports_has_no_number(board, strategy, backend, said):
    reuse = 128 if strategy == "resource" else 1
    plan = plan_of(strategy, reuse, backend=backend)
    found = estimate(dense_net(np.full((64, 32), 11)), plan, board)
    assert "lut" not in found.layers["fc"]
    assert "lut" not in dict(found.totals)
    assert said in found.missing[0]


@pytest.mark.parametrize(
    ("board_name", "clock_ns", "said"),
    [
        ("vck190", 5.0, "no report covers parts of the family 'versal'"),
        ("xcvu9p", 0.8, "a clock of 0.8 ns is out of range"),
        ("xcvu9p", 200.0, "a clock of 200 ns is out of range"),
    ],
)
def test_parts_and_clocks_without_reports_have_no_number(board_name, clock_ns, said):
    plan = plan_of(clock_ns=clock_ns)
    found = estimate(dense_net([[11]]), plan, load_target(board_name))
    assert (found.layers, found.totals, found.stages) == ({}, (), {})
    assert said in found.missing[0]


def test_inputs_and_reshapes_are_no_hardware(board):
    assert set(estimate(conv_net(), plan_of(), board).layers) == {"conv", "pool"}


def test_convolution_takes_one_position_after_another(board):
    assert estimate(conv_net(), plan_of(), board).layers["conv"]["ii_cycles"].value == 16
    slow = estimate(conv_net(), plan_of("resource", 6), board).layers
    assert slow["conv"]["ii_cycles"].value == 16 * 6


def test_streamed_modules_overlap(board):
    net, plan = conv_net(), plan_of(io_type="io_stream")
    found = estimate(net, plan, board)
    figures, totals = found.layers, dict(found.totals)
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
    totals = dict(estimate(net, plan, board).totals)
    assert totals["latency_cycles"].value == round(2 * (2 + 0.87) + 0.87)


def test_big_tables_are_memories(board):
    small = Table(0, Const(np.arange(16), BYTE))
    large = Table(0, Const(np.arange(1024) % 64, BYTE))
    nodes = (
        Node("x", Input(), (), Edge((8,), WIDE)),
        Node("small", small, ("x",), Edge((8,), BYTE)),
        Node("large", large, ("small",), Edge((8,), BYTE)),
    )
    figures = estimate(Net(nodes, ("large",)), plan_of(), board).layers
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
    figures = estimate(Net(nodes, ("cut", "round")), plan_of(), board).layers
    assert figures["cut"]["lut"].value == 0
    assert figures["round"]["lut"].value == pytest.approx(66 * 8, rel=0.05)


def test_a_faster_clock_than_any_report_widens_the_interval(board):
    net = dense_net(np.full((32, 64), 11))
    near = estimate(net, plan_of(), board).layers["fc"]["lut"]
    far = estimate(net, plan_of(clock_ns=2.8), board).layers["fc"]["lut"]
    assert far.note == "clock faster than any calibrated design (5 ns)"
    assert far.high - far.low > near.high - near.low
    assert near.note == ""


def test_faster_clocks_take_more_cycles(board):
    net = dense_net(np.full((64, 4), 11))
    cycles = [
        estimate(net, plan_of(clock_ns=clock), board).layers["fc"]["latency_cycles"].value
        for clock in (10.0, 5.0, 2.5)
    ]
    assert cycles == sorted(cycles)
    assert cycles[0] < cycles[-1]


def test_outputs_that_nothing_reads_cost_nothing(board):
    first, second = np.full((16, 8), 11), np.full((8, 4), 11)
    second[4:] = 0
    nodes = (
        Node("x", Input(), (), Edge((16,), WIDE)),
        Node("fc", Dense(Const(first, BYTE)), ("x",), Edge((8,), WIDE)),
        Node("cut", Quantize(BYTE), ("fc",), Edge((8,), BYTE)),
        Node("out", Dense(Const(second, BYTE)), ("cut",), Edge((4,), WIDE)),
    )
    found = estimate(Net(nodes, ("out",)), plan_of(), board).layers["fc"]
    half = estimate(dense_net(first[:, :4]), plan_of(), board).layers["fc"]
    assert found["lut"].value == half["lut"].value


def test_post_synthesis_is_a_stage_of_its_own(board):
    found = estimate(dense_net(np.full((32, 64), 11)), plan_of(), board)
    assert set(found.stages) == {POST_SYNTH}
    before, after = dict(found.totals)["lut"], dict(found.stages[POST_SYNTH])["lut"]
    assert after.value < before.value
    assert after.high / after.low > before.high / before.low
