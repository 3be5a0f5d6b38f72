"""What a network takes when it is unrolled, before any tracing: from shapes and weights alone."""

from __future__ import annotations

from functools import singledispatch
from math import log2, prod

import numpy as np

from qapflow.ir import ops
from qapflow.ir.digits import count_digits
from qapflow.ir.net import Edge, Net, Node, count_turns, with_bodies

LUT_PER_DIGIT_BIT = 0.33
"""LUT a nonzero signed digit of a weight and bit of a sum, what the tracer shares included.

Measured on 36 random layers of 16x16 to 144x32 weights of 3 to 8 bits, 0 and 75 % zeros, inputs of
4 and 8 bits: 0.23 to 0.59, the larger and denser the less.
"""


def predict_lut(net: Net) -> dict[str, float]:
    """Return LUT by node of the unrolled form; a rough figure, good to a factor of two."""
    whole = with_bodies(net)
    turns = count_turns(net)
    return {
        node.name: turns[node.name] * predict_node(node, [whole.edge(n) for n in node.inputs])
        for node in whole.nodes
    }


def predict_node(node: Node, edges: list[Edge]) -> float:
    """Return LUT of one node; `edges` are its inputs."""
    return _predict(node.op, node, edges)


def predict_kernel(op: ops.Dense | ops.Conv, width: int) -> float:
    """Return LUT of one position of a layer with weights on inputs of `width` bits."""
    codes = op.weight.codes
    used = max(np.count_nonzero(codes) / codes.shape[-1], 2)
    bits = width + op.weight.type.width / 2 + log2(used)
    return LUT_PER_DIGIT_BIT * float(count_digits(codes).sum()) * bits


@singledispatch
def _predict(op: ops.Op, node: Node, edges: list[Edge]) -> float:
    """Return LUT of operations without weights: one a bit of the result."""
    return float(prod(node.out.shape) * node.out.type.width)


@_predict.register(ops.Input)
@_predict.register(ops.Reshape)
@_predict.register(ops.Transpose)
@_predict.register(ops.Pad)
@_predict.register(ops.Upsample)
@_predict.register(ops.Concat)
@_predict.register(ops.Flip)
@_predict.register(ops.Scan)
def _(op: ops.Op, node: Node, edges: list[Edge]) -> float:
    return 0.0


@_predict.register(ops.Dense)
@_predict.register(ops.Conv)
def _(op: ops.Dense | ops.Conv, node: Node, edges: list[Edge]) -> float:
    return predict_kernel(op, edges[0].type.width) * prod(node.out.shape[:-1])


@_predict.register
def _(op: ops.Pool, node: Node, edges: list[Edge]) -> float:
    each = 1.0 if op.kind == "sum" else 1.5
    return each * (prod(op.size) - 1) * prod(node.out.shape) * node.out.type.width


@_predict.register
def _(op: ops.Reduce, node: Node, edges: list[Edge]) -> float:
    return float(prod(edges[0].shape) * edges[0].type.width)


@_predict.register
def _(op: ops.MatMul, node: Node, edges: list[Edge]) -> float:
    products = prod(node.out.shape) * edges[0].shape[-1]
    return float(products * edges[0].type.width * edges[1].type.width)


@_predict.register
def _(op: ops.Merge, node: Node, edges: list[Edge]) -> float:
    if op.kind == "mul":
        return float(prod(node.out.shape) * edges[0].type.width * edges[1].type.width)
    return float(prod(node.out.shape) * node.out.type.width)


@_predict.register
def _(op: ops.Table, node: Node, edges: list[Edge]) -> float:
    entries = min(len(op.values.codes), 2 ** edges[0].type.width)
    return float(prod(node.out.shape) * op.values.type.width * max(entries / 64, 1))
