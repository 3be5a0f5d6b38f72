"""Give each operation of a network its blocks."""

from __future__ import annotations

from functools import singledispatch
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.ir import ops
from qapflow.ir.net import Node
from qapflow.rtl.stream.beat import Spatial, beat_shape, on_one_beat, on_one_window
from qapflow.rtl.stream.blocks import Braid, Fold, Loop, Mac, Repeat, Stream, Window
from qapflow.rtl.stream.multiply import divide_work, shares
from qapflow.rtl.stream.predict import predict_node
from qapflow.rtl.stream.sketch import Sketch

WHOLE_VALUES = 1024
"""Largest array that lies in one beat where an operation mixes pixels."""
WHOLE_LUT = 100_000
"""Predicted LUT of such an operation."""
UNROLL = "the unrolled form (--rtl-form unrolled)"


def place(node: Node, sketch: Sketch) -> None:
    """Add the blocks of one node and note which stream carries its edge."""
    name = _place(node.op, node, sketch)
    if name is not None:
        sketch.native[node.name] = name


def pixels(shape: tuple[int, ...]) -> int:
    """Beats of an edge of this shape."""
    return prod(shape[:-1])


@singledispatch
def _place(op: ops.Op, node: Node, sketch: Sketch) -> str | None:
    shapes = tuple(sketch.net.edge(name).shape for name in node.inputs)
    try:
        local = on_one_beat(node, shapes)
        return _on_beats(local, node, sketch, shapes)
    except Spatial:
        return _on_whole(node, sketch)


def _on_beats(op: ops.Op, node: Node, sketch: Sketch, shapes: tuple[tuple[int, ...], ...]) -> str:
    beats = max(pixels(shape) for shape in shapes)
    streams = []
    for name, shape in zip(node.inputs, shapes, strict=True):
        if pixels(shape) not in (1, beats) or (
            pixels(shape) > 1 and shape[:-1] != node.out.shape[: len(shape) - 1]
        ):
            raise Spatial
        stream = sketch.grouped(name, beat_shape(shape)[0])
        streams.append(sketch.repeated(stream, beats, node.origin or node.name))
    made = (1,) if isinstance(op, ops.Reduce) else beat_shape(node.out.shape)
    local = tuple(beat_shape(shape) for shape in shapes)
    return sketch.compute(node, op, tuple(streams), local, made)


def _on_whole(node: Node, sketch: Sketch) -> str | None:
    """Put the whole arrays into one beat, where they are small."""
    edges = [sketch.net.edge(name) for name in node.inputs]
    largest = max(prod(edge.shape) for edge in (*edges, node.out))
    lut = predict_node(node, edges)
    if largest > WHOLE_VALUES or lut > WHOLE_LUT:
        limits = f"{WHOLE_VALUES:,} values and {WHOLE_LUT:,} LUT for one beat"
        found = f"it has {largest:,} values and takes about {lut:,.0f} LUT"
        sketch.refuse(node, f"it mixes pixels; {found}, of at most {limits}", UNROLL)
        return None
    streams = tuple(
        sketch.grouped(name, prod(edge.shape))
        for name, edge in zip(node.inputs, edges, strict=True)
    )
    shapes = tuple(edge.shape or (1,) for edge in edges)
    return sketch.compute(node, node.op, streams, shapes, node.out.shape or (1,))


@_place.register
def _(op: ops.Input, node: Node, sketch: Sketch) -> str:
    shape = node.out.shape
    values, beats = beat_shape(shape)[0], pixels(shape)
    if sketch.whole:
        values, beats = values * beats, 1
    stream = Stream(node.name, node.out.type, values, beats)
    return sketch.add_stream(node.name, stream, 0)


@_place.register
def _(op: ops.Reshape, node: Node, sketch: Sketch) -> str:
    return sketch.native[node.inputs[0]]


@_place.register
def _(op: ops.Transpose, node: Node, sketch: Sketch) -> str | None:
    shape = sketch.net.edge(node.inputs[0]).shape
    if [axis for axis in op.order if shape[axis] > 1] == sorted(
        axis for axis in op.order if shape[axis] > 1
    ):
        return sketch.native[node.inputs[0]]
    return _on_whole(node, sketch)


@_place.register
def _(op: ops.Table, node: Node, sketch: Sketch) -> str | None:
    shape = sketch.net.edge(node.inputs[0]).shape
    if op.values.codes.ndim == 1:
        return _on_beats(op, node, sketch, (shape,))
    stream = sketch.grouped(node.inputs[0], 1)
    return sketch.compute(node, op, (stream,), ((1,),), (op.values.codes.shape[1],))


@_place.register
def _(op: ops.Dense, node: Node, sketch: Sketch) -> str | None:
    source = node.inputs[0]
    shape = sketch.net.edge(source).shape
    values, beats = shape[-1], 1
    stream = sketch.streams[sketch.native[source]]
    if pixels(shape) == 1 and values % stream.values == 0:
        beats = values // stream.values
    if not shares(node.name, op, stream.type.width, beats, sketch.sharing):
        return _on_beats(op, node, sketch, (shape,))
    name = sketch.grouped(source, values // beats)
    return _share(op, node, sketch, name, beats)


def _share(op: ops.Dense | ops.Conv, node: Node, sketch: Sketch, name: str, beats: int) -> str:
    """Add a layer with weights in a ROM."""
    stream = sketch.streams[name]
    weight, bias = lifted(op, stream.type.frac, node.out.type.frac)
    results = stream.beats // beats
    parts, turns = divide_work(node.name, weight, beats, results, sketch.sharing)
    out = Stream(node.name, node.out.type, weight.shape[1], results)
    work = Mac(weight, bias, beats, parts, turns)
    return sketch.move(work, (name,), out, "sums", node.origin or node.name)


def lifted(
    op: ops.Dense | ops.Conv, frac: int, out_frac: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return weights [n, m] and bias [m] as codes whose sums lie on the grid of the output."""
    codes = op.weight.codes.reshape(-1, op.weight.codes.shape[-1]).astype(np.int64)
    weight = codes << (out_frac - frac - op.weight.type.frac)
    if op.bias is None:
        return weight, np.zeros(weight.shape[1], np.int64)
    bias = op.bias.codes.astype(np.int64) << max(out_frac - op.bias.type.frac, 0)
    return weight, np.broadcast_to(bias, weight.shape[1:])


@_place.register(ops.Conv)
@_place.register(ops.Pool)
def _(op: ops.Conv | ops.Pool, node: Node, sketch: Sketch) -> str | None:
    source = node.inputs[0]
    edge = sketch.net.edge(source)
    channels = edge.shape[-1]
    size = op.weight.codes.shape[:-2] if isinstance(op, ops.Conv) else op.size
    dilation = op.dilation if isinstance(op, ops.Conv) else (1,) * len(size)
    name = sketch.grouped(source, channels)
    plain = prod(size) == prod(op.strides) == 1 and not any(map(any, op.padding))
    if not plain:
        fill = edge.type.lo if isinstance(op, ops.Pool) and op.kind == "max" else 0
        window = Window(
            _two(edge.shape[:-1], 1), _two(size, 1), _two(op.strides, 1),
            _two(op.padding, (0, 0)), _two(dilation, 1), fill,
        )  # fmt: skip
        kind = sketch.streams[name].type
        out = Stream(source, kind, prod(size) * channels, pixels(node.out.shape))
        layer = node.origin or node.name
        name = sketch.move(window, (name,), out, f"windows_{node.name}", layer)
    width = sketch.streams[name].type.width
    if isinstance(op, ops.Conv) and shares(node.name, op, width, 1, sketch.sharing):
        return _share(op, node, sketch, name, 1)
    shape = (*size, channels)
    return sketch.compute(node, on_one_window(op), (name,), (shape,), node.out.shape[-1:])


def _two(items: tuple[Any, ...], first: Any) -> tuple[Any, Any]:
    """Return one or two axes as two."""
    one, two = (first, *items)[-2:]
    return one, two


@_place.register
def _(op: ops.Reduce, node: Node, sketch: Sketch) -> str | None:
    source = node.inputs[0]
    edge = sketch.net.edge(source)
    rank = len(edge.shape)
    kept = [axis for axis in range(rank - 1) if axis not in op.axes and edge.shape[axis] > 1]
    folded = [axis for axis in range(rank - 1) if axis in op.axes and edge.shape[axis] > 1]
    if not folded and rank - 1 in op.axes:
        return _on_beats(ops.Reduce(op.kind, (0,), True), node, sketch, (edge.shape,))
    if rank - 1 in op.axes or (kept and folded and kept[-1] > folded[0]):
        return _on_whole(node, sketch)
    count = prod(edge.shape[axis] for axis in folded)
    name = sketch.grouped(source, edge.shape[-1])
    if count == 1:
        return name
    out = Stream(node.name, node.out.type, edge.shape[-1], pixels(edge.shape) // count)
    work = Fold(op.kind == "max", count)
    return sketch.move(work, (name,), out, "folded", node.origin or node.name)


@_place.register
def _(op: ops.Pad, node: Node, sketch: Sketch) -> str | None:
    source = node.inputs[0]
    edge = sketch.net.edge(source)
    if not any(map(any, op.amounts[:-1])):
        return _on_beats(on_one_beat(node, (edge.shape,)), node, sketch, (edge.shape,))
    if any(op.amounts[-1]) or len(edge.shape) > 3:
        return _on_whole(node, sketch)
    padding = _two(op.amounts[:-1], (0, 0))
    window = Window(_two(edge.shape[:-1], 1), (1, 1), (1, 1), padding, (1, 1), 0)
    name = sketch.grouped(source, edge.shape[-1])
    kind = sketch.streams[name].type
    out = Stream(node.name, kind, edge.shape[-1], pixels(node.out.shape))
    return sketch.move(window, (name,), out, "padded", node.origin or node.name)


@_place.register
def _(op: ops.Upsample, node: Node, sketch: Sketch) -> str | None:
    source = node.inputs[0]
    edge = sketch.net.edge(source)
    if len(edge.shape) > 3:
        return _on_whole(node, sketch)
    work = Repeat(edge.shape[-2], _two(op.factors, 1))
    name = sketch.grouped(source, edge.shape[-1])
    kind = sketch.streams[name].type
    out = Stream(node.name, kind, edge.shape[-1], pixels(node.out.shape))
    return sketch.move(work, (name,), out, "repeated", node.origin or node.name)


@_place.register
def _(op: ops.Concat, node: Node, sketch: Sketch) -> str | None:
    edges = [sketch.net.edge(name) for name in node.inputs]
    rank = len(node.out.shape)
    if op.axis == rank - 1:
        local = on_one_beat(node, tuple(edge.shape for edge in edges))
        return _on_beats(local, node, sketch, tuple(edge.shape for edge in edges))
    inner = prod(node.out.shape[op.axis + 1 : -1])
    values, layer = node.out.shape[-1], node.origin or node.name
    name, count = sketch.grouped(node.inputs[0], values), edges[0].shape[op.axis] * inner
    for source, edge in zip(node.inputs[1:], edges[1:], strict=True):
        other, more = sketch.grouped(source, values), edge.shape[op.axis] * inner
        beats = sketch.streams[name].beats + sketch.streams[other].beats
        out = Stream(node.name, node.out.type, values, beats)
        name = sketch.move(Braid(count, more), (name, other), out, "joined", layer)
        count += more
    return name


@_place.register
def _(op: ops.Scan, node: Node, sketch: Sketch) -> str:
    steps = node.out.shape[0] if op.emit == "all" else sketch.net.edge(node.inputs[0]).shape[0]
    names = tuple(
        sketch.grouped(name, prod(sketch.net.edge(name).shape[1:])) for name in node.inputs
    )
    states = op.body.inputs[: len(op.initial)]
    initial = tuple(
        tuple(np.broadcast_to(const.codes, state.out.shape).ravel().tolist())
        for const, state in zip(op.initial, states, strict=True)
    )
    result = op.body.edge(op.body.outputs[-1])
    every = op.emit == "all"
    out = Stream(node.name, node.out.type, prod(result.shape), steps if every else 1)
    work = Loop(op.body, initial, steps, every)
    return sketch.move(work, names, out, "turns", node.origin or node.name)
