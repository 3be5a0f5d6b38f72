"""Loops over the first axis, reversal, and tables of rows."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qapflow.errors import UsageError
from qapflow.ir.builder import NetBuilder
from qapflow.ir.check import check
from qapflow.ir.fixed import Fixed
from qapflow.ir.interpret import interpret
from qapflow.ir.interval import bound_net
from qapflow.ir.net import Net, with_bodies
from qapflow.ir.ops import Clip, Const, Dense, Flip, Merge, Quantize, Scan, Table
from qapflow.ir.semantics import evaluate
from qapflow.ir.text import print_net, read_net, write_net
from qapflow.passes import PASSES

STATE = Fixed(True, 6, 3)
SLICE = Fixed(True, 4, 2)
ZERO = Const(np.zeros((), np.int64), STATE)


def _recurrence(seed: int = 0) -> Net:
    """h <- quantize(relu(h @ U + x @ W)); the step gives h."""
    rng = np.random.default_rng(seed)
    body = NetBuilder()
    body.add_input("h", (2,), STATE)
    body.add_input("x", (3,), SLICE)
    recurrent = Const(rng.integers(-4, 4, (2, 2)), Fixed(True, 3, 2))
    kernel = Const(rng.integers(-4, 4, (3, 2)), Fixed(True, 3, 1))
    body.add("hu", Dense(recurrent), "h")
    body.add("xw", Dense(kernel), "x")
    body.add("sum", Merge("add"), "hu", "xw")
    body.add("relu", Clip(Const(np.zeros((), np.int64), Fixed(False, 1, 0)), None), "sum")
    body.add("next", Quantize(STATE), "relu")
    return body.finish(("next", "next"))


def _loop(emit: Literal["all", "last"], steps: int = 5, reverse: bool = False) -> Net:
    builder = NetBuilder()
    edge = builder.add_input("x", (steps, 3), SLICE)
    if reverse:
        edge = builder.add("back", Flip(0), edge)
    edge = builder.add("loop", Scan(_recurrence(), (ZERO,), emit), edge)
    return builder.finish((edge,))


def _samples(net: Net, count: int = 20) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {
        node.name: rng.integers(node.out.type.lo, node.out.type.hi + 1, (count, *node.out.shape))
        for node in net.inputs
    }


def _by_hand(x: np.ndarray) -> np.ndarray:
    body = _recurrence()
    by_name = body.by_name
    u, w = by_name["hu"].op.weight, by_name["xw"].op.weight
    h, all_h = np.zeros((len(x), 2)), []
    for time in range(x.shape[1]):
        total = h @ np.ldexp(u.codes.astype(float), -2)
        total = total + np.ldexp(x[:, time].astype(float), -2) @ np.ldexp(w.codes.astype(float), -1)
        h = np.clip(np.rint(np.maximum(total, 0) * 8), STATE.lo, STATE.hi) / 8
        all_h.append(h * 8)
    return np.stack(all_h, axis=1).astype(np.int64)


def test_a_loop_carries_its_states() -> None:
    net = _loop("all")
    assert check(net) == []
    inputs = _samples(net)
    made = interpret(net, inputs)["loop"]
    assert made.shape == (20, 5, 2)
    assert np.array_equal(made, _by_hand(inputs["x"]))
    last = interpret(_loop("last"), inputs)["loop"]
    assert np.array_equal(last, made[:, -1])
    backwards = interpret(_loop("all", reverse=True), inputs)["loop"]
    assert np.array_equal(backwards, _by_hand(inputs["x"][:, ::-1]))


def test_the_fast_lane_computes_what_the_definition_says() -> None:
    net = _loop("all")
    inputs = _samples(net)
    node = net.by_name["loop"]
    slow = evaluate(node.op, node.out, (net.edge("x"),), (inputs["x"],))
    assert np.array_equal(slow, interpret(net, inputs)["loop"])


@pytest.mark.parametrize("emit", ["all", "last"])
def test_text_and_passes_keep_loops(emit: Literal["all", "last"]) -> None:
    net = _loop(emit)
    assert read_net(write_net(net)) == net
    assert "    %next" in print_net(net)
    inputs = _samples(net)
    for rewrite in PASSES:
        rewritten = rewrite(net)
        assert check(rewritten) == []
        assert np.array_equal(interpret(rewritten, inputs)["loop"], interpret(net, inputs)["loop"])


def test_passes_reach_into_bodies() -> None:
    body = NetBuilder()
    body.add_input("h", (2,), STATE)
    body.add_input("x", (2,), STATE)
    body.add("same", Quantize(STATE), "x")
    body.add("next", Quantize(STATE), "same")
    body.add("unused", Quantize(SLICE), "x")
    builder = NetBuilder()
    builder.add_input("x", (4, 2), STATE)
    builder.add("loop", Scan(body.finish(("next", "next")), (ZERO,)), "x")
    net = builder.finish(("loop",))
    for rewrite in PASSES:
        net = rewrite(net)
    scan = net.by_name["loop"].op
    assert isinstance(scan, Scan)
    assert [node.name for node in scan.body.nodes] == ["h", "x", "next"]


@given(st.integers(0, 2**31))
def test_bounds_hold_every_value(seed: int) -> None:
    builder = NetBuilder()
    builder.add_input("x", (4, 3), SLICE)
    builder.add("loop", Scan(_recurrence(seed), (ZERO,)), "x")
    net = builder.finish(("loop",))
    made = interpret(net, _samples(net, 50))["loop"]
    bound = bound_net(net)["loop"]
    assert (made >= bound.lo).all()
    assert (made <= bound.hi).all()


def test_a_view_shows_the_nodes_of_bodies() -> None:
    view = with_bodies(_loop("last"))
    assert [node.name for node in view.nodes][:3] == ["x", "loop/h", "loop/x"]
    assert view.by_name["loop/sum"].inputs == ("loop/hu", "loop/xw")
    assert view.by_name["loop/sum"].origin == "sum"


def test_a_loop_without_states_maps_slices() -> None:
    body = NetBuilder()
    body.add_input("x", (3,), SLICE)
    weight = Const(np.array([[1], [2], [-1]]), Fixed(True, 3, 0))
    body.add("y", Dense(weight), "x")
    builder = NetBuilder()
    builder.add_input("x", (5, 3), SLICE)
    builder.add("loop", Scan(body.finish(("y",)), ()), "x")
    net = builder.finish(("loop",))
    assert check(net) == []
    inputs = _samples(net)
    assert np.array_equal(interpret(net, inputs)["loop"], inputs["x"] @ weight.codes)


def test_broken_loops_are_named() -> None:
    body = NetBuilder()
    body.add_input("h", (2,), STATE)
    body.add_input("x", (2,), STATE)
    body.add("next", Quantize(Fixed(True, 9, 3)), "x")
    builder = NetBuilder()
    builder.add_input("x", (4, 2), STATE)
    late = Const(np.full((), 99), STATE)
    builder.add("loop", Scan(body.finish(("next", "next")), (late,)), "x")
    assert check(builder.finish(("loop",))) == [
        "loop: state h of type s6.3 becomes s9.3",
        "loop: state h of type s6.3 starts outside it",
    ]


def test_sequences_must_fit_the_body() -> None:
    builder = NetBuilder()
    builder.add_input("x", (4, 7), SLICE)
    with pytest.raises(UsageError, match=r"slices of shape \(3,\) gets \(4, 7\)"):
        builder.add("loop", Scan(_recurrence(), (ZERO,)), "x")
    with pytest.raises(UsageError, match=r"cannot reverse axis 2 of \(4, 7\)"):
        builder.add("back", Flip(2), "x")


def test_a_table_of_rows_adds_an_axis() -> None:
    rows = Const(np.array([[1, -2], [3, 4], [5, -7]]), Fixed(True, 4, 1))
    builder = NetBuilder()
    builder.add_input("i", (4,), Fixed(False, 1, 0))
    builder.add("row", Table(0, rows), "i")
    net = builder.finish(("row",))
    assert net.edge("row").shape == (4, 2)
    assert check(net) == []
    inputs = _samples(net)
    assert np.array_equal(interpret(net, inputs)["row"], rows.codes[inputs["i"]])
    bound = bound_net(net)["row"]
    assert bound.lo.tolist() == [[1, -2]] * 4
    assert bound.hi.tolist() == [[3, 4]] * 4
