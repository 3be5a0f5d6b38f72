"""Inverse square roots from tables against the real function."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qapflow.frontend.quantizers.roots import RELATIVE_ERROR, inverse_root
from qapflow.frontend.quantizers.site import Site
from qapflow.ir.builder import NetBuilder
from qapflow.ir.fixed import Fixed
from qapflow.ir.interpret import interpret
from qapflow.ir.ops import Clip, Const


@settings(max_examples=80, deadline=None)
@given(
    width=st.integers(1, 50),
    frac=st.integers(-10, 40),
    lowest=st.integers(0, 49),
    factor=st.sampled_from([1.0, 3.0**0.5, 8.0, 0.3]),
    grid=st.integers(0, 40),
)
def test_roots_stay_within_their_stated_error(width, frac, lowest, factor, grid):
    kind = Fixed(False, width, frac)
    low = min(1 << lowest, kind.hi)
    builder = NetBuilder()
    edge = builder.add_input("x", (200,), kind)
    edge = builder.add("p", Clip(Const(np.array(low), Fixed.holding(0, low, frac)), None), edge)
    made = inverse_root(Site(builder, edge, "r", "r"), factor, grid)
    net = builder.finish((made.edge,))
    rng = np.random.default_rng(width)
    codes = np.floor(2.0 ** rng.uniform(0, width, 200)).astype(np.int64) - 1
    codes[:2] = 0, kind.hi
    ours = made.type.decode(interpret(net, {"x": codes[None]})[made.edge])[0]
    wanted = factor / np.sqrt(kind.decode(np.maximum(codes, low)))
    assert (np.abs(ours - wanted) <= wanted * RELATIVE_ERROR + 2.0 ** -(grid + 1) + 1e-300).all()


def test_an_error_bound_can_be_missed():
    assert pytest.approx(4.5e-6, rel=0.3) == RELATIVE_ERROR
