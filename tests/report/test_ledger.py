import numpy as np
import pytest

from qapflow.frontend.model import LayerRecord
from qapflow.ir.fixed import Fixed
from qapflow.ir.net import Edge, Net, Node
from qapflow.ir.ops import Const, Conv, Dense, Input
from qapflow.plan import Choice, Plan
from qapflow.report.ledger import make_ledger

KIND = Fixed(True, 8, 4)


def net_of(op, in_shape, out_shape):
    nodes = (
        Node("x", Input(), (), Edge(in_shape, KIND)),
        Node("node", op, ("x",), Edge(out_shape, KIND), "layer"),
    )
    return Net(nodes, ("node",))


def dense():
    weight = np.ones((4, 4), np.int64)
    weight[:3] = 0
    return net_of(Dense(Const(weight, KIND)), (4,), (4,))


def record(**changes):
    fields = {"weights": 16, "zeros_float": 12, "zeros_quantized": 12} | changes
    return LayerRecord("layer", "QDense", "node", "exact", "", **fields)


def row_of(net, strategy, reuse, **changes):
    plan = Plan("vitis", "io_parallel", 5.0, 12.5, {"node": Choice(strategy, reuse)})
    (row,) = make_ledger(net, plan, [record(**changes)])
    return row


@pytest.mark.parametrize(
    ("strategy", "reuse"),
    [("latency", 1), ("latency", 4), ("distributed_arithmetic", 1), ("resource", 1)],
)
def test_zeros_that_are_constants_vanish(strategy, reuse):
    row = row_of(dense(), strategy, reuse)
    assert (row.multiplications, row.multiplications_removed, row.warning) == (16, 12, "")


def test_zeros_in_a_memory_stay():
    row = row_of(dense(), "resource", 8)
    assert row.multiplications_removed == 0
    assert "0 % of this sparsity reaches the hardware: reuse factor 8, resource" in row.warning
    assert "Use reuse factor 1 with the latency strategy" in row.warning


def test_dense_weights_in_a_memory_are_no_loss():
    net = net_of(Dense(Const(np.ones((4, 4), np.int64), KIND)), (4,), (4,))
    assert row_of(net, "resource", 8, zeros_float=0, zeros_quantized=0).warning == ""


def test_convolutions_multiply_at_every_position():
    weight = np.ones((3, 3, 2, 4), np.int64)
    weight[0] = 0
    op = Conv(Const(weight, KIND), None, (1, 1), ((1, 1), (1, 1)), (1, 1))
    row = row_of(net_of(op, (5, 5, 2), (5, 5, 4)), "latency", 1)
    assert row.multiplications == 72 * 25
    assert row.multiplications_removed == 24 * 25


def test_a_quantizer_without_zero():
    row = row_of(dense(), "latency", 1, zeros_quantized=0)
    assert "the quantizer makes 12 zero weights non-zero" in row.warning


def test_a_mask_that_was_never_applied():
    row = row_of(dense(), "latency", 1, zeros_mask=14)
    assert "the pruning mask has 14 zeros, the weights only 12" in row.warning


def test_a_layer_that_is_gone():
    net = Net((Node("x", Input(), (), Edge((4,), KIND)),), ("x",))
    row = row_of(net, "latency", 1)
    assert "no longer in the network" in row.warning
    assert row.multiplications == 0


def test_layers_without_weights_have_no_row():
    plan = Plan("vitis", "io_parallel", 5.0, 12.5, {})
    assert make_ledger(dense(), plan, [record(weights=0)]) == ()
