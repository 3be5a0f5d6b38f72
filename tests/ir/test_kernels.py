"""Arithmetic on codes where numpy alone would change their kind."""

import numpy as np
import pytest

from qapflow.ir.kernels import combine, shift_left


@pytest.mark.parametrize("kind", ["add", "sub", "mul", "max", "min"])
@pytest.mark.parametrize("size", [3, 2**70])
def test_arrays_without_axes_stay_arrays(kind, size):
    left, right = np.array(size, object), np.array(5, object)
    made = combine(kind, left, right)
    assert isinstance(made, np.ndarray)
    operations = {"add": size + 5, "sub": size - 5, "mul": size * 5}
    assert int(made) == operations.get(kind, max(size, 5) if kind == "max" else min(size, 5))
    assert isinstance(shift_left(left, 70), np.ndarray)
