"""Sums of products that an accumulator cuts before it adds them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from qapflow.importer.reader import Reader, Refused
from qapflow.importer.sources import Call, CType
from qapflow.ir.fixed import Codes, Fixed
from qapflow.ir.ops import Affine, Const, Conv, Dense, Quantize, Reduce, Reshape

_MOST_PRODUCTS = 4_000_000  # weights of the convolution that follows every product
TYPES = "let hls4ml write the project with accumulator types that hold every product (auto)"


@dataclass(frozen=True)
class Sum:
    """A layer that sums products: `op` has no bias, `bias` [channels] is in the sums' type."""

    call: Call
    name: str
    source: str
    op: Dense | Conv
    bias: Codes
    kind: CType


def cut_products(reader: Reader, layer: Sum) -> tuple[str, str]:
    """Add every product as an edge, its cast, and the sums; return products and sums.

    One filter a product: a depthwise convolution in which each filter reads one place of a window.
    """
    node, op, name = reader.builder, layer.op, layer.name
    source, origin = layer.source, layer.call.name
    if isinstance(op, Dense):
        n_in, n_out = op.weight.codes.shape
        kernel: Codes = op.weight.codes.reshape(1, n_in, n_out)
        source = reader.reshape(layer.call, source, (1, n_in))
        window = Conv(op.weight, None, (1,), ((0, 0),), (1,), 1)
    else:
        kernel, window = op.weight.codes, op
    *size, _, filters = kernel.shape
    channels = node.edges[source].shape[-1]
    places = math.prod(size)
    each = places * (1 if window.groups > 1 else filters)
    if channels * each * places > _MOST_PRODUCTS:
        raise Refused(f"its accumulator cuts products, {channels * each} of them", TYPES)
    spread = _spread(kernel.reshape(places, -1, filters), channels, window.groups > 1)
    weight = Const(spread.reshape(*size, 1, channels * each), op.weight.type)
    every = Conv(weight, None, window.strides, window.padding, window.dilation, channels)
    made = node.add(f"{name}_products", every, source, origin=origin)
    kind = layer.kind
    cut = Quantize(kind.fixed, kind.rounding, kind.overflow)
    edge = node.add(f"{name}_cut", cut, made, origin=origin)
    out = node.edges[made].shape[:-1]
    split = (channels, places) if window.groups > 1 else (channels * places, filters)
    edge = node.add(f"{name}_split", Reshape((*out, *split)), edge, origin=origin)
    axis = len(out) + (1 if window.groups > 1 else 0)
    edge = node.add(name, Reduce("sum", (axis,)), edge, origin=origin)
    if isinstance(op, Dense):
        edge = reader.reshape(layer.call, edge, (filters,))
    if layer.bias.any():
        one, offset = Const(np.array(1), Fixed(False, 1, 0)), Const(layer.bias, kind.fixed)
        edge = node.add(f"{name}_bias", Affine(one, offset), edge, origin=origin)
    return made, edge


def _spread(kernel: Codes, channels: int, depthwise: bool) -> Codes:
    """Return weights [places, 1, channels * each] of which every filter has one place."""
    places, _, filters = kernel.shape
    spread = np.zeros((places, channels, places, 1 if depthwise else filters), kernel.dtype)
    for place in range(places):
        if depthwise:
            spread[place, :, place, 0] = kernel[place, 0, :]
        else:
            spread[place, :, place, :] = kernel[place]
    return spread
