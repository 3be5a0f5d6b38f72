"""Loops in plans, estimates and reports: bodies in line, named after their loop."""

from __future__ import annotations

import numpy as np
import pytest

from qapflow.boards import load_target
from qapflow.estimate import estimate
from qapflow.frontend.model import LayerRecord
from qapflow.ir.builder import NetBuilder
from qapflow.ir.fixed import Fixed
from qapflow.ir.net import Net
from qapflow.ir.ops import Const, Dense, Merge, Quantize, Scan
from qapflow.plan.overrides import LayerOverride, Overrides
from qapflow.plan.propose import propose
from qapflow.report.assemble import assemble

STATE = Fixed(True, 6, 3)
TURNS = 7


@pytest.fixture
def net() -> Net:
    body = NetBuilder()
    body.add_input("h", (4,), STATE)
    body.add_input("x", (3,), STATE)
    zeros = np.zeros((3, 4), np.int64)
    zeros[0] = 1
    body.add("hu", Dense(Const(np.full((4, 4), 3), Fixed(True, 3, 1))), "h", origin="rnn")
    body.add("xw", Dense(Const(zeros, Fixed(False, 1, 0))), "x", origin="rnn")
    body.add("sum", Merge("add"), "hu", "xw", origin="rnn")
    body.add("next", Quantize(STATE), "sum", origin="rnn")
    builder = NetBuilder()
    builder.add_input("x", (TURNS, 3), STATE)
    zero = Const(np.zeros((), np.int64), STATE)
    builder.add("rnn", Scan(body.finish(("next", "next")), (zero,), "last"), "x")
    return builder.finish(("rnn",))


def test_choices_reach_the_layers_of_a_body(net: Net) -> None:
    given = Overrides("", layers={"rnn/hu": LayerOverride("resource", 2, "plan.yaml")})
    plan = propose(net, load_target("xcvu9p"), overrides=given)
    assert {name: c.reuse_factor for name, c in plan.choices.items()} == {"rnn/hu": 2, "rnn/xw": 1}


def test_a_loop_takes_its_turns_one_after_the_other(net: Net) -> None:
    target = load_target("xcvu9p")
    plan = propose(net, target)
    found = estimate(net, plan, target)
    figures = found.layers
    loop = figures["rnn"]
    assert loop["latency_cycles"].value % TURNS == 0
    assert loop["latency_cycles"].value >= TURNS
    totals = dict(found.totals)
    assert totals["ii_cycles"].value == loop["ii_cycles"].value
    inner = sum(row["lut"].value for name, row in figures.items() if name != "rnn")
    assert inner > 0
    assert totals["lut"].value == inner + loop["lut"].value


def test_the_report_lists_the_body_and_counts_every_turn(net: Net) -> None:
    target = load_target("xcvu9p")
    record = LayerRecord("rnn", "QSimpleRNN", "rnn", "exact", "", 28, 8, 8)
    report = assemble(net, propose(net, target), target, [record], model="m", model_digest="d")
    assert [layer.name for layer in report.layers] == [
        "rnn/hu",
        "rnn/xw",
        "rnn/sum",
        "rnn/next",
        "rnn",
    ]
    (row,) = report.ledger
    assert (row.multiplications, row.multiplications_removed) == (28 * TURNS, 8 * TURNS)
    assert "Whether 1 quantizer can saturate is not excluded, and no input was found: rnn/next" in (
        report.overflow_statement
    )
