import numpy as np
import pytest

from qapflow.estimate.calibration import shipped
from qapflow.estimate.preflight import preflight
from qapflow.ir.fixed import Fixed
from qapflow.ir.net import Edge, Net, Node
from qapflow.ir.ops import Const, Dense, Input
from qapflow.plan import Choice, Plan
from qapflow.plan.reuse import parallel_multiplications

WIDE, BYTE = Fixed(True, 16, 10), Fixed(True, 8, 7)


def network(n_in, n_out):
    weight = Const(np.ones((n_in, n_out), np.int64), BYTE)
    return Net(
        (
            Node("x", Input(), (), Edge((n_in,), WIDE)),
            Node("fc", Dense(weight), ("x",), Edge((n_out,), WIDE)),
        ),
        ("fc",),
    )


def plan_of(strategy, reuse, backend="vivado"):
    return Plan(backend, "io_parallel", 5.0, 12.5, {"fc": Choice(strategy, reuse)})


@pytest.mark.parametrize("shape", [(32, 64), (64, 32), (16, 128)])
def test_what_always_passed_is_no_risk(shape):
    assert preflight(network(*shape), plan_of("latency", 1), shipped()) == ()


def test_what_always_failed_comes_with_the_plan_that_passes():
    net = network(96, 64)
    (risk,) = preflight(net, plan_of("latency", 1), shipped())
    assert (risk.verdict, risk.products, risk.wall) == ("fails", 96 * 64, 2048)
    assert "all 1,008 recorded runs with more than 2,048 failed" in str(risk)
    assert parallel_multiplications(net.nodes[1], risk.better) == risk.better_products <= 2048
    plan = plan_of(risk.better.strategy, risk.better.reuse_factor)
    assert preflight(net, plan, shipped()) == ()


def test_a_tool_without_recorded_runs_is_said():
    (risk,) = preflight(network(96, 64), plan_of("latency", 1, "vitis"), shipped())
    assert risk.verdict == "unknown"
    assert str(risk).startswith("may not synthesise: fc: 6,144 products side by side")


@pytest.mark.needs_shared
def test_every_recorded_run_agrees(groundtruth):
    from bench.estimate.tables import read_rows

    seen = {
        (int(row["d_in"]), int(row["d_out"]), row["hls_synth_success"] == "True")
        for row in read_rows(groundtruth / "dense_single_layer.csv")
        if row["strategy"] == "latency"
    }
    assert len(seen) > 40
    for n_in, n_out, passed in sorted(seen):
        risks = preflight(network(n_in, n_out), plan_of("latency", 1), shipped())
        assert bool(risks) != passed
