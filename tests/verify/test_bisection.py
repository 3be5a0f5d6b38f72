"""From evidence to cause and verdict, without Keras."""

from dataclasses import replace

import numpy as np
import pytest

from qapflow.frontend.model import LayerRecord
from qapflow.ir.builder import NetBuilder
from qapflow.ir.fixed import Fixed
from qapflow.ir.interpret import interpret
from qapflow.ir.ops import Clip, Const, Dense, Quantize
from qapflow.report.bisection import headline, render_bisection
from qapflow.verify.bisection import Bisection, Blame, Cause, Finding, LayerCheck
from qapflow.verify.conclude import conclude
from qapflow.verify.evidence import Evidence
from qapflow.verify.explain import explain
from qapflow.verify.input_grid import check_inputs
from qapflow.verify.parts import Part
from qapflow.verify.rule_bound import rule_bound

EXACT = LayerRecord("fc", "QDense", "fc", "exact")
CHOSEN = LayerRecord("fc", "Dense", "fc", "chosen", "float weights; result rounded")


def evidence(weight, record=EXACT, *, width=8, narrow=None, change=0.0, constants=None):
    """A dense layer, and Keras giving the exact result rounded to float32 plus `change`."""
    build = NetBuilder()
    kind = Fixed(True, width, 0)
    edge = build.add("fc", Dense(weight), build.add_input("x", weight.codes.shape[:1], kind))
    exact = edge
    if narrow is not None:
        edge = build.add("narrow", Quantize(narrow), edge)
        record = replace(record, edge="narrow")
    net = build.finish((edge,))
    codes = np.random.default_rng(0).integers(kind.lo, kind.hi, (40, *weight.codes.shape[:1]))
    edges = interpret(net, {"x": codes}, keep="all")
    keras = net.edge(exact).type.decode(edges[exact]).astype(np.float32) + change
    theirs = weight.type.decode(weight.codes) if constants is None else constants
    part = Part(record, "fc", net)
    return Evidence(part, {"x": codes}, edges[edge], keras, None, [theirs])


def weights(bits, shape=(6, 3)):
    kind = Fixed(True, bits, bits - 1)
    return Const(np.random.default_rng(1).integers(kind.lo, kind.hi, shape), kind)


def test_sums_that_double_precision_cannot_hold_are_proved_by_equal_constants():
    found = explain(evidence(weights(24), width=40))
    assert (found.cause, found.blame) == (Cause.FLOAT32_SUM, Blame.KERAS)
    assert "the network holds exactly the constants that Keras uses" in found.proof
    assert "these sums need 64 bits" in found.what


@pytest.mark.parametrize(("name", "bound"), [("Activation", 0.01), ("LSTM", None)])
def test_a_stated_error_bounds_only_what_ends_with_the_table(name, bound):
    build = NetBuilder()
    edge = build.add_input("x", (3,), Fixed(True, 8, 0))
    net = build.finish((build.add("fc", Clip(Const.exact(np.array(0.0)), None), edge),))
    record = LayerRecord("fc", name, "fc", "chosen", "tanh from a table; error at most 0.01")
    values = np.zeros((5, 3), np.int64)
    found = rule_bound(Evidence(Part(record, "fc", net), {"x": values}, values, values, None, []))
    if bound is None:
        assert found is None, "the errors of a loop add up"
    else:
        assert (found >= bound).all()
        assert (found < 1.1 * bound).all()


def test_other_constants_are_no_proof():
    const = weights(24)
    theirs = const.type.decode(const.codes)
    theirs[2, 1] += 2.0**-20
    found = explain(evidence(const, width=40, constants=theirs, change=2.0**22))
    assert found.blame is Blame.NETWORK


def test_a_difference_beyond_the_error_of_float32_is_no_proof():
    found = explain(evidence(weights(24), width=40, change=2.0**30))
    assert found.blame is Blame.NETWORK


def test_announced_rounding_has_a_bound():
    narrow = Fixed(True, 14, 4)
    found = explain(evidence(weights(12), CHOSEN, narrow=narrow))
    assert (found.cause, found.blame) == (Cause.ROUNDING, Blame.RULE)
    assert found.proof.startswith("every value is within what that rounding can move it")
    beyond = explain(evidence(weights(12), CHOSEN, narrow=narrow, change=0.75))
    assert (beyond.cause, beyond.blame) == (Cause.ATTRIBUTE, Blame.NETWORK)
    assert "where the announced rounding (float weights; result rounded) moves" in beyond.what


def test_inputs_off_the_grid_are_counted_with_the_type_that_holds_them():
    build = NetBuilder()
    net = build.finish((build.add_input("x", (3,), Fixed(True, 8, 4)),))
    given = {"x": np.array([[100.0, 0.03125, 1.0]])}
    codes = {"x": net.edge("x").type.encode(given["x"])[0]}
    (check,) = check_inputs(net, codes, given)
    assert (check.differing, check.finding.cause) == (2, Cause.INPUT)
    assert "2 of 3 input values are not on the grid of s8.4" in check.finding.what
    assert "1 saturated, 1 rounded" in check.finding.what
    assert check.finding.fix == "--input-type 'x=ufixed<12,7>' holds them all"


def layer(name, blame=None, differing=0, own=0):
    finding = None if blame is None else Finding(Cause.ROUNDING, "what", "fix", "proof", blame)
    return LayerCheck(name, "QDense", name, "exact", 8, differing, 0.5, own, None, finding)


@pytest.mark.parametrize(
    ("checks", "verdict"),
    [
        ([layer("a"), layer("y")], "equal"),
        ([layer("a", Blame.KERAS, 2, 2), layer("y", differing=1)], "Keras inexact"),
        ([layer("a", Blame.RULE, 2, 2), layer("y", Blame.KERAS, 1, 1)], "rounded by rule"),
        ([layer("a", Blame.NETWORK, 2, 2), layer("y", Blame.KERAS)], "different"),
        ([layer("a", Blame.INPUT, 2, 2), layer("y", differing=1)], "different"),
        ([layer("a", Blame.INPUT, 2, 2), layer("y")], "equal"),
        ([layer("a", Blame.KERAS, 2, 2), layer("y", differing=1, own=None)], "different"),
    ],
)
def test_verdict(checks, verdict):
    build = NetBuilder()
    edge = build.add(
        "y", Quantize(Fixed(True, 4, 0)), build.add_input("x", (2,), Fixed(True, 8, 4))
    )
    found = conclude(build.finish((edge,)), checks, {}, np.arange(4), "m.h5", ())
    assert found.verdict == verdict
    assert found.passed == (verdict != "different")


def test_firmware_that_is_not_the_network_fails_whatever_keras_says():
    found = Bisection("equal", "m.h5", "", 4, (layer("a"),), firmware="different")
    assert not found.passed
    assert headline(found) == "different: the firmware is not the network, which is equal to Keras"


def test_a_model_that_keras_refuses_says_so_once():
    found = Bisection("not run", "m.h5", "", 0, (), notes=("Keras cannot load the file",))
    assert render_bisection(found) == "not run: Keras cannot load the file\n"
