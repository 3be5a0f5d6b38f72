"""Products of two flowing matrices."""

from __future__ import annotations

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
from qapflow.ir.net import Net
from qapflow.ir.ops import MatMul


def _product(left: Fixed, right: Fixed, heads: tuple[int, ...] = (2,)) -> Net:
    builder = NetBuilder()
    builder.add_input("a", (*heads, 3, 4), left)
    builder.add_input("b", (*heads, 4, 5), right)
    builder.add("y", MatMul(), "a", "b")
    return builder.finish(("y",))


@given(
    left=st.builds(Fixed, st.booleans(), st.integers(2, 30), st.integers(-3, 9)),
    right=st.builds(Fixed, st.booleans(), st.integers(2, 40), st.integers(-3, 9)),
    seed=st.integers(0, 2**31),
)
def test_every_width_is_exact_and_within_its_bound(left: Fixed, right: Fixed, seed: int) -> None:
    net = _product(left, right)
    assert check(net) == []
    rng = np.random.default_rng(seed)
    a = rng.integers(left.lo, left.hi, (6, 2, 3, 4), endpoint=True)
    b = rng.integers(right.lo, right.hi, (6, 2, 4, 5), endpoint=True)
    a[0], b[0] = left.lo, right.lo
    made = interpret(net, {"a": a, "b": b})["y"]
    assert np.array_equal(made, a.astype(object) @ b.astype(object))
    assert net.edge("y").type.frac == left.frac + right.frac
    bound = bound_net(net)["y"]
    assert (made >= bound.lo).all()
    assert (made <= bound.hi).all()


def test_the_bound_is_reached() -> None:
    net = _product(Fixed(True, 3, 0), Fixed(True, 4, 0), ())
    bound = bound_net(net)["y"]
    assert (bound.low, bound.high) == (4 * -4 * 7, 4 * 4 * 8)


def test_shapes_must_fit() -> None:
    builder = NetBuilder()
    builder.add_input("a", (3, 4), Fixed(True, 4, 0))
    with pytest.raises(UsageError, match=r"matrices of shapes \(3, 4\) and \(3, 4\)"):
        builder.add("y", MatMul(), "a", "a")
