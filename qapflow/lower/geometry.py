"""Loop nests of data movement: row-major strides, collapsed to few loops."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

LOOPS = 6  # depth of the loop nests in qapflow_move.h


def strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Return row-major strides in elements."""
    return tuple(prod(shape[i + 1 :]) for i in range(len(shape)))


def broadcast_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Return strides that stay in place along axes of size 1."""
    return tuple(0 if size == 1 else step for size, step in zip(shape, strides(shape), strict=True))


Loop = tuple[int, ...]  # size, then one stride for every array involved


def collapse(loops: Sequence[Loop]) -> list[Loop]:
    """Join neighbouring loops that walk contiguously in every array and drop loops of one turn."""
    joined: list[Loop] = []
    for loop in loops:
        if loop[0] == 1:
            continue
        if joined:
            outer = joined[-1]
            pairs = zip(outer[1:], loop[1:], strict=True)
            if all(far == near * loop[0] for far, near in pairs):
                joined[-1] = (outer[0] * loop[0], *loop[1:])
                continue
        joined.append(loop)
    return joined


def padded(loops: Sequence[Loop], arrays: int, depth: int = LOOPS) -> list[Loop] | None:
    """Return exactly `depth` loops (outer ones turn once), or None if there are more."""
    if len(loops) > depth:
        return None
    return [(1, *(0,) * arrays)] * (depth - len(loops)) + list(loops)


def collapse_padding(
    shape: Sequence[int], amounts: Sequence[tuple[int, int]]
) -> list[tuple[int, int, int]]:
    """Return (size, before, after) of every axis; neighbours without padding are joined."""
    axes: list[tuple[int, int, int]] = []
    for size, (before, after) in zip(shape, amounts, strict=True):
        if axes and (before, after) == (0, 0) == axes[-1][1:]:
            axes[-1] = (axes[-1][0] * size, 0, 0)
        else:
            axes.append((size, before, after))
    return axes
