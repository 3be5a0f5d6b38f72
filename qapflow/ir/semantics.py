"""What each operation computes: the definition, one small function each.

Codes in, codes out, exact at any width. Arrays are [n, *shape] with n samples.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import singledispatch

import numpy as np

from qapflow.errors import UsageError
from qapflow.ir import kernels, ops
from qapflow.ir.fixed import Codes, cast, shrink, widen
from qapflow.ir.net import Edge

Shape = tuple[int, ...]


def evaluate(op: ops.Op, edge: Edge, edges: tuple[Edge, ...], codes: tuple[Codes, ...]) -> Codes:
    """Run one operation on a batch; `edge` is its output, `edges` its inputs."""
    return run_op(op, edge.type.frac, edge.shape, edges, codes)


def run_op(
    op: ops.Op, frac: int, shape: Shape, edges: tuple[Edge, ...], codes: tuple[Codes, ...]
) -> Codes:
    """Run one operation; the result lies on the grid 2**-frac."""
    result = _run(op, frac, edges, codes)
    return result.reshape(result.shape[0], *shape)


@singledispatch
def _run(op: ops.Op, frac: int, edges: tuple[Edge, ...], codes: tuple[Codes, ...]) -> Codes:
    raise UsageError(f"{type(op).__name__} cannot be evaluated")


def _lift(codes: Codes, edge_frac: int, frac: int) -> Codes:
    return kernels.shift_left(codes, frac - edge_frac)


def _lift_const(const: ops.Const, frac: int) -> Codes:
    if not const.codes.any():
        return np.zeros(const.codes.shape, np.int64)
    return kernels.shift_left(const.codes, frac - const.type.frac)


@_run.register
def _(op: ops.Quantize, frac: int, edges: tuple[Edge, ...], codes: tuple[Codes, ...]) -> Codes:
    return cast(codes[0], edges[0].type.frac, op.type, op.rounding, op.overflow, op.divisor)


@_run.register(ops.Dense)
@_run.register(ops.Conv)
def _(
    op: ops.Dense | ops.Conv, frac: int, edges: tuple[Edge, ...], codes: tuple[Codes, ...]
) -> Codes:
    total = product(op, codes[0], op.weight.codes)
    total = _lift(total, edges[0].type.frac + op.weight.type.frac, frac)
    if op.bias is None:
        return total
    return kernels.combine("add", total, _lift_const(op.bias, frac))


@_run.register
def _(op: ops.Pool, frac: int, edges: tuple[Edge, ...], codes: tuple[Codes, ...]) -> Codes:
    lowest = int(codes[0].min()) if codes[0].size else 0
    return kernels.pool(op.kind, codes[0], op.size, op.strides, op.padding, lowest)


@_run.register
def _(op: ops.Reduce, frac: int, edges: tuple[Edge, ...], codes: tuple[Codes, ...]) -> Codes:
    return kernels.reduce(op.kind, codes[0], tuple(a + 1 for a in op.axes), op.keepdims)


@_run.register
def _(op: ops.Merge, frac: int, edges: tuple[Edge, ...], codes: tuple[Codes, ...]) -> Codes:
    if op.kind == "mul":
        return kernels.combine("mul", *codes)
    lifted = [_lift(c, e.type.frac, frac) for c, e in zip(codes, edges, strict=True)]
    return kernels.combine(op.kind, *lifted)


@_run.register
def _(op: ops.MatMul, frac: int, edges: tuple[Edge, ...], codes: tuple[Codes, ...]) -> Codes:
    return kernels.multiply_matrices(*codes)


@_run.register
def _(op: ops.Affine, frac: int, edges: tuple[Edge, ...], codes: tuple[Codes, ...]) -> Codes:
    scaled = kernels.combine("mul", codes[0], op.scale.codes)
    scaled = _lift(scaled, edges[0].type.frac + op.scale.type.frac, frac)
    if op.offset is None:
        return scaled
    return kernels.combine("add", scaled, _lift_const(op.offset, frac))


@_run.register
def _(op: ops.Clip, frac: int, edges: tuple[Edge, ...], codes: tuple[Codes, ...]) -> Codes:
    result = _lift(codes[0], edges[0].type.frac, frac)
    if op.lower is not None:
        result = kernels.combine("max", result, _lift_const(op.lower, frac))
    if op.upper is not None:
        result = kernels.combine("min", result, _lift_const(op.upper, frac))
    return result


@_run.register
def _(op: ops.Leaky, frac: int, edges: tuple[Edge, ...], codes: tuple[Codes, ...]) -> Codes:
    inner = edges[0].type.frac
    if op.threshold is not None:
        inner = max(inner, op.threshold.type.frac)
    x = _lift(codes[0], edges[0].type.frac, inner)
    threshold = 0 if op.threshold is None else _lift_const(op.threshold, inner)
    below = kernels.combine("sub", x, np.asarray(threshold))
    sloped = kernels.combine("mul", below, op.slope.codes)
    sloped = _lift(sloped, inner + op.slope.type.frac, frac)
    kept = _lift(x, inner, frac) if frac >= inner else x // (1 << (inner - frac))
    return np.where(below >= 0, kept, sloped)


@_run.register
def _(op: ops.Table, frac: int, edges: tuple[Edge, ...], codes: tuple[Codes, ...]) -> Codes:
    index = (codes[0] - op.first).astype(np.int64)
    if index.size and (index.min() < 0 or index.max() >= len(op.values.codes)):
        raise UsageError("a code lies outside the table")
    return op.values.codes[index]


@_run.register
def _(op: ops.Threshold, frac: int, edges: tuple[Edge, ...], codes: tuple[Codes, ...]) -> Codes:
    common = max(edges[0].type.frac, op.thresholds.type.frac)
    x = _lift(codes[0], edges[0].type.frac, common)
    count = kernels.count_at_most(x, _lift_const(op.thresholds, common))
    if op.values.codes.ndim == 1:
        return op.values.codes[count]
    return np.asarray(op.values.codes[np.arange(op.values.codes.shape[0]), count])


@_run.register
def _(op: ops.Concat, frac: int, edges: tuple[Edge, ...], codes: tuple[Codes, ...]) -> Codes:
    lifted = [_lift(c, e.type.frac, frac) for c, e in zip(codes, edges, strict=True)]
    if any(c.dtype == object for c in lifted):
        lifted = [widen(c) for c in lifted]
    return shrink(np.concatenate(lifted, axis=op.axis + 1))


@_run.register
def _(op: ops.Reshape, frac: int, edges: tuple[Edge, ...], codes: tuple[Codes, ...]) -> Codes:
    return codes[0].reshape(codes[0].shape[0], *op.shape)


@_run.register
def _(op: ops.Transpose, frac: int, edges: tuple[Edge, ...], codes: tuple[Codes, ...]) -> Codes:
    return codes[0].transpose(0, *(axis + 1 for axis in op.order))


@_run.register
def _(op: ops.Pad, frac: int, edges: tuple[Edge, ...], codes: tuple[Codes, ...]) -> Codes:
    return kernels.pad(codes[0], op.amounts)


@_run.register
def _(op: ops.Upsample, frac: int, edges: tuple[Edge, ...], codes: tuple[Codes, ...]) -> Codes:
    return kernels.upsample(codes[0], op.factors)


@_run.register
def _(op: ops.Flip, frac: int, edges: tuple[Edge, ...], codes: tuple[Codes, ...]) -> Codes:
    return np.flip(codes[0], op.axis + 1)


@_run.register
def _(op: ops.Scan, frac: int, edges: tuple[Edge, ...], codes: tuple[Codes, ...]) -> Codes:
    def step(values: dict[str, Codes]) -> dict[str, Codes]:
        for node in op.body.nodes:
            if not isinstance(node.op, ops.Input):
                sources = tuple(op.body.edge(name) for name in node.inputs)
                arguments = tuple(values[name] for name in node.inputs)
                values[node.name] = evaluate(node.op, node.out, sources, arguments)
        return values

    return run_scan(op, codes, step)


def run_scan(
    op: ops.Scan, codes: tuple[Codes, ...], step: Callable[[dict[str, Codes]], dict[str, Codes]]
) -> Codes:
    """Run a loop on sequences [n, steps, *shape]; `step` maps inputs of the body to its edges."""
    states = [node.name for node in op.body.inputs[: len(op.initial)]]
    slices = [node.name for node in op.body.inputs[len(op.initial) :]]
    values = {
        name: np.broadcast_to(const.codes, (len(codes[0]), *op.body.edge(name).shape))
        for name, const in zip(states, op.initial, strict=True)
    }
    results = []
    for time in range(codes[0].shape[1]):
        values |= {name: array[:, time] for name, array in zip(slices, codes, strict=True)}
        made = step(values)
        *carried, result = (made[name] for name in op.body.outputs)
        values = dict(zip(states, carried, strict=True))
        results.append(result)
    return np.stack(results, axis=1) if op.emit == "all" else results[-1]


def product(op: ops.Dense | ops.Conv, codes: Codes, weight: Codes) -> Codes:
    """Return sums of products of [n, *shape] with the weights, on the product's grid."""
    if isinstance(op, ops.Dense):
        return kernels.contract(codes, weight)
    return kernels.convolve(codes, weight, op.strides, op.padding, op.dilation, op.groups)
