"""Normalization by the spread of the sample against real Keras: within the stated error."""

import re

import numpy as np
import pytest

from qapflow.ir.fixed import Fixed

pytestmark = [pytest.mark.needs_keras, pytest.mark.filterwarnings("ignore")]

GRIDS = [Fixed(True, 8, 4), Fixed(True, 16, 10), Fixed(False, 6, 0), Fixed(True, 4, 6)]
FLOAT32 = 2e-5  # of Keras's own arithmetic, next to values below 8
LAYERS = [
    ("LayerNormalization", (8,), {}),
    ("LayerNormalization", (3, 5), {"epsilon": 1e-5}),
    ("LayerNormalization", (3, 5), {"axis": 1, "scale": False}),
    ("LayerNormalization", (2, 3, 4), {"axis": [1, 3], "center": False}),
    ("LayerNormalization", (1,), {}),
    ("GroupNormalization", (3, 4, 6), {"groups": 2}),
    ("GroupNormalization", (4, 6), {"groups": -1}),
    ("GroupNormalization", (6,), {"groups": 3}),
    ("UnitNormalization", (5,), {}),
    ("UnitNormalization", (2, 3, 4), {"axis": [1, 2]}),
]


@pytest.mark.parametrize(("name", "shape", "options"), LAYERS, ids=str)
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_normalization_stays_within_its_stated_error(keras, compare, name, shape, options, grid):
    x = keras.Input(shape)
    made = getattr(keras.layers, name)(**options)(x)
    loaded, (left,), (right,) = compare(x, made, grid=grid, samples=300, float_bits=24)
    reason = loaded.records[-1].reason
    stated = float(re.search(r"error at most (\S+?)[ ;]", reason + ";")[1])
    weight = float((re.search(r"largest of which is (\S+?)[ ;]", reason + ";") or [0, 1])[1])
    lsb = float(loaded.net.edge(loaded.net.outputs[0]).type.lsb)
    assert stated < 1e-3
    assert np.abs(left - right).max() <= stated * weight + lsb + FLOAT32
