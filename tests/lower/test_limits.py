"""What is refused, with the way out."""

import numpy as np
import pytest

from qapflow.errors import ModelUnsupported, UsageError
from qapflow.ir.fixed import Fixed, Overflow, Rounding
from qapflow.ir.net import Edge, Net, Node
from qapflow.ir.ops import Affine, Clip, Const, Conv, Dense, Input, Merge, Quantize, Transpose
from qapflow.lower.limits import unsupported, valid_reuse_factors
from qapflow.lower.project import lower
from qapflow.plan import Choice

X = Fixed(True, 8, 4)


def one(op, shape, out, kind=X, source=X):
    nodes = (
        Node("x", Input(), (), Edge(shape, source), "x"),
        Node("y", op, ("x",), Edge(out, kind), "layer_y"),
    )
    return Net(nodes, ("y",))


def weights(*shape):
    return Const(np.ones(shape, np.int64), Fixed(False, 1, 0))


def text(net, plan):
    items = unsupported(net, plan)
    return "; ".join(f"{i.layer} ({i.class_name}): {i.reason} -> {i.hint}" for i in items)


def test_wide_ports_are_refused(plan):
    net = one(Clip(None, None), (2,), (2,), Fixed(True, 70, 4), Fixed(True, 70, 4))
    found = text(net, plan())
    assert "x (Input): a port has 70 bits; 63 is the most -> quantize the inputs" in found
    assert "layer_y (Clip): a port has 70 bits" in found


def test_types_beyond_ap_fixed_are_refused(plan):
    inner = one(Merge("add"), (2,), (2,), Fixed(True, 2000, 0))
    narrow = Node("z", Quantize(X, Rounding.TRN, Overflow.SAT), ("y",), Edge((2,), X))
    merged = Node("y", Merge("add"), ("x", "x"), inner.nodes[1].out, "layer_y")
    net = Net((inner.nodes[0], merged, narrow), ("z",))
    assert "2000 bits are more than the 1024 of ap_fixed -> quantize before" in text(net, plan())


def test_constants_beyond_doubles_are_refused(plan):
    big = Const(np.array([(1 << 60) + 1]), Fixed(False, 61, 0))
    found = text(one(Affine(big), (2,), (2,)), plan())
    assert "a constant needs 61 bits; 53 is the most -> quantize the weights" in found


def test_empty_shapes_are_refused(plan):
    found = text(one(Clip(None, None), (2, 0), (2, 0)), plan())
    assert "the shape (2, 0) holds no element -> remove this layer" in found


def test_too_many_moving_axes_are_refused(plan):
    order = (7, 5, 3, 1, 6, 4, 2, 0)
    found = text(one(Transpose(order), (2,) * 8, (2,) * 8), plan())
    assert "too many independent axes in shape" in found
    assert "reshape so that fewer axes are moved" in found


def test_invalid_reuse_factors_name_the_nearest(plan):
    net = one(Dense(weights(12, 4)), (12,), (4,))
    bad = plan(choices={"y": Choice("resource", 5)})
    assert "reuse factor 5 does not divide this layer's work evenly -> use reuse factor 4" in (
        text(net, bad)
    )
    zero = plan(choices={"y": Choice("latency", 0)})
    assert "reuse factor 0 is not positive -> use reuse factor 1" in text(net, zero)


def test_distributed_arithmetic_is_refused(plan):
    net = one(Dense(weights(12, 4)), (12,), (4,))
    choice = plan(choices={"y": Choice("distributed_arithmetic", 1)})
    assert "builds no 'distributed_arithmetic' -> use strategy 'latency'" in text(net, choice)


def test_lowering_refuses_everything_at_once(plan, target):
    net = one(Clip(None, None), (2, 0), (2, 0), Fixed(True, 70, 4))
    with pytest.raises(ModelUnsupported, match="3 things in this model") as caught:
        lower(net, plan(), target, "top")
    assert "lowering to vitis, io_parallel" in str(caught.value)


def test_top_name_must_be_an_identifier(plan, target):
    net = one(Clip(None, None), (2,), (2,))
    with pytest.raises(UsageError, match="'my-top' cannot be the name of a top function") as caught:
        lower(net, plan(), target, "my-top")
    assert "use 'my_top'" in str(caught.value)


def test_nodes_that_no_output_needs_are_not_judged(plan):
    wide = Node("w", Clip(None, None), ("x",), Edge((2, 0), X))
    net = one(Clip(None, None), (2,), (2,))
    assert unsupported(Net((*net.nodes, wide), net.outputs), plan()) == []


def test_valid_reuse_factors():
    assert valid_reuse_factors(Dense(weights(4, 6))) == (1, 2, 4, 8, 12, 24)
    dilated = Conv(weights(2, 2, 3), None, (1,), ((0, 0),), (2,))
    assert valid_reuse_factors(dilated) == (1, 2, 3, 6, 18)
    depthwise = Conv(weights(3, 1, 4), None, (1,), ((0, 0),), (1,), 4)
    assert valid_reuse_factors(depthwise) == (1, 2, 3, 4, 6, 12)
