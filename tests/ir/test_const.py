"""Exact constants: the coarsest grid that holds every value."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qapflow.errors import UsageError
from qapflow.ir.ops import Const


@given(st.lists(st.floats(-1e30, 1e30, allow_nan=False), min_size=1, max_size=6))
def test_every_value_is_held_and_one_grid_coarser_would_not_do(values):
    const = Const.exact(np.array(values))
    codes = [int(code) for code in const.codes]
    assert [code * const.type.lsb for code in codes] == [Fraction(v) for v in values]
    assert const.type.lo <= min(codes) <= max(codes) <= const.type.hi
    assert any(code % 2 for code in codes) or not any(codes)


def test_large_small_and_empty_of_value():
    assert str(Const.exact(np.zeros((2, 2))).type) == "u1.0"
    assert str(Const.exact(-0.375).type) == "s3.3"
    assert str(Const.exact(96.0).type) == "u2.-5"
    wide = Const.exact(np.array([2.0**40, 2.0**-40, 5e-324]))
    assert wide.codes.dtype == object
    assert wide.codes.tolist() == [2**1114, 2**1034, 1]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_without_a_grid_are_refused(value):
    with pytest.raises(UsageError, match="constants cannot hold NaN or infinity"):
        Const.exact(np.array([1.0, value]))
