"""Where and why a network leaves a real Keras model."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qapflow.frontend.load import load
from qapflow.ir.fixed import Overflow, Rounding
from qapflow.ir.net import Net
from qapflow.ir.ops import Const
from qapflow.verify.bisect import Subject, bisect
from qapflow.verify.bisection import Blame, Cause
from qapflow.verify.vectors import make_vectors

SAMPLES = 200
pytestmark = pytest.mark.needs_keras


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folder with the models of bisect_models.py."""
    made = tmp_path_factory.mktemp("models")
    script = Path(__file__).with_name("bisect_models.py")
    subprocess.run([sys.executable, script, made], check=True, capture_output=True)
    return made


def run(path, changes=None, samples=SAMPLES):
    """Bisect a model, after changes to the operations of some layers of its network."""
    loaded = load(path)
    net = mutated(loaded.net, changes or {})
    subject = Subject(net, loaded.records, path)
    found = bisect(subject, make_vectors(net, samples, 1).codes)
    return found, {check.layer: check for check in found.causes}


def mutated(net, changes):
    nodes = [
        replace(node, op=changes[node.name](node.op)) if node.name in changes else node
        for node in net.nodes
    ]
    assert changes.keys() <= {node.name for node in net.nodes}, [n.name for n in net.nodes]
    return Net(tuple(nodes), net.outputs)


def test_equal_layers_are_equal(folder):
    found, causes = run(folder / "exact.h5")
    assert (found.verdict, found.first, causes) == ("equal", None, {})
    assert [(c.layer, c.differing, c.own) for c in found.layers if c.differing or c.own] == []
    assert [check.layer for check in found.layers] == [
        "image", "start", "conv", "relu", "flat", "fc", "act", "out",
    ]  # fmt: skip
    assert found.passed


def test_every_cause_is_named_at_its_layer_whatever_comes_before(folder):
    """One wrong thing at each of five layers of the same network."""

    def scaled(op):
        kind = op.weight.type
        return replace(op, weight=Const(op.weight.codes * 3, replace(kind, width=kind.width + 2)))

    def moved(op):
        return replace(op, padding=tuple((b, a) for a, b in op.padding))

    def other_bias(op):
        codes = np.array(op.bias.codes)
        codes[1] += 1
        return replace(op, bias=Const(codes, replace(op.bias.type, width=op.bias.type.width + 1)))

    found, causes = run(
        folder / "exact.h5",
        {
            "conv": moved,
            "relu": lambda op: replace(op, overflow=Overflow.WRAP),
            "fc": scaled,
            "act": lambda op: replace(op, rounding=Rounding.TRN),
            "out": other_bias,
        },
    )
    assert found.verdict == "different"
    assert found.first.layer == "conv"
    assert {name: check.finding.cause for name, check in causes.items()} == {
        "conv": Cause.ATTRIBUTE,
        "relu": Cause.OVERFLOW,
        "fc": Cause.ODD_SCALE,
        "act": Cause.ROUNDING,
        "out": Cause.CONSTANT,
    }
    assert {check.finding.blame for check in causes.values()} == {Blame.NETWORK}


def test_float_accumulation_beyond_24_bits_is_proved_to_be_keras(folder):
    found, causes = run(folder / "wide.h5")
    assert found.verdict == "Keras inexact"
    assert found.passed
    finding = causes["fc"].finding
    assert (finding.cause, finding.blame) == (Cause.FLOAT32_SUM, Blame.KERAS)


def test_a_wrong_weight_is_not_excused_by_inexact_sums(folder):
    def other(op):
        codes = np.array(op.weight.codes)
        codes[3, 2] += 1
        return replace(op, weight=Const(codes, op.weight.type))

    found, causes = run(folder / "wide.h5", {"fc": other})
    assert found.verdict == "different"
    assert causes["fc"].finding.cause is Cause.CONSTANT


def test_float_layers_are_told_apart(folder):
    found, causes = run(folder / "floats.h5")
    assert found.verdict == "rounded by rule"
    assert found.passed
    for check in causes.values():
        assert check.finding.blame is Blame.RULE
        assert check.finding.proof.startswith("every value is within what that rounding can move")
    found_causes = {name: check.finding.cause for name, check in causes.items()}
    # the layer with the odd scale keeps its levels: it may well be equal to Keras
    assert found_causes.pop("auto", Cause.ODD_SCALE) is Cause.ODD_SCALE
    assert found_causes == {"plain": Cause.ROUNDING, "tanh": Cause.TABLE}


def test_announced_rounding_excuses_no_more_than_it_can_do(folder):
    """A weight four steps off, a bias left out, a table read one entry too far."""

    def four_steps(op):
        codes = np.array(op.weight.codes)
        codes[3, 2] += 4
        return replace(op, weight=Const(codes, op.weight.type))

    def shifted(op):
        return replace(op, values=Const(np.roll(op.values.codes, 16), op.values.type))

    found, causes = run(folder / "floats.h5", {"plain": four_steps, "tanh_2": shifted})
    assert found.verdict == "different"
    assert causes["plain"].finding.cause is Cause.CONSTANT
    assert causes["tanh"].finding.blame is Blame.NETWORK
    assert "where the announced rounding (tanh from a table" in causes["tanh"].finding.what


def test_inputs_off_the_grid_are_not_held_against_the_layers(folder):
    loaded = load(folder / "wide.h5")
    kind = loaded.net.edge("x").type
    real = {"x": np.random.default_rng(2).normal(0, 20, (20, 64))}
    codes = {"x": kind.encode(real["x"])[0]}
    subject = Subject(loaded.net, loaded.records, folder / "wide.h5")
    found = bisect(subject, codes, real)
    causes = {check.layer: check.finding for check in found.causes}
    saturated = int(np.count_nonzero((real["x"] < -32) | (real["x"] > 32 - 2.0**-10)))
    assert saturated > 0
    assert (found.verdict, found.first.layer) == ("different", "x")
    assert {name: finding.cause for name, finding in causes.items()} == {
        "x": Cause.INPUT,
        "fc": Cause.FLOAT32_SUM,
    }
    assert f"{saturated} saturated, {real['x'].size - saturated} rounded" in causes["x"].what
