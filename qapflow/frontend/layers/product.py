"""Products of two flowing tensors."""

from __future__ import annotations

from math import prod

from qapflow.frontend.layers.work import Work
from qapflow.ir.ops import MatMul, Reshape, Transpose


def dot(work: Work) -> str:
    """Translate Dot: sum over one axis of each of two inputs; other axes are joined."""
    if work.config.get("normalize"):
        raise work.refuse(
            "normalize=True divides by a length that hangs on the data",
            "put a UnitNormalization layer before it",
        )
    if len(work.inputs) != 2:
        raise work.misfit(f"it multiplies {len(work.inputs)} inputs, two are expected")
    axes = work.config.get("axes")
    pair = (axes, axes) if isinstance(axes, int) else tuple(axes or ())
    if len(pair) != 2:
        raise work.misfit(f"axes={axes!r} does not name one axis of each input")
    left, right = work.inputs
    shapes = work.shape(left), work.shape(right)
    first, second = (
        axis - 1 if axis > 0 else axis + len(shape)
        for axis, shape in zip(pair, shapes, strict=True)
    )
    if not (0 <= first < len(shapes[0]) and 0 <= second < len(shapes[1])):
        raise work.misfit(f"axes={axes!r} does not fit {shapes[0]} and {shapes[1]}")
    kept = [n for k, n in enumerate(shapes[0]) if k != first]
    kept += [n for k, n in enumerate(shapes[1]) if k != second]
    left = _matrix(work, left, first, last=True)
    right = _matrix(work, right, second, last=False)
    made = work.add(MatMul(), left, right)
    return reshape(work, made, tuple(kept) or (1,))


def _matrix(work: Work, edge: str, axis: int, last: bool) -> str:
    """Give the summed axis the last (first) place, and join all others."""
    shape = work.shape(edge)
    others = [k for k in range(len(shape)) if k != axis]
    order = (*others, axis) if last else (axis, *others)
    edge = permute(work, edge, order)
    size = prod(shape[k] for k in others)
    return reshape(work, edge, (size, shape[axis]) if last else (shape[axis], size))


def permute(work: Work, edge: str, order: tuple[int, ...]) -> str:
    """Transpose, if that changes anything."""
    if order == tuple(range(len(order))):
        return edge
    return work.add(Transpose(order), edge, suffix="turned")


def reshape(work: Work, edge: str, shape: tuple[int, ...]) -> str:
    """Reshape, if that changes anything."""
    return edge if work.shape(edge) == shape else work.add(Reshape(shape), edge, suffix="shaped")
