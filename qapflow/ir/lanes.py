"""Operations on floats that carry integers: how, and how large a magnitude each meets inside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.ir import ops
from qapflow.ir.convolve import make_convolution
from qapflow.ir.fixed import Fixed, Overflow, Rounding
from qapflow.ir.infer import infer_frac
from qapflow.ir.net import Edge, Node
from qapflow.ir.semantics import run_op

Array = NDArray[Any]
Kernel = Callable[..., Array]


def peak_of(kind: Fixed) -> int:
    """Largest magnitude of a code."""
    return max(-kind.lo, kind.hi)


# A maker returns the largest magnitude inside the operation and a function dtype -> kernel.
Made = tuple[int, Callable[[Any], Kernel]] | None


def _make_nothing(node: Node, edges: tuple[Edge, ...]) -> Made:
    return None


def _lift(bits: int, dtype: Any) -> Any:
    return dtype(2.0**bits)


def _make_dense(node: Node, edges: tuple[Edge, ...]) -> Made:
    op = node.op
    assert isinstance(op, ops.Dense)
    lift = node.out.type.frac - edges[0].type.frac - op.weight.type.frac

    def maker(dtype: Any) -> Kernel:
        weight = op.weight.codes.astype(dtype) * _lift(lift, dtype)
        bias = _aligned(op.bias, node.out.type.frac, dtype)

        def kernel(x: Array) -> Array:
            y = np.asarray(x @ weight)
            if bias is not None:
                y += bias
            return y

        return kernel

    return peak_of(node.out.type), maker


def _aligned(const: ops.Const | None, frac: int, dtype: Any) -> Any:
    if const is None:
        return None
    return np.ldexp(const.codes.astype(np.float64), frac - const.type.frac).astype(dtype)


def _make_conv(node: Node, edges: tuple[Edge, ...]) -> Made:
    op = node.op
    assert isinstance(op, ops.Conv)
    lift = node.out.type.frac - edges[0].type.frac - op.weight.type.frac

    def maker(dtype: Any) -> Kernel:
        weight = op.weight.codes.astype(dtype) * _lift(lift, dtype)
        convolve = make_convolution(op, weight, edges[0].shape, node.out.shape)
        bias = _aligned(op.bias, node.out.type.frac, dtype)
        if bias is None:
            return convolve
        row = np.tile(bias, node.out.shape[-2])  # whole rows: long runs add fast

        def kernel(x: Array) -> Array:
            y = convolve(x)
            rows = y.reshape(-1, row.size)
            rows += row
            return rows.reshape(y.shape)

        return kernel

    return peak_of(node.out.type), maker


ROUND: Mapping[Rounding, Callable[[Array, Array], Array]] = {
    Rounding.RND_CONV: np.rint,
    Rounding.TRN: np.floor,
    Rounding.TRN_ZERO: np.trunc,
}


def _make_quantize(node: Node, edges: tuple[Edge, ...]) -> Made:
    op = node.op
    assert isinstance(op, ops.Quantize)
    shift = op.type.frac - edges[0].type.frac
    if op.divisor != 1 or op.overflow not in (Overflow.SAT, Overflow.SAT_SYM):
        return None
    half = op.rounding is Rounding.RND
    if not half and op.rounding not in ROUND:
        return None
    low = op.type.lo + (op.overflow is Overflow.SAT_SYM and op.type.signed)
    # x + half an output step, on the input's grid, must stay exact
    need = (peak_of(edges[0].type) << max(shift, 0)) + (half << max(-shift, 0))

    def maker(dtype: Any) -> Kernel:
        scale, offset = dtype(2.0**shift), dtype(0.5)

        def kernel(x: Array) -> Array:
            y = np.asarray(x * scale)
            if shift < 0:
                if half:
                    y += offset
                    np.floor(y, y)
                else:
                    ROUND[op.rounding](y, y)
            return np.clip(y, dtype(low), dtype(op.type.hi), out=y)

        return kernel

    return need, maker


def _make_merge(node: Node, edges: tuple[Edge, ...]) -> Made:
    op = node.op
    assert isinstance(op, ops.Merge)
    names: dict[str, np.ufunc] = {
        "add": np.add,
        "sub": np.subtract,
        "mul": np.multiply,
        "max": np.maximum,
    }
    ufunc = names.get(op.kind, np.minimum)
    if op.kind == "mul":
        return peak_of(edges[0].type) * peak_of(edges[1].type), lambda dtype: ufunc
    lifts = [node.out.type.frac - edge.type.frac for edge in edges]
    need = sum(peak_of(e.type) << bits for e, bits in zip(edges, lifts, strict=True))

    def maker(dtype: Any) -> Kernel:
        left, right = (_lift(bits, dtype) for bits in lifts)

        def kernel(a: Array, b: Array) -> Array:
            return np.asarray(ufunc(a * left, b * right))

        return kernel

    return need, maker


def _make_matmul(node: Node, edges: tuple[Edge, ...]) -> Made:
    return peak_of(node.out.type), lambda dtype: np.matmul


def _make_affine(node: Node, edges: tuple[Edge, ...]) -> Made:
    op = node.op
    assert isinstance(op, ops.Affine)
    frac = node.out.type.frac
    lift = frac - edges[0].type.frac - op.scale.type.frac
    need = (peak_of(edges[0].type) * int(np.abs(op.scale.codes).max())) << lift
    if op.offset is not None:
        need += int(np.abs(op.offset.codes).max()) << max(frac - op.offset.type.frac, 0)

    def maker(dtype: Any) -> Kernel:
        scale = op.scale.codes.astype(dtype) * _lift(lift, dtype)
        offset = _aligned(op.offset, frac, dtype)

        def kernel(x: Array) -> Array:
            y = x * scale
            return y if offset is None else np.asarray(y + offset)

        return kernel

    return need, maker


def _make_clip(node: Node, edges: tuple[Edge, ...]) -> Made:
    op = node.op
    assert isinstance(op, ops.Clip)
    frac = node.out.type.frac
    bounds = [c for c in (op.lower, op.upper) if c is not None and c.codes.any()]
    peaks = [abs(int(c.codes)) << (frac - c.type.frac) for c in bounds]
    need = max([peak_of(edges[0].type) << (frac - edges[0].type.frac), *peaks])

    def maker(dtype: Any) -> Kernel:
        lift = _lift(frac - edges[0].type.frac, dtype)
        lower, upper = _aligned(op.lower, frac, dtype), _aligned(op.upper, frac, dtype)

        def kernel(x: Array) -> Array:
            return np.asarray(np.clip(x * lift, lower, upper))

        return kernel

    return need, maker


def _make_pool(node: Node, edges: tuple[Edge, ...]) -> Made:
    op = node.op
    assert isinstance(op, ops.Pool)
    if any(before or after for before, after in op.padding):
        return None
    return peak_of(node.out.type), lambda dtype: partial(_pool, op, node.out.shape)


def _pool(op: ops.Pool, shape: tuple[int, ...], x: Array) -> Array:
    """Reduce one axis after the other, rows first: they are the longest runs in memory."""
    combine = np.maximum if op.kind == "max" else np.add
    for axis, (size, step, count) in enumerate(
        zip(op.size, op.strides, shape[:-1], strict=True), start=1
    ):
        result: Array | None = None
        for offset in range(size):
            cut = slice(offset, offset + step * (count - 1) + 1, step)
            window = x[(slice(None),) * axis + (cut,)]
            if result is None:
                result = window.copy()
            else:
                combine(result, window, out=result)
        assert result is not None
        x = result
    return x


def _make_reduce(node: Node, edges: tuple[Edge, ...]) -> Made:
    op = node.op
    assert isinstance(op, ops.Reduce)
    axes = tuple(axis + 1 for axis in op.axes)
    reduce = np.max if op.kind == "max" else np.sum

    def kernel(x: Array) -> Array:
        return np.asarray(reduce(x, axis=axes, keepdims=op.keepdims))

    return peak_of(node.out.type), lambda dtype: kernel


def _make_table(node: Node, edges: tuple[Edge, ...]) -> Made:
    op = node.op
    assert isinstance(op, ops.Table)

    def maker(dtype: Any) -> Kernel:
        values = op.values.codes.astype(dtype)
        return lambda x: values[(x - dtype(op.first)).astype(np.intp)]

    return abs(op.first) + len(op.values.codes), maker


def _make_move(node: Node, edges: tuple[Edge, ...]) -> Made:
    """Operations that move elements run on floats as they do on integers."""
    frac = infer_frac(node.op, edges)
    if any(edge.type.frac != frac for edge in edges):
        return None  # a concatenation that must align its inputs

    def kernel(*arrays: Array) -> Array:
        return run_op(node.op, frac, node.out.shape, edges, arrays)

    return peak_of(node.out.type), lambda dtype: kernel


MAKERS: Mapping[type[Any], Callable[[Node, tuple[Edge, ...]], Made]] = {
    ops.Dense: _make_dense,
    ops.Conv: _make_conv,
    ops.Quantize: _make_quantize,
    ops.Merge: _make_merge,
    ops.MatMul: _make_matmul,
    ops.Affine: _make_affine,
    ops.Clip: _make_clip,
    ops.Pool: _make_pool,
    ops.Reduce: _make_reduce,
    ops.Table: _make_table,
    ops.Reshape: _make_move,
    ops.Transpose: _make_move,
    ops.Pad: _make_move,
    ops.Upsample: _make_move,
    ops.Flip: _make_move,
}


def make(node: Node, edges: tuple[Edge, ...]) -> Made:
    """Return the largest magnitude met and a function dtype -> kernel; None if there is none."""
    return MAKERS.get(type(node.op), _make_nothing)(node, edges)
