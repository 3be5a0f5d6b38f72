"""Operations that move, combine and fold elements: loop nests and windows of their kernels."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from qapflow.ir.ops import (
    Concat,
    Flip,
    MatMul,
    Merge,
    Pad,
    Pool,
    Reduce,
    Reshape,
    Transpose,
    Upsample,
)
from qapflow.lower.geometry import (
    broadcast_strides,
    collapse,
    collapse_padding,
    padded,
    strides,
)
from qapflow.lower.program import Kernel, Wire

Wires = tuple[Wire, ...]
PAD_AXES = 4
REDUCE_LOOPS = 3


def _named(prefix: str, values: list[int]) -> dict[str, int]:
    return {f"{prefix}{i}": value for i, value in enumerate(values)}


def _gather(x: Wire, out: Wire, loops: list[tuple[int, ...]]) -> Kernel:
    nest = padded(collapse(loops), 1)
    if nest is None:
        raise LoopsTooDeep
    sizes = _named("d", [n[0] for n in nest]) | _named("a", [n[1] for n in nest])
    return Kernel("gather", "sizes", {"sizes": {"n_in": x.size, "n_out": out.size, **sizes}})


class LoopsTooDeep(Exception):
    """More independent axes than the kernels have loops; `unsupported` reports it."""


def _merge(op: Merge, inputs: Wires, out: Wire, stream: bool) -> Kernel:
    a, b = inputs
    params: dict[str, Any] = {"op": op}
    if a.shape == b.shape:
        sizes = {"size": out.size, "lanes": out.lanes, "packets": out.packets}
        return Kernel("zip", "merge", {"sizes": sizes, **params})
    walks = zip(out.shape, broadcast_strides(a.shape), broadcast_strides(b.shape), strict=True)
    nest = padded(collapse(list(walks)), 2)
    if nest is None:
        raise LoopsTooDeep
    sizes = {"n_a": a.size, "n_b": b.size, "n_out": out.size}
    for prefix, column in (("d", 0), ("a", 1), ("b", 2)):
        sizes |= _named(prefix, [n[column] for n in nest])
    return Kernel("combine", "merge", {"sizes": sizes, **params})


def _matmul(op: MatMul, inputs: Wires, out: Wire, stream: bool) -> Kernel:
    a, b = inputs
    rows, inner, columns = a.shape[-2], a.shape[-1], b.shape[-1]
    sizes = {"n_a": a.size, "n_b": b.size, "n_out": out.size}
    sizes |= {"turns": prod(out.shape[:-2]), "rows": rows, "inner": inner, "columns": columns}
    return Kernel("matmul", "sizes", {"sizes": sizes})


def _transpose(op: Transpose, inputs: Wires, out: Wire, stream: bool) -> Kernel:
    (x,) = inputs
    steps = strides(x.shape)
    return _gather(x, out, [(x.shape[axis], steps[axis]) for axis in op.order])


def _flip(op: Flip, inputs: Wires, out: Wire, stream: bool) -> Kernel:
    shape = inputs[0].shape
    sizes = {"n_in": out.size, "n_out": out.size, "outer": prod(shape[: op.axis])}
    sizes |= {"length": shape[op.axis], "inner": prod(shape[op.axis + 1 :])}
    return Kernel("flip", "sizes", {"sizes": sizes})


def _upsample(op: Upsample, inputs: Wires, out: Wire, stream: bool) -> Kernel:
    (x,) = inputs
    if stream and len(x.shape) <= 3:
        factors = (1,) * (2 - len(op.factors)) + op.factors
        rows, columns = ((1,) * (3 - len(x.shape)) + x.shape)[:2]
        return Kernel(
            "upsample_stream",
            "sizes",
            {
                "sizes": {
                    "in_h": rows,
                    "in_w": columns,
                    "factor_h": factors[0],
                    "factor_w": factors[1],
                }
            },
        )
    loops: list[tuple[int, ...]] = []
    factors = op.factors + (1,) * (len(x.shape) - len(op.factors))
    for size, step, factor in zip(x.shape, strides(x.shape), factors, strict=True):
        loops += [(size, step), (factor, 0)]
    return _gather(x, out, loops)


def _pad(op: Pad, inputs: Wires, out: Wire, stream: bool) -> Kernel:
    (x,) = inputs
    if stream and 2 <= len(x.shape) <= 3 and op.amounts[-1] == (0, 0):
        return _pad_stream(x, op.amounts)
    axes = collapse_padding(x.shape, op.amounts)
    if len(axes) > PAD_AXES:
        raise LoopsTooDeep
    axes = [(1, 0, 0)] * (PAD_AXES - len(axes)) + axes
    sizes = {"n_in": x.size, "n_out": out.size}
    sizes |= _named("n", [size for size, _, _ in axes])
    sizes |= _named("p", [before for _, before, _ in axes])
    sizes |= _named("e", [size + after for size, _, after in axes])
    return Kernel("pad", "signed_sizes", {"sizes": sizes})


def _pad_stream(x: Wire, amounts: tuple[tuple[int, int], ...], step: int = 1) -> Kernel:
    sizes = {"step_h": step}
    rows = (((0, 0),) * (3 - len(amounts)) + amounts)[:2]
    extents = ((1,) * (3 - len(x.shape)) + x.shape)[:2]
    for axis, extent, (before, after) in zip("hw", extents, rows, strict=True):
        sizes[f"in_{axis}"] = extent
        sizes[f"first_{axis}"] = -max(before, 0)
        sizes[f"last_{axis}"] = extent + max(after, 0)
        sizes[f"keep_{axis}0"] = -before
        sizes[f"keep_{axis}1"] = extent + after
    return Kernel("pad_stream", "signed_sizes", {"sizes": sizes})


def pad_rows(x: Wire, padding: tuple[tuple[int, int], ...], step: int) -> Kernel:
    """Return the kernel that pads a streamed image and keeps every `step`-th row."""
    return _pad_stream(x, (*padding, (0, 0)), step)


def repeat_channels(x: Wire, factor: int, stream: bool) -> Kernel:
    """Return the kernel that gives every channel `factor` times, neighbours together."""
    if stream:
        return Kernel("repeat_lanes", "sizes", {"sizes": {"packets": x.packets, "factor": factor}})
    out = Wire("", (*x.shape[:-1], x.shape[-1] * factor), x.type)
    return _gather(x, out, [(x.size, 1), (factor, 0)])


def _pool(op: Pool, inputs: Wires, out: Wire, stream: bool) -> Kernel:
    (x,) = inputs
    ranks = 2 - len(op.size)
    size = (1,) * ranks + op.size
    step = (1,) * ranks + op.strides
    padding = ((0, 0),) * ranks + op.padding
    extents = (1,) * ranks + x.shape[:-1]
    counts = (1,) * ranks + out.shape[:-1]
    sizes = {"n_in": x.size, "n_out": out.size, "lanes": x.lanes}
    for i, axis in enumerate("hw"):
        end = -padding[i][0] + (counts[i] - 1) * step[i] + 1
        sizes |= {f"in_{axis}": extents[i], f"size_{axis}": size[i], f"stride_{axis}": step[i]}
        sizes |= {f"pad_{axis}": padding[i][0], f"end_{axis}": end}
        sizes[f"last_{axis}"] = max(extents[i], end - 1 + size[i])
    return Kernel("pool", "pool", {"sizes": sizes, "kind": op.kind})


def _reduce(op: Reduce, inputs: Wires, out: Wire, stream: bool) -> Kernel:
    (x,) = inputs
    rank = len(x.shape)
    axes = {axis % rank for axis in op.axes}
    params = {"kind": op.kind}
    if stream and axes == set(range(rank - 1)):
        sizes = {"lanes": x.lanes, "packets": x.packets}
        return Kernel("fold", "pool", {"sizes": sizes, **params})
    walks = list(zip(x.shape, strides(x.shape), strict=True))
    kept = padded(collapse([w for i, w in enumerate(walks) if i not in axes]), 1, REDUCE_LOOPS)
    gone = padded(collapse([w for i, w in enumerate(walks) if i in axes]), 1, REDUCE_LOOPS)
    if kept is None or gone is None:
        raise LoopsTooDeep
    sizes = {"n_in": x.size, "n_out": out.size}
    for size, step, nest in (("d", "a", kept), ("r", "b", gone)):
        sizes |= _named(size, [n[0] for n in nest]) | _named(step, [n[1] for n in nest])
    return Kernel("reduce", "pool", {"sizes": sizes, **params})


def _concat(op: Concat, inputs: Wires, out: Wire, stream: bool) -> Kernel:
    axis = op.axis % len(out.shape)
    chunks = [prod(wire.shape[axis:]) for wire in inputs]
    params = {"inputs": inputs, "out": out, "chunks": chunks, "turns": prod(out.shape[:axis])}
    return Kernel("", "concat", {**params, "lanes": axis == len(out.shape) - 1})


def _reshape(op: Reshape, inputs: Wires, out: Wire, stream: bool) -> Kernel:
    if not stream:
        return _gather(inputs[0], out, [(out.size, 1)])
    return Kernel("repack", "sizes", {"sizes": {"n_out": out.size}})


MOVES: dict[type[Any], Callable[[Any, Wires, Wire, bool], Kernel]] = {
    Merge: _merge,
    MatMul: _matmul,
    Transpose: _transpose,
    Flip: _flip,
    Upsample: _upsample,
    Pad: _pad,
    Pool: _pool,
    Reduce: _reduce,
    Concat: _concat,
    Reshape: _reshape,
}
