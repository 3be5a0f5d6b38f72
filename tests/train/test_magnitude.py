"""Which weights are pruned: counts, order, equals, and the patterns of tfmot."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qapflow.errors import UsageError
from qapflow.train.pruning.magnitude import keep_largest, prune_layer, prune_share, prune_to


def ones_like(arrays):
    return [np.ones(array.shape, np.float32) for array in arrays]


def test_smallest_over_all_layers_go_first():
    kernels = [np.array([[5.0, -0.1]]), np.array([[0.2], [-3.0]])]
    first, second = prune_share(kernels, ones_like(kernels), 0.5)
    assert first.tolist() == [[1, 0]]
    assert second.tolist() == [[0], [1]]


def test_fractions_are_of_what_is_left():
    rng = np.random.default_rng(0)
    kernels = [rng.normal(size=(20, 30)), rng.normal(size=(40, 10))]
    masks = ones_like(kernels)
    left = []
    for share in (0.10, 0.111, 0.125):
        masks = prune_share(kernels, masks, share)
        left.append(int(sum(mask.sum() for mask in masks)))
    assert left == [900, 900 - round(0.111 * 900), 800 - round(0.125 * 800)]


@given(st.lists(st.integers(-2, 2), min_size=2, max_size=30), st.floats(0.0, 0.99))
@settings(max_examples=200, deadline=None)
def test_levels_hold_exactly_also_among_equals(values, level):
    scores = [np.abs(np.array(values, float))]
    (mask,) = prune_to(scores, ones_like(scores), level)
    assert mask.sum() == max(len(values) - round(level * len(values)), 1)
    assert min(scores[0][mask == 1]) >= max(scores[0][mask == 0], default=0.0)


def test_what_is_pruned_stays_pruned():
    scores = [np.array([9.0, 1.0, 2.0])]
    (mask,) = keep_largest(scores, [np.array([0.0, 1.0, 1.0])], 3)
    assert mask.tolist() == [0, 1, 1]


@pytest.mark.needs_keras
def test_patterns_of_tfmot():
    rng = np.random.default_rng(1)
    for shape in [(6, 4), (3, 4, 5), (3, 3, 4, 2)]:
        weights = rng.normal(size=shape).astype(np.float32)
        whole = np.ones(shape, np.float32)
        assert prune_layer(weights, whole, 0.5).mean() == 0.5
        mask = prune_layer(weights, whole, 0.0, m_by_n=(2, 4))
        inputs = np.moveaxis(mask, -1, 0).reshape(-1, shape[-2])  # a row: one output's inputs
        assert all(row[: 4 * (row.size // 4)].reshape(-1, 4).sum(1).max() <= 2 for row in inputs)
    weights = np.repeat(np.repeat(rng.normal(size=(3, 2)), 2, 0), 2, 1).astype(np.float32)
    mask = prune_layer(weights, np.ones((6, 4), np.float32), 0.5, block=(2, 2))
    assert np.array_equal(mask, np.repeat(np.repeat(mask[::2, ::2], 2, 0), 2, 1))
    assert mask.mean() == 0.5


@pytest.mark.needs_keras
def test_blocks_need_a_matrix():
    with pytest.raises(UsageError, match="has no blocks"):
        prune_layer(np.ones((3, 3, 2, 2), np.float32), np.ones((3, 3, 2, 2)), 0.5, block=(2, 2))
