"""Convolution of float arrays as matrix products.

Small maps go row by row: `kernel` input rows are one contiguous run of values, so an output row is
one product with a banded matrix and nothing is copied. The band wastes products, so wide maps and
many channels gather windows instead. Groups of one channel add up shifted maps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qapflow.ir import kernels
from qapflow.ir.ops import Conv

Array = NDArray[Any]
Shape = tuple[int, ...]

MAX_WASTE = 8  # products with zeros of the band, for each useful one
MAX_BAND = 1 << 22  # values of a banded matrix


def make_convolution(op: Conv, weight: Array, shape: Shape, out: Shape) -> Callable[[Array], Array]:
    """Return the function [n, *shape] -> [n, *out] of a convolution without bias."""
    if len(shape) == 2:  # one spatial axis: a map of one row
        row = make_convolution_2d(op, weight[None], (1, *shape), (1, *out))
        return lambda x: row(x[:, None])[:, 0]
    return make_convolution_2d(op, weight, shape, out)


def make_convolution_2d(
    op: Conv, weight: Array, shape: Shape, out: Shape
) -> Callable[[Array], Array]:
    """Choose the way that needs the least work."""
    rank = len(op.strides)
    strides, dilation = (1, 1)[rank:] + op.strides, (1, 1)[rank:] + op.dilation
    padding = ((0, 0), (0, 0))[rank:] + op.padding
    if op.groups > 1:
        return lambda x: _add_shifted(x, weight, strides, padding, dilation, op.groups, out)
    waste = shape[1] / weight.shape[1]
    band = weight.shape[0] * shape[1] * shape[2] * out[1] * out[2]
    if waste <= MAX_WASTE and band <= MAX_BAND and dilation[0] == 1:
        matrix = _band(weight, shape, out, strides[1], dilation[1], padding[1][0])
        return lambda x: _by_rows(x, matrix, weight.shape[0], strides[0], padding[0][0], out)
    return lambda x: _gather(x, weight, strides, padding, dilation, out)


def _band(
    weight: Array, shape: Shape, out: Shape, stride: int, dilation: int, before: int
) -> Array:
    """[rows * width * channels, width_out * channels_out]: one output row from its input rows."""
    rows, columns, channels, filters = weight.shape
    matrix = np.zeros((rows, shape[1], channels, out[1], filters), weight.dtype)
    for position in range(out[1]):
        for column in range(columns):
            source = position * stride - before + column * dilation
            if 0 <= source < shape[1]:
                matrix[:, source, :, position, :] += weight[:, column]
    return matrix.reshape(rows, -1, out[1] * filters)


def _by_rows(x: Array, matrix: Array, rows: int, stride: int, before: int, out: Shape) -> Array:
    n, height = x.shape[:2]
    flat = np.ascontiguousarray(x).reshape(n, -1)
    width = flat.shape[1] // height
    result = np.empty((n, out[0], out[1] * out[2]), x.dtype)
    for row in range(out[0]):
        first = row * stride - before
        low, high = max(first, 0), min(first + rows, height)
        part = matrix[low - first : high - first].reshape(-1, matrix.shape[-1])
        np.matmul(flat[:, low * width : high * width], part, out=result[:, row])
    return result.reshape(n, *out)


def _gather(
    x: Array, weight: Array, strides: Shape, padding: Any, dilation: Shape, out: Shape
) -> Array:
    x = kernels.pad(x, [*padding, (0, 0)])
    view = kernels.windows(x, weight.shape[:2], strides, dilation)  # n, h, w, c, kh, kw
    rows = view.transpose(0, 1, 2, 4, 5, 3).reshape(x.shape[0] * out[0] * out[1], -1)
    product = np.asarray(rows @ weight.reshape(-1, weight.shape[-1]))
    return product.reshape(x.shape[0], *out)


def _add_shifted(
    x: Array,
    weight: Array,
    strides: Shape,
    padding: Any,
    dilation: Shape,
    groups: int,
    out: Shape,
) -> Array:
    """Sum over kernel positions of a shifted map times its weights, group by group."""
    x = kernels.pad(x, [*padding, (0, 0)])
    inner, each = weight.shape[2], weight.shape[3] // groups
    result = np.zeros((x.shape[0], *out[:2], groups, each), x.dtype)
    for i, j in np.ndindex(*weight.shape[:2]):
        top, left = i * dilation[0], j * dilation[1]
        view = x[
            :,
            top : top + strides[0] * (out[0] - 1) + 1 : strides[0],
            left : left + strides[1] * (out[1] - 1) + 1 : strides[1],
        ].reshape(x.shape[0], *out[:2], groups, inner)
        factor = weight[i, j].reshape(inner, groups, each)
        for channel in range(inner):
            result += view[..., channel, None] * factor[channel]
    return result.reshape(x.shape[0], *out)
