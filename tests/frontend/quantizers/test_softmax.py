"""Softmax in integers stays within its stated error."""

from __future__ import annotations

import numpy as np
import pytest

from qapflow.frontend.quantizers import add_keras_activation
from qapflow.ir.builder import NetBuilder
from qapflow.ir.fixed import Fixed
from qapflow.ir.interpret import interpret
from qapflow.ir.ops import Table

BOUND = 1e-3  # what the reason promises


def logits(rng, kind, classes):
    """Random logits of several spreads, all equal, one above all, two at the top, the corners."""
    spread = [rng.integers(kind.lo >> s, max(1, kind.hi >> s), (20, classes)) for s in (0, 2, 4, 6)]
    equal = np.full((1, classes), kind.hi // 3)
    top = np.full((3, classes), kind.lo)
    top[:, 0] = kind.hi
    top[1:, -1] = kind.hi
    top[2] = np.where(np.arange(classes) % 2, 0, -1)
    near = rng.integers(0, 1 + (3 << max(kind.frac, 0)), (20, classes))
    return np.clip(np.concatenate([*spread, equal, top, near]), kind.lo, kind.hi)


@pytest.mark.parametrize("classes", [1, 2, 5, 10, 100, 1000])
@pytest.mark.parametrize("text", ["s16.10", "s12.2", "s8.0", "u8.4", "s22.14", "s8.-1"])
def test_probabilities_are_off_by_less_than_a_thousandth(text, classes):
    kind = Fixed.parse(text)
    codes = logits(np.random.default_rng(3), kind, classes)
    builder = NetBuilder()
    edge = builder.add_input("x", (classes,), kind)
    result = add_keras_activation(builder, "softmax", {}, edge)
    net = builder.finish((result.edge,))
    got = net.edge(result.edge).type.decode(interpret(net, {"x": codes})[result.edge])
    x = kind.decode(codes)
    e = np.exp(x - x.max(-1, keepdims=True))
    assert np.abs(got - e / e.sum(-1, keepdims=True)).max() < BOUND
    assert not result.exact
    assert "off by less than 1e-3" in result.reason


def test_softmax_works_on_the_last_axis_of_images_and_its_tables_are_short():
    builder = NetBuilder()
    edge = builder.add_input("x", (2, 3, 4), Fixed(True, 16, 10))
    result = add_keras_activation(builder, "softmax", {}, edge)
    net = builder.finish((result.edge,))
    codes = np.random.default_rng(0).integers(-4000, 4000, (5, 2, 3, 4))
    out = net.edge(result.edge).type.decode(interpret(net, {"x": codes})[result.edge])
    assert out.shape == codes.shape
    assert np.allclose(out.sum(-1), 1, atol=4e-3)
    lengths = [n.op.values.codes.size for n in net.nodes if isinstance(n.op, Table)]
    assert max(lengths) <= 2048
