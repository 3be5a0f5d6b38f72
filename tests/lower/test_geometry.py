"""Loop nests: collapsed to few loops, walking the same elements."""

import itertools

import numpy as np
import pytest

from qapflow.lower.geometry import broadcast_strides, collapse, collapse_padding, padded, strides


def walk(loops, array):
    """Offsets that a nest visits in one of its arrays."""
    ranges = (range(loop[0]) for loop in loops)
    steps = [loop[1 + array] for loop in loops]
    return [
        sum(i * s for i, s in zip(index, steps, strict=True))
        for index in itertools.product(*ranges)
    ]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_a_collapsed_transposition_walks_the_same_elements(order):
    shape = (2, 3, 1, 4)
    steps = strides(shape)
    loops = collapse([(shape[axis], steps[axis]) for axis in order])
    expected = np.arange(24).reshape(shape).transpose(order).ravel().tolist()
    assert walk(loops, 0) == expected
    assert walk(padded(loops, 1), 0) == expected


def test_identity_is_one_loop_and_broadcasting_stays_in_place():
    shape = (2, 3, 4)
    assert collapse(list(zip(shape, strides(shape), strict=True))) == [(24, 1)]
    loops = list(zip(shape, strides(shape), broadcast_strides((1, 1, 4)), strict=True))
    assert collapse(loops) == [(6, 4, 0), (4, 1, 1)]
    assert collapse([]) == []


def test_too_deep_nests_are_told():
    assert padded([(2, 1)] * 7, 1) is None
    assert padded([(5, 1)], 1, depth=2) == [(1, 0), (5, 1)]


def test_unpadded_neighbours_are_joined():
    amounts = ((0, 0), (0, 0), (1, 2), (0, 0), (0, 0))
    assert collapse_padding((2, 3, 4, 5, 6), amounts) == [(6, 0, 0), (4, 1, 2), (30, 0, 0)]
