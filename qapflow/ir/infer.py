"""Shape and grid of every operation's result; `qapflow.ir.interval` adds the width."""

from __future__ import annotations

from functools import singledispatch
from math import prod

from qapflow.errors import UsageError
from qapflow.ir import ops
from qapflow.ir.net import Edge

Shape = tuple[int, ...]


@singledispatch
def infer_frac(op: ops.Op, edges: tuple[Edge, ...]) -> int:
    """Return the grid of the result as fraction bits: the coarsest on which it is exact."""
    return max(edge.type.frac for edge in edges)


@infer_frac.register
def _(op: ops.Quantize, edges: tuple[Edge, ...]) -> int:
    return op.type.frac


@infer_frac.register(ops.Table)
@infer_frac.register(ops.Threshold)
def _(op: ops.Table | ops.Threshold, edges: tuple[Edge, ...]) -> int:
    return op.values.type.frac


@infer_frac.register(ops.Dense)
@infer_frac.register(ops.Conv)
def _(op: ops.Dense | ops.Conv, edges: tuple[Edge, ...]) -> int:
    frac = edges[0].type.frac + op.weight.type.frac
    return max(frac, op.bias.type.frac) if op.bias is not None else frac


@infer_frac.register
def _(op: ops.Affine, edges: tuple[Edge, ...]) -> int:
    frac = edges[0].type.frac + op.scale.type.frac
    return max(frac, op.offset.type.frac) if op.offset is not None else frac


@infer_frac.register
def _(op: ops.Scan, edges: tuple[Edge, ...]) -> int:
    return op.body.edge(op.body.outputs[-1]).type.frac


@infer_frac.register
def _(op: ops.MatMul, edges: tuple[Edge, ...]) -> int:
    return sum(edge.type.frac for edge in edges)


@infer_frac.register
def _(op: ops.Merge, edges: tuple[Edge, ...]) -> int:
    fracs = [edge.type.frac for edge in edges]
    return sum(fracs) if op.kind == "mul" else max(fracs)


@infer_frac.register
def _(op: ops.Clip, edges: tuple[Edge, ...]) -> int:
    bounds = [c.type.frac for c in (op.lower, op.upper) if c is not None and c.codes.any()]
    return max([edges[0].type.frac, *bounds])


@infer_frac.register
def _(op: ops.Leaky, edges: tuple[Edge, ...]) -> int:
    inner = edges[0].type.frac
    if op.threshold is not None:
        inner = max(inner, op.threshold.type.frac)
    return max(edges[0].type.frac, inner + op.slope.type.frac)


@singledispatch
def infer_shape(op: ops.Op, edges: tuple[Edge, ...]) -> Shape:
    """Return the shape of the result; elementwise operations keep it."""
    return edges[0].shape


@infer_shape.register
def _(op: ops.Dense, edges: tuple[Edge, ...]) -> Shape:
    shape = edges[0].shape
    if not shape or op.weight.codes.ndim != 2 or shape[-1] != op.weight.codes.shape[0]:
        raise UsageError(f"dense weights {op.weight.codes.shape} do not fit input {shape}")
    return (*shape[:-1], op.weight.codes.shape[1])


def _window(
    shape: Shape, size: Shape, strides: Shape, padding: tuple[tuple[int, int], ...]
) -> Shape:
    rank = len(size)
    if len(shape) != rank + 1 or len(strides) != rank or len(padding) != rank:
        raise UsageError(f"a window of size {size} does not fit input {shape}")
    if min(strides) < 1:
        raise UsageError(f"a window cannot move by {strides}")
    out = tuple(
        (n + before + after - k) // s + 1
        for n, k, s, (before, after) in zip(shape[:-1], size, strides, padding, strict=True)
    )
    if min(out) < 1:
        raise UsageError(f"a window of size {size} is larger than input {shape}")
    return out


@infer_shape.register
def _(op: ops.Conv, edges: tuple[Edge, ...]) -> Shape:
    shape, weight = edges[0].shape, op.weight.codes.shape
    size = tuple((k - 1) * d + 1 for k, d in zip(weight[:-2], op.dilation, strict=True))
    if weight[-2] * op.groups != shape[-1] or weight[-1] % op.groups:
        raise UsageError(f"conv weights {weight}, {op.groups} groups, do not fit input {shape}")
    return (*_window(shape, size, op.strides, op.padding), weight[-1])


@infer_shape.register
def _(op: ops.Pool, edges: tuple[Edge, ...]) -> Shape:
    shape = edges[0].shape
    return (*_window(shape, op.size, op.strides, op.padding), shape[-1])


@infer_shape.register
def _(op: ops.Reduce, edges: tuple[Edge, ...]) -> Shape:
    shape = edges[0].shape
    if not all(0 <= axis < len(shape) for axis in op.axes):
        raise UsageError(f"cannot reduce axes {op.axes} of {shape}")
    kept = [(1 if i in op.axes else n) for i, n in enumerate(shape)]
    if op.keepdims:
        return tuple(kept)
    return tuple(n for i, n in enumerate(shape) if i not in op.axes)


@infer_shape.register
def _(op: ops.Merge, edges: tuple[Edge, ...]) -> Shape:
    left, right = (edge.shape for edge in edges)
    if len(left) != len(right) or any(
        a != b and 1 not in (a, b) for a, b in zip(left, right, strict=True)
    ):
        raise UsageError(f"cannot {op.kind} shapes {left} and {right}")
    return tuple(max(a, b) for a, b in zip(left, right, strict=True))


@infer_shape.register
def _(op: ops.MatMul, edges: tuple[Edge, ...]) -> Shape:
    left, right = (edge.shape for edge in edges)
    fit = len(left) == len(right) >= 2 and left[:-2] == right[:-2] and left[-1] == right[-2]
    if not fit:
        raise UsageError(f"cannot multiply matrices of shapes {left} and {right}")
    return (*left[:-1], right[-1])


@infer_shape.register
def _(op: ops.Concat, edges: tuple[Edge, ...]) -> Shape:
    shapes = [list(edge.shape) for edge in edges]
    if not 0 <= op.axis < len(shapes[0]):
        raise UsageError(f"cannot join shapes {shapes} along axis {op.axis}")
    total = sum(shape[op.axis] for shape in shapes if len(shape) == len(shapes[0]))
    for shape in shapes:
        shape[op.axis : op.axis + 1] = [total]
    if any(shape != shapes[0] for shape in shapes):
        raise UsageError(f"cannot join {[e.shape for e in edges]} along axis {op.axis}")
    return tuple(shapes[0])


@infer_shape.register
def _(op: ops.Reshape, edges: tuple[Edge, ...]) -> Shape:
    if prod(op.shape) != prod(edges[0].shape):
        raise UsageError(f"cannot reshape {edges[0].shape} to {op.shape}")
    return op.shape


@infer_shape.register
def _(op: ops.Transpose, edges: tuple[Edge, ...]) -> Shape:
    shape = edges[0].shape
    if sorted(op.order) != list(range(len(shape))):
        raise UsageError(f"{op.order} is no permutation of the axes of {shape}")
    return tuple(shape[i] for i in op.order)


@infer_shape.register
def _(op: ops.Pad, edges: tuple[Edge, ...]) -> Shape:
    shape = edges[0].shape
    if len(op.amounts) != len(shape):
        raise UsageError(f"{len(op.amounts)} amounts of padding for input {shape}")
    out = tuple(n + sum(amount) for n, amount in zip(shape, op.amounts, strict=True))
    if min(out) < 1:
        raise UsageError(f"cropping by {op.amounts} leaves nothing of {shape}")
    return out


@infer_shape.register
def _(op: ops.Upsample, edges: tuple[Edge, ...]) -> Shape:
    shape = edges[0].shape
    if len(op.factors) != len(shape) - 1:
        raise UsageError(f"{len(op.factors)} upsampling factors for input {shape}")
    return (*(n * f for n, f in zip(shape[:-1], op.factors, strict=True)), shape[-1])


@infer_shape.register
def _(op: ops.Table, edges: tuple[Edge, ...]) -> Shape:
    return (*edges[0].shape, *op.values.codes.shape[1:])


@infer_shape.register
def _(op: ops.Flip, edges: tuple[Edge, ...]) -> Shape:
    shape = edges[0].shape
    if not 0 <= op.axis < len(shape):
        raise UsageError(f"cannot reverse axis {op.axis} of {shape}")
    return shape


@infer_shape.register
def _(op: ops.Scan, edges: tuple[Edge, ...]) -> Shape:
    slices = [node.out.shape for node in op.body.inputs[len(op.initial) :]]
    if len(slices) != len(edges):
        raise UsageError(f"a loop over {len(slices)} sequences gets {len(edges)}")
    steps = {edge.shape[:1] for edge in edges}
    if len(steps) != 1 or () in steps:
        raise UsageError(f"cannot loop over the first axis of {[e.shape for e in edges]}")
    for edge, shape in zip(edges, slices, strict=True):
        if edge.shape[1:] != shape:
            raise UsageError(f"a loop over slices of shape {shape} gets {edge.shape}")
    result = op.body.edge(op.body.outputs[-1]).shape
    return (*steps.pop(), *result) if op.emit == "all" else result
