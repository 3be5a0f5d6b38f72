"""What values an edge can carry, proved from the ranges of the inputs.

An interval holds one lowest and one highest code for each element. For sums of products the bound
is exact for independent inputs: the positive weights meet one end, the negative ones the other.
Elements that depend on a common input may have a smaller true range, never a larger one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import singledispatch

import numpy as np

from qapflow.ir import kernels, ops
from qapflow.ir.fixed import Codes, Fixed, Overflow, cast, shrink, widen
from qapflow.ir.infer import infer_frac, infer_shape
from qapflow.ir.net import Edge, Net
from qapflow.ir.semantics import product, run_op


@dataclass(frozen=True, eq=False)
class Interval:
    """Lowest and highest code of each element, on the grid of the edge.

    `partial` bounds every partial sum in any order, for operations that accumulate.
    """

    lo: Codes
    hi: Codes
    partial: tuple[int, int] | None = None

    @classmethod
    def full(cls, edge: Edge) -> Interval:
        """Everything the edge's type can hold."""
        dtype = np.int64 if edge.type.width < 63 else object
        return cls(
            np.full(edge.shape, edge.type.lo, dtype), np.full(edge.shape, edge.type.hi, dtype)
        )

    @property
    def low(self) -> int:
        """Lowest code of all elements."""
        return int(self.lo.min())

    @property
    def high(self) -> int:
        """Highest code of all elements."""
        return int(self.hi.max())

    @property
    def hull(self) -> tuple[int, int]:
        """Lowest and highest code, partial sums included."""
        if self.partial is None:
            return self.low, self.high
        return min(self.low, self.partial[0]), max(self.high, self.partial[1])


def bound(op: ops.Op, edges: tuple[Edge, ...], intervals: tuple[Interval, ...]) -> Interval:
    """Return what `op` can make of inputs in `intervals`, on the grid `infer_edge` gives.

    Raises:
        UsageError: the shapes do not fit the operation.
    """
    infer_shape(op, edges)
    return _bound(op, edges, intervals)


def infer_edge(op: ops.Op, edges: tuple[Edge, ...], interval: Interval) -> Edge:
    """Return the output edge: its shape, and the narrowest type that holds `interval`.

    `interval` is what `bound` returned for the same operation. For Dense and
    Conv the type also holds every partial sum in any order.

    Raises:
        UsageError: the shapes do not fit the operation.
    """
    if isinstance(op, ops.Quantize):
        return Edge(infer_shape(op, edges), op.type)
    if isinstance(op, ops.Table | ops.Threshold):
        return Edge(infer_shape(op, edges), op.values.type)
    if isinstance(op, ops.Scan):
        return Edge(infer_shape(op, edges), op.body.edge(op.body.outputs[-1]).type)
    low, high = interval.hull
    return Edge(infer_shape(op, edges), Fixed.holding(low, high, infer_frac(op, edges)))


def bound_net(net: Net, inputs: Mapping[str, Interval] | None = None) -> dict[str, Interval]:
    """Bound every edge of a network; inputs that are not given take any code of their types."""
    known: dict[str, Interval] = dict(inputs or {})
    for node in net.nodes:
        if isinstance(node.op, ops.Input):
            known.setdefault(node.name, Interval.full(node.out))
        else:
            edges = tuple(net.edge(name) for name in node.inputs)
            known[node.name] = bound(node.op, edges, tuple(known[name] for name in node.inputs))
    return known


def _monotone(op: ops.Op, edges: tuple[Edge, ...], intervals: tuple[Interval, ...]) -> Interval:
    """Bound an operation that never decreases when an input grows: evaluate both ends."""
    frac, shape = infer_frac(op, edges), infer_shape(op, edges)
    ends = [
        run_op(op, frac, shape, edges, tuple(codes[None] for codes in side))[0]
        for side in ([i.lo for i in intervals], [i.hi for i in intervals])
    ]
    return Interval(*ends)


@singledispatch
def _bound(op: ops.Op, edges: tuple[Edge, ...], intervals: tuple[Interval, ...]) -> Interval:
    return _monotone(op, edges, intervals)


@_bound.register
def _(op: ops.Quantize, edges: tuple[Edge, ...], intervals: tuple[Interval, ...]) -> Interval:
    (inside,) = intervals
    if not overflows(op, edges[0], inside):
        return _monotone(op, edges, intervals)
    if op.overflow in (Overflow.SAT, Overflow.SAT_SYM):
        return _monotone(op, edges, intervals)
    return Interval.full(Edge(edges[0].shape, op.type))


def overflows(op: ops.Quantize, edge: Edge, interval: Interval) -> bool:
    """Tell whether some code in the interval is out of the range of the quantizer's type."""
    wide = Fixed(
        True,
        op.type.width + 80 + abs(edge.type.frac) + max(-interval.low, interval.high).bit_length(),
        op.type.frac,
    )
    ends = np.array([interval.low, interval.high], object)
    low, high = cast(ends, edge.type.frac, wide, op.rounding, Overflow.WRAP, op.divisor)
    lowest = op.type.lo + (op.overflow is Overflow.SAT_SYM and op.type.signed)
    return bool(low < lowest or high > op.type.hi)


@_bound.register(ops.Dense)
@_bound.register(ops.Conv)
def _(
    op: ops.Dense | ops.Conv, edges: tuple[Edge, ...], intervals: tuple[Interval, ...]
) -> Interval:
    frac = infer_frac(op, edges)
    lift = frac - edges[0].type.frac - op.weight.type.frac
    (x,) = intervals

    def linear(weight: Codes, codes: Codes) -> Codes:
        return kernels.shift_left(product(op, codes[None], weight)[0], lift)

    bias = op.bias
    offset = 0 if bias is None else kernels.shift_left(bias.codes, frac - bias.type.frac)
    return _bound_sum(op.weight.codes, offset, x, linear)


def _bound_sum(
    weight: Codes, offset: Codes | int, x: Interval, linear: Callable[[Codes, Codes], Codes]
) -> Interval:
    up, down = np.maximum(weight, 0), np.minimum(weight, 0)
    add = kernels.combine
    lo = add("add", linear(up, x.lo), linear(down, x.hi))
    hi = add("add", linear(up, x.hi), linear(down, x.lo))
    below, above = np.minimum(x.lo, 0), np.maximum(x.hi, 0)
    least = add("add", linear(up, below), linear(down, above))
    most = add("add", linear(up, above), linear(down, below))
    offset = np.asarray(offset)
    partial = (
        int(add("add", least, np.minimum(offset, 0)).min()),
        int(add("add", most, np.maximum(offset, 0)).max()),
    )
    return Interval(add("add", lo, offset), add("add", hi, offset), partial)


@_bound.register
def _(op: ops.Affine, edges: tuple[Edge, ...], intervals: tuple[Interval, ...]) -> Interval:
    ends = _monotone(op, edges, intervals)
    return Interval(np.minimum(ends.lo, ends.hi), np.maximum(ends.lo, ends.hi))


@_bound.register
def _(op: ops.Merge, edges: tuple[Edge, ...], intervals: tuple[Interval, ...]) -> Interval:
    if op.kind in ("add", "max", "min"):
        return _monotone(op, edges, intervals)
    left, right = intervals
    if op.kind == "sub":
        crossed = Interval(right.hi, right.lo)
        return _monotone(op, edges, (left, crossed))
    corners = [
        kernels.combine("mul", widen(a), widen(b))
        for a in (left.lo, left.hi)
        for b in (right.lo, right.hi)
    ]
    lo, hi = corners[0], corners[0]
    for corner in corners[1:]:
        lo, hi = np.minimum(lo, corner), np.maximum(hi, corner)
    return Interval(shrink(lo), shrink(hi))


@_bound.register
def _(op: ops.MatMul, edges: tuple[Edge, ...], intervals: tuple[Interval, ...]) -> Interval:
    """Add up the bounds of the products, one term of all sums at a time."""
    left, right = intervals
    shape = infer_shape(op, edges)
    lo = hi = least = most = np.zeros(shape, object)
    for k in range(edges[0].shape[-1]):
        rows = [widen(side[..., :, k, None]) for side in (left.lo, left.hi)]
        columns = [widen(side[..., None, k, :]) for side in (right.lo, right.hi)]
        products = np.stack([row * column for row in rows for column in columns])
        low, high = products.min(axis=0), products.max(axis=0)
        lo, hi = lo + low, hi + high
        least, most = least + np.minimum(low, 0), most + np.maximum(high, 0)
    return Interval(shrink(lo), shrink(hi), (int(least.min()), int(most.max())))


@_bound.register
def _(op: ops.Reduce, edges: tuple[Edge, ...], intervals: tuple[Interval, ...]) -> Interval:
    ends = _monotone(op, edges, intervals)
    if op.kind == "max":
        return ends
    (x,) = intervals
    least = widen(np.minimum(x.lo, 0)).sum(axis=op.axes)
    most = widen(np.maximum(x.hi, 0)).sum(axis=op.axes)
    return Interval(ends.lo, ends.hi, (int(np.min(least)), int(np.max(most))))


@_bound.register
def _(op: ops.Pool, edges: tuple[Edge, ...], intervals: tuple[Interval, ...]) -> Interval:
    ends = _monotone(op, edges, intervals)
    if op.kind == "max":
        return ends
    (x,) = intervals
    sums = [
        kernels.pool("sum", codes[None], op.size, op.strides, op.padding, 0)
        for codes in (np.minimum(x.lo, 0), np.maximum(x.hi, 0))
    ]
    return Interval(ends.lo, ends.hi, (int(sums[0].min()), int(sums[1].max())))


@_bound.register
def _(op: ops.Leaky, edges: tuple[Edge, ...], intervals: tuple[Interval, ...]) -> Interval:
    """Take both ends and both sides of the break: left and right of it are straight lines."""
    (x,) = intervals
    frac, shape = infer_frac(op, edges), infer_shape(op, edges)
    edge = edges[0]
    point = 0
    if op.threshold is not None:
        numerator = widen(op.threshold.codes) * 2 ** max(edge.type.frac - op.threshold.type.frac, 0)
        point = -(-numerator // 2 ** max(op.threshold.type.frac - edge.type.frac, 0))
    sides = [x.lo, x.hi]
    for near in (widen(np.asarray(point)), widen(np.asarray(point)) - 1):
        sides.append(shrink(np.clip(np.broadcast_to(near, shape), widen(x.lo), widen(x.hi))))
    made = [run_op(op, frac, shape, edges, (side[None],))[0] for side in sides]
    lo, hi = made[0], made[0]
    for codes in made[1:]:
        lo, hi = np.minimum(lo, codes), np.maximum(hi, codes)
    return Interval(lo, hi)


@_bound.register
def _(op: ops.Table, edges: tuple[Edge, ...], intervals: tuple[Interval, ...]) -> Interval:
    (x,) = intervals
    inside = op.values.codes[max(x.low - op.first, 0) : max(x.high - op.first + 1, 1)]
    if inside.ndim == 1:
        return _constant(inside, x)
    shape = infer_shape(op, edges)
    lo, hi = inside.min(axis=0), inside.max(axis=0)
    return Interval(np.broadcast_to(lo, shape), np.broadcast_to(hi, shape))


@_bound.register
def _(op: ops.Threshold, edges: tuple[Edge, ...], intervals: tuple[Interval, ...]) -> Interval:
    (x,) = intervals
    if op.values.codes.ndim > 1:
        return _constant(op.values.codes, x)
    common = max(edges[0].type.frac, op.thresholds.type.frac)
    steps = kernels.shift_left(op.thresholds.codes, common - op.thresholds.type.frac)
    lift = common - edges[0].type.frac
    first = kernels.count_at_most(kernels.shift_left(x.lo, lift), steps).min()
    last = kernels.count_at_most(kernels.shift_left(x.hi, lift), steps).max()
    return _constant(op.values.codes[first : last + 1], x)


def _constant(values: Codes, x: Interval) -> Interval:
    lo, hi = int(values.min()), int(values.max())
    return Interval(np.full(x.lo.shape, lo), np.full(x.lo.shape, hi))


@_bound.register
def _(op: ops.Scan, edges: tuple[Edge, ...], intervals: tuple[Interval, ...]) -> Interval:
    """One step bounds all: a state takes any code of its type, a slice any of its places."""
    slices = op.body.inputs[len(op.initial) :]
    known = {
        node.name: Interval(interval.lo.min(axis=0), interval.hi.max(axis=0))
        for node, interval in zip(slices, intervals, strict=True)
    }
    result = bound_net(op.body, known)[op.body.outputs[-1]]
    shape = infer_shape(op, edges)
    return Interval(np.broadcast_to(result.lo, shape), np.broadcast_to(result.hi, shape))
