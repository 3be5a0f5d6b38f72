"""What an operation does to one beat: the same operation on a smaller shape."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from qapflow.ir import ops
from qapflow.ir.net import Node

Shape = tuple[int, ...]


class Spatial(Exception):
    """The operation does not treat all pixels alike."""


def beat_shape(shape: Shape) -> Shape:
    """Return the shape of one beat of an edge: the channels of one pixel."""
    return shape[-1:] or (1,)


def one_pixel(const: ops.Const | None) -> ops.Const | None:
    """Return a constant, broadcast against trailing axes, as that of one pixel.

    Raises:
        Spatial: it differs from pixel to pixel.
    """
    if const is None or const.codes.ndim == 0:
        return const
    if prod(const.codes.shape[:-1]) != 1:
        raise Spatial
    return ops.Const(const.codes.reshape(-1), const.type)


def on_one_beat(node: Node, shapes: tuple[Shape, ...]) -> ops.Op:
    """Return the operation of `node` for beats of its channels; `shapes` are of its inputs.

    Raises:
        Spatial: the result of one pixel needs others.
    """
    op = node.op
    channels_last = all(len(shape) == len(shapes[0]) for shape in shapes)
    match op:
        case ops.Quantize() | ops.Clip() | ops.Dense():
            return op
        case ops.Table() if op.values.codes.ndim == 1:
            return op
        case ops.Affine():
            scale, offset = one_pixel(op.scale), one_pixel(op.offset)
            assert scale is not None
            return ops.Affine(scale, offset)
        case ops.Leaky():
            slope = one_pixel(op.slope)
            assert slope is not None
            return ops.Leaky(slope, one_pixel(op.threshold))
        case ops.Threshold():
            return op
        case ops.Merge():
            return op
        case ops.Concat() if channels_last and op.axis == len(shapes[0]) - 1:
            return ops.Concat(0)
        case ops.Reduce() if op.axes == (len(shapes[0]) - 1,):
            return ops.Reduce(op.kind, (0,), True)
        case ops.Flip() if op.axis == len(shapes[0]) - 1:
            return ops.Flip(0)
        case ops.Pad() if not any(map(any, op.amounts[:-1])):
            return ops.Pad(op.amounts[-1:])
    raise Spatial


def on_one_window(op: ops.Conv | ops.Pool) -> ops.Op:
    """Return the operation on a single window, padding and stepping done before."""
    rank = len(op.strides)
    ones, none = (1,) * rank, ((0, 0),) * rank
    if isinstance(op, ops.Conv):
        return replace(op, strides=ones, padding=none, dilation=ones)
    return replace(op, strides=ones, padding=none)
