"""The same network as distributed arithmetic and as plain multipliers."""

import numpy as np
import pytest

from qapflow.ir.builder import NetBuilder
from qapflow.ir.fixed import Fixed
from qapflow.ir.ops import Const, Conv, Dense
from qapflow.synth.open.compare import PLAIN, SHARED, compare_strategies
from qapflow.synth.open.engines import find_engines
from qapflow.synth.open.run import How
from qapflow.synth.open.script import CellMapping
from qapflow.synth.open.unit import Limits

LIMITS = Limits(120.0)


def network(zeros=0.0):
    rng = np.random.default_rng(3)
    kind, weights = Fixed(True, 6, 3), Fixed(True, 6, 5)
    builder = NetBuilder()
    builder.add_input("x", (4, 2), kind)
    codes = rng.integers(-32, 32, (2, 2, 3)) * (rng.random((2, 2, 3)) >= zeros)
    builder.add("conv", Conv(Const(codes, weights), None, (1,), ((0, 0),), (1,)), "x")
    builder.add("dense", Dense(Const(rng.integers(-32, 32, (3, 4)), weights)), "conv")
    return builder.finish(("dense",))


@pytest.mark.needs_alkaid
def test_places_are_counted_and_failures_said(fake, tmp_path):
    engine, ran = fake('print("ERROR: no"); sys.exit(1)', fail=("qapflow_batch", "plain_k2"))
    how = How(engine, CellMapping("xcup"), LIMITS, 1)
    shared, plain = compare_strategies(network(), how, tmp_path, lambda *words: None)
    assert (shared.name, plain.name) == (SHARED, PLAIN)
    assert shared.figures["lut"] == 2 * (3 + 3)  # two LUTs in each, at three places each
    assert plain.figures["lut"] == 2 * 3
    assert plain.detail.startswith("PARTIAL, 1 of 2 without a result")
    assert "no DSP" in shared.detail
    assert ran()


def test_network_without_matrices(tmp_path, fake):
    builder = NetBuilder()
    builder.add_input("x", (4,), Fixed(True, 6, 3))
    how = How(fake()[0], CellMapping("xcup"), LIMITS, 1)
    net = builder.finish(("x",))
    assert compare_strategies(net, how, tmp_path, lambda *words: None) == ()


@pytest.mark.slow
@pytest.mark.needs_alkaid
@pytest.mark.needs_yosys
def test_sharing_costs_less(tmp_path):
    how = How(find_engines()[0], CellMapping("xcup"), LIMITS, 2)
    shared, plain = compare_strategies(network(), how, tmp_path, lambda *words: None)
    assert 0 < shared.figures["lut"] < plain.figures["lut"]
    assert shared.figures["dsp"] == plain.figures["dsp"] == 0
