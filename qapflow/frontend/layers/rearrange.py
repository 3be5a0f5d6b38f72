"""Slicing, joining, padding and reshaping as TensorFlow and numpy do; axis 0 is the batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from qapflow.frontend.layers.product import reshape
from qapflow.frontend.layers.work import Work
from qapflow.ir.ops import Concat, Flip, Pad

BATCH = "leave the batch as it is: it is not part of the hardware"


def item(work: Work, edge: str, keys: Any) -> str:
    """Translate `x[keys]`: slices, whole numbers and new axes."""
    keys = keys if isinstance(keys, list) else [keys]
    if not keys or _slice(keys[0]) != (None, None, None):
        raise work.refuse("it takes a part of the batch", BATCH)
    shape: list[int] = []
    axis = 0
    for key in keys[1:]:
        if key is None:
            shape.append(1)
            continue
        if axis >= len(work.shape(edge)) or isinstance(key, str):
            raise work.refuse(f"the index {key!r} is not supported", "use slices and numbers")
        if isinstance(key, int) and not isinstance(key, bool):
            size = work.shape(edge)[axis]
            if not -size <= key < size:
                raise work.misfit(f"index {key} is beyond {size}")
            edge = _slice_axis(work, edge, axis, range(key % size, key % size + 1))
        else:
            part = _slice(key)
            if part is None:
                raise work.refuse(f"the index {key!r} is not supported", "use slices and numbers")
            edge = _slice_axis(work, edge, axis, range(work.shape(edge)[axis])[slice(*part)])
            shape.append(work.shape(edge)[axis])
        axis += 1
    shape += work.shape(edge)[axis:]
    return reshape(work, edge, tuple(shape) or (1,)) if shape else reshape(work, edge, (1,))


def _slice(key: Any) -> tuple[int | None, int | None, int | None] | None:
    """Return start, stop and step of a slice as Keras 2 or 3 writes it, None if it is none."""
    if isinstance(key, Mapping) and key.get("class_name") == "__slice__":
        key = key.get("config")
    if not isinstance(key, Mapping):
        return None
    part = tuple(key.get(name) for name in ("start", "stop", "step"))
    if any(end is not None and not isinstance(end, int) for end in part):
        return None
    return part[0], part[1], part[2]


def _slice_axis(work: Work, edge: str, axis: int, kept: range) -> str:
    """Keep every `step`-th of an axis."""
    shape = work.shape(edge)
    if not kept:
        raise work.misfit(f"a slice of axis {axis + 1} of {shape} is empty")
    if kept.step < 0:
        edge = work.add(Flip(axis), edge, suffix="turned")
        last = shape[axis] - 1
        kept = range(last - kept.start, last - kept[-1] + 1, -kept.step)
    if kept.step == 1 or len(kept) == 1:
        return _cut(work, edge, axis, kept[0], shape[axis] - 1 - kept[-1])
    step = kept.step
    beyond = kept[-1] + step - shape[axis]  # negative: cut
    edge = _cut(work, edge, axis, kept[0], -beyond)
    edge = reshape(work, edge, (*shape[:axis], len(kept), step, *shape[axis + 1 :]))
    edge = _cut(work, edge, axis + 1, 0, step - 1)
    return reshape(work, edge, (*shape[:axis], len(kept), *shape[axis + 1 :]))


def _cut(work: Work, edge: str, axis: int, before: int, after: int) -> str:
    if before == after == 0:
        return edge
    amounts = [(0, 0)] * len(work.shape(edge))
    amounts[axis] = (-before, -after)
    return work.add(Pad(tuple(amounts)), edge, suffix="part")


def concatenate(work: Work, edges: Sequence[str], axis: Any) -> str:
    """Join along an axis."""
    rank = len(work.shape(edges[0]))
    place = int(axis) + rank if axis < 0 else int(axis) - 1
    if not 0 <= place < rank:
        raise work.refuse(f"it joins along axis {axis}, the batch", BATCH)
    return edges[0] if len(edges) == 1 else work.add(Concat(place), *edges)


def stack(work: Work, edges: Sequence[str], axis: Any) -> str:
    """Join along a new axis."""
    shape = work.shape(edges[0])
    place = int(axis) + len(shape) + 1 if axis < 0 else int(axis) - 1
    if not 0 <= place <= len(shape):
        raise work.refuse(f"it stacks along axis {axis}, before the batch", BATCH)
    grown = (*shape[:place], 1, *shape[place:])
    shaped = [reshape(work, edge, grown) for edge in edges]
    return shaped[0] if len(shaped) == 1 else work.add(Concat(place), *shaped)


def pad(work: Work, edge: str, amounts: Any) -> str:
    """Put zeros around."""
    sides = [tuple(int(n) for n in side) for side in amounts]
    if len(sides) != len(work.shape(edge)) + 1 or any(sides[0]) or {len(s) for s in sides} != {2}:
        raise work.refuse(f"padding by {sides} does not fit {work.shape(edge)}", BATCH)
    return work.add(Pad(tuple((before, after) for before, after in sides[1:])), edge)


def flip(work: Work, edge: str, axes: Sequence[int]) -> str:
    """Reverse axes (batch not counted)."""
    for axis in axes:
        edge = work.add(Flip(axis), edge)
    return edge


def resized(work: Work, edge: str, target: Any) -> tuple[int, ...]:
    """Return the new shape without the batch, which must stay."""
    if not isinstance(target, list) or not all(isinstance(n, int | None) for n in target):
        raise work.refuse("its new shape is no list of numbers", "use a Reshape layer")
    total = prod(work.shape(edge))
    own = [-1 if n is None else int(n) for n in target[1:]]
    known = prod(n for n in own if n != -1)
    first_open = bool(target) and target[0] in (-1, None)
    if not first_open or own.count(-1) > (target[0] is None) or known < 1 or total % known:
        raise work.refuse(f"a reshape to {target} may move samples into each other", BATCH)
    if -1 not in own and known != total:
        raise work.refuse(f"a reshape of {work.shape(edge)} to {target} changes the batch", BATCH)
    return tuple(total // known if n == -1 else n for n in own)
