"""Effective bit operations (EBOPs): the bits that really meet in the multiplications of a network.

EBOPs = sum of b_i b_j over all multiplications; a constant counts the bits enclosed by its non-zero
bits, so that zeros are free (HGQ: Sun et al., arXiv:2405.00645, eq. 5). An activation counts the
width of its type, sign included, as `act_bw_exact` of HGQ's code does. Every position of a
convolution counts; zeros of the padding do not.
"""

from __future__ import annotations

import math
from functools import singledispatch

import numpy as np
from numpy.typing import NDArray

from qapflow.cost.widths import edge_bits, enclosed_bits
from qapflow.ir.net import Edge, Net, Node
from qapflow.ir.ops import Affine, Conv, Dense, MatMul, Merge, Op, Reduce

SUM_SHARE = 0.65
"""Cost of an adder's bit in HGQ2 (`QAdd`, `QSum`)."""


def ebops(net: Net, node: Node) -> int:
    """Return the effective bit operations of a node for one sample, 0 if it multiplies nothing.

    Scales that are powers of two are shifts and count nothing; such weights are the additions of a
    sum and count the activation's bits.
    """
    return _products(node.op, net, node)


@singledispatch
def _products(op: Op, net: Net, node: Node) -> int:
    return 0


@_products.register
def _(op: Dense, net: Net, node: Node) -> int:
    rows = math.prod(node.out.shape[:-1])
    return rows * edge_bits(net, node.inputs[0]) * int(enclosed_bits(op.weight.codes).sum())


@_products.register
def _(op: Conv, net: Net, node: Node) -> int:
    taps = enclosed_bits(op.weight.codes).sum(axis=(-2, -1))
    reads = count_reads(op, net.edge(node.inputs[0]), node.out)
    return edge_bits(net, node.inputs[0]) * int((taps * reads).sum())


@_products.register
def _(op: Affine, net: Net, node: Node) -> int:
    bits = enclosed_bits(op.scale.codes)
    bits = np.where(bits > 1, bits, 0)
    repeats = math.prod(node.out.shape) // bits.size
    return repeats * edge_bits(net, node.inputs[0]) * int(bits.sum())


@_products.register
def _(op: Merge, net: Net, node: Node) -> int:
    if op.kind != "mul":
        return 0
    left, right = (edge_bits(net, name) for name in node.inputs)
    return math.prod(node.out.shape) * left * right


@_products.register
def _(op: MatMul, net: Net, node: Node) -> int:
    left, right = (edge_bits(net, name) for name in node.inputs)
    return math.prod(node.out.shape) * net.edge(node.inputs[0]).shape[-1] * left * right


def count_reads(op: Conv, source: Edge, out: Edge) -> NDArray[np.int64]:
    """Count for each kernel position [*kernel] at how many output positions it reads the input.

    The others read padding.
    """
    axes = []
    for axis, (before, _) in enumerate(op.padding):
        starts = np.arange(out.shape[axis]) * op.strides[axis] - before
        offsets = np.arange(op.weight.codes.shape[axis]) * op.dilation[axis]
        places = starts + offsets[:, None]
        axes.append(((places >= 0) & (places < source.shape[axis])).sum(axis=1))
    return np.asarray(axes[0] if len(axes) == 1 else np.multiply.outer(axes[0], axes[1]))


def accumulation_ebops(net: Net, node: Node) -> float:
    """Return what HGQ2 adds to the EBOPs of a node for its additions, per sample.

    A bias: its bits for every output it is added to. Sums and differences of edges: the wider
    operand, times 0.65 for sums; a sum along axes: 0.65 bits for every value but one. (HGQ2,
    `_compute_ebops` of core/dense.py, conv.py, ops/merge.py and ops/accum.py, July 2026, with a
    constant's enclosed bits as its width.)
    """
    return _additions(node.op, net, node)


@singledispatch
def _additions(op: Op, net: Net, node: Node) -> float:
    return 0.0


@_additions.register(Dense)
@_additions.register(Conv)
def _(op: Dense | Conv, net: Net, node: Node) -> float:
    if op.bias is None:
        return 0.0
    return float(math.prod(node.out.shape[:-1]) * int(enclosed_bits(op.bias.codes).sum()))


@_additions.register
def _(op: Affine, net: Net, node: Node) -> float:
    if op.offset is None:
        return 0.0
    bits = enclosed_bits(op.offset.codes)
    return float(math.prod(node.out.shape) // bits.size * int(bits.sum()))


@_additions.register
def _(op: Merge, net: Net, node: Node) -> float:
    if op.kind == "mul":
        return 0.0
    wider = max(edge_bits(net, name) for name in node.inputs)
    return math.prod(node.out.shape) * wider * (SUM_SHARE if op.kind == "add" else 1.0)


@_additions.register
def _(op: Reduce, net: Net, node: Node) -> float:
    if op.kind != "sum":
        return 0.0
    values = math.prod(net.edge(node.inputs[0]).shape) - math.prod(node.out.shape)
    return SUM_SHARE * values * edge_bits(net, node.inputs[0])
