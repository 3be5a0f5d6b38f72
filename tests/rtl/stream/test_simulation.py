"""Streaming hardware = interpreter, bit for bit, under any stalls, several samples back to back."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qapflow.boards import load_target
from qapflow.ir.builder import NetBuilder
from qapflow.ir.fixed import Fixed
from qapflow.ir.interpret import interpret
from qapflow.ir.ops import (
    Clip,
    Concat,
    Const,
    Conv,
    Dense,
    Merge,
    Pad,
    Pool,
    Quantize,
    Reduce,
    Reshape,
    Table,
    Upsample,
)
from qapflow.plan import Plan
from qapflow.rtl.sim.simulate import simulate
from qapflow.rtl.sim.transfers import Stalls
from qapflow.rtl.stream.multiply import Sharing
from qapflow.rtl.stream.write import write_streaming
from tests.lower import test_simulation as networks
from tests.lower.conftest import corner_codes
from tests.rtl.designs import corners

pytestmark = [pytest.mark.needs_alkaid, pytest.mark.needs_icarus]
PLAN = Plan("vitis", "io_stream", 5.0, 27.0, {})
TARGET = load_target("xcvu9p")
UNROLLED = Sharing(1)
NONE = (Stalls(),)
SHARED = Sharing(1, unrolled_lut=10, multipliers=8)


def differences(net, folder, sharing, stalls=NONE, samples=4):
    """Return what differs, and the interval of a run without stalls."""
    design = write_streaming(net, PLAN, TARGET, top="core", sharing=sharing)
    for path, data in design.files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    codes = corner_codes(net, samples)
    expected = interpret(net, codes)
    wrong, found = [], None
    for stall in stalls:
        found = simulate(folder, design, codes, stall, simulator="icarus")
        assert set(found.outputs) == set(net.outputs)
        wrong += [
            (name, stall)
            for name, values in found.outputs.items()
            if not np.array_equal(values.reshape(expected[name].shape), expected[name])
        ]
    return wrong, found.ii_cycles


@pytest.mark.parametrize(
    ("make", "sharing"),
    [
        ("movement", UNROLLED),
        ("pooling", UNROLLED),
        ("convolutions", SHARED),
        ("loops", UNROLLED),
        ("loops", SHARED),
    ],
)
def test_every_operation_with_gaps_and_back_pressure(tmp_path, make, sharing):
    net = getattr(networks, make)()
    net = net[0] if isinstance(net, tuple) else net
    wrong, _ = differences(net, tmp_path, sharing, [Stalls(40, 40, 3)], samples=3)
    assert wrong == []


def weights(rng, *shape):
    return Const(rng.integers(-7, 8, shape), Fixed(True, 4, 3))


def layer(builder, rng, source, pick):
    """Add a layer that `pick` chooses; return its edge."""
    height, width, channels = builder.edges[source].shape
    kind = pick(st.sampled_from(["conv", "depth", "pool", "skip", "pad", "up", "join"]))
    small = st.integers(1, min(3, height, width))
    if kind in ("conv", "depth"):
        size, step, ahead = pick(small), pick(st.integers(1, 2)), pick(st.integers(0, 1))
        groups = channels if kind == "depth" else 1
        out = channels if kind == "depth" else pick(st.integers(1, 4))
        weight = weights(rng, size, size, channels // groups, out)
        pads = ((ahead, 0), (0, ahead))
        source = builder.add("c", Conv(weight, None, (step, step), pads, (1, 1), groups), source)
    elif kind == "pool":
        size = pick(small)
        op = Pool(pick(st.sampled_from(["max", "sum"])), (size, size), (size, size), ((0, 0),) * 2)
        source = builder.add("p", op, source)
    elif kind == "skip":
        weight = weights(rng, 3, 3, channels, channels)
        op = Conv(weight, weights(rng, channels), (1, 1), ((1, 1), (1, 1)), (1, 1))
        inner = builder.add("q", Quantize(Fixed(True, 5, 2)), builder.add("c", op, source))
        source = builder.add("s", Merge("add"), inner, source)
    elif kind == "pad":
        source = builder.add("z", Pad(((1, 0), (-1 if width > 2 else 0, 2), (0, 0))), source)
    elif kind == "up" and height * width <= 36:
        source = builder.add("u", Upsample((2, 1)), source)
    elif kind == "join":
        source = builder.add("j", Concat(pick(st.integers(0, 2))), source, source)
    return builder.add("r", Quantize(Fixed(False, 4, 2)), source)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_random_networks(tmp_path_factory, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    builder = NetBuilder()
    shape = data.draw(st.tuples(st.integers(3, 6), st.integers(3, 6), st.integers(1, 3)))
    edge = builder.add_input("x", shape, Fixed(True, 5, 2))
    for _ in range(data.draw(st.integers(1, 3))):
        edge = layer(builder, rng, edge, data.draw)
    size = int(np.prod(builder.edges[edge].shape))
    if data.draw(st.booleans()):
        flat = builder.add("flat", Reshape((size,)), edge)
        edge = builder.add("d", Dense(weights(rng, size, 3), weights(rng, 3)), flat)
    else:
        edge = builder.add("g", Reduce(data.draw(st.sampled_from(["max", "sum"])), (0, 1)), edge)
    sharing = data.draw(st.sampled_from([UNROLLED, SHARED]))
    stalls = Stalls(data.draw(st.integers(0, 70)), data.draw(st.integers(0, 70)), 7)
    net = builder.finish((edge,))
    wrong, _ = differences(net, tmp_path_factory.mktemp("net"), sharing, [stalls], samples=3)
    assert wrong == []


def test_one_pixel_a_clock_whatever_goes_round_a_convolution(tmp_path):
    builder = NetBuilder()
    builder.add_input("x", (6, 8, 2), Fixed(True, 5, 2))
    rng = np.random.default_rng(0)
    op = Conv(weights(rng, 3, 3, 2, 2), None, (1, 1), ((1, 1), (1, 1)), (1, 1))
    inner = builder.add("q", Quantize(Fixed(True, 5, 2)), builder.add("c", op, "x"))
    net = builder.finish((builder.add("s", Merge("add"), inner, "x"),))
    wrong, interval = differences(net, tmp_path, UNROLLED)
    assert wrong == []
    assert interval == 8 * 10  # the padded image


def test_shared_multipliers_take_as_many_clocks_as_the_reuse_factor(tmp_path):
    builder = NetBuilder()
    builder.add_input("x", (12,), Fixed(False, 5, 2))
    rng = np.random.default_rng(0)
    op = Dense(weights(rng, 12, 5), weights(rng, 5))
    net = builder.finish((builder.add("d", op, "x"),))
    for reuse, clocks in ((4, 4), (12, 12), (24, 24), (60, 60)):
        wrong, interval = differences(net, tmp_path / str(reuse), Sharing(1, {"d": reuse}))
        assert wrong == []
        assert interval == clocks


def test_a_table_behind_a_mover_sees_only_codes_that_come(tmp_path):
    builder = NetBuilder()
    builder.add_input("x", (4, 4, 1), Fixed(True, 5, 2))
    clip = builder.add("clip", Clip(None, Const(np.array(9), Fixed(False, 4, 2))), "x")
    pool = builder.add("pool", Pool("max", (2, 2), (2, 2), ((0, 0), (0, 0))), clip)
    values = Const(np.arange(-16, 10) ** 2, Fixed(False, 9, 0))  # fewer than its type has codes
    net = builder.finish((builder.add("table", Table(-16, values), pool),))
    wrong, _ = differences(net, tmp_path, UNROLLED)
    assert wrong == []


@pytest.mark.parametrize("sharing", [UNROLLED, SHARED])
def test_constants_inputs_as_outputs_and_ports_named_as_keywords(tmp_path, sharing):
    wrong, _ = differences(corners(), tmp_path, sharing, [Stalls(30, 30, 5)])
    assert wrong == []
