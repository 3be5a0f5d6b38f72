"""Which way each input pulls on one element deep in a network: a guide for searching, no proof.

Gradients in real values of a network whose rounding is ignored. Where the true slope is zero
(a clipped value, a flat table) a small slope in the right direction stays, so that a search can
come back from there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import singledispatch
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.ir import ops
from qapflow.ir.fixed import Codes
from qapflow.ir.net import Edge, Net

Real = NDArray[np.float64]
FAINT = 1 / 64  # slope kept where the true one is zero


def pull(net: Net, edges: Mapping[str, Codes], gradients: Mapping[str, Real]) -> dict[str, Real]:
    """Carry gradients [n, *shape] of some edges back to the inputs.

    `edges` are the codes of every edge for the same n samples. An operation without a rule passes
    nothing on.
    """
    found = dict(gradients)
    for node in reversed(net.nodes):
        gradient = found.get(node.name)
        if gradient is None or isinstance(node.op, ops.Input):
            continue
        sources = [net.edge(name) for name in node.inputs]
        values = [_values(e, edges[name]) for e, name in zip(sources, node.inputs, strict=True)]
        parts = _back(node.op, values, _values(node.out, edges[node.name]), gradient)
        for name, part in zip(node.inputs, parts, strict=False):
            found[name] = found[name] + part if name in found else part
    empty = {node.name: np.zeros(edges[node.name].shape) for node in net.inputs}
    return {name: found.get(name, zero) for name, zero in empty.items()}


def _values(edge: Edge, codes: Codes) -> Real:
    return edge.type.decode(codes)


def _const(const: ops.Const) -> Real:
    return const.type.decode(const.codes)


@singledispatch
def _back(op: ops.Op, x: list[Real], y: Real, g: Real) -> list[Real]:
    """Return the gradient of every input; samples come first in every array."""
    return []


@_back.register
def _(op: ops.Quantize, x: list[Real], y: Real, g: Real) -> list[Real]:
    inside = np.abs(y - x[0] / op.divisor) <= float(op.type.lsb)
    return [np.where(inside, g, FAINT * g) / op.divisor]


@_back.register
def _(op: ops.Dense, x: list[Real], y: Real, g: Real) -> list[Real]:
    return [g @ _const(op.weight).T]


@_back.register
def _(op: ops.Conv, x: list[Real], y: Real, g: Real) -> list[Real]:
    weight = _const(op.weight)
    size, inner = weight.shape[:-2], weight.shape[-2]
    kernel = weight.reshape(*size, inner, op.groups, -1)
    grouped = g.reshape(*g.shape[:-1], op.groups, -1)

    def send(place: tuple[int, ...]) -> Real:
        part = np.einsum("...go,igo->...gi", grouped, kernel[place], optimize=True)
        return np.asarray(part.reshape(*g.shape[:-1], -1))

    return [_spread(x[0], y, op.padding, size, op.strides, op.dilation, send)]


@_back.register
def _(op: ops.Pool, x: list[Real], y: Real, g: Real) -> list[Real]:
    padded = np.pad(x[0], [(0, 0), *op.padding, (0, 0)], constant_values=-np.inf)
    rank = len(op.size)

    def send(place: tuple[int, ...]) -> Real:
        if op.kind == "sum":
            return g
        index = _window(place, op.strides, (1,) * rank, y.shape[1 : 1 + rank])
        return np.where(padded[index] == y, g, 0)

    return [_spread(x[0], y, op.padding, op.size, op.strides, (1,) * rank, send)]


def _window(
    place: tuple[int, ...],
    strides: tuple[int, ...],
    dilation: tuple[int, ...],
    out: tuple[int, ...],
) -> Any:
    """Return where the element at `place` of every window lies in the padded input."""
    cuts = [
        slice(p * d, p * d + (n - 1) * s + 1, s)
        for p, s, d, n in zip(place, strides, dilation, out, strict=True)
    ]
    return (slice(None), *cuts, slice(None))


def _spread(
    x: Real,
    y: Real,
    padding: tuple[tuple[int, int], ...],
    size: tuple[int, ...],
    strides: tuple[int, ...],
    dilation: tuple[int, ...],
    send: Callable[[tuple[int, ...]], Real],
) -> Real:
    """Add up what every place of every window sends back to the input under it."""
    spatial = x.shape[1:-1]
    whole = [n + a + b for n, (a, b) in zip(spatial, padding, strict=True)]
    total = np.zeros((x.shape[0], *whole, x.shape[-1]))
    for place in product(*map(range, size)):
        total[_window(place, strides, dilation, y.shape[1 : 1 + len(size)])] += send(place)
    cut = [slice(a, a + n) for n, (a, _) in zip(spatial, padding, strict=True)]
    return np.asarray(total[(slice(None), *cut, slice(None))])


@_back.register
def _(op: ops.Reduce, x: list[Real], y: Real, g: Real) -> list[Real]:
    axes = tuple(axis + 1 for axis in op.axes)
    if not op.keepdims:
        y, g = np.expand_dims(y, axes), np.expand_dims(g, axes)
    spread = np.broadcast_to(g, x[0].shape)
    return [spread if op.kind == "sum" else np.where(x[0] == y, spread, 0)]


@_back.register
def _(op: ops.Merge, x: list[Real], y: Real, g: Real) -> list[Real]:
    a, b = x
    if op.kind == "mul":
        parts = [g * b, g * a]
    elif op.kind in ("add", "sub"):
        parts = [g, g if op.kind == "add" else -g]
    else:
        parts = [np.where(np.broadcast_to(v, y.shape) == y, g, FAINT * g) for v in x]
    return [_fold(part, v.shape) for part, v in zip(parts, x, strict=True)]


def _fold(g: Real, shape: tuple[int, ...]) -> Real:
    """Sum over axes that were broadcast."""
    axes = tuple(i for i, n in enumerate(shape) if n == 1 and g.shape[i] != 1)
    return np.asarray(g.sum(axis=axes, keepdims=True) if axes else g)


@_back.register
def _(op: ops.Affine, x: list[Real], y: Real, g: Real) -> list[Real]:
    return [g * _const(op.scale)]


@_back.register
def _(op: ops.Clip, x: list[Real], y: Real, g: Real) -> list[Real]:
    return [np.where(x[0] == y, g, FAINT * g)]


@_back.register
def _(op: ops.Leaky, x: list[Real], y: Real, g: Real) -> list[Real]:
    threshold = 0.0 if op.threshold is None else _const(op.threshold)
    slope = _const(op.slope)
    below = np.where(slope == 0, FAINT, slope)
    return [g * np.where(x[0] >= threshold, 1.0, below)]


@_back.register
def _(op: ops.Table, x: list[Real], y: Real, g: Real) -> list[Real]:
    return [] if op.values.codes.ndim > 1 else [_rise(_const(op.values)) * g]


@_back.register
def _(op: ops.Threshold, x: list[Real], y: Real, g: Real) -> list[Real]:
    values = _const(op.values)
    return [g * _rise(values if values.ndim == 1 else values.mean(axis=0))]


def _rise(values: Real) -> float:
    """Return whether a step function goes up (1) or down (-1) on the whole."""
    return float(np.sign(values[-1] - values[0])) or FAINT


@_back.register
def _(op: ops.Concat, x: list[Real], y: Real, g: Real) -> list[Real]:
    ends = np.cumsum([v.shape[op.axis + 1] for v in x])[:-1]
    return [np.asarray(part) for part in np.split(g, ends, axis=op.axis + 1)]


@_back.register
def _(op: ops.Reshape, x: list[Real], y: Real, g: Real) -> list[Real]:
    return [g.reshape(x[0].shape)]


@_back.register
def _(op: ops.Transpose, x: list[Real], y: Real, g: Real) -> list[Real]:
    return [g.transpose(0, *(int(i) + 1 for i in np.argsort(op.order)))]


@_back.register
def _(op: ops.Flip, x: list[Real], y: Real, g: Real) -> list[Real]:
    return [np.flip(g, op.axis + 1)]


@_back.register
def _(op: ops.Pad, x: list[Real], y: Real, g: Real) -> list[Real]:
    cut = [
        slice(max(a, 0), n - max(b, 0)) for n, (a, b) in zip(g.shape[1:], op.amounts, strict=True)
    ]
    grow = [(0, 0), *((max(-a, 0), max(-b, 0)) for a, b in op.amounts)]
    return [np.pad(g[(slice(None), *cut)], grow)]


@_back.register
def _(op: ops.Upsample, x: list[Real], y: Real, g: Real) -> list[Real]:
    for axis, factor in enumerate(op.factors, start=1):
        shape = (*g.shape[:axis], g.shape[axis] // factor, factor, *g.shape[axis + 1 :])
        g = g.reshape(shape).sum(axis=axis + 1)
    return [g]
